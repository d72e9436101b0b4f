"""Cases with values from an independent float64 implementation, through the public path."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from support.small_data import write_tables

CASES = Path(__file__).parent.parent / "fixtures" / "evaluation"
EXPECTED = json.loads((CASES / "expected.json").read_text())
RECOMMENDERS = {"itemknn": "l2_mean_dot", "itemknn-dot": "mean_dot", "itemknn-cosine": "cosine"}


@pytest.mark.parametrize("case", sorted(EXPECTED))
def test_a_csv_folder_with_given_roles_scores_as_the_reference(case, tmp_path, cli):
    data = np.load(CASES / f"{case}.npz")
    tables = write_tables(tmp_path / "in", data["features"], data["seed_pairs"].tolist(), data["gt_pairs"].tolist())
    built = cli(
        "dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists,
        "--output", tmp_path / "data",
    )  # fmt: skip
    assert built.code == 0, built.err
    assert cli("dataset", "check", tmp_path / "data").code == 0
    run = cli(
        "run", "--dataset", tmp_path / "data", "--encoders", f"precomputed:{tables.vectors}",
        "--recommenders", ",".join(RECOMMENDERS), "--output", tmp_path / "results",
    )  # fmt: skip
    assert run.code == 0, run.err
    rows = list(csv.DictReader(io.StringIO(cli("table", tmp_path / "results", "--format", "csv").out)))
    expected = EXPECTED[case]
    for row in rows:
        name, _, k = row["metric"].partition("@")
        if name not in ("recall", "ndcg"):
            continue
        assert int(row["n"]) == expected["evaluated_playlists"]
        reference = expected["reference"][RECOMMENDERS[row["recommender"]]]
        value = float(row["value"])
        if expected["parity"] == "tie_order":
            low, high = reference["tie_min"][name][k], reference["tie_max"][name][k]
            assert low - 1e-6 <= value <= high + 1e-6, row
        else:
            assert value == pytest.approx(reference[name][k], abs=1e-6), row
    checked = [row for row in rows if row["metric"].startswith(("recall", "ndcg"))]
    assert len(checked) == 18
