"""861 playlists over 5,005 cold tracks: the whole public path against a plain float64 implementation written here."""

from __future__ import annotations

import csv
import io

import numpy as np
import polars as pl
import pytest

PLAYLISTS, TRACKS, DIM = 861, 5_005, 96


def plain_scores(features, seeds, heldout):
    """Recall and NDCG by the definitions, one playlist at a time, in float64."""
    unit = features.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = {(name, k): [] for name in ("recall", "ndcg") for k in (10, 20, 40)}
    for seed, held in zip(seeds, heldout, strict=True):
        scores = unit @ unit[seed].mean(axis=0)
        scores[seed] = -np.inf
        ranked = np.argsort(-scores, kind="stable")[:40]
        wanted = set(held)
        for k in (10, 20, 40):
            gains = [1 / np.log2(rank + 2) for rank, track in enumerate(ranked[:k]) if track in wanted]
            ideal = sum(1 / np.log2(rank + 2) for rank in range(min(k, len(wanted))))
            found["recall", k].append(len(gains) / len(wanted))
            found["ndcg", k].append(sum(gains) / ideal)
    return {name: np.mean(values) for name, values in found.items()}


def test_the_public_path_equals_a_plain_implementation(tmp_path, cli):
    generator = np.random.default_rng(861)
    centres = generator.normal(size=(150, DIM))
    group = generator.integers(150, size=TRACKS)
    features = (centres[group] + 1.5 * generator.normal(size=(TRACKS, DIM))).astype(np.float32)
    popularity = generator.pareto(1.2, size=TRACKS) + 0.05
    seeds, heldout, rows = [], [], []
    for playlist in range(PLAYLISTS):
        theme = generator.integers(150, size=3)
        weight = popularity * np.where(np.isin(group, theme), 20.0, 1.0)
        length = int(np.clip(generator.lognormal(3.2, 0.7), 2, 250))
        chosen = generator.choice(TRACKS, length, replace=False, p=weight / weight.sum())
        half = round(length / 2)
        seeds.append(chosen[:half])
        heldout.append(chosen[half:])
        rows += [(f"{playlist:04d}", f"t{track}", "test", "seed") for track in chosen[:half]]
        rows += [(f"{playlist:04d}", f"t{track}", "test", "heldout") for track in chosen[half:]]
    names = [f"t{track}" for track in range(TRACKS)]
    texts = {"title": names, "artist": [f"a{g}" for g in group], "album": [""] * TRACKS, "split": ["test"] * TRACKS}
    pl.DataFrame({"track_id": names, **texts}).write_parquet(tmp_path / "tracks.parquet")
    columns = ["playlist_id", "track_id", "split", "role"]
    pl.DataFrame(rows, schema=columns, orient="row").sample(fraction=1, shuffle=True, seed=1).write_parquet(
        tmp_path / "playlists.parquet"
    )
    order = generator.permutation(TRACKS)
    np.savez(tmp_path / "vectors.npz", ids=np.array(names)[order], embeddings=features[order])
    built = cli(
        "dataset", "build", "csv", "--tracks", tmp_path / "tracks.parquet", "--playlists",
        tmp_path / "playlists.parquet", "--output", tmp_path / "data",
    )  # fmt: skip
    assert built.code == 0, built.err
    run = cli(
        "run", "--dataset", tmp_path / "data", "--encoders", f"precomputed:{tmp_path / 'vectors.npz'}",
        "--output", tmp_path / "results",
    )  # fmt: skip
    assert run.code == 0, run.err
    expected = plain_scores(features, seeds, heldout)
    for row in csv.DictReader(io.StringIO(cli("table", tmp_path / "results", "--format", "csv").out)):
        name, _, k = row["metric"].partition("@")
        if (name, int(k)) in expected:
            assert int(row["n"]) == PLAYLISTS
            assert float(row["value"]) == pytest.approx(expected[name, int(k)], abs=1e-6), row["metric"]
