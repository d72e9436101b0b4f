"""No encoder is tested on tracks that one of them was trained on (protocol rule 13)."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from larpbench import load_dataset
from larpbench.datasets.songs import song_keys
from larpbench.errors import ProtocolError
from larpbench.tasks.overlap import find_removal


@pytest.fixture
def build(tmp_path, cli):
    """Build a data set whose tracks are (id, title, artist, split), with one playlist a split or those given."""

    def made(name, *tracks, playlists=None):
        folder = tmp_path / name
        folder.mkdir()
        rows = [dict(zip(("track_id", "title", "artist", "split"), each, strict=True)) for each in tracks]
        pl.DataFrame(rows).with_columns(album=pl.lit("")).write_csv(folder / "tracks.csv")
        entries = [(f"p-{row['split']}", row["track_id"], row["split"], "") for row in rows]
        columns = ["playlist_id", "track_id", "split", "role"]
        table = pl.DataFrame(playlists or entries, schema=columns, orient="row")
        (table if playlists else table.drop("split", "role")).write_csv(folder / "playlists.csv")
        tables = ("--tracks", folder / "tracks.csv", "--playlists", folder / "playlists.csv")
        built = cli("dataset", "build", "csv", *tables, "--output", folder / "data")
        assert built.code == 0, built.err
        return load_dataset(folder / "data")

    return made


SOURCE = [("s1", "Blue Train", "Kora", "train"), ("s2", "Tall Grass", "Mire", "train")]
SOURCE += [("s3", "Signal!", "Ona  Day", "valid"), ("s4", "Stone", "", "valid"), ("s5", "Quay", "Sel", "test")]
OTHERS = [(f"t{number}", f"Cloud {number}", "Vale", "test") for number in range(4)]


@pytest.mark.parametrize(
    ("track", "by_id", "by_song"),
    [
        (("new", "Harbor", "Kora", "test"), 0, 0),
        (("s1", "Another", "Nobody", "test"), 1, 0),
        (("s1", "Blue Train", "Kora", "test"), 1, 0),
        (("new", "BLUE  TRAIN", "kora.", "test"), 0, 1),
        (("new", "signal", "Ona Day", "test"), 0, 1),  # seen while the epoch was selected
        (("new", "Stone", "", "test"), 0, 0),  # an unknown artist is no evidence
        (("s5", "Quay", "Sel", "test"), 0, 0),  # the source's own test tracks were never seen
        (("s1", "Blue Train", "Kora", "train"), 0, 0),  # only tested tracks count
    ],
)
def test_what_counts_as_seen(build, track, by_id, by_song):
    source, tested = build("source", *SOURCE), build("tested", track, *OTHERS)
    removal = find_removal(tested, [source, source])
    if not by_id + by_song:
        assert removal is None
        return
    (seen,) = removal.sources
    assert (seen.dataset, seen.fingerprint) == ("data", source.manifest.fingerprint)
    assert (seen.by_id, seen.by_song, removal.tracks) == (by_id, by_song, 1)
    left = removal.applied_to(tested).split("test")
    assert left.track_ids.tolist() == [name for name, *_ in OTHERS]
    assert sorted(left.entries["track_id"].unique()) == [name for name, *_ in OTHERS]


def test_the_data_set_itself_is_no_overlap(build):
    source = build("source", *SOURCE)
    assert find_removal(source, [source]) is None


def playlist(name, seeds, heldout):
    return [(name, each, "test", "seed") for each in seeds] + [(name, each, "test", "heldout") for each in heldout]


def test_what_leaves_is_counted(build):
    source = build("source", *SOURCE)
    seen = [("s1", "A", "B", "test"), ("n2", "tall grass", "MIRE", "test"), ("s3", "C", "D", "test")]
    playlists = [
        *playlist("whole", ["t0", "t1"], ["t2", "t3"]),
        *playlist("shorter", ["t0", "s1"], ["t2", "n2", "s3"]),
        *playlist("no seed", ["s1", "n2"], ["t3"]),
        *playlist("no heldout", ["t1"], ["s1"]),
        *playlist("nothing", ["s1"], ["n2"]),
        *playlist("never counted", ["t0"], []),
    ]
    tested = build("tested", *seen, *OTHERS, playlists=playlists)
    removal = find_removal(tested, [source])
    assert (removal.sources[0].by_id, removal.sources[0].by_song, removal.tracks) == (2, 1, 3)
    assert (removal.seeds, removal.heldout) == (1 + 2 + 1, 2 + 1 + 1)
    assert (removal.playlists, removal.emptied) == (3, 1)
    left = removal.applied_to(tested)
    assert left.split("test").interactions("seed").lengths.tolist() == [1, 1, 0, 1, 2]
    assert left.tracks.filter(pl.col("split") != "test").equals(tested.tracks.filter(pl.col("split") != "test"))
    np.testing.assert_array_equal(tested.split("test").track_ids[removal.kept], left.split("test").track_ids)


def test_two_trainings_are_told_apart_and_leave_together(build):
    source = build("source", *SOURCE)
    other = build("other", ("s1", "X", "Y", "train"), ("o2", "Cloud 0", "Vale", "train"))
    tested = build("tested", ("s1", "A", "B", "test"), *OTHERS)
    removal = find_removal(tested, [source, other])
    assert sorted((each.by_id, each.by_song) for each in removal.sources) == [(1, 0), (1, 1)]
    assert removal.tracks == 2
    assert removal.key == find_removal(tested, [other, source]).key
    assert removal.key != find_removal(tested, [other]).key


def test_a_test_of_which_nothing_is_left(build):
    source = build("source", *SOURCE)
    tested = build("tested", *[(name, title, artist, "test") for name, title, artist, _ in SOURCE])
    with pytest.raises(ProtocolError, match="4 of 5 test tracks were in the training on 'data'") as error:
        find_removal(tested, [source])
    assert "leave the encoders with that @ out" in str(error.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("Beyoncé", "Déjà Vu"), ("BEYONCE", "Deja vu"), True),
        (("Ａｃｅ", "Ｎｏｗ！"), ("ace", "now"), True),  # full-width letters
        (("Cafe\u0301", "A"), ("Café", "a"), True),  # a letter and its accent, or one character
        (("Straße", "Σίσυφος"), ("STRASSE", "ΣΊΣΥΦΟΣ"), True),
        (("Simon & Garfunkel", "The Boxer"), ("Simon Garfunkel", "the boxer"), True),
        (("Kora feat. Mire", "Tall Grass"), ("Kora", "Tall Grass (feat. Ona Day)"), True),
        (("Kora", "Blue Train - Remastered 2003"), ("Kora", "Blue Train"), True),
        (("Kora", "Blue Train (2003 Digital Remaster)"), ("Kora", "Blue Train [Remastered]"), True),
        (("Kora", "Blue Train - Mono / Remastered Version"), ("Kora", "Blue Train"), True),
        (("!!!", "+"), ("!!!", "+"), True),
        (("!!!", "+"), ("!!!", "÷"), False),
        (("Kora", "Blue Train - Live / Remastered"), ("Kora", "Blue Train"), False),
        (("Kora", "Blue Train (Remix)"), ("Kora", "Blue Train"), False),
        (("Kora", "A Feat of Strength"), ("Kora", "A"), False),
        (("Kora", "Remastered"), ("Kora", "Blue"), False),
        (("Kora", "Blue"), ("Ko", "raBlue"), False),
        (("कला", "किताब"), ("कला", "कतब"), False),  # vowel signs are letters
        (("Kora", "(feat. Mire)"), ("Kora", "Mire"), False),
    ],
)
def test_the_same_song(one, other, same):
    table = pl.DataFrame([one, other], schema=["artist", "title"], orient="row")
    keys = song_keys(table)
    assert keys.null_count() == 0
    assert (keys[0] == keys[1]) is same
