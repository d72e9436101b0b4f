"""Several encoders in one pass over the audio: each file is decoded once, and all else is as if each ran alone."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.loud_encoders import Careless, Level, Slow, build_broken, build_level
from support.resuming import heard_data

import larpbench
from larpbench.audio import clips, loader
from larpbench.benchmark.run import run
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.centred import centre
from larpbench.encoders.combined import combine
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run import pipeline
from larpbench.encoders.run import store as store_module
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.run.together import Need, encode_together, passes
from larpbench.encoders.shuffled import shuffle
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import Weights
from larpbench.errors import DataError


def spec(name: str, encoder: object, rate: int = 16_000, **card: object) -> EncoderSpec:
    facts = {"version": 1, "summary": "s", "modalities": ("audio",), "dim": 2, "sample_rate": rate, "weights": "none"}
    made = EncoderCard(**{**facts, "name": name, "licence": "none", "tracks_per_second": 1, **card})
    return EncoderSpec(made, factory=lambda context, argument: encoder)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(store_module, "AUDIO_SHARD", 8)
    monkeypatch.setattr(pipeline, "AUDIO_BATCH", 4)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return heard_data(tmp_path_factory.mktemp("heard"))


@pytest.fixture
def decoded(monkeypatch):
    """File name -> how often it was decoded, in this process alone."""
    monkeypatch.setattr(pipeline, "cores", lambda: 1)
    count: Counter[str] = Counter()
    real = clips.cut_clip

    def counted(path, *arguments):
        count[path.name] += 1
        return real(path, *arguments)

    monkeypatch.setattr(loader, "cut_clip", counted)
    return count


def alone(root, made, data, split="test", seed=0):
    return EmbeddingStore(root).embed(made, data, split, seed)


def ahead(store, data, *specs, split="test", seeds=(0,)):
    encode_together(store, [Need(each, data, split, seed) for each in specs for seed in seeds])


def stored_files(root):
    return {path.relative_to(root): path.stat().st_mtime_ns for path in root.rglob("*.safetensors")}


def test_each_file_is_decoded_once_and_keys_and_vectors_are_those_of_each_alone(data, decoded, tmp_path):
    made = [spec("one", Level()), spec("two", Level(2.0)), spec("careless", Careless()), get_encoder("handcrafted")]
    made[2] = replace(made[2], plugin="careless 1")  # code from elsewhere may do that
    other_rate = spec("other", Level(), rate=8_000)
    store = EmbeddingStore(tmp_path / "together")
    ahead(store, data, *made, other_rate)
    names = set(data.split("test").audio.files["audio"])
    assert {Path(name).name for name in names} == set(decoded)
    assert set(decoded.values()) == {1}  # three at 16 kHz; the others are alone, and left to their own cells
    for each in [*made, other_rate]:
        found, expected = store.embed(each, data, "test", 0), alone(tmp_path / each.identity, each, data)
        np.testing.assert_array_equal(found.vectors, expected.vectors)
        assert found.key == expected.key
        assert found.cost.cpu_s > 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "together").rglob("ids.json")}
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "one").rglob("ids.json")}


def test_an_encoder_that_fails_fails_alone_and_what_it_had_finished_stays(data, decoded, tmp_path):
    sound, broken = spec("sound", Level()), spec("broken", Level(breaks_after=8))
    odd, nothing = spec("odd", Level(), dim=3), spec("nothing", Level(float("nan")))
    leaves = spec("leaves", Level(breaks_after=0, error=SystemExit("enough")))
    unbuilt = replace(sound, card=sound.card.model_copy(update={"name": "unbuilt"}), factory=lambda c, a: 1 / 0)
    store = EmbeddingStore(tmp_path / "e")
    ahead(store, data, broken, odd, leaves, nothing, unbuilt, sound)
    split = data.split("test")
    missing = {each.identity: store.missing_tracks(each, data, split, 0) for each in (sound, broken, odd, nothing)}
    n = len(split.track_ids)
    assert missing == {"sound": 0, "broken": n - 8, "odd": n, "nothing": n}
    assert set(decoded.values()) == {1}
    np.testing.assert_array_equal(
        store.embed(sound, data, "test", 0).vectors, alone(tmp_path / "f", sound, data).vectors
    )
    for each, error in ((broken, "broken"), (odd, "of shape"), (nothing, "NaN"), (unbuilt, "division")):
        with pytest.raises(Exception, match=error):
            store.embed(each, data, "test", 0)


def test_only_what_is_missing_of_each_is_encoded_after_a_kill(data, decoded, tmp_path):
    one, two = spec("one", Level()), spec("two", Level(2.0))
    stops = spec("two", Level(2.0, breaks_after=10, error=KeyboardInterrupt()))
    root = tmp_path / "e"
    with pytest.raises(KeyboardInterrupt):
        ahead(EmbeddingStore(root), data, one, stops)
    before = stored_files(root)
    assert len(before) == 2  # the first shard of each
    next(root.glob("one/*/shard-000000.safetensors")).unlink()
    decoded.clear()
    store = EmbeddingStore(root)
    ahead(store, data, one, two)
    assert set(decoded.values()) == {1}
    assert len(decoded) == len(data.split("test").track_ids)  # shard 0 for the first, the others for both
    after = stored_files(root)
    assert {path: after[path] for path in before if path.parts[0] == "two"}.items() <= before.items()
    for each in (one, two):
        expected = alone(tmp_path / each.identity, each, data).vectors
        np.testing.assert_array_equal(store.embed(each, data, "test", 0).vectors, expected)
    decoded.clear()
    ahead(store, data, one, two)
    assert not decoded


def test_a_file_that_is_gone_fails_the_cells_and_not_the_pass(data, decoded, tmp_path):
    path = data.split("test").audio.root / data.split("test").audio.files["audio"][15]
    away = path.with_suffix(".away")
    store = EmbeddingStore(tmp_path / "e")
    path.rename(away)
    try:
        ahead(store, data, spec("one", Level()), spec("two", Level()))
        with pytest.raises(DataError, match="gone or was changed"):
            store.embed(spec("one", Level()), data, "test", 0)
    finally:
        away.rename(path)
    assert store.missing_tracks(spec("one", Level()), data, data.split("test"), 0) < len(data.split("test").track_ids)


def test_combinations_centring_and_permutations_share_the_pass_of_their_parts(data, decoded, tmp_path):
    one, two = spec("one", Level()), spec("two", Level(2.0))
    store = EmbeddingStore(tmp_path / "e")
    ahead(store, data, combine([one, two]), centre(one), shuffle(two), seeds=(0, 1))
    read = {Path(name).name for split in ("train", "test") for name in data.split(split).audio.files["audio"]}
    assert {name: decoded[name] for name in read if name.startswith("test")} == dict.fromkeys(
        (name for name in read if name.startswith("test")), 1
    )
    assert store.missing_tracks(one, data, data.split("test"), 0) == 0
    decoded.clear()
    for each in (combine([one, two]), shuffle(two)):
        store.embed(each, data, "test", 0)
    assert not decoded


def test_seeds_of_a_random_encoder_are_encoded_in_one_pass(data, decoded, tmp_path):
    drawn = replace(spec("drawn", None, stochastic=True), factory=lambda context, argument: Level(1.0 + context.seed))
    store = EmbeddingStore(tmp_path / "e")
    ahead(store, data, drawn, seeds=(0, 1, 2))
    assert set(decoded.values()) == {1}
    first, last = (store.embed(drawn, data, "test", seed).vectors for seed in (0, 2))
    np.testing.assert_allclose(last, 3 * first, rtol=1e-6)
    assert set(decoded.values()) == {1}


def test_a_run_decodes_each_file_once(data, decoded, tmp_path):
    def loud(audio):
        return np.stack([np.abs(audio).mean(axis=1), audio.std(axis=1)], axis=1)

    def spread(audio):
        return np.stack([audio.max(axis=1), np.ones(len(audio))], axis=1)

    objects = {"modality": "audio", "sample_rate": 16_000, "cache_key": "1"}
    plan = larpbench.plan(data, encoders={"loud": loud, "spread": spread}, output=tmp_path / "results", **objects)
    assert not decoded
    summary = run(plan)
    assert len(summary.computed) == 2
    assert {Path(name).name for name in data.split("test").audio.files["audio"]} == set(decoded)
    assert set(decoded.values()) == {1}


def test_processes_decode_once_for_several_and_fail_alone(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "cores", lambda: 2)
    sound = replace(spec("sound", None, process_per_core=True), factory=build_level)
    twin = replace(sound, card=sound.card.model_copy(update={"name": "twin"}))
    broken = replace(sound, card=sound.card.model_copy(update={"name": "broken"}), factory=build_broken)
    store = EmbeddingStore(tmp_path / "e")
    ahead(store, data, sound, twin, broken)
    missing = [store.missing_tracks(each, data, data.split("test"), 0) for each in (sound, twin, broken)]
    assert missing == [0, 0, len(data.split("test").track_ids)]
    assert capsys.readouterr().err.count("encode ") == 1
    vectors = [store.embed(each, data, "test", 0) for each in (sound, twin)]
    np.testing.assert_array_equal(vectors[0].vectors, vectors[1].vectors)
    np.testing.assert_array_equal(vectors[0].vectors, alone(tmp_path / "f", sound, data).vectors)
    assert all(each.cost.cpu_s > 0 for each in vectors)


def test_what_a_pass_takes_is_shared_out_among_its_encoders(data, decoded, tmp_path):
    quick, slow = spec("quick", Level()), spec("slow", Slow())
    store = EmbeddingStore(tmp_path / "e")
    began = time.process_time()
    ahead(store, data, quick, slow)
    spent = time.process_time() - began
    costs = {each.identity: store.embed(each, data, "test", 0).cost for each in (quick, slow)}
    assert costs["slow"].cpu_s > 5 * costs["quick"].cpu_s > 0
    assert sum(each.cpu_s for each in costs.values()) <= spent
    assert costs["slow"].cpu_s > 0.5 * spent


def test_weights_that_are_too_large_together_are_not_in_memory_together(data, decoded, tmp_path):
    def large(name, model=None):
        weights = Weights(name, "none", 3_000_000_000, elsewhere=(str(tmp_path),))
        return replace(spec(name, Level()), weights=weights, model=model)

    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    needs = [Need(each, data, "test", 0) for each in (large("a", "m"), large("b"), large("c", "m"), large("d"))]
    groups = [[need.spec.identity for need in group] for group in passes(EmbeddingStore(tmp_path / "e"), needs)]
    assert [group for group in groups if len(group) > 1] == [["a", "c"]]  # one model; the others are alone


def test_two_that_share_passes_at_once_share_the_shards_too(data, tmp_path, monkeypatch):
    """Each in a store object of its own, as two processes have; what one encodes is left out by the other."""
    monkeypatch.setattr(pipeline, "cores", lambda: 1)
    encoded: Counter[tuple[str, str]] = Counter()

    class Counting(Level):
        def __init__(self, name: str, factor: float) -> None:
            super().__init__(factor)
            self.name = name

        def encode(self, batch):
            encoded.update((self.name, track_id) for track_id in batch.track_ids)
            time.sleep(0.02)
            return super().encode(batch)

    made = [spec("one", Counting("one", 1.0)), spec("two", Counting("two", 2.0))]
    root, failures = tmp_path / "e", []

    def work():
        try:
            store = EmbeddingStore(root)
            ahead(store, data, *made)
            for each in made:
                store.embed(each, data, "test", 0)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(encoded) == 2 * len(data.split("test").track_ids)
    assert set(encoded.values()) == {1}
    for each, plain in zip(made, (spec("one", Level()), spec("two", Level(2.0))), strict=True):
        found = EmbeddingStore(root).embed(each, data, "test", 0).vectors
        np.testing.assert_array_equal(found, alone(tmp_path / each.identity, plain, data).vectors)
    assert not list(root.rglob(".larpbench-*"))
