"""`larpbench export mteb`: the folder that it writes, and the scores that mteb gives with it."""

from __future__ import annotations

import importlib.util
import json
import re
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.small_data import random_tables, write_tables

import larpbench
from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.sources.csv import build_csv
from larpbench.evaluation.ranking import tie_order
from larpbench.export import mteb as exporting

HOSTILE = 'a "b"\' {c} \\ | <d> _e_ \u2028 [f](g) é 🎵 # "'


def built(folder, tables, name="mine", licence="CC0-1.0"):
    return build_csv(tables.tracks, tables.playlists, BuildOptions(name, "a test", licence), folder)


def lines(folder, name):
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def with_uncounted(folder):
    """Tables of which one playlist has no seed, and one nothing held out; half of the tracks share their caption."""
    made = random_tables(folder, tracks=70, playlists=25, seed=3)
    tracks = pl.read_csv(made.tracks).with_columns(
        title=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("Same")).otherwise("title"),
        artist=pl.lit("One"),
        album=pl.lit(""),
    )
    tracks.write_csv(made.tracks)
    more = pl.DataFrame(
        [("no-seed", "t00001", "test", "heldout"), ("no-heldout", "t00002", "test", "seed")],
        schema=["playlist_id", "track_id", "split", "role"],
        orient="row",
    )
    pl.concat([pl.read_csv(made.playlists), more]).write_csv(made.playlists)
    return made


def test_the_folder_holds_the_test_tracks_and_playlists_and_nothing_else(cli, tmp_path):
    data = built(tmp_path / "data", with_uncounted(tmp_path / "tables"))
    done = cli("export", "mteb", data.folder, "--output", tmp_path / "made")
    assert done.code == 0, done.err
    assert "left out: 1 playlists with no seed" in done.err
    assert done.out == f"{tmp_path / 'made'}   (70 tracks, 25 playlists)\n"
    made = {path.name for path in (tmp_path / "made").iterdir()}
    assert made == {"README.md", "corpus.jsonl", "queries.jsonl", "qrels.jsonl", "task.json", "larpbench_mine.py"}
    test = data.split("test")
    corpus, queries, relevant = (lines(tmp_path / "made", name) for name in ("corpus", "queries", "qrels"))
    captions = dict(test.tracks.select("track_id", "caption").iter_rows())
    assert {line["id"]: line["text"] for line in corpus} == captions
    assert [line["tie_order"] for line in corpus] == tie_order(test.track_ids).tolist()
    entries = {}
    for playlist, track, role in test.entries.select("playlist_id", "track_id", "role").iter_rows():
        entries.setdefault((playlist, role), set()).add(track)
    counted = {playlist for playlist, _ in entries} - {"no-seed", "no-heldout"}
    assert {line["id"]: set(line["seeds"]) for line in queries} == {each: entries[each, "seed"] for each in counted}
    assert all(line["text"] == "\n".join(captions[track] for track in line["seeds"]) for line in queries)
    found = {}
    for line in relevant:
        assert line["score"] == 1
        found.setdefault(line["query-id"], set()).add(line["corpus-id"])
    assert found == {each: entries[each, "heldout"] for each in counted}
    again = cli("export", "mteb", data.folder, "--output", tmp_path / "made")
    assert again.code == 0, "the same folder again is no conflict"


def test_what_comes_from_the_data_is_only_text(tmp_path):
    tables = random_tables(tmp_path / "tables", tracks=20, playlists=4)
    data = built(tmp_path / "data", tables, name=HOSTILE, licence=HOSTILE)
    task = exporting.export_mteb(data, tmp_path / "made")
    assert task.module.isidentifier()
    assert re.fullmatch(r"Larpbench_\w+_[0-9a-f]{8}", task.name)
    assert json.loads((tmp_path / "made" / "task.json").read_text())["metadata"]["license"] == "not specified"
    code = (tmp_path / "made" / f"{task.module}.py").read_bytes()
    assert code == Path(exporting.__file__).with_name("mteb_task.py").read_bytes(), "no text of the data is code"
    text = (tmp_path / "made" / "README.md").read_text()
    header, _, body = text.removeprefix("---\n").partition("\n---\n")
    values = dict(line.split(": ", 1) for line in header.split("\n"))
    assert json.loads(values["license_name"]) == HOSTILE
    assert "<d>" not in body
    assert '\n| Data set | a "b"\' {c} \\\\ \\| \\<d\\>' in body


@pytest.mark.parametrize(
    ("licence", "written"),
    [
        ("CC-BY-4.0", "cc-by-4.0"),
        ("https://example.org/licence", "https://example.org/licence"),
        ("ask the author", "not specified"),
    ],
)
def test_licences(tmp_path, licence, written):
    data = built(tmp_path / "data", random_tables(tmp_path / "tables", tracks=20, playlists=4), licence=licence)
    exporting.export_mteb(data, tmp_path / "made")
    facts = json.loads((tmp_path / "made" / "task.json").read_text())["metadata"]
    assert facts["license"] == written
    assert licence in facts["description"]
    assert f"| Licence | {licence} |" in (tmp_path / "made" / "README.md").read_text()


def test_another_data_set_of_the_same_name_is_another_task(tmp_path):
    names = set()
    for seed in (1, 2):
        data = built(tmp_path / f"data{seed}", random_tables(tmp_path / f"tables{seed}", seed=seed))
        names.add(exporting.export_mteb(data, tmp_path / f"made{seed}").name)
    assert len(names) == 2, "mteb keeps results by the name of the task alone"


def test_the_folder_has_a_default(cli, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("export", "mteb", small.folder / "small").code == 0
    assert (tmp_path / "mteb-small" / "task.json").is_file()


def test_wrong_input(cli, small, tmp_path):
    data = small.folder / "small"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    unknown = cli("export", "mteb", "nothing-here", "--output", tmp_path / "a")
    artists = cli("export", "mteb", "toy-artists", "--output", tmp_path / "a")
    full = cli("export", "mteb", data, "--output", tmp_path / "full")
    for outcome, said in ((unknown, "nothing-here"), (artists, "kind playlists"), (full, "not empty")):
        assert outcome.code == 2, outcome.err
        assert said in outcome.err
    assert cli("export", "beir", data, "--output", tmp_path / "a").code == 2
    assert not (tmp_path / "a").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


# From here on with mteb itself.


@pytest.fixture
def mteb(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("MTEB_CACHE", str(tmp_path / "mteb-cache"))
    return pytest.importorskip("mteb")


def task_of(data, folder):
    """Export a data set and return its task, loaded as a user would load it."""
    made = exporting.export_mteb(data, folder)
    spec = importlib.util.spec_from_file_location(made.module, folder / f"{made.module}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PlaylistContinuation()


def vectors_of(captions, values):
    """Return vectors of captions, of odd numbers; few `values` of a number give many tracks the same score."""
    drawn = [np.random.default_rng(zlib.crc32(caption.encode())).integers(-values, values, 6) for caption in captions]
    return np.array(drawn, dtype=np.float32) * 2 + 1


class Model:
    """A text encoder by the interface of mteb; it keeps no similarity of its own."""

    def __init__(self, mteb, encode):
        self.mteb_model_meta = mteb.models.ModelMeta.create_empty()
        self._encode = encode

    def encode(self, inputs, **kwargs):
        assert kwargs["prompt_type"] == "document"
        return np.concatenate([self._encode(batch["text"]) for batch in inputs])

    def similarity(self, one, other):
        raise AssertionError

    similarity_pairwise = similarity


def scores(mteb, model, task):
    result = mteb.evaluate(model, task, cache=None, show_progress_bar=False, encode_kwargs={"batch_size": 7})
    return result.task_results[0].scores["test"][0]


def metrics_of(data, folder, encode):
    """Return the metrics of a larpbench run with the same vectors."""
    tracks = data.split("test").tracks
    vectors = encode(tracks["caption"].to_list())
    np.savez(folder / "vectors.npz", ids=tracks["track_id"].to_numpy().astype(str), embeddings=vectors)
    plan = larpbench.plan(data, encoders=[f"precomputed:{folder / 'vectors.npz'}"], output=folder / "results")
    larpbench.run(plan)
    (row,) = larpbench.load_results(folder / "results")[0].rows
    (record,) = row.records
    return {metric.name: metric for metric in record.metrics}


@pytest.mark.parametrize("values", [1_000, 2, 1])
def test_mteb_gives_the_scores_of_larpbench(mteb, tmp_path, values):
    """Also where many tracks have the same caption and the same scores: the tie order is that of larpbench."""
    data = built(tmp_path / "data", with_uncounted(tmp_path / "tables"))

    def encode(captions):
        return vectors_of(captions, values)

    found = scores(mteb, Model(mteb, encode), task_of(data, tmp_path / "made"))
    expected = metrics_of(data, tmp_path, encode)
    for name in ("recall", "ndcg", "hit_rate"):
        for k in (10, 20, 40):
            assert found[f"{name}_at_{k}"] == pytest.approx(expected[f"{name}@{k}"].value, abs=5.1e-6), (name, k)
            if name != "hit_rate":
                for bound in ("chance", "ceiling"):
                    wanted = getattr(expected[f"{name}@{k}"], bound)
                    assert found[f"{bound}_{name}_at_{k}"] == pytest.approx(wanted, abs=5.1e-6)
    assert found["main_score"] == found["ndcg_at_10"]
    assert found["ndcg_at_10"] > 0


def test_a_planted_ranking_and_ids_of_all_kinds(mteb, tmp_path):
    """Tracks of one playlist share a direction: the held-out track is first, and the seed is not ranked."""
    pairs = 8
    tables = write_tables(
        tmp_path / "tables",
        np.zeros((2 * pairs, 2)),
        [(pair, 2 * pair) for pair in range(pairs)],
        [(pair, 2 * pair + 1) for pair in range(pairs)],
    )
    odd = pl.col("track_id") + pl.lit(" é\"'\\|/🎵")
    artist = pl.concat_str(pl.lit("A"), pl.int_range(pl.len()) // 2)
    pl.read_csv(tables.tracks).with_columns(odd, artist=artist).write_csv(tables.tracks)
    pl.read_csv(tables.playlists).with_columns(odd).write_csv(tables.playlists)
    data = built(tmp_path / "data", tables, name=HOSTILE, licence=HOSTILE)
    task = task_of(data, tmp_path / "made")
    assert HOSTILE in task.metadata.description

    def encode(captions):
        numbers = [int(re.search(r"by A(\d+)", caption)[1]) for caption in captions]
        return np.eye(pairs, dtype=np.float32)[numbers] * 3

    found = scores(mteb, Model(mteb, encode), task)
    assert found["ndcg_at_1"] == found["recall_at_1"] == 1.0
    assert task.calculate_descriptive_statistics()["test"]["num_queries"] == pairs


def test_the_call_of_the_readme(mteb, tmp_path, monkeypatch, capsys):
    task_of(built(tmp_path / "data", with_uncounted(tmp_path / "tables")), tmp_path / "made")
    model = Model(mteb, lambda captions: vectors_of(captions, 9))
    monkeypatch.setattr(mteb, "get_model", lambda name: model)
    monkeypatch.syspath_prepend(tmp_path / "made")
    (block,) = re.findall(r"```python\n(.*?)```", (tmp_path / "made" / "README.md").read_text(), re.DOTALL)
    exec(block, {})
    assert 0 < float(capsys.readouterr().out) < 1


def test_models_that_cannot_be_evaluated_say_why(mteb, tmp_path):
    task = task_of(built(tmp_path / "data", with_uncounted(tmp_path / "tables")), tmp_path / "made")

    class Search:
        mteb_model_meta = mteb.models.ModelMeta.create_empty()
        index = search = None

    with pytest.raises(TypeError, match="needs a model with encode"):
        mteb.evaluate(Search(), task, cache=None)
    for value in (np.nan, np.inf, 0):
        model = Model(mteb, lambda captions, value=value: np.full((len(captions), 2), value))
        with pytest.raises(ValueError, match="70 vectors are NaN, infinite or all zero, the first that of track 't0"):
            mteb.evaluate(model, task, cache=None)
    with pytest.raises(ValueError, match="70 tracks need one vector each"):
        mteb.evaluate(Model(mteb, lambda captions: np.ones((1, 2))), task, cache=None)


def test_mteb_knows_the_licences(mteb):
    from typing import get_args

    from mteb.types import Licenses

    assert set(exporting.LICENCES) <= set(get_args(Licenses))


def test_the_exported_file_needs_no_larpbench(tmp_path):
    exporting.export_mteb(built(tmp_path / "data", random_tables(tmp_path / "tables")), tmp_path / "made")
    code = (tmp_path / "made" / "larpbench_mine.py").read_text()
    assert not re.search(r"^(from|import) larpbench", code, re.MULTILINE)
    assert load_dataset(tmp_path / "data").name == "mine"
