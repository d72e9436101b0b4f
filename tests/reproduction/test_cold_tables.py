"""`larpbench reproduce tamm-2026` and `acarec-2026`: ours, chance, controls, and what published rows are."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from support.listener_world import planted_listeners
from support.open_collections import write_onion

from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.sources.collection import CollectionOptions
from larpbench.datasets.sources.onion.build import OnionOptions, build_onion
from larpbench.evaluation.bounds import chance
from larpbench.report.reproduced import read_reproduced
from larpbench.reproduction import tamm
from larpbench.results.published.cold_tracks import METRICS, PublishedSplit, published_chance, published_cold_scores
from larpbench.results.writers import read_json

QUICK = ("--seeds", "1", "--budget", "1")
COLUMNS = tuple(f"{name}@{k}" for k in (20, 50) for name in METRICS)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Listeners whose tastes the vectors `musicnn` tell, which the data set brings; beside it lies a file of noise."""
    folder = tmp_path_factory.mktemp("worlds")
    found = planted_listeners(folder / "planted")
    data = found.dataset
    ids = np.concatenate([data.split(name).track_ids for name in found.vectors]).astype(str)
    vectors = np.concatenate([*found.vectors.values()])
    (data.folder / "vectors").mkdir()
    np.savez(data.folder / "vectors" / "musicnn.npz", ids=ids, embeddings=vectors)
    np.savez(folder / "noise.npz", ids=ids, embeddings=np.random.default_rng(0).normal(size=vectors.shape))
    return found


@pytest.fixture
def reproduce(cli, tmp_path):
    """Reproduce a target, and return its lines and its table."""

    def call(target, folder, *arguments):
        where = ("--results", tmp_path / "results", "--output", tmp_path / "made")
        done = cli("reproduce", target, "--dataset", folder, *QUICK, *arguments, *where)
        assert done.code == 0, done.err
        with (tmp_path / "made" / f"{target}.csv").open(newline="") as stream:
            lines = list(csv.DictReader(stream))
        (sheet,) = read_json(tmp_path / "made" / f"{target}.json")
        return lines, sheet

    return call


def numbers(lines, encoder, recommender, source="larpbench"):
    chosen = [line for line in lines if line["encoder"] == encoder and line["recommender"] == recommender]
    return {line["metric"]: line for line in chosen if line["source"] == source}


def shown(sheet, recommender, encoder):
    rows = [[cell.text for cell in row.cells] for row in sheet.rows]
    return next(row for row in rows if row[:2] == [recommender, encoder])


def test_ours_and_the_published_rows_stand_beside_each_other(reproduce, world, tmp_path):
    lines, sheet = reproduce("tamm-2026", world.dataset.folder)
    queries = world.test
    expected = chance(queries.candidates, queries.heldout.lengths, (20, 50))
    for recommender in ("itemknn", "ridge"):
        mine = numbers(lines, "provided:musicnn", recommender)
        assert tuple(mine) == COLUMNS
        for name, line in mine.items():
            assert float(line["chance"]) == pytest.approx(expected[name].mean(), abs=1e-12)
            assert float(line["ci_low"]) <= float(line["value"]) <= float(line["ci_high"])
            assert name == "hit_rate@50" or float(line["chance"]) < float(line["ci_low"])
    bounds = shown(sheet, "", "chance")
    assert bounds[3:9] == [f"{expected[name].mean():.4f}" for name in COLUMNS]

    shuffled = numbers(lines, "shuffled:provided:musicnn", "itemknn")
    assert {line["seeds"] for line in shuffled.values()} == {"20"}
    for line in shuffled.values():
        assert float(line["ci_low"]) <= float(line["chance"]) <= float(line["ci_high"])
    assert "20 permutations" in shown(sheet, "itemknn", "shuffled:provided:musicnn (control)")[-2]
    assert "chance within the interval" in shown(sheet, "itemknn", "shuffled:provided:musicnn (control)")[-2]
    assert not numbers(lines, "shuffled:provided:musicnn", "ridge")
    assert not numbers(lines, "shuffled:same-artist", "itemknn"), "controls are not permuted"

    for encoder, recommender in (("none", "artist-mean"), ("none", "popular-artist"), ("same-artist", "itemknn")):
        assert numbers(lines, encoder, recommender)["recall@20"]["value"]
    published = [line for line in lines if line["source"] == "the released code"]
    assert {(line["recommender"], line["encoder"], line["metric"]): float(line["value"]) for line in published} == {
        (row.method, row.encoder + ", shuffled" * row.shuffled, f"{metric}@20 (as labelled)"): value
        for row in published_cold_scores()
        for metric, value in row.values.items()
    }
    assert all("k = 50 whatever the label" in line["note"] and "Metrics.ipynb" in line["note"] for line in published)
    assert shown(sheet, "KNN", "musicnn")[9:12] == ["0.2662", "0.1189", "0.0496"]
    assert "listeners are means of wrong tracks" in shown(sheet, "KNN", "musicnn")[-2]
    public = [line for line in lines if line["source"] == "the public split"]
    assert {line["metric"]: float(line["value"]) for line in public} == {
        name: each.value for name, each in published_chance().items()
    }

    text = " ".join(sheet.notes)
    assert "Published numbers are of the public split (589 cold tracks" in text
    assert "whether the printed paper corrects" in text.lower()
    assert "src/utils.py, lines 56 to 61" in text
    assert "src/knn.py, line 23" in text
    assert "39 lie above the whole range at 20, and 40 within that at 50" in text
    assert "not run: provided:muq_msd" in text
    first = next(iter(sheet.rows)).cells[1].text
    assert first == "provided:musicnn", "what was run stands first"
    assert [each.sheet for each in read_reproduced(tmp_path / "made")] == [sheet]


def test_a_label_names_the_published_encoder_and_an_explicit_list_is_taken_as_it_is(reproduce, world):
    """A combination is permuted as one."""
    both = f"centred:provided:musicnn+0.5*precomputed:{world.dataset.folder.parent / 'noise.npz'}"
    lines, sheet = reproduce(
        "tamm-2026", world.dataset.folder, "--encoders", f"muq_msd={both}", "--recommenders", "itemknn"
    )
    shuffled = "shuffled:(centred:provided:musicnn+0.5*precomputed:noise.npz)"
    ours = {(line["encoder"], line["recommender"], line["seeds"]) for line in lines if line["source"] == "larpbench"}
    assert ours == {("muq_msd", "itemknn", "1"), (shuffled, "itemknn", "20")}
    order = [row.cells[1].text for row in sheet.rows]
    assert order[:3] == ["muq_msd", f"{shuffled} (control)", "muq_msd"]
    assert order.count("mule") == 6, "published rows stand beside a row of one's own"
    assert order.count("muq_msd") == 7, "and none of them twice"
    assert any(note.startswith("not run: provided:muq_msd") and "not asked for" in note for note in sheet.notes)


def test_artists_beside_content(reproduce, world):
    named = ("--encoders", "provided:musicnn", "--recommenders", "itemknn,ridge,artist-mean")
    lines, sheet = reproduce("acarec-2026", world.dataset.folder, *named)
    artist_mean = float(numbers(lines, "none", "artist-mean")["recall@20"]["value"])
    for recommender in ("itemknn", "ridge"):
        mine = numbers(lines, "provided:musicnn", recommender)
        ratio = mine["recall@20, artist-mean / this"]
        assert float(ratio["value"]) == pytest.approx(artist_mean / float(mine["recall@20"]["value"]))
        assert 0 < float(ratio["ci_low"]) <= float(ratio["value"]) <= float(ratio["ci_high"]) < 1
    assert shown(sheet, "itemknn", "provided:musicnn")[-2] == "content"
    assert shown(sheet, "artist-mean", "none (control)")[-2] == "artist"
    finding = shown(sheet, "", "artist-aware methods over content-only baselines")
    assert finding[6:8] == ["more than 2", "more than 2"]
    assert "Its tables could not be read" in " ".join(sheet.notes)


def onion(folder, base):
    """A small copy of Music4All-Onion, built as the preset has it."""
    source = write_onion(folder / "copy", base=base)
    build_onion(source, CollectionOptions("onion"), OnionOptions(preset="tamm-2026"), folder / "onion")
    return folder / "onion"


def test_a_small_copy_of_onion(reproduce, tmp_path):
    """It has 12 cold tracks, so that no K of these applies."""
    lines, sheet = reproduce("tamm-2026", onion(tmp_path, base=True), "--recommenders", "itemknn")
    ours = [line for line in lines if line["source"] == "larpbench"]
    names = ("provided:musicnn", "provided:mfcc_stats", "shuffled:provided:mfcc_stats", "same-artist")
    notes = [line["note"] for line in ours if line["encoder"] in names]
    assert notes == ["n/a: K reaches the number of candidates"] * len(names) * len(COLUMNS)
    text = " ".join(sheet.notes)
    assert "provided:musicnn has 5 numbers, the published musicnn 200" in text
    assert "provided:mfcc_stats has 7 numbers, the published mfcc 104" in text
    assert shown(sheet, "KNN", "mfcc")[9] == "0.2423"


def test_a_copy_without_titles_has_no_controls_and_says_so(reproduce, tmp_path):
    lines, sheet = reproduce("acarec-2026", onion(tmp_path, base=False), "--recommenders", "itemknn")
    assert {line["encoder"] for line in lines if line["source"] == "larpbench"} == {
        "provided:musicnn", "provided:mfcc_stats",
    }  # fmt: skip
    assert any("the data set knows no artists" in note for note in sheet.notes)
    assert not any("Artist-mean / this" in note for note in sheet.notes)


def test_the_public_split_is_told_by_its_size(world, monkeypatch):
    assert not tamm.is_public(world.dataset)
    test = world.dataset.split("test").interactions()
    size = PublishedSplit("ColdTest", len(test.tracks), len(test), len(world.test.track_ids), (3, 1, 85), "")
    monkeypatch.setattr(tamm, "published_split", lambda: {"ColdTest": size})
    assert tamm.is_public(world.dataset)


def test_wrong_input(cli, small, world, tmp_path):
    folder = ("--output", tmp_path / "made", "--results", tmp_path / "results")
    playlists = cli("reproduce", "tamm-2026", "--dataset", small.folder / "small", *folder)
    assert playlists.code == 2
    assert "tamm-2026 reads data sets of kind listeners, and 'small' is of kind playlists" in playlists.err
    assert "larpbench dataset build onion --preset tamm-2026" in playlists.err
    listeners = cli("reproduce", "table2", "--dataset", world.dataset.folder, *folder)
    assert listeners.code == 2
    assert "kind playlists" in listeners.err
    assert "larpbench reproduce tamm-2026 --dataset planted" in listeners.err
    sized = cli("reproduce", "acarec-2026", "--dataset", world.dataset.folder, "--size", "paper")
    assert sized.code == 2
    assert "--size changes nothing of acarec-2026" in sized.err
    named = ("reproduce", "tamm-2026", "--dataset", world.dataset.folder, *QUICK, *folder)
    unknown = cli(*named, "--encoders", "provoded:musicnn")
    assert unknown.code == 2
    assert "provided" in unknown.err
    recommender = cli(*named, "--recommenders", "ridgee")
    assert recommender.code == 2
    assert "did you mean ridge" in recommender.err
    missing = cli(*named, "--encoders", "provided:muq")
    assert missing.code == 3
    assert "brings no vectors 'muq'" in missing.err
    unpaired = cli(*named, "--encoders", "none", "--recommenders", "itemknn")
    assert unpaired.code == 3
    assert "no encoder is tested with these recommenders" in unpaired.err
    target = cli("reproduce", "tamm-2025", "--dataset", world.dataset.folder)
    assert target.code == 2
    assert "did you mean tamm-2026" in target.err
    assert not (tmp_path / "made").exists()


def test_without_a_data_set_the_embedded_one_of_the_kind_is_taken(cli, monkeypatch, world, tmp_path):
    asked = []
    monkeypatch.setattr(
        "larpbench.datasets.catalogue.load_dataset",
        lambda name: asked.append(name) or load_dataset(str(world.dataset.folder)),
    )
    done = cli(
        "reproduce", "acarec-2026", *QUICK, "--encoders", "provided:musicnn", "--recommenders", "itemknn", "--json",
        "--output", tmp_path / "made", "--results", tmp_path / "results",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert asked == ["demo-listeners"]
    assert "note: the data set is demo-listeners" in done.err
    assert '"target": "acarec-2026"' in done.out
