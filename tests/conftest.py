"""Shared helpers: the command line in this process, and small data sets on disk."""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support.small_data import Tables, random_tables

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one test process a core, not threads that wait in turn
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # where there are more threads, the waiting ones leave it a core
# A busy machine is slow now and then, which is no fault of an example.
hypothesis.settings.register_profile("larpbench", deadline=None)
hypothesis.settings.load_profile("larpbench")


def pytest_configure(config: pytest.Config) -> None:
    """Keep what numba compiles from run to run, where pytest keeps its own: one cache for all homes that tests make."""
    cache = getattr(config, "cache", None)
    if "NUMBA_CACHE_DIR" not in os.environ and cache is not None:
        os.environ["NUMBA_CACHE_DIR"] = str(cache.mkdir("numba"))
    elif "NUMBA_CACHE_DIR" not in os.environ:  # -p no:cacheprovider
        made = tempfile.TemporaryDirectory(prefix="larpbench-tests-numba-")
        config.add_cleanup(made.cleanup)
        os.environ["NUMBA_CACHE_DIR"] = made.name


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Collect garbage less often, and not among all modules: it takes a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 10)


LONGEST = (
    *("docs/test_pages.py", "training/test_ranks.py", "reproduction/test_reproduce.py", "engine/test_ray_small.py"),
    *("larp/test_resume.py", "cli/test_demo.py", "cli/test_interruptions.py", "encoders/test_openvino.py"),
)
"""Files that take 10 s or more. They come first: no process is left with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give whole files to test processes: what the tests of a file share is imported and made in one of them."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Leave what there is to the end of the process: pytest collects garbage twice more, which takes seconds."""
    gc.freeze()


@dataclass(frozen=True)
class Outcome:
    """What a call of the command line printed and returned."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def _commands_made_once() -> Iterator[None]:
    """Let typer make its commands once in a process, and not in each of two thousand calls."""
    import typer.main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session", autouse=True)
def _chance_drawn_once() -> Iterator[None]:
    """Draw the random lists behind a chance value once for all tests whose playlists are the same."""
    from larpbench.evaluation.beyond import measures

    found: dict[tuple[object, ...], dict[tuple[str, int], float]] = {}
    draw = measures.expected_gini

    def expected_gini(groupings, masked, cutoffs):  # type: ignore[no-untyped-def]
        of = [(name, groups.dtype.str, groups.tobytes()) for name, groups in groupings.items()]
        key = (*of, masked.tracks.tobytes(), masked.offsets.tobytes(), *cutoffs)
        if key not in found:
            found[key] = draw(groupings, masked, cutoffs)
        return dict(found[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures, "expected_gini", expected_gini)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_power_cuts() -> Iterator[None]:
    """Spare the waits for the disk: what tests write need not outlive the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _compiled_by_one(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where tests call librosa themselves, too, one process at a time fills numba's cache."""
    if "librosa" not in vars(request.module):
        yield
        return
    from larpbench.compiled import first_use

    with first_use("tests that call librosa"):
        yield


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of its own for every test."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LARPBENCH_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train and encode in this process, where a test can look at it: processes beside it take seconds to begin."""
    for module in ("seeds", "pipeline"):
        monkeypatch.setattr(f"larpbench.encoders.run.{module}.cores", lambda: 1)


@pytest.fixture(autouse=True)
def _registered_for_one_test() -> Iterator[None]:
    """Forget at the end what a test has registered: names are those of the process."""
    yield
    for module in (
        "larpbench.encoders.names",
        "larpbench.recommenders",
        "larpbench.tasks",
        "larpbench.datasets.catalogue",
    ):
        for registry in vars(sys.modules.get(module, object)).values():
            if type(registry).__name__ == "Registry":
                for name in [*registry._objects]:
                    del registry._objects[name], registry._loaded[name]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Call the command line as a user does, in this process."""
    from larpbench.cli import main

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["larpbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which the demo data set has been made, once for all tests."""
    from larpbench.datasets.demo.build import GENERATOR_VERSION, build_demo

    made = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one test process makes it, and each has a copy of its own
        made = made.parent
    name = f"demo-v{GENERATOR_VERSION}"
    build_demo(made / name)
    folder = tmp_path_factory.mktemp("demo-home")
    shutil.copytree(made / name, folder / "datasets" / name)
    return folder


@pytest.fixture
def with_demo(demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use the home folder that has the demo data set."""
    monkeypatch.setenv("LARPBENCH_HOME", str(demo_home))
    return demo_home


@pytest.fixture(scope="session")
def cli_once(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Call the command line in this process for what several tests read, with a home of its own."""
    import typer.main

    from larpbench.cli import app

    home = tmp_path_factory.mktemp("home-of-many")

    def call(*arguments: str | Path) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setenv("LARPBENCH_HOME", str(home))
            code = typer.main.get_command(app).main([*map(str, arguments)], standalone_mode=False)
        return Outcome(code or 0, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def _small(cli_once: Cli, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """What `small` copies: each build takes longer than many a test."""
    tables = random_tables(tmp_path_factory.mktemp("small") / "tables")
    files = ("--tracks", tables.tracks, "--playlists", tables.playlists)
    built = cli_once("dataset", "build", "csv", *files, "--output", tables.folder / "small")
    assert built.code == 0, built.err
    return tables


@pytest.fixture
def small(tmp_path: Path, _small: Tables) -> Tables:
    """Random tables and the data set ``small`` built of them, in ``folder / "small"``."""
    folder = shutil.copytree(_small.folder, tmp_path / "tables")
    return Tables(*(folder / path.name for path in (_small.tracks, _small.playlists, _small.vectors)), folder)
