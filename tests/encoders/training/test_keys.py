"""The key of a training: what changes it, and what does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.small_data import build_split_tables
from support.toy_training import (
    PLACE,
    key_of,
    place,
    toy,
    train,
    with_captions,
)

from larpbench.encoders.names import get_encoder
from larpbench.encoders.run.keys import Keys
from larpbench.encoders.run.training import untrained


class TestKey:
    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(toy(rate=2), id="settings"),
            pytest.param(replace(toy(), training=replace(toy().training, method="toy 2")), id="method"),
            pytest.param(replace(toy(), plugin="toys 1.0"), id="plugin"),
            pytest.param(toy(start=toy("before")), id="start"),
            pytest.param(toy(weights_digest=lambda: "other"), id="initial-weights"),
            pytest.param(toy(inputs=(place(version=2),)), id="version-of-input"),
            pytest.param(toy(inputs=(place(standardised=False),)), id="scaling-of-input"),
            pytest.param(toy(inputs=(PLACE, get_encoder("tfidf"))), id="one-more-input"),
            pytest.param(toy(reads_captions=True), id="captions"),
        ],
    )
    def test_it_changes_with_all_that_is_set(self, data, changed):
        assert key_of(changed, data) != key_of(toy(), data)

    def test_it_changes_with_the_seed_and_with_what_it_goes_on_from(self, data):
        assert key_of(toy(), data, seed=1) != key_of(toy(), data)
        starts = [toy(start=toy("before", rate=rate)) for rate in (1, 2)]
        assert key_of(starts[0], data) != key_of(starts[1], data)
        assert len(key_of(toy(), data)) == 32

    @pytest.mark.parametrize("split", ["train", "valid"])
    def test_it_changes_with_the_playlists_and_tracks_that_it_learns_from(self, data, tmp_path, split):
        playlists = build_split_tables(tmp_path / "a" / "one", playlist_seeds={split: 1})
        assert playlists.tracks.equals(data.tracks)
        tracks = build_split_tables(tmp_path / "b" / "one", seeds={split: 1})
        assert len({key_of(toy(), each) for each in (data, playlists, tracks)}) == 3

    def test_it_does_not_change_with_the_test_split(self, data, tmp_path):
        other = build_split_tables(tmp_path / "two", seeds={"test": 1})
        assert other.manifest.fingerprint != data.manifest.fingerprint
        assert set(other.split("test").track_ids).isdisjoint(data.split("test").track_ids)
        for spec in (toy(), toy(inputs=(PLACE, get_encoder("tfidf"))), toy(reads_captions=True, start=toy("before"))):
            assert key_of(spec, other) == key_of(spec, data)
        assert key_of(toy(reads_captions=True), with_captions(data, "test")) == key_of(toy(reads_captions=True), data)

    @pytest.mark.parametrize("split", ["train", "valid"])
    def test_captions_count_where_they_are_read(self, data, split):
        edited = with_captions(data, split)
        assert key_of(toy(), edited) == key_of(toy(), data)
        assert key_of(toy(reads_captions=True), edited) != key_of(toy(reads_captions=True), data)
        through_input = toy(inputs=(get_encoder("tfidf"),))
        assert key_of(through_input, edited) != key_of(through_input, data)

    def test_it_changes_with_the_vectors_of_a_file_that_it_learns_from(self, data, tmp_path):
        path = tmp_path / "vectors.npz"
        ids = np.concatenate([data.split(name).track_ids for name in ("train", "valid", "test")])
        keys = set()
        for value in (1.0, 2.0):
            np.savez(path, ids=ids, embeddings=np.full((len(ids), 4), value, dtype=np.float32))
            keys.add(key_of(toy(inputs=(get_encoder(f"precomputed:{path}"),)), data))
        assert len(keys) == 2

    def test_a_view_has_the_same_weights_and_other_vectors(self, data, store):
        whole = toy(inputs=(PLACE, get_encoder("tfidf"))).learning_from(data)
        view = replace(
            whole, argument="left", card=whole.card.model_copy(update={"modalities": ()}), inputs=whole.inputs[:1]
        )
        assert Keys().checkpoint(view, 0) == Keys().checkpoint(whole, 0)
        assert store.checkpoint(view, 0) == store.checkpoint(whole, 0)
        keys = {Keys().embedding(each, data, data.split("test"), 0) for each in (whole, view)}
        assert len(keys) == 2
        train(store, whole)
        assert untrained(store, view, 0) == []
        assert view.identity == "toy:left@one"

    def test_vectors_of_other_weights_have_another_key(self, data):
        test = data.split("test")
        keys = {Keys().embedding(toy(rate=rate).learning_from(data), data, test, 0) for rate in (1, 2)}
        keys |= {Keys().embedding(toy().learning_from(data), data, test, seed) for seed in (0, 1)}
        assert len(keys) == 3


def test_statistics_of_a_plug_in_depend_on_all_of_train(tmp_path):
    one, other = (build_split_tables(tmp_path / f"p{number}", playlist_seeds={"train": number}) for number in (1, 2))
    built_in = get_encoder("tfidf")
    plug_in = replace(built_in, plugin="somebody 1.0")
    for spec, same in ((built_in, True), (plug_in, False)):
        keys = [Keys().embedding(spec, data, data.split("test"), 0) for data in (one, other)]
        assert (keys[0] == keys[1]) is same
