"""Rank all tracks of the Million Playlist Dataset for many of its playlists, in bounded memory.

    python benchmarks/whole_mpd_ranking.py WORK                                    # 100,000 x 2,262,292 x 256
    python benchmarks/whole_mpd_ranking.py WORK --playlists 2000
    python benchmarks/whole_mpd_ranking.py WORK --playlists 1000000 --device cuda

Lists and scores go to the folder WORK, some thousand playlists a file; the same command goes on where it was
interrupted. At the end it prints seconds and peak memory, whether the lists of some playlists are those of a full sort
of all scores, and what a million playlists would take: the time is linear in playlists, the bare product is not less.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import cpu_seconds
from problems import LIST_LENGTH, Problem, make_problem, run_tiles
from published_shapes import MPD_PLAYLISTS, MPD_TRACKS

from larpbench import storage
from larpbench.evaluation.ranking import rank

_PART = 8_192
_SAMPLE = 16


def ranked(problem: Problem, rows: slice, device: str) -> dict[str, np.ndarray]:
    """Return lists and scores of some playlists."""
    bounds = problem.masked_offsets[rows.start : rows.stop + 1]
    blocks = rank(
        problem.queries[rows],
        problem.items,
        masked_offsets=bounds - bounds[0],
        masked_items=problem.masked_items[bounds[0] : bounds[-1]],
        order=problem.order,
        k=LIST_LENGTH,
        device=device,
    )
    parts = [(block.items.astype(np.int32), block.scores) for block in blocks]
    items, scores = (np.concatenate(each) for each in zip(*parts, strict=True))
    return {"items": items, "scores": scores}


def rank_part(problem: Problem, rows: slice, device: str, path: Path) -> dict[str, Any]:
    """Rank some playlists, unless that has been done, and return the seconds it took."""
    facts = path.with_suffix(".json")
    if facts.exists():
        return json.loads(facts.read_text(encoding="utf-8"))
    wall, cpu = time.perf_counter(), time.process_time()
    found = ranked(problem, rows, device)
    cost = {"playlists": rows.stop - rows.start, "wall_s": time.perf_counter() - wall}
    cost["cpu_s"] = time.process_time() - cpu
    with storage.atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **found)
    storage.write_text(facts, json.dumps(cost))
    return cost


def equal_to_a_full_sort(problem: Problem, folder: Path, playlists: int) -> tuple[int, float]:
    """Return how many of some lists are those of a full sort, and the largest difference of a score."""
    sample = np.random.default_rng(1).choice(playlists, min(_SAMPLE, playlists), replace=False)
    items = torch.from_numpy(problem.items)
    equal, apart = 0, 0.0
    queries = torch.zeros(_SAMPLE, items.shape[1])
    queries[: len(sample)] = torch.from_numpy(problem.queries[sample])
    scores = torch.cat([torch.mm(queries, tile.t()) for tile in items.split(2**16)], dim=1).numpy()
    for row, playlist in zip(scores, sample, strict=False):
        row[problem.masked_items[slice(*problem.masked_offsets[playlist : playlist + 2])]] = -np.inf
        best = np.lexsort((problem.order, -row))[:LIST_LENGTH]
        with np.load(_path(folder, playlist // _PART)) as kept:
            place = playlist % _PART
            equal += np.array_equal(kept["items"][place], best)
            apart = max(apart, float(np.abs(kept["scores"][place] - row[best]).max()))
    return equal, apart


def _path(folder: Path, part: int) -> Path:
    return folder / f"{part:05d}.npz"


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--playlists", type=int, default=100_000)
    parser.add_argument("--tracks", type=int, default=MPD_TRACKS)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    folder = asked.work / f"{asked.playlists}-{asked.tracks}-{asked.dim}-{asked.device}-{asked.threads}"
    folder.mkdir(parents=True, exist_ok=True)
    problem = make_problem(asked.playlists, asked.tracks, asked.dim)
    parts = [slice(start, min(start + _PART, asked.playlists)) for start in range(0, asked.playlists, _PART)]
    costs = []
    for number, rows in enumerate(parts):
        costs.append(rank_part(problem, rows, asked.device, _path(folder, number)))
        sums = {name: sum(cost[name] for cost in costs) for name in costs[0]}
        left = (asked.playlists - rows.stop) / sums["playlists"] * sums["wall_s"]
        print(
            f"{rows.stop:,} of {asked.playlists:,} playlists, {sums['cpu_s']:.0f} CPU s, {left:.0f} s left", flush=True
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)
    equal, apart = equal_to_a_full_sort(problem, folder, asked.playlists)
    few = Problem(
        problem.queries[:256], problem.items, problem.masked_offsets[:257], problem.masked_items, problem.order
    )
    product = cpu_seconds(lambda: run_tiles(few)) / len(few.queries)
    each = {name: sums[name] / asked.playlists for name in ("cpu_s", "wall_s")}
    vectors = (problem.items.nbytes + problem.queries.nbytes) / 1e6
    sampled = min(_SAMPLE, asked.playlists)
    print(f"{asked.playlists:,} x {asked.tracks:,} x {asked.dim} on {asked.device}, {asked.threads} threads")
    print(f"seconds            {sums['wall_s']:.0f} ({sums['cpu_s']:.0f} CPU s)")
    print(f"ranking / product  {each['cpu_s'] / product:.2f}x in CPU s, the product of {len(few.queries)} playlists")
    print(f"peak memory        {peak:.0f} MB, of which {vectors:.0f} MB are the vectors")
    print(f"equal lists        {equal} of {sampled}; scores at most {apart:.1g} apart")
    print(f"1,000,000 playlists would take {MPD_PLAYLISTS * each['wall_s'] / 60:.0f} min at this pace", end="")
    print(f" ({MPD_PLAYLISTS * each['cpu_s'] / 60:.0f} CPU min)")


if __name__ == "__main__":
    main()
