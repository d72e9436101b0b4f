"""From a recipe and a data set to trained weights of a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch

from larpbench.datasets.schema import Split
from larpbench.encoders.baselines.clap import Clap, load_pretrained, tokenizer_folder
from larpbench.encoders.baselines.cnn import AudioCnn
from larpbench.encoders.baselines.saving import load_clap, load_cnn, save_clap, save_cnn
from larpbench.encoders.baselines.settings import ClapRecipe, CnnRecipe
from larpbench.encoders.baselines.trainers import ClapTrainer, CnnTrainer
from larpbench.encoders.encoder import FitContext
from larpbench.encoders.towers.fitting import facts, fit, parameters
from larpbench.encoders.towers.inputs import MelInputs, TokenInputs, band_statistics
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.encoders.towers.settings import RANDOM_WEIGHTS
from larpbench.encoders.towers.tokens import Tokenizer, WordPieces, WordTokenizer
from larpbench.encoders.towers.track_inputs import EVALUATED_AT_ONCE, TrackInputs, embed
from larpbench.errors import DataError
from larpbench.training.loop import Model

CLAP_FT, CO_PLAYLIST, CNN = "clap-ft", "co-playlist", "cnn"


@dataclass(frozen=True)
class Trained(Generic[Model]):
    """What a training gave.

    Attributes:
        model: With the weights of the epoch that was best on validation.
        history: One entry an epoch.
        facts: What a record should say.
        tokenizer: Of its text side, if it has one.
    """

    model: Model
    history: list[dict[str, Any]]
    facts: dict[str, Any]
    tokenizer: Tokenizer | None = None

    def summary(self) -> dict[str, Any]:
        """Return what a record should say, history included."""
        return {**self.facts, "history": self.history}


def train_cnn(train: Split, context: FitContext) -> Trained[AudioCnn]:
    """Train an audio-only baseline.

    Args:
        train: Learnt from.
        context: The recipe, the seed, where to compute and what to score with.

    Raises:
        DataError: If playlists should make the pairs, and none has two tracks.
        TrainingError: If the loss is no longer a number; the best weights so far are kept.
    """
    recipe = CnnRecipe.model_validate(dict(context.settings))
    tracks, heard = (MelInputs(context.inputs[name][0], recipe.mel) for name in ("train", "valid"))
    graph = PlaylistGraph(train.interactions(), len(tracks)) if recipe.pairs == "playlists" else None
    if graph and not len(graph.paired_tracks):
        raise DataError(
            "no two train tracks share a playlist: there are no pairs to learn from",
            allowed="train playlists of at least two tracks",
        )
    name = CNN if graph is None else CO_PLAYLIST
    with torch.random.fork_rng(_devices(context)):  # the caller's random numbers are none of our business
        torch.manual_seed(context.seed)
        model = AudioCnn(recipe)
        model.set_statistics(*band_statistics(tracks))
        trainer = CnnTrainer(name, model, tracks, graph, context.seed, context.device)
        best = fit(
            trainer,
            context,
            f"train {name} (seed {context.seed})",
            embed=lambda candidate: _encoded(candidate, heard, context.device),
            save=save_cnn,
        )
        selected = load_cnn(best)
    known = {"parameters": parameters(selected), **facts(trainer.progress)}
    return Trained(selected, trainer.progress.history, known)


def train_clap(train: Split, valid: Split, context: FitContext) -> Trained[Clap]:
    """Train CLAP on the audio and the captions of the train tracks.

    Args:
        train: Learnt from.
        valid: Its playlists select the epoch.
        context: The recipe, the seed, where to compute and what to score with.

    Raises:
        DataError: If the captions say nothing, or initial weights are of another kind or size.
        MissingPartError: If initial weights or their tokenizer are not here.
        TrainingError: If the loss is no longer a number; the best weights so far are kept.
    """
    recipe = ClapRecipe.model_validate(dict(context.settings))
    tokenizer = _tokenizer(recipe, train)
    shapes, mel = recipe.model, recipe.model.audio.mel
    if recipe.weights == RANDOM_WEIGHTS:
        text = shapes.text.model_copy(update={"vocabulary": tokenizer.size})
        shapes = shapes.model_copy(update={"text": text})
    tracks, heard = (
        TrackInputs(
            MelInputs(context.inputs[split.name][0], mel),
            TokenInputs(split.tracks["caption"].to_list(), tokenizer),
        )
        for split in (train, valid)
    )
    with torch.random.fork_rng(_devices(context)):
        torch.manual_seed(context.seed)
        model = Clap(shapes)
        matched = 0
        if recipe.weights == RANDOM_WEIGHTS:
            model.audio.set_statistics(*band_statistics(MelInputs(context.inputs["train"][0], mel)))
        else:
            matched = load_pretrained(model, recipe.weights)
        trainer = ClapTrainer(CLAP_FT, model, recipe.training, tracks, context.seed, context.device)
        best = fit(
            trainer,
            context,
            f"train {CLAP_FT} (seed {context.seed})",
            embed=lambda candidate: embed(candidate, heard, context.device),
            save=lambda folder, candidate: save_clap(folder, candidate, tokenizer),
        )
        selected, _ = load_clap(best)
    known = {
        "initial_weights": {"weights": recipe.weights, "matched": matched},
        "parameters": parameters(selected),
        **facts(trainer.progress),
    }
    return Trained(selected, trainer.progress.history, known, tokenizer)


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


def _devices(context: FitContext) -> list[torch.device]:
    return [torch.device(context.device)] if context.device != "cpu" else []
