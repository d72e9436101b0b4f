"""Plug-ins that are broken or ill-behaved: each is reported, and harms nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from larpbench.datasets.catalogue import load_dataset
from larpbench.encoders.controls import RANDOM
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.run import pipeline, store
from larpbench.encoders.spec import EncoderSpec

BROKEN = {  # name -> source of its module, and what is said of it
    "needs-package": ("import package_that_nobody_has\n", "No module named 'package_that_nobody_has'"),
    "raises": ("raise RuntimeError('no device found')\n", "RuntimeError: no device found"),
    "leaves": ("import sys\nsys.exit(7)\n", "SystemExit: 7"),
    "misspelt": ("SPCE = 1\n", "has no attribute 'SPEC'"),
    "no-spec": ("SPEC = {'dim': 4}\n", "is no EncoderSpec but a dict"),
}


@pytest.fixture
def line(plugins: Any, command_line: Any) -> Any:
    """The command line with all broken plug-ins, one that takes a built-in's name, two of one name, and a sound one."""
    for name, (source, _) in BROKEN.items():
        module = f"{name.replace('-', '_')}_module"
        plugins.add(f"dist-{name}", {name: f"{module}:SPEC"}, {module: source})
    plugins.add_encoder("tfidf", distribution="dist-clash")
    plugins.add_encoder("twin", distribution="dist-twin-b")
    plugins.add_encoder("twin", distribution="dist-twin-a")
    plugins.add_encoder("neighbour")
    return command_line


def about(text: str, *parts: str) -> list[str]:
    """Return the lines that hold all the parts."""
    return [each for each in text.splitlines() if all(part in each for part in parts)]


def test_list_names_them_all_and_loads_none(line: Any) -> None:
    listed = line("list", "encoders")
    assert listed.code == 0, listed.err
    assert len(about(listed.err, "warning", "'tfidf'", "built in", "dist-clash 1.0")) == 1
    assert len(about(listed.err, "warning", "'twin'", "dist-twin-a 1.0", "dist-twin-b 1.0")) == 1
    assert len(listed.err.splitlines()) == 2
    names = [row.split()[0] for row in listed.out.splitlines()]
    assert {"oracle", "random", "tfidf", "neighbour", "twin", *BROKEN} <= set(names)
    assert len(names) == len(set(names))
    for name in BROKEN:
        assert about(listed.out, name, "not loaded", f"plug-in of dist-{name} 1.0"), listed.out
    assert about(listed.out, "twin", "plug-in of dist-twin-a")

    rows = json.loads(line("list", "encoders", "--json").out)
    assert {row["name"] for row in rows if row["status"] == "not loaded"} == {*BROKEN, "neighbour", "twin"}
    assert {row["name"]: row["origin"] for row in rows}["tfidf"] == "larpbench"


def test_doctor_names_them_and_exits_with_3(line: Any) -> None:
    seen = line("doctor", probes=True)
    assert seen.code == 3, seen.err
    for name, (_, said) in BROKEN.items():
        assert len(about(seen.out, "PROBLEM", "broken", f"dist-{name} 1.0", said)) == 1, seen.out
    assert about(seen.out, "PROBLEM", "clash", "'tfidf'", "dist-clash 1.0")
    assert about(seen.out, "PROBLEM", "clash", "'twin'", "dist-twin-a 1.0", "dist-twin-b 1.0")
    as_json = line("doctor", "--json")
    assert as_json.code == 3, as_json.err
    assert len(json.loads(as_json.out)["problems"]) == len(BROKEN) + 2


def test_doctor_lets_clashes_pass(plugins: Any, command_line: Any) -> None:
    plugins.add_encoder("tfidf", distribution="dist-clash")
    plugins.add_encoder("twin", distribution="dist-twin-b")
    plugins.add_encoder("twin", distribution="dist-twin-a")
    seen = command_line("doctor")
    assert seen.code == 0, seen.out
    assert len(about(seen.out, "PROBLEM", "clash")) == 2


def test_describe(line: Any) -> None:
    refused = line("describe", "encoder", "raises")
    assert refused.code == 3
    assert "no device found" in refused.err
    assert "pip uninstall dist-raises" in refused.err
    built_in = line("describe", "encoder", "tfidf", "--json")
    assert built_in.code == 0, built_in.err
    assert json.loads(built_in.out)["origin"].startswith("larpbench ")


def test_other_encoders_run(line: Any, crowd: Path, require_undisturbed: Callable[..., None]) -> None:
    done = line("run", "--dataset", crowd, "--encoders", "all", "--seeds", "1")
    assert done.code == 0, done.err
    for name, (_, said) in BROKEN.items():
        assert about(done.err, "cannot run", name, said), done.err
        assert not about(done.out, f"| {name} ")
    records = line.records()
    run = {encoder for encoder, _ in records}
    assert run >= {"random", "same-artist", "tfidf", "neighbour", "twin"}
    assert run.isdisjoint(BROKEN)
    for name in ("larp-untrained", "larp-wtc", "larp-ttc", "larp-tpc", "larp-tpc-fusion"):
        assert about(done.err, f"cannot run: {name}:", "needs audio, and the data set", "has none"), done.err
    assert records["tfidf", "itemknn"]["encoder"]["origin"]["distribution"] == "larpbench"
    assert records["twin", "itemknn"]["encoder"]["origin"]["distribution"] == "dist-twin-a"
    require_undisturbed(line, "random", "tfidf", "neighbour")


def test_a_broken_one_asked_for_stops_before_any_work(line: Any, crowd: Path) -> None:
    done = line("run", "--dataset", crowd, "--encoders", "random,leaves")
    assert done.code == 3, done.err
    assert "SystemExit: 7" in done.err
    assert "pip uninstall dist-leaves" in done.err
    assert not line.records()


def test_a_card_of_another_name_is_broken(plugins: Any, command_line: Any, crowd: Path) -> None:
    # Somebody copied a built-in and forgot the name on its card: results and stored vectors would pass for tfidf's.
    plugins.add_encoder(
        "impostor",
        encode="return np.tile(vectors(batch), (1, 256))",
        extra="""
from dataclasses import replace
from larpbench.encoders.adapters.tfidf import TFIDF
SPEC = replace(TFIDF, card=TFIDF.card.model_copy(update={"learns": "nothing"}), factory=build)
""",
    )
    described = command_line("describe", "encoder", "impostor")
    assert described.code == 3, described.err
    assert about(described.err, "error", "'impostor'", "'tfidf'", "dist-impostor 1.0"), described.err
    done = command_line("run", "--dataset", crowd, "--encoders", "impostor,random")
    assert done.code == 3, done.err
    assert not command_line.records()


MISBEHAVED = {  # name -> body of its encode method, and what its record says
    "wide": ("return np.ones((len(batch), 5), dtype=np.float32)", "shape (60, 5)"),
    "flat": ("return np.ones(4 * len(batch), dtype=np.float32)", "shape (240,)"),
    "short": ("return vectors(batch)[1:]", "shape (59, 4)"),
    "double": ("return vectors(batch).astype(np.float64)", "float64"),
    "nothing": ("return None", "shape ()"),
    "ragged": ("return [[1.0], [1.0, 2.0]]", "ValueError"),
    "nan": ("made = vectors(batch)\nmade[1, 2] = np.nan\nreturn made", "'test-0-1'"),
    "infinite": ("made = vectors(batch)\nmade[2, 2] = np.inf\nreturn made", "'test-0-2'"),
    "empty": ("made = vectors(batch)\nmade[3] = 0\nreturn made", "'test-0-3'"),
    "impatient": ("raise RuntimeError('out of patience')", "out of patience"),
    "careless": ("return self.vectors", "AttributeError"),
}


def test_an_encoder_that_fails_fails_alone(
    plugins: Any, command_line: Any, crowd: Path, require_undisturbed: Callable[..., None]
) -> None:
    for name, (encode, _) in MISBEHAVED.items():
        plugins.add_encoder(name, encode=encode)
    plugins.add_encoder("unbuilt", build="raise RuntimeError('cannot be built')")
    plugins.add_encoder("verbless", build="return object()")
    plugins.add_encoder("neighbour")
    expected = {name: said for name, (_, said) in MISBEHAVED.items()}
    expected |= {"unbuilt": "cannot be built", "verbless": "AttributeError"}
    asked = ",".join([*expected, "neighbour", "random"])
    done = command_line("run", "--dataset", crowd, "--encoders", asked, "--seeds", "1")
    assert done.code == 1, done.err
    records = command_line.records()
    for name, said in expected.items():
        record = records[name, "itemknn"]
        assert record["status"] == "failed", name
        assert said in record["failure"]["message"], record["failure"]
        assert not record["metrics"]
        assert about(done.err, "failed", f"x {name} x"), done.err
    assert f"{len(expected)} failed" in done.err
    require_undisturbed(command_line, "neighbour", "random")


def test_an_encoder_that_leaves_leaves_alone(
    plugins: Any, command_line: Any, crowd: Path, require_undisturbed: Callable[..., None]
) -> None:
    plugins.add_encoder("leaver", encode="import sys\nsys.exit(0)")
    plugins.add_encoder("panic", encode="class Panic(BaseException): ...\nraise Panic('in Rust')")
    done = command_line("run", "--dataset", crowd, "--encoders", "leaver,panic,random", "--seeds", "1")
    assert done.code == 1, done.err
    failures = {name: record["failure"] for (name, _), record in command_line.records().items()}
    assert failures["leaver"]["kind"] == "SystemExit"
    assert "in Rust" in failures["panic"]["message"]
    require_undisturbed(command_line, "random")


def test_a_digest_that_fails_fails_alone(plugins: Any, command_line: Any, crowd: Path) -> None:
    made = "SPEC = EncoderSpec(card({!r}), factory=build, digest=digest)\n"
    raises = "\ndef digest(context, argument):\n    raise RuntimeError('no weights')\n"
    plugins.add_encoder("weightless", extra=raises + made.format("weightless"))
    plugins.add_encoder("absurd", extra="\ndigest = 'no function'\n" + made.format("absurd"))
    done = command_line("plan", "--dataset", crowd, "--encoders", "all", "--json")
    assert done.code == 0, done.err
    plan = json.loads(done.out)
    planned = {cell["encoder"] for cell in plan["cells"]}
    assert planned >= {"random", "same-artist", "tfidf"}
    assert planned.isdisjoint({"weightless", "absurd"})
    reasons = {each["name"]: each["reason"] for each in plan["unavailable"]}
    assert "no weights" in reasons["weightless"]
    assert "absurd" in reasons


POLLUTIONS = {
    "numbers": "import random\nrandom.seed(3)\nnp.random.seed(3)\nnp.random.rand(7)",
    "torch-numbers": "import torch\ntorch.manual_seed(3)\ntorch.rand(7)",
    "gradients": "import torch\ntorch.set_grad_enabled(False)\ntorch.inference_mode().__enter__()",
    "dtype": "import torch\ntorch.set_default_dtype(torch.float64)",
    "device": "import torch\ntorch.set_default_device('meta')",
    "float-errors": "np.seterr(all='raise')",
    "output": "print('epoch 1 of 10')",
    "warnings": "import warnings\nwarnings.simplefilter('error')",
    "batch": "batch.captions[:] = 'x'\nbatch.track_ids[:] = batch.track_ids[::-1].copy()",
}


def test_what_an_encoder_leaves_behind_changes_no_other(
    plugins: Any, command_line: Any, crowd: Path, require_undisturbed: Callable[..., None]
) -> None:
    # After every polluter comes a neighbour; they are all alike, so the first that differs names the polluter.
    for name, code in POLLUTIONS.items():
        plugins.add_encoder(name, encode=f"{code}\nreturn vectors(batch)")
        plugins.add_encoder(f"after-{name}")
    plugins.add_encoder("before")
    asked = ["before", *(each for name in POLLUTIONS for each in (name, f"after-{name}")), "random"]
    done = command_line("run", "--dataset", crowd, "--encoders", ",".join(asked), "--seeds", "1")
    assert done.code in (0, 1), done.err
    assert "epoch 1" not in done.out
    records = command_line.records()
    undisturbed = records["before", "itemknn"]
    assert undisturbed["status"] == "ok"
    for name in POLLUTIONS:
        found = records[f"after-{name}", "itemknn"]
        assert found["failure"] is None, f"{name}: {found['failure']}"
        assert found["metrics"] == undisturbed["metrics"], name
        assert found["playlists"] == undisturbed["playlists"], name
    require_undisturbed(command_line, "random")


READS = "return np.array([[len(c) + 1, sum(c.encode()) % 7, 1, 2] for c in batch.captions], dtype=np.float32)"
FAULTS = {  # name -> what its encode does, and what is said of it
    "wrong-shape": ("return vectors(batch)[:, :3]", "shape"),
    "not-a-number": ("return vectors(batch) * np.nan", "NaN"),
    "reseeds": ("import random\nrandom.seed(1)\nnp.random.seed(1)\n" + READS, "random numbers"),
}


def test_one_good_plugin_and_one_that_breaks_in_five_ways(
    plugins: Any, command_line: Any, crowd: Path, require_undisturbed: Callable[..., None]
) -> None:
    plugins.add_encoder("sound", encode=READS)
    source = "raise OSError('libc10_cuda.so: cannot open shared object file')\n"
    plugins.add("dist-raises", {"raises": "raises_module:SPEC"}, {"raises_module": source})
    plugins.add_encoder("tfidf", distribution="dist-clash")
    for name, (encode, _) in FAULTS.items():
        plugins.add_encoder(name, encode=encode)

    listed = command_line("list", "encoders")
    assert listed.code == 0, listed.err
    described = command_line("describe", "encoder", "raises")
    assert about(described.err, "'raises'", "OSError: libc10_cuda.so")
    assert about(listed.err, "warning", "'tfidf'", "built in", "dist-clash")
    assert about(listed.out, "sound", "plug-in of dist-sound")

    assert command_line("check", "sound").code == 0
    for name, (_, said) in FAULTS.items():
        checked = command_line("check", name)
        assert checked.code == 1, checked.out
        assert about(checked.out, "fail", said), checked.out
    assert command_line("check", "raises").code == 3

    planned = command_line("plan", "--dataset", crowd, "--encoders", "all")
    assert about(planned.err, "cannot run: raises")
    asked = ",".join(("sound", *FAULTS, "random", "tfidf"))  # with `all`, test_other_encoders_run
    done = command_line("run", "--dataset", crowd, "--encoders", asked, "--seeds", "1")
    assert done.code == 1, done.err
    records = command_line.records()
    failed = {name for (name, _), record in records.items() if record["status"] == "failed"}
    assert failed == {"wrong-shape", "not-a-number"}
    assert records["reseeds", "itemknn"]["metrics"] == records["sound", "itemknn"]["metrics"]
    require_undisturbed(command_line, "random", "tfidf")


def test_a_plugin_that_changes_the_folder_moves_no_results(
    plugins: Any, command_line: Any, tiny: Path, tmp_path: Path
) -> None:
    plugins.add_encoder("wanderer", encode=f"import os\nos.chdir({str(tmp_path)!r})\nreturn vectors(batch)")
    done = command_line("run", "--dataset", tiny, "--encoders", "wanderer,random", "--seeds", "1", "--output", "here")
    assert done.code == 0, done.err
    assert {name for name, _ in command_line.records("here")} == {"wanderer", "random"}
    assert not (tmp_path / "here").exists()


def test_what_a_plugin_prints_is_no_part_of_the_answer(plugins: Any, command_line: Any) -> None:
    plugins.add_encoder("chatty", extra="\nprint('welcome to chatty')\n")
    described = command_line("describe", "encoder", "chatty", "--json")
    assert described.code == 0, described.err
    assert json.loads(described.out)["name"] == "chatty"
    assert "welcome to chatty" in described.err


class OneBuffer:
    """Fills and returns the same array each time, as code that spares memory does."""

    def __init__(self) -> None:
        self._buffer = np.empty((7, 3), dtype=np.float32)

    def encode(self, batch: TrackBatch) -> np.ndarray:
        for row, name in enumerate(batch.track_ids):
            self._buffer[row] = [int(part) + 1 for part in name.split("-")[1:]] + [1]
        return self._buffer[: len(batch)]


def test_an_encoder_may_use_one_buffer_for_all_batches(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "TEXT_BATCH", 7)
    card = RANDOM.card.model_copy(update={"name": "one-buffer", "dim": 3})
    spec: EncoderSpec = replace(RANDOM, card=card, factory=lambda context, argument: OneBuffer())
    dataset = load_dataset(crowd)
    made = store.EmbeddingStore(tmp_path).embed(spec, dataset, "test", 0).vectors
    expected = [[int(part) + 1 for part in name.split("-")[1:]] + [1] for name in dataset.split("test").track_ids]
    assert made.tolist() == expected


def test_a_broken_recommender_harms_no_other(
    plugins: Any, command_line: Any, crowd: Path, require_undisturbed: Callable[..., None]
) -> None:
    modules = {"solver_module": "raise RuntimeError('no solver')\n"}
    plugins.add("dist-solver", {"solver": "solver_module:SOLVER"}, modules, group="larpbench.recommenders")
    listed = command_line("list", "recommenders")
    assert (listed.code, listed.err) == (0, "")
    assert about(listed.out, "solver", "plug-in of dist-solver 1.0")
    assert about(listed.out, "itemknn-dot")
    described = command_line("describe", "recommender", "solver")
    assert described.code == 3
    assert about(described.err, "'solver'", "dist-solver 1.0", "no solver")
    asked = command_line("run", "--dataset", crowd, "--encoders", "default", "--recommenders", "solver")
    assert asked.code == 3, asked.err
    assert "no solver" in asked.err
    done = command_line("run", "--dataset", crowd, "--encoders", "random", "--recommenders", "all", "--seeds", "1")
    assert done.code == 0, done.err
    assert "no solver" in done.err
    assert {name for _, name in command_line.records()} == {"itemknn", "itemknn-cosine", "itemknn-dot"}
    require_undisturbed(command_line, "random")


DATA_MODULE = """
from dataclasses import replace
from pathlib import Path

import polars as pl

from larpbench.datasets.catalogue import DatasetSource
from larpbench.datasets.files import read_dataset


def whole():
    return read_dataset(Path({folder!r}))


def leaking():
    data = whole()
    tested = data.tracks.filter(pl.col("split") == "test").head(2).with_columns(split=pl.lit("train"))
    return replace(data, tracks=pl.concat([data.tracks, tested]))


WHOLE = DatasetSource("whole", "somebody's", "data_module:whole")
LEAKING = DatasetSource("leaking", "somebody's", "data_module:leaking")
"""


def test_playlists_of_a_plugin_keep_the_rules_or_are_refused(
    plugins: Any, command_line: Any, crowd: Path, tmp_path: Path
) -> None:
    names = {"whole": "data_module:WHOLE", "leaking": "data_module:LEAKING"}
    modules = {"data_module": DATA_MODULE.format(folder=str(crowd))}
    plugins.add("dist-data", names, modules, group="larpbench.datasets")
    plan = ("plan", "--encoders", "random", "--output", tmp_path / "r", "--dataset")
    fine = command_line(*plan, "whole")
    assert fine.code == 0, fine.err
    refused = command_line(*plan, "leaking")
    assert refused.code == 2
    assert "track_ids shared by train and test: 2" in refused.err
    assert "Traceback" not in refused.err


def test_a_data_set_of_a_plugin_is_described_with_what_it_says_of_itself(plugins: Any, command_line: Any) -> None:
    card = 'DatasetCard("four genres", "in the package", "CC0-1.0", "1 MB", without=("nothing else has them",))'
    source = (
        "from larpbench.datasets.catalogue import DatasetCard, DatasetSource\n"
        'BARE = DatasetSource("bare", "somebody\'s", "nowhere:load")\n'
        f'WITH_CARD = DatasetSource("with-card", "somebody\'s", "nowhere:load", card={card})\n'
    )
    names = {"bare": "described:BARE", "with-card": "described:WITH_CARD"}
    plugins.add("dist-described", names, {"described": source}, group="larpbench.datasets")
    bare = json.loads(command_line("describe", "dataset", "bare", "--json").out)
    assert (bare["summary"], bare["status"], bare["content"]) == ("somebody's", "made on first use", None)
    assert "dist-described 1.0" in bare["origin"]
    whole = json.loads(command_line("describe", "dataset", "with-card", "--json").out)
    assert (whole["content"], whole["licence"], whole["without"]) == (
        "four genres",
        "CC0-1.0",
        ["nothing else has them"],
    )
    rows = json.loads(command_line("list", "datasets", "--json").out)
    assert next(row for row in rows if row["name"] == "bare")["next"] == "larpbench describe dataset bare"
