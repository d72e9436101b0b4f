"""Plug-ins whose code hangs, leaves or prints: it is imported when asked for by name, and spoils no answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from support import forked

from larpbench import packages

QUITS = "import os\nos._exit(0)\n"
HANGS = "import time\ntime.sleep(100_000)\n"
CRASHES = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
LOUD = """
import os, subprocess, sys
import numpy as np
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.spec import EncoderSpec

def shout(what):
    print(f"print {what} \\x1b[2J")
    print(f"error {what} \\x1b[2J", file=sys.stderr)
    os.write(1, f"descriptor one {what} \\x1b[2J\\n".encode())
    os.write(2, f"descriptor two {what} \\x1b[2J\\n".encode())
    os.write(1, f"no line end {what}\\x1b".encode())
    subprocess.run(["printf", f"child {what} \\\\033[2J\\n"], check=True)

class Loud:
    def __init__(self):
        shout("building")

    def encode(self, batch):
        shout("encoding")
        return np.arange(1, 4 * len(batch) + 1, dtype=np.float32).reshape(-1, 4) % 11 + 1

def digest(context, argument):
    print("digest \\x1b[2J")
    return "0"

shout("importing")
SPEC = EncoderSpec(
    EncoderCard(name="loud", version=1, summary="red \\x1b[31m", modalities=("text",), dim=4, weights="none",
                licence="none", tracks_per_second=1000),
    factory=lambda context, argument: Loud(), digest=digest,
)
"""


def install(site: Path, name: str, source: str, group: str = "encoders") -> None:
    site.mkdir(exist_ok=True)
    (site / f"{name}_module.py").write_text(source)
    info = site / f"dist_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[larpbench.{group}]\n{name} = {name}_module:SPEC\n")


@pytest.fixture
def site(tmp_path):
    return tmp_path / "site"


@pytest.fixture
def line(tmp_path, site, home):
    """The command line in a process of its own, as in a shell."""

    def call(*arguments, probes=True):
        paths = os.pathsep.join([str(site), str(Path(packages.__file__).parents[1])])
        done = forked.run(*arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, probes=probes)
        assert "Traceback" not in done.err
        assert "\x1b" not in done.out + done.err
        return done

    return call


@pytest.mark.parametrize("kind", ["encoders", "recommenders", "datasets", "tasks"])
def test_list_imports_no_plugin(site, line, kind):
    for name, source in {"quits": QUITS, "hangs": HANGS, "crashes": CRASHES}.items():
        install(site, name, source, kind)
    done = line("list", kind, "--json")
    assert (done.code, done.err) == (0, "")
    rows = {row["name"]: row for row in json.loads(done.out)}
    for name in ("quits", "hangs", "crashes"):
        assert rows[name]["summary"] == f"plug-in of dist-{name} 1.0"
        assert rows[name]["status"] == "not loaded"


def test_a_run_imports_what_it_names(site, line, small):
    for group in ("encoders", "recommenders", "datasets", "tasks"):
        install(site, f"quits_{group}", QUITS, group)
        install(site, f"hangs_{group}", HANGS, group)
    done = line("run", "--dataset", small.folder / "small", "--encoders", "tfidf")
    assert done.code == 0, done.err
    assert "| tfidf" in done.out
    assert line("describe", "recommender", "gnn-sage-2").code == 0


def test_what_leaves_is_told_whoever_asks(site, line, small):
    install(site, "quits", QUITS)
    install(site, "crashes", CRASHES)
    for name, said in {"quits": "exit code 0", "crashes": "SIGSEGV"}.items():
        done = line("run", "--dataset", small.folder / "small", "--encoders", f"{name},tfidf")
        assert done.code == 3
        assert f"'{name}' of dist-{name} 1.0" in done.err
        assert said in done.err
        assert f"pip uninstall dist-{name}" in done.err
    done = line("plan", "--dataset", small.folder / "small", "--encoders", "all", "--json")
    assert done.code == 0, done.err
    assert {"quits", "crashes"} <= {each["name"] for each in json.loads(done.out)["unavailable"]}
    seen = line("doctor", "--json")
    assert seen.code == 3
    problems = json.loads(seen.out)["problems"]
    assert [each for each in problems if "'quits'" in each and "exit code 0" in each]
    assert [each for each in problems if "'crashes'" in each and "SIGSEGV" in each]


def test_plugins_are_tried_together_and_only_what_ends_a_process_is_at_fault(site, monkeypatch):
    sources = {
        "raises": "raise SystemExit(3)",
        "quits": QUITS,
        "hangs": HANGS,
        "prints": "print('Timeout (', flush=True)",
        "quits_after_prints": "import os, sys\nif 'prints_module' in sys.modules: os._exit(4)",
        "crashes": CRASHES,
    }
    for name, source in sources.items():
        install(site, name, source)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(packages, "IMPORT_SECONDS", 1.0)
    started = []
    run = packages.subprocess.run
    monkeypatch.setattr(packages.subprocess, "run", lambda *a, **options: started.append(a) or run(*a, **options))
    entries = {name: metadata.EntryPoint(name, f"{name}_module", "larpbench.encoders") for name in sources}
    found = packages.import_endings([*entries.values()])
    said = {name: found[entry] for name, entry in entries.items()}
    assert said["raises"] is said["prints"] is said["quits_after_prints"] is None
    assert "exit code 0" in str(said["quits"])
    assert "SIGSEGV" in str(said["crashes"])
    assert said["hangs"] == "takes more than 1 s"
    assert len(started) == 6  # one that ends a process is tried again as the first, unless it was
    started.clear()
    sound = [entries["raises"], entries["prints"]]
    assert packages.import_endings(sound) == dict.fromkeys(sound)
    assert len(started) == 1


def test_what_a_plugin_prints_spoils_no_answer(site, line, small):
    install(site, "loud", LOUD)
    described = line("describe", "encoder", "loud", "--json", probes=False)
    assert json.loads(described.out)["summary"] == "red \x1b[31m"
    assert "red" in line("describe", "encoder", "loud", probes=False).out
    planned = line("plan", "--dataset", small.folder / "small", "--encoders", "loud", "--json", probes=False)
    assert len(json.loads(planned.out)["cells"]) == 1
    done = line("run", "--dataset", small.folder / "small", "--encoders", "loud")
    assert done.code == 0, done.err
    assert done.out.startswith("#")
    for what in ("importing", "building", "encoding"):
        for way in ("print", "error", "descriptor one", "descriptor two", "child"):
            assert f"{way} {what} \\x1b[2J" in done.err
        assert f"no line end {what}\\x1b" in done.err
    checked = line("check", "loud", "--json", probes=False)
    assert {each["name"] for each in json.loads(checked.out)} >= {"card", "build"}


def test_output_that_nobody_reads(tmp_path, home):
    def call(arguments, **streams):
        return subprocess.run(
            f"{sys.executable} -m larpbench {arguments}", shell=True, check=False, text=True, timeout=50,
            stderr=subprocess.PIPE, **streams,
        )  # fmt: skip

    piped = forked.start("list", "tasks")
    piped.stdout.close()
    with piped.stderr:
        assert "Traceback" not in piped.stderr.read()
    piped.wait()
    assert call("--help >&-").returncode == 0
    full = call("list tasks > /dev/full")
    assert full.returncode == 1
    assert full.stderr.count("\n") == 1
    assert "cannot be written: No space left" in full.stderr


def test_a_name_from_metadata_carries_no_escape(site, line):
    install(site, "plain", QUITS)
    points = site / "dist_plain-1.0.dist-info" / "entry_points.txt"
    points.write_text("[larpbench.encoders]\nbl\x1b[31mink = plain_module:SPEC\n")
    done = line("list", "encoders")
    assert done.code == 0, done.err
    assert "ink" in done.out  # click takes colours away where there is no terminal
