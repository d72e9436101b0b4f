"""From audio files to stored vectors."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import ClassVar

import joblib
import numpy as np
import polars as pl
import pytest
from support.small_data import build_split_tables
from support.sounds import write_tone

from larpbench import load_dataset
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run import in_processes, jobs, pipeline
from larpbench.encoders.run import store as store_module
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError
from larpbench.vectors import Standardiser

HEARD: list[int] = []


class Spectrum:
    """The loudest frequency of a clip, and its samples: enough to know what was heard."""

    def encode(self, batch: TrackBatch) -> np.ndarray:
        HEARD.append(len(batch))
        assert batch.audio is not None
        assert batch.audio.dtype == np.float32
        strongest = np.abs(np.fft.rfft(batch.audio)).argmax(axis=1) / 2  # 2-s clips: bins of half a hertz
        return np.stack([strongest, np.full(len(batch), batch.audio.shape[1])], axis=1).astype(np.float32)


def build_spectrum(context: EncodeContext, argument: str | None) -> Spectrum:
    return Spectrum()


def spectrum(**changes):
    card = EncoderCard(
        name="spectrum", version=1, summary="s", modalities=("audio",), dim=2, sample_rate=16_000, weights="none",
        licence="none", tracks_per_second=1,
    )  # fmt: skip
    return EncoderSpec(card.model_copy(update=changes), factory=build_spectrum)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    HEARD.clear()
    monkeypatch.setattr(store_module, "AUDIO_SHARD", 8)
    monkeypatch.setattr(pipeline, "AUDIO_BATCH", 4)


@pytest.fixture
def data(cli, tmp_path):
    for number in range(20):
        suffix = (".flac", ".ogg", ".mp3")[number % 3]
        write_tone(tmp_path / "library" / f"{number:02d}{suffix}", 200 + 50 * number, rate=(8_000, 44_100)[number % 2])
    (tmp_path / "lists").mkdir()
    for name, rows in (("p", range(12)), ("q", range(8, 20))):
        names = [path.name for path in sorted((tmp_path / "library").iterdir())]
        (tmp_path / "lists" / f"{name}.m3u").write_text("".join(f"../library/{names[row]}\n" for row in rows))
    built = cli(
        "dataset", "build", "folder", "--audio", tmp_path / "library", "--playlists", tmp_path / "lists",
        "--train-fraction", "0", "--clip-seconds", "2", "--output", tmp_path / "data",
    )  # fmt: skip
    assert built.code == 0, built.err
    return load_dataset(tmp_path / "data")


def test_every_clip_is_heard_at_the_encoders_rate_in_the_order_of_the_tracks(data, tmp_path):
    stored = EmbeddingStore(tmp_path / "e").embed(spectrum(), data, "test", 0)
    np.testing.assert_allclose(stored.vectors[:, 0], 200 + 50 * np.arange(20), atol=2)
    assert (stored.vectors[:, 1] == 32_000).all()
    assert HEARD == [4] * 5


def test_a_killed_encode_goes_on_at_the_next_shard(data, tmp_path):
    class Stopping(Spectrum):
        def encode(self, batch):
            if sum(HEARD) >= 12:
                raise KeyboardInterrupt
            return super().encode(batch)

    store = EmbeddingStore(tmp_path / "e")
    with pytest.raises(KeyboardInterrupt):
        store.embed(replace(spectrum(), factory=lambda c, a: Stopping()), data, "test", 0)
    assert store.missing_tracks(spectrum(), data, data.split("test"), 0) == 12
    HEARD.clear()
    whole = store.embed(spectrum(), data, "test", 0)
    assert sum(HEARD) == 12
    np.testing.assert_allclose(whole.vectors[:, 0], 200 + 50 * np.arange(20), atol=2)


def test_an_edited_caption_re_encodes_no_audio_and_a_moved_clip_does(data, tmp_path):
    store = EmbeddingStore(tmp_path / "e")
    store.embed(spectrum(), data, "test", 0)
    edited = replace(data, tracks=data.tracks.with_columns(caption=pl.lit("other")))
    moved = replace(data, tracks=data.tracks.with_columns(pl.col("clip_start_s") + 0.25))
    assert store.missing_tracks(spectrum(), edited, edited.split("test"), 0) == 0
    assert store.missing_tracks(spectrum(), moved, moved.split("test"), 0) == 20
    assert store.missing_tracks(get_encoder("tfidf"), edited, edited.split("test"), 0) == 20


def test_a_file_that_was_changed_since_is_refused_and_a_touched_one_is_not(data, tmp_path):
    path = tmp_path / "library" / "05.mp3"
    os.utime(path, (1, 1))
    EmbeddingStore(tmp_path / "e").embed(spectrum(), data, "test", 0)
    for change in (lambda: path.write_bytes(path.read_bytes()[:-1]), path.unlink):
        change()
        with pytest.raises(DataError, match="gone or was changed") as caught:
            EmbeddingStore(tmp_path / "f").embed(spectrum(), data, "test", 0)
        assert "05.mp3" in str(caught.value)


@pytest.mark.parametrize("cores", [1, 2])
def test_a_file_that_breaks_behind_our_back_fails_the_cell_with_its_name(cli, data, tmp_path, monkeypatch, cores):
    monkeypatch.setattr(pipeline, "cores", lambda: cores)
    path = tmp_path / "library" / "06.flac"
    found = path.stat()
    path.write_bytes(b"\0" * found.st_size)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))  # same size, same time: only decoding tells
    run = cli("run", "--dataset", tmp_path / "data", "--encoders", "handcrafted,tfidf", "--output", tmp_path / "r")
    assert run.code == 1
    assert "06.flac" in run.err
    assert "audio unreadable" in run.err
    assert "Traceback" not in run.err
    assert "1 cells computed, 0 kept, 1 failed" in run.err


def test_processes_give_what_one_process_gives(data, tmp_path, monkeypatch):
    spec = get_encoder("handcrafted")
    monkeypatch.setattr(pipeline, "cores", lambda: 2)
    beside = EmbeddingStore(tmp_path / "e").embed(spec, data, "test", 0)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)
    alone = EmbeddingStore(tmp_path / "f").embed(spec, data, "test", 0)
    np.testing.assert_array_equal(beside.vectors, alone.vectors)
    assert beside.key == alone.key
    assert beside.cost.cpu_s > 0


def test_features_are_standardised_on_train(data, tmp_path):
    card = {"standardised": True}
    alone = EmbeddingStore(tmp_path / "e").embed(spectrum(**card), data, "test", 0)
    assert "standardised on the tested tracks" in alone.warnings[0]
    assert alone.vectors[:, 0].mean() == pytest.approx(0, abs=1e-5)
    assert (alone.vectors[:, 1] == 0).all()
    split = pl.when(pl.int_range(pl.len()) < 5).then(pl.lit("train")).otherwise(pl.lit("test"))
    parted = replace(data, tracks=data.tracks.with_columns(split=split))
    store = EmbeddingStore(tmp_path / "f")
    assert store.missing_tracks(spectrum(**card), parted, parted.split("test"), 0) == 20
    found = store.embed(spectrum(**card), parted, "test", 0)
    assert found.warnings == ()
    train = 200 + 50 * np.arange(5)
    expected = np.clip((200 + 50 * np.arange(5, 20) - train.mean()) / train.std(), -10, 10)
    np.testing.assert_allclose(found.vectors[:, 0], expected, atol=0.05)


def test_standardiser():
    rounding = np.float32(7) * (1 + 1e-7)
    features = np.array([[1, 5, 7], [3, 5, rounding]], dtype=np.float32)
    scaled = Standardiser(features).apply(np.array([[2, 7, 7], [100, 5, 99]]))
    np.testing.assert_allclose(scaled, [[0, 0, 0], [10, 0, 0]])
    assert scaled.dtype == np.float32


def test_the_first_use_in_an_installation_begins_with_one_worker(home, monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    calls = []
    real = joblib.Parallel

    def recorded(**options):
        calls.append(options.get("return_as", "list"))
        return real(**options)

    monkeypatch.setattr(in_processes.joblib, "Parallel", recorded)
    monkeypatch.setattr(pipeline, "cores", lambda: 2)
    spec = get_encoder("random")
    spec = replace(spec, card=spec.card.model_copy(update={"process_per_core": True}))
    data = build_split_tables(tmp_path / "d")
    batches = [slice(start, start + 8) for start in range(0, 24, 8)]

    def encoded():
        job = jobs.Job(spec, EncodeContext(0, data.folder), data)
        found = pipeline.encode_tracks([job], data.split("test"), [(rows, [job]) for rows in batches])
        return np.concatenate([batch.vectors[job] for batch in found])

    first = encoded()
    assert calls == ["list", "generator"]  # one batch alone, then the others
    np.testing.assert_array_equal(encoded(), first)
    assert calls == ["list", "generator", "generator"]
    assert len(first) == 24
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # another cache: nobody has compiled into it
    np.testing.assert_array_equal(encoded(), first)
    assert calls[3:] == ["list", "generator"]


def test_a_front_end_runs_ahead_of_the_tower_and_changes_no_bit(tmp_path, monkeypatch):
    from larpbench.encoders.adapters.clap import encoder as clap
    from larpbench.encoders.reference import clips

    folder = tmp_path / "weights"
    folder.mkdir()
    get_encoder("htsat").reference.write(folder)
    encoder = clap.pretrained_htsat(folder, bfloat16=False)
    given = TrackBatch(np.arange(3).astype(str), np.full(3, "x", dtype=object), clips(3, 4.0, 48_000))
    alone = encoder.encode(given)
    ready = encoder.prepare(given)
    monkeypatch.setattr(clap.ClapFrontEnd, "__call__", lambda *arguments: pytest.fail("the front end runs twice"))
    np.testing.assert_array_equal(encoder.encode(ready), alone)


class Ahead(Spectrum):
    """Makes its features before it is asked for vectors, and says in which thread."""

    threads: ClassVar[set[str]] = set()

    def prepare(self, batch):
        self.threads.add(threading.current_thread().name)
        return replace(batch, features=np.abs(np.fft.rfft(batch.audio)))

    def encode(self, batch):
        assert batch.features is not None
        return np.stack([batch.features.argmax(axis=1) / 2, np.ones(len(batch))], axis=1).astype(np.float32)


def test_features_are_made_in_the_thread_that_runs_ahead(data, tmp_path):
    found = EmbeddingStore(tmp_path / "e").embed(replace(spectrum(), factory=lambda c, a: Ahead()), data, "test", 0)
    np.testing.assert_allclose(found.vectors[:, 0], 200 + 50 * np.arange(20), atol=2)
    assert Ahead.threads == {"larpbench-decode"}


def test_a_front_end_that_fails_is_the_encoders_own_error(data, tmp_path):
    class Broken(Ahead):
        def prepare(self, batch):
            raise RuntimeError("no window")

    with pytest.raises(RuntimeError, match="no window"):
        EmbeddingStore(tmp_path / "e").embed(replace(spectrum(), factory=lambda c, a: Broken()), data, "test", 0)
