"""What a plan says is missing: vectors and trainings, each once, also those that an encoder builds upon."""

from __future__ import annotations

import math

import pytest
from support.small_data import build_split_tables

from larpbench.benchmark.plan import plan
from larpbench.benchmark.run import run
from larpbench.encoders.names import get_encoder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return build_split_tables(tmp_path_factory.mktemp("data") / "small")


def tracks_of(made):
    """Tracks without vectors, by the speed of their encoder."""
    counts: dict[float, int] = {}
    for each in made.encodings:
        counts[each.tracks_per_second] = counts.get(each.tracks_per_second, 0) + each.tracks
    return counts


def speeds(*names):
    return [get_encoder(each).card.tracks_per_second for each in names]


def sizes(dataset):
    return [len(dataset.split(name).track_ids) for name in ("train", "valid", "test")]


def test_a_training_needs_the_vectors_of_its_views_on_train_and_valid(small, tmp_path):
    train, valid, test = sizes(small)
    tfidf, factors = speeds("tfidf", "factors")
    made = plan(small, encoders=["factors:tfidf"], seeds=1, output=tmp_path)
    assert tracks_of(made) == {tfidf: train + valid + test, factors: test}
    assert [each.encoder for each in made.trainings] == [f"factors:tfidf@{small.name}"]
    assert made.cells[0].tracks_to_encode == test
    assert made.estimated_seconds() > sum(each.seconds for each in (*made.trainings, *made.encodings))


def test_vectors_that_several_encoders_need_are_counted_once(small, tmp_path):
    test, (tfidf, artist) = sizes(small)[2], speeds("tfidf", "same-artist")
    both = plan(small, encoders=["tfidf+same-artist", "tfidf", "same-artist"], seeds=1, output=tmp_path)
    assert tracks_of(both) == {tfidf: test, artist: test, math.inf: test}  # those side by side take no time
    centred = plan(small, encoders=["tfidf", "centred:tfidf"], seeds=1, output=tmp_path)
    assert tracks_of(centred) == {tfidf: test + sizes(small)[0]}
    assert centred.estimated_bytes() - plan(small, encoders=["tfidf"], seeds=1, output=tmp_path).estimated_bytes() > (
        sizes(small)[0] * get_encoder("tfidf").card.dim * 4
    )
    ridge = plan(small, encoders=["tfidf"], recommenders=["itemknn", "ridge"], seeds=1, output=tmp_path)
    assert tracks_of(ridge) == {tfidf: sum(sizes(small))}


def test_the_second_encoder_is_part_of_what_is_missing(small, tmp_path):
    test, (tfidf, artist) = sizes(small)[2], speeds("tfidf", "same-artist")
    other = plan(small, encoders=["tfidf"], similarity_by="factors:same-artist", seeds=1, output=tmp_path)
    assert tracks_of(other)[tfidf] == test
    assert tracks_of(other)[artist] == sum(sizes(small))
    same = plan(small, encoders=["tfidf"], similarity_by="tfidf", seeds=1, output=tmp_path)
    assert tracks_of(same) == {tfidf: test}


def test_nothing_is_missing_after_the_run(small, tmp_path):
    names = ["factors:tfidf", "tfidf+same-artist", "shuffled:tfidf"]
    made = plan(small, encoders=names, seeds=1, output=tmp_path)
    assert made.encodings
    run(made)
    again = plan(small, encoders=names, seeds=1, output=tmp_path, condition="always")
    assert (again.encodings, again.trainings) == ((), ())
    assert again.to_run
    assert plan(small, encoders=["tfidf"], seeds=1, output=tmp_path).estimated_seconds() < made.estimated_seconds()


@pytest.mark.parametrize(
    "name", ["factors", "larp-wtc", "larp-wtc:heads-plain", "larp-tpc:tiny", "larp-tpc:paper", "clap-ft", "cnn"]
)
def test_training_takes_longer_on_more_tracks(name):
    seconds = get_encoder(name).training.seconds
    assert 0 < seconds(500) < seconds(4_000) < seconds(20_000) < 20_000 * 200


def test_training_of_so_many_updates_takes_as_long_on_any_number_of_tracks():
    from larpbench.encoders.larp.specs import larp_spec

    short = larp_spec(("wtc",), "tiny", updates=10).training
    assert short.seconds(500) == short.seconds(50_000) < larp_spec(("wtc",), "tiny").training.seconds(500)
