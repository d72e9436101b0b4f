"""``larpbench train``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from larpbench.cli import options
from larpbench.errors import shell_word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from larpbench.encoders.run.store import EmbeddingStore
    from larpbench.encoders.spec import EncoderSpec

app = typer.Typer(
    no_args_is_help=True,
    help="Train an encoder and keep its weights.",
    epilog="""Examples:

larpbench train larp --dataset my-data

larpbench train factors --dataset my-data

larpbench train clap-ft --dataset my-data --size paper""",
)

EPILOG = """Examples:

larpbench train larp

larpbench train larp --dataset my-data --towers musicnn-msd,minilm --seeds 3

larpbench train larp --dataset my-data --towers tfidf

larpbench train larp --dataset my-data --size tiny --stages wtc,ttc

accelerate launch -m larpbench train larp --dataset my-data --size paper    (one process a GPU)"""
BASELINE_EPILOG = """Examples:

larpbench train {0}

larpbench train {0} --dataset my-data --size paper --seed 1"""


FACTORS_EPILOG = """Examples:

larpbench train factors

larpbench train factors --dataset my-data --views tfidf,minilm"""


Fusion = Literal["attention", "mean"]
Size = Literal["heads", "heads-plain", "tiny", "paper"]
BaselineSize = Literal["tiny", "paper"]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=options.LARGEST_SEED, help="Random seed, or the first of several.")
]
Seeds = Annotated[
    int,
    typer.Option("--seeds", min=1, max=1_000, help="Number of random seeds; small models are trained side by side."),
]
BaselineSizes = Annotated[BaselineSize, typer.Option("--size", help="tiny, or the model of the paper (needs a GPU).")]
Updates = Annotated[
    int | None, typer.Option("--updates", min=1, help="Number of updates, in whole epochs, without early stopping.")
]


@app.callback()
def train() -> None:
    """Train an encoder and keep its weights. If training is interrupted, the same command continues it."""


@app.command(epilog=EPILOG)
def larp(
    context: typer.Context,
    dataset: options.DatasetName = "demo",
    stages: Annotated[
        str, typer.Option("--stages", help="Stages in order, from wtc, ttc and tpc; a stage may be repeated.")
    ] = "wtc,ttc,tpc",
    size: Annotated[
        Size,
        typer.Option(
            "--size",
            help="heads: beside frozen embeddings; heads-plain: in their place; tiny; or paper: the model of the paper "
            "(needs a GPU).",
        ),
    ] = "heads",
    towers: Annotated[
        str,
        typer.Option(
            "--towers",
            help="Frozen encoders under the heads: one, or an audio and a text encoder, with a comma or a + between "
            "them: larpbench list encoders.",
        ),
    ] = "handcrafted,tfidf",
    fusion: Annotated[
        Fusion, typer.Option("--fusion", help="Fusion of tracks into playlists in stage tpc.")
    ] = "attention",
    neighbours: Annotated[
        int, typer.Option("--neighbours", min=1, help="Number of tracks fused into a playlist.")
    ] = 10,
    updates: Annotated[
        int | None,
        typer.Option(
            "--updates",
            min=1,
            help="Updates of each stage, in whole epochs, without early stopping; to compare stages.",
        ),
    ] = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
    audio_weights: Annotated[
        str | None,
        typer.Option("--audio-weights", help="Initial weights: random, a folder, or a name in the hub cache."),
    ] = None,
    text_weights: Annotated[
        str | None, typer.Option("--text-weights", help="Initial weights of the text tower, likewise.")
    ] = None,
) -> None:
    """Train LARP, one stage after the other.

    Each stage starts from the weights of the one before. Prints the folder of each stage. Started by accelerate launch
    or torchrun, several processes train it together, except in size heads; a batch is shared among them.
    """
    from larpbench.encoders.larp.settings import STAGES
    from larpbench.encoders.larp.specs import larp_spec
    from larpbench.encoders.names import parse_name
    from larpbench.errors import UsageError

    chain = tuple(each for name in options.names(stages) for each in STAGES if each == name)
    if not chain or len(chain) != len(options.names(stages)):
        raise UsageError(f"unknown stages: {stages!r}", allowed=", ".join(STAGES))
    if options.given(context, ("towers",)) and size in ("tiny", "paper"):
        raise UsageError(
            f"--towers changes nothing of --size {size}", allowed="--towers with --size heads or heads-plain"
        )
    views = [part.written for each in options.names(towers) for part in parse_name(each)]
    spec = larp_spec(chain, size, views, fusion, neighbours, updates, (audio_weights, text_weights))
    _train(spec, dataset, seed, seeds)


@app.command("clap-ft", epilog=BASELINE_EPILOG.format("clap-ft"))
def clap_ft(
    dataset: options.DatasetName = "demo",
    size: BaselineSizes = "tiny",
    updates: Updates = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Initial weights: random, a folder, or a name in the hub cache."),
    ] = None,
) -> None:
    """Fine-tune CLAP on audio-text pairs.

    Audio and text of a track are positives. Prints the folder of the weights.
    """
    from larpbench.encoders.baselines.specs import baseline_spec

    _train(baseline_spec("clap-ft", size, updates, weights), dataset, seed, seeds)


@app.command("co-playlist", epilog=BASELINE_EPILOG.format("co-playlist"))
def co_playlist(
    dataset: options.DatasetName = "demo",
    size: BaselineSizes = "tiny",
    updates: Updates = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
) -> None:
    """Train a CNN on pairs of tracks that share a playlist.

    Prints the folder of the weights.
    """
    from larpbench.encoders.baselines.specs import baseline_spec

    _train(baseline_spec("co-playlist", size, updates), dataset, seed, seeds)


@app.command(epilog=BASELINE_EPILOG.format("cnn"))
def cnn(
    dataset: options.DatasetName = "demo",
    size: BaselineSizes = "tiny",
    updates: Updates = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
) -> None:
    """Train a CNN on pairs of crops of a track, as MULE.

    Prints the folder of the weights.
    """
    from larpbench.encoders.baselines.specs import baseline_spec

    _train(baseline_spec("cnn", size, updates), dataset, seed, seeds)


@app.command(epilog=FACTORS_EPILOG)
def factors(
    dataset: options.DatasetName = "demo",
    views: Annotated[
        str, typer.Option("--views", help="Frozen encoders, with a comma or a + between them: larpbench list encoders.")
    ] = "handcrafted,tfidf",
    seed: Seed = 0,
    seeds: Seeds = 1,
) -> None:
    """Learn factors of the playlists in closed form.

    A ridge regression predicts the singular vectors of the playlist matrix from frozen vectors. Its weight beside them
    is chosen on the valid playlists; it may be 0. Prints the folder of the weights.
    """
    from larpbench.encoders.factors.specs import factors_spec
    from larpbench.encoders.names import parse_name

    _train(
        factors_spec([part.written for each in options.names(views) for part in parse_name(each)]), dataset, seed, seeds
    )


def _train(spec: EncoderSpec, dataset: str, first: int, count: int) -> None:
    """Train an encoder, by itself or with the other processes that the launcher has started."""
    from larpbench.training.launch import joined

    with joined() as ranks:
        _train_seeds(spec, dataset, first, count, alone=ranks.count == 1)


def _train_seeds(spec: EncoderSpec, dataset: str, first: int, count: int, alone: bool) -> None:
    """Train an encoder and the stages before it, unless that has been done; print results and folders.

    A seed that fails does not keep the others from being trained.
    """
    from larpbench.benchmark.plan import default_store
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.encoders.run.seeds import train_seeds
    from larpbench.encoders.run.training import ensure_trained
    from larpbench.errors import LarpbenchError, MissingPartError, UsageError, error_text
    from larpbench.tasks.validation import validation_recall
    from larpbench.training.ranks import LostProcessError

    if spec.status().state != "ready":
        raise MissingPartError(
            f"an encoder that it is trained on cannot run: {spec.status().state}", next_step=spec.status().next_step
        )
    if first + count - 1 > options.LARGEST_SEED:
        raise UsageError(f"--seeds {count} from --seed {first} on", allowed=f"seeds up to {options.LARGEST_SEED}")
    spec = spec.learning_from(load_dataset(dataset))
    if count > 1 and not spec.card.stochastic:
        typer.echo(f"{spec.card.name} has no random part here: one seed is all there is", err=True)
        count = 1
    store, seeds = default_store(), range(first, first + count)
    failed = train_seeds(store, spec, seeds, validation_recall) if alone else {}
    for seed in seeds:
        try:
            if seed not in failed:
                ensure_trained(store, spec, seed, validation_recall)
                _print_trained(store, spec, seed, f" (seed {seed})" if count > 1 else "")
        except LostProcessError:
            raise
        except LarpbenchError as error:
            failed[seed] = error
    trained = [seed for seed in seeds if seed not in failed]
    if count == 1 and failed:
        raise failed[first]
    if trained:
        folder = store.checkpoint(spec, trained[0])
        tested, weights = shell_word(dataset), shell_word(f"checkpoint:{folder}")
        typer.echo(f"next: larpbench run --dataset {tested} --encoders {weights}", err=True)
    for seed, reason in sorted(failed.items()):
        told = str(reason) if isinstance(reason, LarpbenchError) else error_text(reason)
        typer.echo(f"error: seed {seed}: {told}", err=True)
    if failed:
        raise typer.Exit(max(getattr(reason, "exit_code", 1) for reason in failed.values()))


def _print_trained(store: EmbeddingStore, spec: EncoderSpec, seed: int, suffix: str) -> None:
    """Print a line and a folder for each stage."""
    from larpbench.encoders.checkpoint_folder import read_card

    chain = [spec]
    while chain[0].training and chain[0].training.start:
        chain.insert(0, chain[0].training.start)
    for each in chain:
        folder = store.checkpoint(each, seed)
        card = read_card(folder)
        if "l2" in card or card["updates"]:  # else: initial weights
            told = _solved(card) if "l2" in card else _selected(card)
            typer.echo(f"{each.card.name}{suffix}: {told}, validation recall@10 {_compared(card)}\n  {folder}")


def _selected(card: Mapping[str, Any]) -> str:
    """Return how a training by gradients went."""
    start = " (the start)" if not card["best_epoch"] else ""
    ended = ", collapsed" if card.get("ended") == "collapse" else ""
    weight = f", weight {card['weight']:g}" if "weight" in card else ""
    return f"{card['updates']} updates, best after epoch {card['best_epoch']}{start} of {card['epochs']}{ended}{weight}"


def _solved(card: Mapping[str, Any]) -> str:
    """Return what there is to say of weights in closed form."""
    chosen = f"{card['factors']} factors, weight {card['weight']:g}" if card["weight"] else "the frozen vectors alone"
    return f"{chosen} (l2 {card['l2']:g})"


def _compared(card: Mapping[str, Any]) -> str:
    """Return the recall of the weights, and what it is to be compared with, as far as the card has it."""
    valid = {"best": card["best"]} | card.get("valid", {})
    others = [f"{name} {valid[name]:.4f}" for name in ("start", "frozen", "chance") if name in valid]
    return ", ".join([f"{valid['best']:.4f}", *others])
