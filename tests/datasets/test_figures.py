"""Figures of playlists: as counted by hand, and those of the invented worlds beside those of real playlists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from support.real_playlists import REAL, RECALL_OVER_CHANCE

from larpbench.datasets import figures
from larpbench.datasets.assemble import BuildOptions, assemble
from larpbench.datasets.demo.world import WorldSpec, draw_world
from larpbench.datasets.demo_large.world import LargeWorldSpec, draw_large_world

PAGES = Path(__file__).parents[2] / "docs" / "datasets"
TRACKS = pl.DataFrame(
    [
        ("a", "Blue (live)", "Ann", "One"),
        ("b", "Blue - remix", "Ann", "One"),
        ("c", "Blue sky", "Ann", "Two"),
        ("d", "Re-do it", "Bob", ""),
        ("e", "Blue", "", ""),
        ("f", "O'Neill's blue", None, None),
    ],
    schema=["track_id", "title", "artist", "album"],
    orient="row",
)
ENTRIES = pl.DataFrame(
    [("p", "a"), ("p", "b"), ("p", "c"), ("p", "d"), ("q", "a"), ("q", "e"), ("q", "f"), ("r", "a")],
    schema=["playlist_id", "track_id"],
    orient="row",
)


def test_figures_are_those_counted_by_hand():
    assert figures.length_quantiles(ENTRIES, (0, 0.5, 1)) == [1, 3, 4]
    assert figures.popularity_quantiles(ENTRIES, (0, 1)) == [1, 3]
    assert figures.entries_of_top_tracks(ENTRIES, 1 / 6) == pytest.approx(3 / 8)
    assert figures.tracks_in_one_playlist(ENTRIES) == pytest.approx(5 / 6)
    assert figures.artist_count(TRACKS.fill_null("")) == figures.artist_count(TRACKS) == 4
    assert figures.one_track_artists(TRACKS) == pytest.approx(3 / 4)
    assert figures.tracks_of_top_artists(TRACKS, 0.25) == pytest.approx(3 / 6)
    assert figures.tracks_per_album(TRACKS) == pytest.approx(6 / 5)  # One, Two, and three of their own
    assert figures.distinct_artist_quantiles(ENTRIES, TRACKS, (0, 0.5, 1)) == [0.5, 1, 1]
    assert figures.same_artist_pairs(ENTRIES, TRACKS) == pytest.approx((3 / 6 + 0) / 2)  # r has no pair
    shares = [(5 / 8) ** 2, *[(1 / 8) ** 2] * 3]
    assert figures.same_artist_lift(ENTRIES, TRACKS) == pytest.approx(0.25 / sum(shares))
    assert figures.same_album_pairs(ENTRIES, TRACKS) == pytest.approx(1 / 6 / 2)
    assert figures.words_per_title(TRACKS) == pytest.approx((2 + 2 + 2 + 3 + 1 + 2) / 6)
    assert figures.words_in_titles(TRACKS) == 1
    assert figures.suffixed_titles(TRACKS) == pytest.approx(2 / 6)


def test_nothing_has_no_figures(cli, small):
    found = figures.playlist_figures(TRACKS.clear(), ENTRIES.clear())
    assert list(found) == list(REAL)
    assert found["artists"] == found["words in 5 titles or more"] == 0
    assert str(found["pairs with the same artist, over chance"]) == "nan"


def test_stats_prints_them_for_each_split(cli, small):
    printed = cli("dataset", "stats", small.folder / "small")
    assert printed.code == 0
    assert "pairs with the same artist, over chance" in printed.out
    rows = json.loads(cli("dataset", "stats", small.folder / "small", "--json").out)["figures"]
    assert [row["figure"] for row in rows] == list(REAL)
    assert set(rows[0]) == {"figure", "train", "valid", "test"}


@pytest.fixture(scope="module")
def large():
    return draw_large_world(LargeWorldSpec())


def test_the_large_world_has_the_figures_of_real_playlists_and_its_page_shows_them(large):
    found = figures.playlist_figures(large.tracks, large.playlists)
    for name, real in REAL.items():
        if name == "pairs with the same artist, over chance":
            assert real / 1.5 < found[name] < real * 1.5
        elif name.startswith("playlists per track"):
            assert found[name] == pytest.approx(real, rel=0.15, abs=1), name
        else:
            assert found[name] == pytest.approx(real, rel=0.15), name
    assert large.tracks.height == pytest.approx(19_276, rel=0.05)
    assert large.playlists.height == pytest.approx(278_521, rel=0.05)
    page = (PAGES / "demo-large.md").read_text(encoding="utf-8")
    for name, ours in found.items():
        assert f"| {name} | {_shown(REAL[name])} | {_shown(ours)} |" in page


def test_recall_over_chance_is_that_of_real_playlists(large, cli, tmp_path):
    seed = LargeWorldSpec().seed
    options = BuildOptions("world", "made", "CC0-1.0", split_seed=seed)
    built = assemble(large.tracks, large.playlists, options, tmp_path / "world")
    assert built.split("test").tracks.height == pytest.approx(3_855, rel=0.1)  # an equal pool
    encoders = ",".join(RECALL_OVER_CHANCE)
    done = cli("run", "--dataset", built.folder, "--encoders", encoders, "--output", tmp_path / "results")
    assert done.code == 0, done.err
    page = (PAGES / "demo-large.md").read_text(encoding="utf-8")
    for name, real in RECALL_OVER_CHANCE.items():
        (path,) = (tmp_path / "results").glob(f"*/*/{name}/*/*.json")
        (metric,) = [each for each in json.loads(path.read_text())["metrics"] if each["name"] == "recall@10"]
        found = metric["value"] / metric["chance"]
        assert real / 2 < found < real * 2, name
        row = re.search(rf"\| recall@10 over chance, `{name}` \| {real} \| (.+) \|", page)
        assert row
        assert float(row[1]) == pytest.approx(found, rel=0.02)


SMALL_WORLD_HAS = (
    "artists with one track",
    "tracks by the top 10 % of artists",
    "tracks per album",
    "distinct artists per entry, quantile 0.9",
    "pairs with the same artist",
)
"""What 1,150 tracks in playlists of 8 to 16 allow."""


def test_the_small_world_has_the_figures_that_its_size_allows():
    world = draw_world(WorldSpec())
    found = figures.playlist_figures(world.tracks, world.playlists)
    page = (PAGES / "demo.md").read_text(encoding="utf-8")
    for name in SMALL_WORLD_HAS:
        assert found[name] == pytest.approx(REAL[name], rel=0.15), name
    for name, ours in found.items():
        assert f"| {name} | {_shown(REAL[name])} | {_shown(ours)} |" in page
    lifts = {}
    for split in ("train", "valid", "test"):  # beside what the same artists would give by chance
        tracks, entries = (each.filter(split=split) for each in (world.tracks, world.playlists))
        lifts[split] = figures.same_artist_lift(entries, tracks)
        assert lifts[split] > 1.3
    assert "{train:.1f} (train), {valid:.1f} (valid) and {test:.1f} (test) times".format(**lifts) in page


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"
