from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.check import check_dataset, split_overlaps
from larpbench.datasets.schema import SPLITS
from larpbench.datasets.splits import rules
from larpbench.datasets.splits.rules import draw_places, draw_roles
from larpbench.errors import DataError, UsageError


def tracks_frame(n):
    rows = [(f"t{i}", f"Title {i}", f"Artist {i % 5}", "") for i in range(n)]
    return pl.DataFrame(rows, schema=["track_id", "title", "artist", "album"], orient="row")


def drawn_splits(ids, *kind, seed=0, train_fraction=0.7):
    return pl.Series(SPLITS).gather(draw_places(ids, seed, train_fraction, *kind))


def build(tmp_path, playlists, n_tracks=200, **options):
    entries = [(f"p{number}", f"t{track}") for number, tracks in enumerate(playlists) for track in tracks]
    frame = pl.DataFrame(entries, schema={"playlist_id": pl.String, "track_id": pl.String}, orient="row")
    chosen = BuildOptions(name="x", source="test", licence="none", **options)
    return assemble(tracks_frame(n_tracks), frame, chosen, tmp_path / "data")


@pytest.mark.parametrize(("length", "seeds"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3), (7, 4), (9, 4), (11, 6)])
def test_half_of_the_tracks_are_seeds_half_to_even(length, seeds):
    entries = pl.DataFrame({"playlist_id": ["p"] * length, "track_id": [f"t{i}" for i in range(length)]})
    drawn = draw_roles(entries.with_columns(split=pl.lit("test")), seed=3)
    assert (drawn["role"] == "seed").sum() == seeds == round(length / 2)
    assert (drawn["role"] == "heldout").sum() == length - seeds


def test_another_playlist_changes_nobodys_seeds_and_another_seed_does():
    entries = pl.DataFrame(
        [(f"p{p}", f"t{t}", "test") for p in range(20) for t in range(p, p + 9)],
        schema=["playlist_id", "track_id", "split"],
        orient="row",
    )
    fewer = entries.filter(pl.col("playlist_id") != "p3").reverse()
    columns = ["playlist_id", "track_id", "role"]
    whole = draw_roles(entries, 1).filter(pl.col("playlist_id") != "p3").select(columns).sort(columns)
    assert draw_roles(fewer, 1).select(columns).sort(columns).equals(whole)
    assert not draw_roles(fewer, 2).select(columns).sort(columns).equals(whole)


def test_playlists_are_drawn_in_the_stated_shares_whatever_the_others_are():
    ids = pl.Series([f"p{i}" for i in range(20_000)])
    drawn = drawn_splits(ids).rename("split")
    shares = dict(drawn.value_counts(normalize=True).iter_rows())
    assert shares["test"] == pytest.approx(0.2, abs=0.01)
    assert shares["valid"] == pytest.approx(0.1, abs=0.01)
    assert drawn_splits(ids[5:50]).to_list() == drawn[5:50].to_list()
    assert set(drawn_splits(ids, train_fraction=0)) == {"test"}
    with pytest.raises(DataError, match="train fraction"):
        drawn_splits(ids, train_fraction=1.0)


@settings(max_examples=25, deadline=None)
@given(
    playlists=st.lists(st.sets(st.integers(0, 60), min_size=1, max_size=15), min_size=3, max_size=40),
    seed=st.integers(0, 1_000),
    how=st.sampled_from([("playlists", 0.0), ("playlists", 0.3), ("playlists", 0.7), ("tracks", 0.3), ("tracks", 0.7)]),
)
def test_drawn_splits_share_nothing_and_lose_nothing_uncounted(tmp_path_factory, playlists, seed, how):
    folder = tmp_path_factory.mktemp("drawn")
    rule, train_fraction = how
    drawn = {"split_rule": rule, "train_fraction": train_fraction, "min_length": 2}
    try:
        made = build(folder, playlists, n_tracks=61, split_seed=seed, **drawn)
    except DataError as error:
        assert "no playlist has 2 tracks" in error.what
        return
    findings = check_dataset(made.folder)
    assert all(finding.ok for finding in findings), findings
    assert made.tracks.height == 61
    lost = made.manifest.left_out_entries.get("entries whose track belongs to another split", 0)
    short = sum(
        made.manifest.left_out.get(f"{split} playlists with fewer than 2 tracks of their split", 0) for split in SPLITS
    )
    entries = sum(map(len, playlists)) - lost
    assert entries - short <= made.playlists.height <= entries  # a playlist that left had 0 or 1 tracks
    assert made.playlists["playlist_id"].n_unique() + short == len(playlists)
    shortest = made.playlists.group_by("playlist_id").len()["len"].min()
    assert shortest >= 2
    assert made.manifest.split.rule == rule
    assert made.playlists.height + sum(made.manifest.left_out_entries.values()) == sum(map(len, playlists))
    if train_fraction == 0:
        assert set(made.tracks["split"]) == {"test"}


def test_test_playlists_claim_their_tracks_first(tmp_path):
    playlists = [set(range(p, p + 12)) for p in range(0, 120, 4)]
    made = build(tmp_path, playlists, min_length=1, split_rule="playlists")
    ids = [f"p{p}" for p in range(30)]
    of = dict(zip(ids, drawn_splits(pl.Series(ids)), strict=True))
    in_test = {track for p, tracks in enumerate(playlists) for track in tracks if of[f"p{p}"] == "test"}
    assert set(made.tracks.filter(pl.col("split") == "test")["track_id"]) == {f"t{track}" for track in in_test}


def test_the_order_of_the_rows_does_not_change_the_fingerprint(tmp_path):
    rows = [(f"p{p}", f"t{t}") for p in range(30) for t in range(p, p + 8)]
    prints = []
    for number, entries in enumerate([rows, rows[::-1], rows + rows[:9]]):
        frame = pl.DataFrame(entries, schema=["playlist_id", "track_id"], orient="row")
        options = BuildOptions(name="x", source="s", licence="l")
        made = assemble(tracks_frame(50).sample(fraction=1, shuffle=True), frame, options, tmp_path / str(number))
        prints.append(made.manifest.fingerprint)
    assert len(set(prints)) == 1
    assert made.manifest.left_out["duplicate entries"] == 9


def test_overlaps_of_artists_are_reported(tmp_path):
    made = build(tmp_path, [set(range(p, p + 9)) for p in range(0, 150, 5)], min_length=2)
    overlap = split_overlaps(made).filter(pl.col("of") == "artist", pl.col("first") == "train")
    assert overlap.filter(pl.col("second") == "test")["shared"].item() == 5
    assert overlap.filter(pl.col("second") == "test")["share"].item() == 1.0


def test_draws_of_many_are_those_of_one():
    names = [f"näme {number}" for number in range(500)]
    many = rules.uniforms(3, "train", names=names)
    assert many.tolist() == [rules.uniform(3, "train", name) for name in names]
    assert rules.uniforms(3, names=names).tolist() == [rules.uniform(3, name) for name in names]


def splits_of(dataset):
    return dict(dataset.tracks.select("track_id", "split").iter_rows()), dict(
        dataset.playlists.select("playlist_id", "split").unique().iter_rows()
    )


@settings(max_examples=25, deadline=None)
@given(
    playlists=st.lists(st.sets(st.integers(0, 60), min_size=1, max_size=25), min_size=3, max_size=20),
    more=st.sets(st.integers(0, 80), min_size=1, max_size=25),
    seed=st.integers(0, 1_000),
)
def test_by_the_rule_tracks_another_playlist_or_track_moves_nothing(tmp_path_factory, playlists, more, seed):
    few, many = (tmp_path_factory.mktemp(name) for name in ("few", "many"))
    chosen = {"split_seed": seed, "min_length": 1}
    try:
        before = build(few, playlists, n_tracks=61, **chosen)
    except DataError as error:
        assert "no playlist has 1 tracks" in error.what
        return
    tracks, lists = splits_of(before)
    more_tracks, more_lists = splits_of(build(many, [*playlists, more], n_tracks=81, **chosen))
    assert before.manifest.split.rule == "tracks"
    assert {name: more_tracks[name] for name in tracks} == tracks
    assert {name: more_lists[name] for name in lists} == lists
    assert len(more_tracks) == 81


def test_by_the_rule_tracks_every_track_and_every_playlist_is_drawn_by_its_hash(tmp_path):
    playlists = [set(range(p, p + 30)) for p in range(0, 1_900, 2)]
    made = build(tmp_path, playlists, n_tracks=3_000, min_length=1)
    tracks, lists = splits_of(made)
    for drawn in (tracks, {**lists}):
        for split, share in (("train", 0.7), ("valid", 0.1), ("test", 0.2)):
            assert sum(each == split for each in drawn.values()) / len(drawn) == pytest.approx(share, abs=0.04)
    unlisted = [tracks[f"t{number}"] for number in range(2_000, 3_000)]
    assert {split: unlisted.count(split) > 50 for split in unlisted} == dict.fromkeys(("train", "valid", "test"), True)
    for name, rows in made.playlists.group_by("playlist_id"):
        listed = {f"t{track}" for track in playlists[int(name[0][1:])]}
        assert set(rows["track_id"]) == {track for track in listed if tracks[track] == lists[name[0]]}


def test_the_draws_of_tracks_and_of_playlists_of_the_same_name_are_independent():
    names = pl.Series([f"x{number}" for number in range(20_000)])
    of_tracks, of_playlists = drawn_splits(names, "track"), drawn_splits(names)
    assert (of_tracks == of_playlists).mean() == pytest.approx(0.7**2 + 0.1**2 + 0.2**2, abs=0.01)
    other = drawn_splits(names, "track", seed=1)
    assert (of_tracks == other).mean() == pytest.approx(0.54, abs=0.01)


def test_a_split_rule_that_contradicts_what_else_is_asked_is_refused(tmp_path):
    playlists = [set(range(p, p + 9)) for p in range(0, 150, 5)]
    with pytest.raises(UsageError, match="everything is test"):
        build(tmp_path, playlists, split_rule="tracks", train_fraction=0)
    assert build(tmp_path, playlists, train_fraction=0).manifest.split.rule == "playlists"
