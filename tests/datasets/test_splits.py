from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.datasets import splits
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.check import check_dataset, split_overlaps
from larpbench.datasets.splits import draw_playlist_splits, draw_roles
from larpbench.errors import DataError


def tracks_frame(n):
    rows = [(f"t{i}", f"Title {i}", f"Artist {i % 5}", "") for i in range(n)]
    return pl.DataFrame(rows, schema=["track_id", "title", "artist", "album"], orient="row")


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
    drawn = draw_playlist_splits(ids, seed=0, train_fraction=0.7)
    shares = dict(drawn["split"].value_counts(normalize=True).iter_rows())
    assert shares["test"] == pytest.approx(0.2, abs=0.01)
    assert shares["valid"] == pytest.approx(0.1, abs=0.01)
    part = draw_playlist_splits(ids[5:50], seed=0, train_fraction=0.7)
    assert part["split"].to_list() == drawn["split"][5:50].to_list()
    assert set(draw_playlist_splits(ids, seed=0, train_fraction=0)["split"]) == {"test"}
    with pytest.raises(DataError, match="train fraction"):
        draw_playlist_splits(ids, seed=0, train_fraction=1.0)


@settings(max_examples=25, deadline=None)
@given(
    playlists=st.lists(st.sets(st.integers(0, 60), min_size=1, max_size=15), min_size=3, max_size=40),
    seed=st.integers(0, 1_000),
    train_fraction=st.sampled_from([0.0, 0.3, 0.7]),
)
def test_drawn_splits_share_nothing_and_lose_nothing_uncounted(tmp_path_factory, playlists, seed, train_fraction):
    folder = tmp_path_factory.mktemp("drawn")
    try:
        made = build(folder, playlists, n_tracks=61, split_seed=seed, train_fraction=train_fraction, min_length=2)
    except DataError as error:
        assert "no playlist has 2 tracks" in error.what
        return
    findings = check_dataset(made.folder)
    assert all(finding.ok for finding in findings), findings
    assert made.tracks.height == 61
    lost = made.manifest.left_out.get("entries whose track belongs to another split", 0)
    short = made.manifest.left_out.get("playlists with fewer than 2 tracks of their split", 0)
    entries = sum(map(len, playlists)) - lost
    assert entries - short <= made.playlists.height <= entries  # a playlist that left had 0 or 1 tracks
    assert made.playlists["playlist_id"].n_unique() + short == len(playlists)
    shortest = made.playlists.group_by("playlist_id").len()["len"].min()
    assert shortest >= 2
    if train_fraction == 0:
        assert set(made.tracks["split"]) == {"test"}


def test_test_playlists_claim_their_tracks_first(tmp_path):
    playlists = [set(range(p, p + 12)) for p in range(0, 120, 4)]
    made = build(tmp_path, playlists, min_length=1)
    drawn = draw_playlist_splits(pl.Series([f"p{p}" for p in range(30)]), seed=0, train_fraction=0.7)
    of = dict(drawn.iter_rows())
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
    many = splits.uniforms(3, "train", names=names)
    assert many.tolist() == [splits.uniform(3, "train", name) for name in names]
    assert splits.uniforms(3, names=names).tolist() == [splits.uniform(3, name) for name in names]
