"""What workers compute, and what happens when they are lost."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import engine_work as work

from larpbench.encoders.run.on_workers import WorkerEncoding
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.together import Need
from larpbench.engine.base import LOCAL, current, running
from larpbench.engine.choice import engine_named
from larpbench.errors import DataError, EngineError, StorageError
from larpbench.evaluation import ranking_tasks
from larpbench.evaluation.ranking import rank, tie_order

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(cluster):
    with running(engine_named("ray", workers=2)) as begun:
        yield begun


@pytest.mark.parametrize("where", ["local", "ray"])
def test_results_come_in_order_and_errors_are_results(engine, where):
    with running(LOCAL if where == "local" else engine) as begun:
        assert list(begun.map(work.doubled, range(20))) == [*range(0, 40, 2)]
        outcomes = list(begun.outcomes(work.refuse_two, range(5)))
    assert [each.value for each in outcomes] == [0, 1, None, None, 4]
    assert "two is refused" in str(outcomes[2].error)
    assert "three" in str(outcomes[3].error)
    with pytest.raises(DataError, match="two is refused"), running(begun):
        list(begun.map(work.refuse_two, range(5)))


def test_an_engine_is_current_in_its_block_only(engine):
    with running(engine) as begun:
        assert current() is begun
    assert next(engine.map(functools.partial(_is_local), [0]))


def _is_local(item):
    return current().is_local


def test_a_disk_that_is_full_ends_everything(engine):
    with pytest.raises(StorageError, match="cannot write"):
        list(engine.outcomes(work.cannot_write, range(3)))
    with pytest.raises(StorageError, match="cannot write"):
        list(engine.drain([functools.partial(work.ready, work.cannot_write)], [(0, 1), (0, 2)]))


def test_shared_data_is_sent_once_and_read_in_place(engine):
    rows = np.arange(4_000.0).reshape(4, 1_000)
    sums = list(engine.map(functools.partial(work.total, engine.share(rows)), range(4)))
    assert sums == rows.sum(axis=1).tolist()


def test_workers_compute_with_as_many_threads_as_this_process(engine, home):
    import torch
    from threadpoolctl import threadpool_info

    here = {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
    (torch_threads, blas, cores, seen_home, pid) = next(engine.map(work.surroundings, [0]))
    assert torch_threads == torch.get_num_threads()
    assert max(blas) == max(here)
    assert cores <= 4
    assert Path(seen_home).is_absolute()
    assert pid != os.getpid()


def test_a_lost_worker_is_replaced_and_a_deadly_item_ends(engine, tmp_path):
    once = functools.partial(work.die_once, str(tmp_path))
    assert [each.attempts for each in engine.outcomes(once, range(3))] == [1, 2, 1]
    ended = list(engine.outcomes(work.die_at_one, range(3)))
    assert [each.value for each in ended] == [0, None, 2]
    assert isinstance(ended[1].error, EngineError)
    assert "4 workers were lost" in str(ended[1].error)


def test_a_queue_goes_on_when_workers_are_lost(engine, tmp_path):
    once = functools.partial(work.die_once, str(tmp_path))
    kinds = [functools.partial(work.ready, each) for each in (work.doubled, once, work.die_at_one, work.refuse_two)]
    items = [(kind, item) for kind in range(4) for item in range(4)]
    found = {items[each.item]: each for each in engine.drain(kinds, items)}
    assert [found[0, item].value for item in range(4)] == [0, 2, 4, 6]
    assert [found[1, item].value for item in range(4)] == [0, 1, 2, 3]
    assert [found[1, item].attempts for item in range(4)] == [1, 2, 1, 1]
    assert [found[2, item].value for item in (0, 2, 3)] == [0, 2, 3]
    assert "4 workers were lost" in str(found[2, 1].error)
    failed = [key for key, each in found.items() if key[0] == 3 and each.error]
    assert failed  # and what comes after it is not begun
    assert all(isinstance(found[key].error, (DataError, EngineError)) for key in failed)


def test_a_time_out_ends_the_worker(cluster):
    with running(engine_named("ray", workers=2, shard_timeout=3)) as begun:
        start = functools.partial(work.ready, work.sleep_at_one)
        found = {each.item: each for each in begun.drain([start], [(0, 0), (0, 1), (0, 2)])}
    assert (found[0].value, found[2].value) == (0, 2)
    assert "it took more than 3 s" in str(found[1].error)


@pytest.mark.parametrize("ties", [False, True])
def test_ranking_in_pieces_gives_the_same_lists_to_the_bit(engine, ties):
    generator = np.random.default_rng(3)
    items = generator.normal(size=(3_000, 24)).astype(np.float32)
    items = np.round(items) if ties else items
    queries = items[generator.integers(0, 3_000, size=4_000)] + items[generator.integers(0, 3_000, size=4_000)]
    offsets = np.arange(0, 20_001, 5)
    masked = generator.integers(0, 3_000, size=20_000)
    options = {"masked_offsets": offsets, "masked_items": masked, "order": tie_order(np.arange(3_000).astype(str))}
    whole = list(rank(queries, items, **options, k=40))
    with pytest.MonkeyPatch.context() as patch, running(engine):
        patch.setattr(ranking_tasks, "LEAST_PRODUCTS", 1)
        pieces = list(ranking_tasks.rank_in_pieces(queries, items, **options, k=40))
    assert len(pieces) > 1
    assert [each.start for each in pieces] == sorted(each.start for each in pieces)
    for name in ("items", "scores", "tied_at"):
        one, other = (np.concatenate([getattr(each, name) for each in blocks]) for blocks in (whole, pieces))
        assert one.tobytes() == other.tobytes()


def test_a_score_that_is_not_finite_names_the_same_query(engine):
    items = np.full((300, 8), 1e30, dtype=np.float32)
    queries = np.ones((600, 8), dtype=np.float32)
    queries[431] = 1e30
    options = {"masked_offsets": np.zeros(601, dtype=np.int64), "masked_items": np.empty(0, dtype=np.int64)}
    messages = []
    for begun in (LOCAL, engine):
        with pytest.MonkeyPatch.context() as patch, running(begun), pytest.raises(Exception, match="query 431") as e:
            patch.setattr(ranking_tasks, "LEAST_PRODUCTS", 1)
            list(ranking_tasks.rank_in_pieces(queries, items, **options, order=np.arange(300), k=10))
        messages.append(str(e.value))
    assert messages[0] == messages[1]


def test_a_machine_that_does_not_see_the_data_says_so(engine, tmp_path):
    import shutil

    from support.small_data import build_split_tables

    from larpbench.datasets.catalogue import load_dataset
    from larpbench.encoders.names import get_encoder

    folder = build_split_tables(tmp_path / "data", tracks=30, playlists=12).folder
    data = load_dataset(str(folder))
    shutil.rmtree(folder)
    encoding = WorkerEncoding(engine, EmbeddingStore(tmp_path / "home" / "embeddings"))
    need = Need(replace(get_encoder("tfidf")), data, "test", 0)
    encoding.encode([need])
    with pytest.raises(EngineError, match="does not see") as refused:
        encoding.require(need)
    assert os.uname().nodename in str(refused.value)
    assert str(folder) in str(refused.value)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_processes_and_continues(tmp_path, end):
    """Its own cluster: it must go with the process that has started it."""
    from support.small_data import build_split_tables

    folder = build_split_tables(tmp_path / "data", tracks=60, playlists=24).folder
    temporary = Path("/tmp") / f"lb-{os.getpid()}-{int(end)}"  # sockets have short names
    home = tmp_path / "home"
    surroundings = {**os.environ, "LARPBENCH_HOME": str(home), "RAY_TMPDIR": str(temporary)}
    surroundings["RAY_DEFAULT_OBJECT_STORE_MEMORY_PROPORTION"] = "0.02"
    temporary.mkdir(exist_ok=True)
    command = [
        *(sys.executable, "-m", "larpbench", "run", "--dataset", str(folder), "--encoders", "random,tfidf"),
        *("--recommenders", "itemknn,ridge", "--output", str(tmp_path / "results"), "--engine", "ray"),
        *("--workers", "2", "--budget", "2"),
    ]
    process = subprocess.Popen(command, env=surroundings, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and process.poll() is None and not [*home.rglob("*.safetensors")]:
        time.sleep(0.05)
    process.send_signal(end)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == (130 if end == signal.SIGINT else -end), errors
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (left := _mention(temporary)):
        time.sleep(1)
    assert not left
    again = subprocess.run(command, env=surroundings, stderr=subprocess.PIPE, text=True, timeout=600, check=False)
    assert again.returncode == 0, again.stderr
    assert not _mention(temporary)


def _mention(folder: Path) -> list[str]:
    """Return the processes that were started with a folder in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text:
            found.append(text)
    return found
