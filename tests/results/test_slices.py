"""Slices: the table's own numbers where a slice is everything, known answers where it is not."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_results import write_results
from support.sliced_world import TRACKS, build_sliced_world
from support.small_data import random_tables

from larpbench import load_dataset, load_results
from larpbench.errors import DataError, UnknownNameError, UsageError
from larpbench.evaluation.metrics import discounts, ideal_gain
from larpbench.results.slices.answers import read_answers
from larpbench.results.slices.groups import MOST_GROUPS, make_groups, slice_names
from larpbench.results.slices.table import slice_tables
from larpbench.results.slices.values import NONE, OTHER, group_values
from larpbench.results.store import read_playlist_values
from larpbench.table_files import read_parquet


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_sliced_world(tmp_path_factory.mktemp("slices"))


def sliced(world, by):
    (found,) = slice_tables(world / "results", by, world / "data")
    return found


def test_the_slice_of_all_tracks_is_the_table(world):
    (table,) = load_results(world / "results")
    found = sliced(world, "all")
    (part,) = found.slices
    assert (part.value, part.playlists, part.left_out) == ("all", 60, 0)
    assert found.columns == table.columns
    assert {row.random_seeds for row in part.rows} == {1, 2}
    for ours, theirs in zip(part.rows, table.rows, strict=True):
        assert (ours.encoder, ours.records) == (theirs.encoder, theirs.records)
        for name in table.columns:
            one, other = ours.scores[name], theirs.scores[name]
            assert (one.value, one.few_hits, one.place) == (other.value, other.few_hits, other.place)
            assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)
    assert part.chance == table.chance
    assert part.ceiling == table.ceiling


def test_an_encoder_that_is_good_in_one_genre_is_seen(world):
    parts = {part.value: part for part in sliced(world, "Genre").slices}
    assert set(parts) == {"pop", "rock", "<b>x</b> & $y_"}
    good = {name: next(row for row in part.rows if not row.control) for name, part in parts.items()}
    assert good["pop"].scores["recall@40"].low > 0.6 > parts["pop"].chance["recall@40"]
    for name in ("rock", "<b>x</b> & $y_"):
        score, chance = good[name].scores["recall@10"], parts[name].chance["recall@10"]
        assert score.value < 2 * chance
    for part in parts.values():
        control = next(row for row in part.rows if row.control).scores["recall@40"]
        assert control.low < part.chance["recall@40"] < control.high


def test_scores_chance_and_ceiling_are_those_of_the_definition(world):
    """By hand: each playlist's own sum over its list, and every place that its relevant tracks can have."""
    dataset = load_dataset(world / "data")
    genre = dict(dataset.tracks.select("track_id", "genre").iter_rows())
    (table,) = load_results(world / "results")
    row = next(row for row in table.rows if not row.control)
    frame = read_parquet(row.files[0].with_suffix(".playlists.parquet"))
    gains, found = [], next(part for part in sliced(world, "genre").slices if part.value == "rock")
    for heldout, ranked, candidates in frame.select("heldout", "ranked", "n_candidates").iter_rows():
        relevant = {track for track in heldout if genre[track] == "rock"}
        if relevant:
            g, hits = len(relevant), [track in relevant for track in ranked[:10]]
            ndcg = (np.array(hits) @ discounts(10)) / ideal_gain(10)[min(g, 10)]
            in_ten = [sum(place < 10 for place in places) / g for places in placings(candidates, g)]
            gain = [sum(discounts(10)[place] for place in places if place < 10) for places in placings(candidates, g)]
            gains.append((sum(hits) / g, ndcg, np.mean(in_ten), np.mean(gain) / ideal_gain(10)[g], min(g, 10) / g))
    recall, ndcg, chance_recall, chance_ndcg, best = np.mean(gains, axis=0)
    scores = next(each for each in found.rows if not each.control).scores
    assert (found.playlists, found.left_out) == (len(gains), 60 - len(gains))
    assert scores["recall@10"].value == pytest.approx(recall, abs=1e-12)
    assert scores["ndcg@10"].value == pytest.approx(ndcg, abs=1e-12)
    assert found.chance["recall@10"] == pytest.approx(chance_recall, abs=1e-12)
    assert found.chance["ndcg@10"] == pytest.approx(chance_ndcg, abs=1e-12)
    assert found.ceiling["recall@10"] == best


def placings(candidates, relevant):
    """Every set of places that relevant tracks can have, up to two exactly; of more, one place at a time will do."""
    if relevant <= 2:
        return itertools.combinations(range(candidates), relevant)
    return ([(place + step) % candidates for step in range(relevant)] for place in range(candidates))


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_hits_of_disjoint_slices_are_all_hits(world, data):
    (table,) = load_results(world / "results")
    answers = read_answers(table.rows[0].files[0], 40)
    tracks = sorted(set(answers.entries["track_id"]))
    chosen = data.draw(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=len(tracks), max_size=len(tracks)))
    row = np.searchsorted(tracks, answers.entries["track_id"].to_numpy())
    members = group_values(pl.Series(chosen, dtype=pl.String), row).members
    assert (sum(mask.astype(int) for mask in members.values()) == 1).all()
    recall, heldout = read_playlist_values(table.rows[0].files[0], ["recall@40", "n_heldout"]).T
    of_slices = sum((answers.places[mask] >= 0).sum() for mask in members.values())
    assert of_slices == round(float(recall @ heldout))
    assert sum(mask.sum() for mask in members.values()) == heldout.sum()


@pytest.mark.parametrize(
    ("by", "values"),
    [
        ("tags", ["b", "a", NONE]),
        ("release_year", ["1960s", "1970s", "1980s", "1990s", "2000s"]),
        ("live", {"yes", "no"}),
        ("tracks.popularity", ["0", "1"]),
        ("mood", {"mood 0", "mood 1"}),
        ("playlists.mood", {"mood 0", "mood 1"}),
        ("rare", ["rare", NONE]),
        ("discovery", ["exploit", "discovery", NONE]),
        ("seeds", ["2-4 seeds", "5-9 seeds"]),
        ("artist", {*(f"Artist {n}" for n in range(7)), NONE}),
    ],
)
def test_what_slices_are_made_by(world, by, values):
    found = [part.value for part in sliced(world, by).slices]
    assert (found if isinstance(values, list) else set(found)) == values


def test_quartiles_of_numbers_and_the_rest_of_many_texts(world):
    tempo = sliced(world, "tempo")
    assert [part.value[:3] for part in tempo.slices] == ["Q1:", "Q2:", "Q3:", "Q4:"]
    assert [tempo.slices[0].value[:9], tempo.slices[-1].value[-3:]] == ["Q1: 0 to ", " 17"]
    label = sliced(world, "label")
    assert len(label.slices) == MOST_GROUPS + 1
    assert label.slices[-1].value == OTHER
    assert sum(part.heldout for part in label.slices) == sum(part.heldout for part in sliced(world, "all").slices)
    assert any("the 20 values beside the 20" in note for note in label.notes)


def test_a_playlist_column_counts_all_held_out_tracks_of_the_playlist(world):
    parts = sliced(world, "mood").slices
    assert [part.playlists for part in parts] == [30, 30]
    heldout = read_parquet(next((world / "results").glob("*/*/*/*/*.parquet")))["n_heldout"]
    assert sum(part.heldout for part in parts) == heldout.sum()


def test_popularity_is_counted_on_test_where_train_has_none_of_the_tracks(world):
    dataset = load_dataset(world / "data")
    found = sliced(world, "popularity")
    assert [part.value.partition(":")[0] for part in found.slices] == ["low", "middle", "high"]
    assert "test playlists (seeds and held-out tracks)" in found.notes[1]
    counts = dict(dataset.playlists.group_by("track_id").len().iter_rows())
    answers = read_answers(load_results(world / "results")[0].rows[0].files[0], 40)
    groups = make_groups(dataset, answers, "popularity").groups
    ends = []
    for group in groups:
        numbers = [counts[track] for track in answers.entries["track_id"].to_numpy()[group.members]]
        assert f"{min(numbers)}-{max(numbers)} playlists" in group.value
        ends += [min(numbers), max(numbers)]
    assert ends == sorted(ends)
    assert len(set(ends[1:-1])) == 4  # no number is in two slices


def test_popularity_is_counted_on_train_where_the_tracks_are_there(world):
    dataset = load_dataset(world / "data")
    answers = read_answers(load_results(world / "results")[0].rows[0].files[0], 40)
    rows = [(f"train {p}", f"t{t:05d}", "train", "member", "m") for t in range(TRACKS) for p in range(t)]
    train = pl.DataFrame(rows, schema=dataset.playlists.columns, orient="row")
    grouping = make_groups(replace(dataset, playlists=pl.concat([dataset.playlists, train])), answers, "popularity")
    assert "train playlists" in grouping.notes[0]
    numbers = answers.entries["track_id"].str.slice(1).cast(pl.Int64).to_numpy()
    for group, third in zip(grouping.groups, np.array_split(np.sort(numbers), 3), strict=True):
        assert numbers[group.members].mean() == pytest.approx(third.mean(), abs=2)


def test_slices_of_few_playlists_are_marked(world):
    found = sliced(world, "rare")
    assert found.slices[0].few
    assert not found.slices[1].few
    cells = [row.cells[1].text for row in found.sheet().rows]
    assert cells[0].endswith(" of 60 (few)")
    assert cells[-1].endswith(" of 60")
    assert any(note.startswith("few: fewer than 20 playlists") for note in found.notes)


def test_every_format_shows_them_and_no_value_does_harm(cli, world):
    given = ("table", world / "results", "--by", "genre", "--dataset", world / "data")
    texts = {name: cli(*given, "--format", name).out for name in ("md", "csv", "latex", "html", "json")}
    for text in texts.values():
        assert "\x07" not in text
        assert "rock" in text
    assert "<b>x" not in texts["html"]
    assert "<b>x" not in texts["md"]
    assert r"\textless{}b\textgreater{}x\textless{}/b\textgreater{} \&" in texts["latex"]
    assert r"\$y\_" in texts["latex"]
    lines = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert {"by", "slice", "value", "n", "ci_low", "chance", "ceiling", "metric"} <= lines[0].keys()
    assert {line["slice"] for line in lines} == {"pop", "rock", "<b>x</b> & $y_"}
    found = sliced(world, "genre")
    pop = next(part for part in found.slices if part.value == "pop")
    (line,) = [
        line for line in lines
        if (line["slice"], line["metric"], line["encoder"]) == ("pop", "ndcg@20", "random")
    ]  # fmt: skip
    random = next(row for row in pop.rows if row.encoder == "random")
    assert (float(line["value"]), float(line["chance"])) == (random.scores["ndcg@20"].value, pop.chance["ndcg@20"])
    assert (int(line["n"]), int(line["left_out"]), int(line["seeds"])) == (pop.playlists, pop.left_out, 2)
    (table,) = json.loads(texts["json"])["tables"]
    assert table["columns"][0] == {"label": "genre"}


def test_an_unknown_column_names_what_there_is(cli, world):
    given = ("table", world / "results", "--dataset", world / "data", "--by")
    outcome = cli(*given, "gener")
    assert outcome.code == 2
    assert "did you mean genre?" in outcome.err
    for name in ("popularity", "discovery", "seeds", "mood", "tracks.popularity"):
        assert name in outcome.err
    for wrong in ("tracks.mood", "playlists.genre", "", "track_id", "caption"):
        with pytest.raises(UnknownNameError):
            slice_tables(world / "results", wrong, world / "data")
    assert cli("table", world / "results", "--dataset", world / "data").code == 2


def test_another_data_set_than_was_tested_is_refused(cli, world, tmp_path):
    other = random_tables(tmp_path / "tables", tracks=TRACKS, playlists=60, seed=6)
    built = ("dataset", "build", "csv", "--tracks", other.tracks, "--playlists", other.playlists)
    assert cli(*built, "--output", tmp_path / "data").code == 0
    with pytest.raises(DataError, match="not available") as found:
        slice_tables(world / "results", "seeds", tmp_path / "data")
    assert "data" in found.value.where
    assert "--dataset" in found.value.next_step
    with pytest.raises(DataError, match="is no data set"):
        slice_tables(world / "results", "seeds", tmp_path)


def test_a_table_without_scores_is_named_and_left_out(world, capsys):
    (table,) = load_results(world / "results")
    failed = replace(table, rows=(), records=())
    assert len(slice_tables([failed, table], "all", world / "data")) == 1
    assert "the table has no scores" in capsys.readouterr().err
    with pytest.raises(DataError, match="the table has no scores"):
        slice_tables([failed], "all", world / "data")


def test_a_data_set_that_was_moved_or_got_a_column_is_the_same(world, tmp_path):
    shutil.copytree(world / "data", tmp_path / "moved")
    path = tmp_path / "moved" / "tracks.parquet"
    pl.read_parquet(path).with_columns(new=pl.lit("x")).write_parquet(path)
    manifest = json.loads((tmp_path / "moved" / "dataset.json").read_text())
    (tmp_path / "moved" / "dataset.json").write_text(json.dumps(manifest | {"files": {}}))
    (found,) = slice_tables(load_results(world / "results"), "new", tmp_path / "moved")
    assert [part.value for part in found.slices] == ["x"]
    assert "new" in slice_names(load_dataset(tmp_path / "moved"))


def test_results_without_held_out_tracks_say_so(tmp_path, world):
    made = load_results(write_results(tmp_path / "made", ["clap", "random"]))
    with pytest.raises(DataError, match="not available"):
        slice_tables(made, "seeds")
    copied = tmp_path / "results"
    shutil.copytree(world / "results", copied)
    for path in copied.rglob("*.playlists.parquet"):
        if "precomputed" in str(path):
            read_parquet(path).drop("heldout").write_parquet(path)
            record = path.with_name(path.name.replace(".playlists.parquet", ".json"))
            record.write_text(json.dumps(json.loads(record.read_text()) | {"playlists_sha256": None}))
    (found,) = slice_tables(copied, "seeds", world / "data")
    assert {row.encoder for part in found.slices for row in part.rows} == {"random"}
    assert any("Left out are results of an earlier version" in note for note in found.notes)
    for path in copied.rglob("*/random/**/*.json"):
        path.unlink()
    with pytest.raises(DataError, match="do not say which tracks were held out"):
        slice_tables(copied, "seeds", world / "data")


def test_tables_without_playlists_or_without_such_metrics_have_no_slices(world):
    (table,) = load_results(world / "results")
    with pytest.raises(UsageError, match="none of the metrics coverage@10"):
        slice_tables([replace(table, columns=("coverage@10",))], "seeds", world / "data")
    with pytest.raises(UsageError, match="slices are made of playlists"):
        slice_tables([replace(table, task="artist-similarity")], "seeds", world / "data")


def test_slices_follow_the_chosen_metrics_and_digits(cli, world):
    given = ("table", world / "results", "--by", "all", "--dataset", world / "data", "--format", "md")
    shown = cli(*given, "--metrics", "hit_rate@10,coverage@10,mrr@40", "--digits", "2", "--no-intervals").out
    assert "| all | n | Encoder | Recommender | Hit rate@10 ↑ | MRR@40 ↑ |" in shown
    assert "[0." not in shown
    whole = cli("table", world / "results", "--metrics", "hit_rate@10,mrr@40", "--digits", "2", "--no-intervals").out
    for label in ("random (control) (2 seeds) | itemknn |", "chance |  |", "ceiling |  |"):
        numbers = [line.partition(label)[2].split("|")[:2] for text in (shown, whole) for line in text.splitlines()
                   if label in line]  # fmt: skip
        assert [each.strip() for each in numbers[0]] == [each.strip() for each in numbers[1]]
