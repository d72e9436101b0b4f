"""``larpbench encode``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from larpbench.cli import options, printing
from larpbench.errors import shell_word

if TYPE_CHECKING:
    from larpbench.datasets.schema import Dataset, Split, SplitName
    from larpbench.encoders.run.store import EmbeddingStore
    from larpbench.encoders.run.together import Need
    from larpbench.encoders.spec import EncoderSpec

EPILOG = """Examples:

larpbench encode --encoder tfidf

larpbench encode --encoder random --dataset my-data --split train --seed 1

larpbench encode --encoder hf-audio:facebook/hubert-base-ls960@all --dataset my-data

larpbench encode --encoder clap-pt:audio,mert-95m@all --dataset my-data --split train

larpbench encode --encoder mert-95m --dataset my-data --part 3/16

larpbench encode --encoder mert-95m --dataset my-data --engine ray --gpus-per-worker 1

larpbench encode --encoder htsat --dataset my-data --backend openvino

larpbench encode --encoder tfidf --json"""


def encode(
    encoder: Annotated[
        str, typer.Option("--encoder", help="Encoder name, or several separated by commas: larpbench list encoders.")
    ],
    dataset: options.DatasetName = "demo",
    split: Annotated[str, typer.Option("--split", help="train, valid or test.")] = "test",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=options.LARGEST_SEED, help="Seed of encoders with a random part.")
    ] = 0,
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            metavar="I/N",
            help="Encode part I of N only, from 1/N to N/N: every N-th shard of 256 tracks of audio, or 4,096 of text.",
        ),
    ] = None,
    engine: options.Engine = "local",
    workers: options.Workers = None,
    gpus_per_worker: options.GpusPerWorker = None,
    shard_timeout: options.ShardTimeout = None,
    backend: options.Backend = "torch",
    as_json: options.Json = False,
) -> None:
    """Compute and store the vectors of one split.

    They are written shard by shard; a later run uses them. Of several encoders, those of one sample rate share a pass:
    each file is decoded once, and all layers of a model (NAME@all) come from one pass through it. Several processes,
    also on machines that share the folder, share the work.
    """
    from larpbench.benchmark.plan import default_store
    from larpbench.datasets.catalogue import load_dataset
    from larpbench.datasets.schema import SPLITS
    from larpbench.encoders.layers import every_layer
    from larpbench.encoders.names import get_encoder
    from larpbench.encoders.precision import named_for
    from larpbench.encoders.run.on_workers import WorkerEncoding
    from larpbench.encoders.run.parts import shards_of_part
    from larpbench.encoders.run.together import Need, encode_together
    from larpbench.encoders.run.training import ensure_trained
    from larpbench.engine.choice import engine_named
    from larpbench.errors import UsageError
    from larpbench.tasks.layers import choose_layers
    from larpbench.tasks.validation import validation_recall

    computing = engine_named(engine, workers=workers, gpus_per_worker=gpus_per_worker, shard_timeout=shard_timeout)
    if part is not None and not computing.is_local:
        raise UsageError("--part and --engine both share out the shards", allowed="one of them")
    named = [named_for(each.strip(), backend) for each in encoder.split(",") if each.strip()]
    names = list(dict.fromkeys(each for name in named for each in every_layer(name)))
    if not names:
        raise UsageError("no encoder is named", allowed="larpbench list encoders")
    numbers = None if part is None else shards_of_part(part)
    specs = [get_encoder(name) for name in names]
    chosen = next((name for name in SPLITS if name == split), None)
    if chosen is None:
        raise UsageError(f"no split {split!r}", allowed=", ".join(SPLITS))
    data = load_dataset(dataset)
    if not data.split(chosen).tracks.height:
        raise UsageError(f"the {chosen} split of {data.name} has no tracks")
    store = default_store()
    wanted = [(spec.tested_on(data), seed if spec.card.stochastic else 0) for spec in specs]
    for spec, _ in wanted:
        spec.require_possible(data, [chosen])
    if numbers is not None:
        _encode_part(store, [Need(spec, data, chosen, own) for spec, own in wanted], part or "", numbers, as_json)
        return
    needs = [Need(spec, data, chosen, own) for spec, own in wanted]
    with computing:
        encoding = None if computing.is_local else WorkerEncoding(computing, store)
        if encoding:  # what is encoded before something is trained, or chosen
            encoding.encode(needs)
        for need in needs:
            if encoding:
                encoding.require(need)
            ensure_trained(store, need.spec, need.seed, validation_recall)
            choose_layers(store, need.spec, data, need.seed)
        if encoding:
            encoding.encode(needs)
            for need in needs:
                encoding.require(need)
        else:
            encode_together(store, needs)
    facts = [_encoded(store, spec, data, chosen, own) for spec, own in wanted]
    if as_json:
        printing.print_json(facts if len(facts) > 1 else facts[0])
        return
    for each in facts:
        if each["folder"] is None:
            place = f"{each['file']}, which holds them; nothing is stored" if each["file"] else "nothing is stored"
        else:
            place = str(each["folder"])
        before = f"{each['encoder']}: " if len(facts) > 1 else ""
        typer.echo(f"{before}{each['tracks']} vectors of {each['dim']} numbers: {place}")


def _encode_part(store: EmbeddingStore, needs: list[Need], part: str, numbers: range, as_json: bool) -> None:
    """Encode some shards of what is computed from tracks: of encoders, or of those that they are made of."""
    from larpbench.encoders.run.together import encode_together, encoded_for
    from larpbench.encoders.run.training import untrained
    from larpbench.errors import MissingPartError

    found: dict[str, Need] = {}
    for need in needs:
        places = [each for each in encoded_for(store, need) if not each.spec.in_place]
        from_tracks = [replace(each, spec=replace(each.spec, centred=False)) for each in places]  # as they are stored
        learning = untrained(store, need.spec, need.seed)
        if learning and not from_tracks:
            raise MissingPartError(
                f"encoder {learning[0].identity!r} has to be trained before parts of its vectors can be computed",
                next_step=f"larpbench encode --encoder {shell_word(learning[0].identity)} "
                "(without --part, which trains it)",
            )
        if not from_tracks:
            typer.echo(f"note: the vectors of {need.spec.identity} are in files; nothing is encoded", err=True)
        elif learning or not any(each.spec is need.spec for each in places):
            parts = ", ".join(dict.fromkeys(f"{each.spec.identity} ({each.split_name})" for each in from_tracks))
            typer.echo(
                f"note: of {need.spec.identity}, this encodes a part of {parts}; "
                f"{'training and ' if learning else ''}the rest: larpbench encode without --part",
                err=True,
            )
        for each in from_tracks:
            found.setdefault(store.keys.embedding(*_place(each)), each)
    encode_together(store, found.values(), numbers)
    facts = [_part_facts(store, key, need, part, numbers) for key, need in found.items()]
    if as_json:
        printing.print_json(facts if len(facts) != 1 else facts[0])
        return
    for line in facts:
        shards = line["shards"]
        typer.echo(
            f"{line['encoder']} ({line['split']}), part {part}: shards: {shards['encoded']} encoded, "
            f"{shards['there']} there already, {shards['other_parts']} of other parts: {line['folder']}"
        )


def _part_facts(store: EmbeddingStore, key: str, need: Need, part: str, numbers: range) -> dict[str, Any]:
    counts = store.encode_shards(*_place(need), numbers)
    encoded = store.written[key]  # also those of a pass that several encoders have shared
    return {
        "encoder": need.spec.identity,
        "dataset": need.dataset.name,
        "split": need.split_name,
        "seed": need.seed,
        "part": part,
        "shards": {
            "encoded": encoded,
            "there": counts.encoded + counts.there - encoded,
            "other_parts": counts.others,
        },
        "key": key,
        "folder": str(store.folder(need.spec, key)),
    }


def _place(need: Need) -> tuple[EncoderSpec, Dataset, Split, int]:
    return need.spec, need.dataset, need.dataset.split(need.split_name), need.seed


def _encoded(store: EmbeddingStore, spec: EncoderSpec, data: Dataset, split: SplitName, seed: int) -> dict[str, object]:
    stored = store.embed(spec, data, split, seed)
    for warning in stored.warnings:
        typer.echo(f"warning: {warning}", err=True)
    count, dim = stored.vectors.shape
    folder = None
    if not (spec.in_place or spec.choice):
        folder = store.folder(spec, store.keys.embedding(spec, data, data.split(split), seed))
    return {
        "encoder": spec.identity,
        "dataset": data.name,
        "split": split,
        "seed": seed,
        "tracks": count,
        "dim": dim,
        "dtype": str(stored.vectors.dtype),
        "key": stored.key,
        "folder": folder and str(folder),
        "file": (spec.place or spec.argument) if spec.in_place else None,
        "wall_s": stored.cost.wall_s,
        "cpu_s": stored.cost.cpu_s,
        "tracks_per_second": count / stored.cost.wall_s if stored.cost.wall_s else None,
        "warnings": stored.warnings,
    }
