"""From a recipe and a data set to trained weights of a baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from larpbench.datasets.schema import Split
from larpbench.encoders.baselines.clap import Clap, load_pretrained, tokenizer_folder
from larpbench.encoders.baselines.cnn import AudioCnn
from larpbench.encoders.baselines.settings import ClapRecipe, ClapSettings, CnnRecipe
from larpbench.encoders.baselines.trainers import ClapTrainer, CnnTrainer
from larpbench.encoders.encoder import FitContext
from larpbench.encoders.towers.inputs import (
    EVALUATED_AT_ONCE,
    MelInputs,
    TokenInputs,
    TrackInputs,
    band_statistics,
    embed,
)
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.encoders.towers.settings import RANDOM_WEIGHTS
from larpbench.encoders.towers.tokens import Tokenizer, WordPieces, WordTokenizer
from larpbench.encoders.towers.training import load_model, run_trainer, save_model, seeded
from larpbench.errors import DataError
from larpbench.training.loop import TrainedModel, count_parameters

CLAP_FT, CO_PLAYLIST, CNN = "clap-ft", "co-playlist", "cnn"


def train_cnn(train: Split, context: FitContext) -> TrainedModel[AudioCnn]:
    """Train an audio-only baseline.

    Args:
        train: What it learns from.
        context: The recipe, the seed, where to compute and what to score with.

    Raises:
        DataError: If playlists should make the pairs, and none has two tracks.
        TrainingError: If the loss is no longer a number; the best weights so far are kept.
    """
    recipe = CnnRecipe.model_validate(dict(context.settings))
    tracks, valid_tracks = (MelInputs(context.inputs[name][0], recipe.mel) for name in ("train", "valid"))
    graph = PlaylistGraph(train.interactions(), len(tracks)) if recipe.pairs == "playlists" else None
    if graph and not len(graph.paired_tracks):
        raise DataError(
            "no two train tracks share a playlist: there are no pairs to learn from",
            allowed="train playlists of at least two tracks",
        )
    name = CNN if graph is None else CO_PLAYLIST
    with seeded(context):
        model = AudioCnn(recipe)
        model.set_statistics(*band_statistics(tracks))
        trained = run_trainer(
            CnnTrainer(name, model, tracks, graph, context.seed, context.device),
            context,
            name,
            embed=lambda candidate: _encoded(candidate, valid_tracks, context.device),
            save=save_model,
            load=lambda folder: load_model(folder, AudioCnn, CnnRecipe),
        )
    return replace(trained, facts={"parameters": count_parameters(trained.model), **trained.facts})


def train_clap(train: Split, valid: Split, context: FitContext) -> tuple[TrainedModel[Clap], Tokenizer]:
    """Train CLAP on the audio and the captions of the train tracks.

    Args:
        train: What it learns from.
        valid: Its playlists select the epoch.
        context: The recipe, the seed, where to compute and what to score with.

    Returns:
        The model with the weights of the best epoch, and its tokenizer.

    Raises:
        DataError: If all captions are the same, or initial weights are of another kind or size.
        MissingPartError: If initial weights or their tokenizer are not here.
        TrainingError: If the loss is no longer a number; the best weights so far are kept.
    """
    recipe = ClapRecipe.model_validate(dict(context.settings))
    tokenizer = _tokenizer(recipe, train)
    shapes, mel = recipe.model, recipe.model.audio.mel
    if recipe.weights == RANDOM_WEIGHTS:
        text = shapes.text.model_copy(update={"vocabulary": tokenizer.size})
        shapes = shapes.model_copy(update={"text": text})
    tracks, valid_tracks = (
        TrackInputs(
            MelInputs(context.inputs[split.name][0], mel),
            TokenInputs(split.tracks["caption"].to_list(), tokenizer),
        )
        for split in (train, valid)
    )
    with seeded(context):
        model = Clap(shapes)
        matched = 0
        if recipe.weights == RANDOM_WEIGHTS:
            model.audio.set_statistics(*band_statistics(MelInputs(context.inputs["train"][0], mel)))
        else:
            matched = load_pretrained(model, recipe.weights)
        trained = run_trainer(
            ClapTrainer(CLAP_FT, model, recipe.training, tracks, context.seed, context.device),
            context,
            CLAP_FT,
            embed=lambda candidate: embed(candidate, valid_tracks, context.device),
            save=lambda folder, candidate: save_model(folder, candidate, tokenizer),
            load=lambda folder: load_model(folder, Clap, ClapSettings),
        )
    initial = {"weights": recipe.weights, "matched": matched}
    facts = {"initial_weights": initial, "parameters": count_parameters(trained.model), **trained.facts}
    return replace(trained, facts=facts), tokenizer


def _tokenizer(recipe: ClapRecipe, train: Split) -> Tokenizer:
    longest = recipe.model.text.max_tokens
    if recipe.weights != RANDOM_WEIGHTS:
        return WordPieces(tokenizer_folder(recipe.weights), longest)
    captions = train.tracks["caption"].to_list()
    return WordTokenizer.build(captions, longest, words=recipe.words.words, buckets=recipe.words.buckets)


@torch.inference_mode()
def _encoded(model: AudioCnn, tracks: MelInputs, device: str) -> np.ndarray:
    """Return the vectors of all tracks in eval mode, (n, width) float32."""
    model.eval()
    parts = []
    for start in range(0, len(tracks), EVALUATED_AT_ONCE):
        (mels,) = tracks.take(np.arange(start, min(start + EVALUATED_AT_ONCE, len(tracks))), training=False)
        parts.append(model.encoded(mels[:, None].to(device)).cpu().numpy())
    return np.concatenate(parts)
