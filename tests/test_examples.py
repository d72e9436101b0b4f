"""The examples do what their pages say; the plug-in has tests of its own."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_data import build_split_tables
from support.small_larp import small_recipe

from larpbench import load_results
from larpbench.encoders.larp import specs

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_vectors_of_your_own(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, EXAMPLES / "my-vectors" / "make_data.py"], check=True)
    shutil.copy(EXAMPLES / "my-vectors" / "bench.toml", tmp_path)
    page = (EXAMPLES / "my-vectors" / "README.md").read_text(encoding="utf-8")
    for command in re.findall(r"^    larpbench (.*)$", page, re.MULTILINE):
        outcome = cli(*shlex.split(command))
        assert outcome.code == 0, f"{command}: {outcome.err}"
    (table,) = load_results("my-results")
    found = {row.encoder: row.scores["recall@10"] for row in table.rows}
    vectors = "precomputed:vectors.npz"
    assert table.rows[0].encoder == vectors
    assert found[vectors].low > 1.5 * table.chance["recall@10"]
    assert found["random"].low <= table.chance["recall@10"] <= found["random"].high
    assert (tmp_path / "my-report" / "index.html").is_file()
    whole, smoke = load_results("my-bench")
    assert (whole.variant, smoke.variant) == ("", "limit=20")
    labelled = {(row.encoder, row.recommender): row.scores["recall@10"] for row in whole.rows}
    mine = labelled["mine", "itemknn"]
    assert (mine.value, mine.low, mine.high) == (found[vectors].value, found[vectors].low, found[vectors].high)


@pytest.fixture
def compare():
    spec = importlib.util.spec_from_file_location("compare_example", EXAMPLES / "two-checkpoints" / "compare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_two_checkpoints(cli, compare, tmp_path, monkeypatch):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    data = build_split_tables(tmp_path / "one")
    towers = f"precomputed:{tmp_path / 'one-tables' / 'vectors.npz'},tfidf"
    train = ("train", "larp", "--dataset", data.folder, "--towers", towers)
    folders = []
    for stages in ("wtc", "wtc,ttc"):
        trained = cli(*train, "--stages", stages)
        assert trained.code == 0, trained.err
        folders.append(re.findall(r"^  (/\S+)$", trained.out, re.MULTILINE)[-1])
    assert len(set(folders)) == 2
    found = compare([*folders, "--dataset", str(data.folder), "--output", str(tmp_path / "r")])
    assert "recall@10" in found
    assert "Paired over 10 playlists" in found
