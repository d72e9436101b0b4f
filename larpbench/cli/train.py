"""``larpbench train``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from larpbench.cli import options

app = typer.Typer(no_args_is_help=True, help="Train an encoder and keep its weights; a killed training goes on.")

EPILOG = """Examples:

larpbench train larp

larpbench train larp --dataset my-data --towers musicnn-msd,minilm --seed 1

larpbench train larp --dataset my-data --size tiny --stages wtc,ttc"""


class Fusion(StrEnum):
    """How a playlist is fused from its tracks."""

    attention = "attention"
    mean = "mean"


class Size(StrEnum):
    """How large the model is."""

    heads = "heads"
    tiny = "tiny"
    paper = "paper"


@app.callback()
def train() -> None:
    """Train an encoder and keep its weights; a killed training goes on."""


@app.command(epilog=EPILOG)
def larp(
    dataset: options.DatasetName = "demo",
    stages: Annotated[
        str, typer.Option("--stages", help="Stages in order: wtc, ttc, tpc; one may stand there twice.")
    ] = "wtc,ttc,tpc",
    size: Annotated[
        Size,
        typer.Option("--size", help="heads over frozen embeddings, a tiny model, or that of the paper (for a GPU)."),
    ] = Size.heads,
    towers: Annotated[
        str, typer.Option("--towers", help="Audio and text encoder under the heads: larpbench list encoders.")
    ] = "handcrafted,tfidf",
    fusion: Annotated[
        Fusion, typer.Option("--fusion", help="How playlists are fused, in stage tpc.")
    ] = Fusion.attention,
    neighbours: Annotated[int, typer.Option("--neighbours", min=1, help="Tracks that a playlist is fused from.")] = 10,
    updates: Annotated[
        int | None,
        typer.Option(
            "--updates", min=1, help="Updates a stage, in whole epochs, with no early end: for comparing stages."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Drives everything random.")] = 0,
    audio_weights: Annotated[
        str | None,
        typer.Option("--audio-weights", help="Initial weights: random, a folder, or a name in the hub cache."),
    ] = None,
    text_weights: Annotated[str | None, typer.Option("--text-weights", help="The same, of the text tower.")] = None,
) -> None:
    """Train LARP stage by stage, each with the weights of the one before; prints where they are."""
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.encoders.checkpoints import read_card
    from larpbench.encoders.larp.settings import STAGES
    from larpbench.encoders.larp.specs import larp_spec
    from larpbench.encoders.training import ensure_trained
    from larpbench.errors import MissingPartError, UsageError
    from larpbench.planning import default_store
    from larpbench.tasks.validation import validation_recall

    chain = tuple(each for name in options.names(stages) for each in STAGES if each == name)
    if not chain or len(chain) != len(options.names(stages)):
        raise UsageError(f"stages {stages!r} make no sense", allowed=", ".join(STAGES))
    pair = options.names(towers)
    if len(pair) != 2:
        raise UsageError(f"{len(pair)} towers: {towers!r}", allowed="an audio and a text encoder, a comma between them")
    spec = larp_spec(
        chain, size.value, (pair[0], pair[1]), fusion.value, neighbours, updates, (audio_weights, text_weights)
    )
    if spec.status().state != "ready":
        raise MissingPartError(f"a tower cannot run: {spec.status().state}", next_step=spec.status().next_step)
    spec = spec.learning_from(load_dataset(dataset))
    store = default_store()
    ensure_trained(store, spec, seed, validation_recall)
    trained = []
    each = spec
    while each.training and each.training.start:
        trained.append(each)
        each = each.training.start
    for each in reversed(trained):
        folder = store.checkpoint(each, seed)
        card = read_card(folder)
        typer.echo(
            f"{each.card.name}: {card['updates']} updates, best after epoch {card['best_epoch']} of {card['epochs']}, "
            f"validation recall@10 {card['best']:.4f}\n  {folder}"
        )
    typer.echo(f"next: larpbench run --dataset {dataset} --encoders checkpoint:{folder}", err=True)
