"""Trained encoders on fresh worlds of `demo-large`, beside the frozen views that they stand on.

    python benchmarks/trained_encoders.py --worlds 31,32,33 --seeds 3 --work WORK
    python benchmarks/trained_encoders.py --worlds 31 --seeds 1 --parts worlds --plain no --work WORK

Parts, each a table of Markdown and a key of the JSON file (``--output``, by default WORK/trained-encoders.json):

worlds     test recall@10 of every encoder less that of the frozen pair, in each world and in the mean of the worlds;
           chance, single views, and on valid the start and the chosen model of every stage
shuffled   the same where the tracks of all playlists are shuffled: nothing is to be learnt
weights    the weight beside the frozen vectors by the rule, and by the best of valid, in fresh small to full worlds
costs      CPU seconds and peak memory of a process that trains all three stages, or factors, from nothing

It goes on where it was interrupted: worlds, results, vectors and weights in WORK are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from trained_costs import process_costs
from trained_weights import weight_table

import larpbench
from larpbench import storage
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.demo_large.build import build_demo_large
from larpbench.datasets.demo_large.world import LargeWorldSpec, draw_large_world
from larpbench.datasets.files import MANIFEST
from larpbench.datasets.schema import Dataset
from larpbench.evaluation.statistics import difference_interval
from larpbench.results.rows import Row

METRIC = "recall@10"
VIEWS = ("text-like", "audio-like")
PAIR = "+".join(VIEWS)
FROZEN = "+".join(f"centred:{view}" for view in VIEWS)
SINGLE = tuple(f"centred:{view}" for view in VIEWS)
STAGES = ("wtc", "ttc", "tpc")
TRAINED = (f"factors:{PAIR}", *(f"larp-{stage}:{PAIR}" for stage in STAGES))
PLAIN = tuple(f"larp-{stage}:heads-plain:{PAIR}" for stage in STAGES)


def shuffled_world(folder: Path, seed: int) -> Dataset:
    """Make a world with the tracks of all playlists shuffled, but for repeated ones, which leave."""
    if (folder / MANIFEST).is_file():
        return larpbench.load_dataset(folder)
    world = draw_large_world(LargeWorldSpec(seed=seed))
    generator = np.random.default_rng(seed)
    playlists = world.playlists.with_columns(
        track_id=world.playlists["track_id"].gather(generator.permutation(len(world.playlists)))
    ).unique(maintain_order=True)
    ids = world.tracks["track_id"].to_numpy().astype(str)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with storage.staging_folder(folder.with_name(f"{folder.name}.views")) as staging:
        files = {f"{view}.npz": staging / f"{view}.npz" for view in world.views}
        for view, vectors in world.views.items():
            np.savez(files[f"{view}.npz"], ids=ids, embeddings=vectors)
        options = BuildOptions(
            name=f"shuffled-{seed}",
            source=f"demo-large of seed {seed}, the tracks of all playlists shuffled",
            licence="CC0-1.0",
            split_seed=seed,
            split_rule="tracks",
        )
        return assemble(world.tracks, playlists, options, folder, attachments=files)


def tested(dataset: Dataset, encoders: Sequence[str], seeds: int, results: Path) -> dict[str, Row]:
    """Return the rows of encoders by name, without the data set that they were trained on."""
    table = larpbench.evaluate(list(encoders), dataset, seeds=seeds, output=results, report=_told)[0]
    rows = {row.encoder.partition("@")[0]: row for row in table.rows}
    return {name: rows[name] for name in encoders}


def values(row: Row) -> np.ndarray:
    """Return the recall of each playlist, (p,) float64, the mean over seeds."""
    return row.values([METRIC])[:, :, 0].mean(axis=0)


def facts(row: Row) -> dict[str, Any]:
    """Return what the training of each seed tells."""
    told = [record.training.facts for record in row.records if record.training]
    costs = [record.costs.train_cpu_s for record in row.records if record.training and record.costs]
    found: dict[str, Any] = {"train_cpu_s": float(np.mean(costs))} if costs else {}
    for name in ("frozen", "start", "best"):
        numbers = [each["valid"][name] for each in told if name in each.get("valid", {})]
        found |= {f"valid_{name}": numbers} if numbers else {}
    for name in ("weight", "best_epoch"):
        numbers = [each[name] for each in told if name in each]
        found |= {name: numbers} if numbers else {}
    return found


def world_line(rows: Mapping[str, Row], name: str) -> dict[str, Any]:
    """Return the figures of an encoder in one world."""
    differences = values(rows[name]) - values(rows[FROZEN])
    low, high = difference_interval(differences)
    recall, difference = float(values(rows[name]).mean()), float(differences.mean())
    return {METRIC: recall, "difference": difference, "low": low, "high": high, **facts(rows[name])}


def mean_line(worlds: Sequence[Mapping[str, Row]], name: str) -> dict[str, float]:
    """Return the mean of the worlds' means, and its interval over the playlists of all of them.

    A playlist of a world with fewer of them counts for more, so that the worlds count alike.
    """
    parts = [values(rows[name]) - values(rows[FROZEN]) for rows in worlds]
    total = sum(map(len, parts))
    weighted = np.concatenate([part * total / (len(parts) * len(part)) for part in parts])
    low, high = difference_interval(weighted)
    recall = float(np.mean([values(rows[name]).mean() for rows in worlds]))
    return {METRIC: recall, "difference": float(weighted.mean()), "low": low, "high": high}


def worlds_part(
    make: Callable[[int], Dataset], worlds: Sequence[int], encoders: Sequence[str], seeds: int, results: Path
) -> dict[str, Any]:
    """Return the figures of encoders in each world and in the mean of the worlds."""
    found = {world: tested(make(world), encoders, seeds, results / str(world)) for world in worlds}
    parts: dict[str, Any] = {}
    for world, rows in found.items():
        metric = next(each for each in rows[FROZEN].records[0].metrics if each.name == METRIC)
        lines = {name: world_line(rows, name) for name in encoders}
        parts[str(world)] = {"playlists": metric.n, "chance": metric.chance, "encoders": lines}
    parts["mean"] = {"encoders": {name: mean_line(list(found.values()), name) for name in encoders}}
    return parts


def markdown(part: Mapping[str, Any]) -> str:
    """Return a part of `worlds_part` as tables."""
    lines = []
    for world, table in part.items():
        chance = f", chance {table['chance']:.4f}, {table['playlists']} playlists" if "chance" in table else ""
        lines += [
            f"\nworld {world}{chance}\n" if world != "mean" else "\nmean of the worlds\n",
            "| encoder | test | less frozen, 95 % interval | valid: start | chosen | weight | CPU s |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, line in table["encoders"].items():
            difference = f"{line['difference']:+.4f} [{line['low']:+.4f}, {line['high']:+.4f}]"
            start, best = (_means(line.get(f"valid_{each}", ())) for each in ("start", "best"))
            weight = " ".join(f"{each:g}" for each in line.get("weight", ()))
            cpu = f"{line['train_cpu_s']:.0f}" if "train_cpu_s" in line else ""
            lines.append(f"| `{name}` | {line[METRIC]:.4f} | {difference} | {start} | {best} | {weight} | {cpu} |")
    return "\n".join(lines)


def _means(numbers: Sequence[float]) -> str:
    return " ".join(f"{each:.4f}" for each in numbers)


def rows_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return lines of equal keys as a table."""
    if not rows:
        return "none"
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    for row in rows:
        texts = (f"{each:+.4f}" if isinstance(each, float) and abs(each) < 0.2 else f"{each}" for each in row.values())
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main(arguments: Sequence[str]) -> None:
    """Run the parts and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=_numbers, default=[31, 32, 33], help="seeds of the worlds")
    parser.add_argument("--small-worlds", type=_numbers, default=list(range(101, 121)), help="seeds, for weights")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the encoders")
    parser.add_argument("--parts", default="worlds,shuffled,weights,costs")
    parser.add_argument("--plain", choices=("yes", "no"), default="yes", help="whether heads-plain are there")
    parser.add_argument("--encoders", help="names in place of factors and larp, by commas")
    parser.add_argument("--work", type=Path, required=True, help="folder of all that is made on the way")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args(arguments)
    work = options.work.absolute()
    os.environ["LARPBENCH_HOME"] = str(work / "home")
    output = (options.output or work / "trained-encoders.json").absolute()
    trained = tuple(options.encoders.split(",")) if options.encoders else TRAINED
    compared = (*SINGLE, FROZEN, *trained)

    def world(seed: int) -> Dataset:
        return build_demo_large(work / "worlds" / str(seed), LargeWorldSpec(seed=seed))

    def shuffled(seed: int) -> Dataset:
        return shuffled_world(work / "worlds" / f"shuffled-{seed}", seed)

    def worlds_table() -> tuple[Any, str]:
        names = (*compared, *(PLAIN if options.plain == "yes" else ()))
        found = worlds_part(world, options.worlds, names, options.seeds, work / "results")
        return found, markdown(found)

    def shuffled_table() -> tuple[Any, str]:
        found = worlds_part(shuffled, options.worlds, (FROZEN, *trained), options.seeds, work / "results" / "shuffled")
        return found, markdown(found)

    def weights_table() -> tuple[Any, str]:
        found = weight_table(work, options.small_worlds, trained)
        return found, rows_markdown(found["lines"]) + "\n\n" + rows_markdown(found["summary"])

    def costs_table() -> tuple[Any, str]:
        found = process_costs(work, world(options.worlds[0]), trained)
        return found, rows_markdown(found)

    parts = {"worlds": worlds_table, "shuffled": shuffled_table, "weights": weights_table, "costs": costs_table}
    for part in options.parts.split(","):
        found, table = parts[part]()
        earlier = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
        storage.write_text(output, json.dumps({**earlier, part: found}, indent=2) + "\n")
        print(f"\n## {part}\n{table}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
