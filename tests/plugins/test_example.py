"""The example plug-in, installed by pip into an environment of its own and used through the command line there."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from larpbench.encoders.encoder import EncodeContext, TrackBatch

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
NAME, DISTRIBUTION = "hashed-words", "larpbench-example"


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that sees all packages of this one, and has the example besides."""
    assert importlib.util.find_spec("hatchling"), "hatchling builds the example: pip install '.[test]'"
    folder = tmp_path_factory.mktemp("environment")
    has_pip = importlib.util.find_spec("pip") is not None
    venv.create(folder / "venv", with_pip=not has_pip, symlinks=os.name != "nt")
    scheme = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    # addsitedir, and not the bare path, so that an editable larpbench is found too.
    here = [path for path in [*site.getsitepackages(), site.getusersitepackages()] if path in sys.path]
    (packages / "parent.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    python = Path(sysconfig.get_path("scripts", "venv", vars=scheme)) / ("python.exe" if os.name == "nt" else "python")
    shutil.copytree(EXAMPLE, folder / "plugin", ignore=shutil.ignore_patterns("__pycache__", "build", "dist"))
    pip = [str(python), "-m", "pip", "--isolated", "--disable-pip-version-check", "install"]
    installed = subprocess.run(
        [*pip, "--no-index", "--no-deps", "--no-build-isolation", str(folder / "plugin")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return python


@pytest.fixture
def installed(environment: Path, call_in: Callable[..., Any], plugins: Any) -> Any:
    """The command line of these tests with what pip installed, without a second for the imports of every call."""
    scheme = dict.fromkeys(("base", "platbase"), str(environment.parents[1]))
    packages = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    return call_in("work", plugins=replace(plugins, folder=packages))


@pytest.fixture(scope="session")
def module(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The example's encoder, from a copy: nothing is written beside the example."""
    copy = shutil.copy(EXAMPLE / "larpbench_example" / "encoder.py", tmp_path_factory.mktemp("module"))
    spec = importlib.util.spec_from_file_location("larpbench_example_under_test", copy)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def batch(*captions: str) -> TrackBatch:
    return TrackBatch(np.array([f"t{n}" for n in range(len(captions))]), np.array(captions, dtype=object))


def test_vectors(module: ModuleType) -> None:
    encoder = module.build(EncodeContext(0, Path()), None)
    vectors = encoder.encode(batch("Blue Monday, blue monday", "monday BLUE", "...", "", "青い月曜日"))
    assert vectors.shape == (5, module.DIM)
    assert vectors.dtype == np.float32
    assert vectors.any(axis=1).all()
    # Pinned: other vectors need another version on the card.
    assert np.flatnonzero(vectors[0]).tolist() == [46, 153]
    assert (vectors[0] == 2 * vectors[1]).all()
    assert (vectors[2] == vectors[3]).all()
    assert (encoder.encode(batch("monday BLUE")) == vectors[1]).all()


def test_it_is_listed(environment: Path, call_in: Callable[..., Any], installed: Any) -> None:
    listed = call_in("work", python=environment)("list", "encoders")
    assert listed.code == 0, listed.err
    assert listed.err == ""
    (row,) = [each for each in listed.out.splitlines() if each.startswith(NAME)]
    assert f"plug-in of {DISTRIBUTION}" in row
    rows = json.loads(installed("list", "encoders", "hashed*", "--json").out)
    assert [(each["name"], each["status"], each["origin"]) for each in rows] == [(NAME, "not loaded", DISTRIBUTION)]


def test_it_is_described(installed: Any) -> None:
    described = installed("describe", "encoder", NAME, "--json")
    assert described.code == 0, described.err
    card = json.loads(described.out)
    assert (card["name"], card["dim"], card["modalities"], card["status"]) == (NAME, 256, ["text"], "ready")
    assert card["origin"] == f"{DISTRIBUTION} 0.1.0 (larpbench_example.encoder:HASHED_WORDS)"


def test_its_spec_is_light(environment: Path, call_in: Callable[..., Any]) -> None:
    code = f"""
import sys
from larpbench.encoders.names import ENCODERS
ENCODERS.get({NAME!r}).status()
print(sorted({{"torch", "sklearn", "scipy"}} & set(sys.modules)))
"""
    done = call_in("work", python=environment).python("-c", code)
    assert (done.code, done.out) == (0, "[]\n"), done.err


def test_it_runs(installed: Any, call_in: Callable[..., Any], tiny: Path) -> None:
    line = installed
    done = line("run", "--dataset", tiny, "--encoders", f"{NAME},random", "--seeds", "1")
    assert done.code == 0, done.err
    assert NAME in done.out
    records = line.records()
    assert {encoder for encoder, _ in records} == {NAME, "random"}
    record = records[NAME, "itemknn"]
    assert record["status"] == "ok"
    assert record["counts"]["playlists"] == 1
    assert record["encoder"]["origin"] == {
        "distribution": DISTRIBUTION,
        "version": "0.1.0",
        "target": "larpbench_example.encoder:HASHED_WORDS",
    }
    assert records["random", "itemknn"]["encoder"]["origin"]["distribution"] == "larpbench"

    without = call_in("work")  # the plug-in is not there any more, its results are
    table = without("table", "results")
    assert table.code == 0, table.err
    assert NAME in table.out


def test_all_four_conform(installed: Any) -> None:
    number = 0
    parts = ("encoder", NAME), ("recommender", "max-pooling"), ("dataset", "genres", "--rebuild")
    for part in (*parts, ("task", "same-artist-tracks")):
        checked = installed("check", *part, "--json")
        assert checked.code == 0, checked.out + checked.err
        checks = json.loads(checked.out)
        assert [check for check in checks if check["outcome"] not in ("pass", "skipped")] == []
        number += len(checks)
    assert number > 60


def test_all_four_run_together(installed: Any) -> None:
    line = installed
    run = ("run", "--dataset", "genres", "--encoders", f"{NAME},random", "--seeds", "1")
    continued = line(*run, "--recommenders", "itemknn,max-pooling")
    assert continued.code == 0, continued.err
    found = line.records()
    assert {recommender for _, recommender in found} == {"itemknn", "max-pooling"}
    assert _mean(found[NAME, "max-pooling"], "recall@10") > 2 * _mean(found["random", "max-pooling"], "recall@10")
    assert found[NAME, "max-pooling"]["recommender"]["origin"]["distribution"] == DISTRIBUTION
    same_artist = line(*run, "--task", "same-artist-tracks", "--output", "same-artist")
    assert same_artist.code == 0, same_artist.err
    assert "ndcg@10" in same_artist.out
    found = line.records("same-artist")
    assert _mean(found[NAME, "itemknn"], "ndcg@10") > 2 * _mean(found["random", "itemknn"], "ndcg@10")
    assert line("report", "same-artist", "--output", "report").code == 0


def _mean(record: dict[str, Any], column: str) -> float:
    (value,) = (metric["value"] for metric in record["metrics"] if metric["name"] == column)
    return float(value)
