"""Vectors that a data set brings: found, looked up in place, told apart by card and digest, refused where they leak."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from support.small_data import build_split_tables

import larpbench
from larpbench.datasets.files import read_manifest
from larpbench.datasets.provided import VectorCard, VectorWriter, bring, vector_sets
from larpbench.errors import DataError, UsageError

CARD = VectorCard(what="a test encoder of audio", by="nobody", licence="CC0-1.0", window_s=2.5, training_data="noise")
LEAK = VectorCard(what="factors of playlists", leak="made by factorising the playlists")


@pytest.fixture
def data(tmp_path):
    return build_split_tables(tmp_path / "small")


def vectors_of(data, dim=6, seed=1):
    ids = data.tracks["track_id"].to_list()
    return ids, np.random.default_rng(seed).normal(size=(len(ids), dim)).astype(np.float32)


def write(data, name="sound", card=CARD, only=None, **options):
    ids, rows = vectors_of(data, **options)
    with VectorWriter(data.folder / "vectors", name, card) as writer:
        for start in range(0, len(ids), 10):  # in parts
            writer.add(ids[start : start + 10][:only], rows[start : start + 10][:only])
    return ids, rows


def test_what_is_written_is_mapped_and_has_its_card(data):
    ids, rows = write(data)
    (found,) = vector_sets(data.folder).values()
    assert (found.name, found.card) == ("sound", CARD.model_copy(update={"dim": 6}))
    mapped = np.load(found.path, mmap_mode="r")
    np.testing.assert_array_equal(mapped, rows)
    assert pl.read_parquet(found.path.with_name("sound.ids.parquet"))["track_id"].to_list() == ids
    assert not list(found.path.parent.glob(".*"))


def test_it_scores_as_the_same_vectors_from_a_file_do(data, cli, tmp_path):
    before = read_manifest(data.folder).fingerprint
    ids, rows = write(data)
    np.savez(tmp_path / "own.npz", ids=np.array(ids), embeddings=rows)
    done = cli(
        "run", "--dataset", data.folder, "--encoders", f"provided:sound,precomputed:{tmp_path / 'own.npz'}",
        "--output", tmp_path / "r",
    )  # fmt: skip
    assert done.code == 0, done.err
    ours, theirs = (pl.read_parquet(path) for path in (tmp_path / "r").rglob("*.playlists.parquet"))
    assert ours["recall@10"].to_list() == theirs["recall@10"].to_list()
    assert read_manifest(data.folder).fingerprint == before
    record = next(p for p in (tmp_path / "r").rglob("*.json") if "provided" in str(p))
    card = json.loads(record.read_text())["encoder"]
    assert "CC0-1.0" in json.dumps(card)
    assert "nobody" in json.dumps(card)
    again = cli("run", "--dataset", data.folder, "--encoders", "provided:sound", "--output", tmp_path / "r")
    assert "0 cells computed, 1 kept" in again.err
    write(data, seed=2)
    again = cli("run", "--dataset", data.folder, "--encoders", "provided:sound", "--output", tmp_path / "r")
    assert "1 cells computed, 0 kept" in again.err, "other vectors are another encoder"


def test_the_list_of_a_data_set_says_what_can_be_used(data, cli):
    assert "brings no vectors" in cli("list", "encoders", "--dataset", data.folder).err
    write(data)
    write(data, "half", only=5)
    write(data, "cf-bpr", LEAK)
    rows = {row["name"]: row for row in json.loads(cli("list", "encoders", "--dataset", data.folder, "--json").out)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "provided:sound": "ready",
        "provided:half": "unusable",
        "provided:cf-bpr": "leaky",
    }
    assert (rows["provided:sound"]["dim"], rows["provided:sound"]["licence"]) == ("6", "CC0-1.0")
    assert "have no vector" in rows["provided:half"]["reason"]
    assert "factorising" in rows["provided:cf-bpr"]["reason"]
    assert "provided:sound" in cli("list", "encoders", "provided:s*", "--dataset", data.folder).out
    refused = cli("list", "tasks", "--dataset", data.folder)
    assert refused.code == 2
    assert "provided:NAME" in cli("list", "encoders", "--json").out


def test_the_card_of_a_set_is_described(data, cli):
    write(data)
    described = cli("describe", "encoder", "provided:sound", "--dataset", data.folder, "--json")
    card = json.loads(described.out)
    assert (card["summary"], card["licence"], card["window_s"], card["dim"]) == (CARD.what, CARD.licence, 2.5, 6)
    assert card["weights"] == "computed by nobody"
    assert cli("describe", "encoder", "provided:noise", "--dataset", data.folder).code == 3
    assert "does not apply to a task" in cli("describe", "task", "cold-tracks", "--dataset", data.folder).err


def test_vectors_that_leak_are_refused_unless_they_are_asked_for(data, cli, tmp_path):
    write(data, "cf-bpr", LEAK)
    for encoder in ("provided:cf-bpr", "mine=centred:provided:cf-bpr", "tfidf+provided:cf-bpr"):
        refused = cli("run", "--dataset", data.folder, "--encoders", encoder, "--output", tmp_path / "r")
        assert refused.code == 2
        assert "made by factorising the playlists" in refused.err
        assert "--allow-leaky" in refused.err
    with pytest.raises(UsageError, match="no content"):
        larpbench.evaluate("provided:cf-bpr", data.folder, recommenders="itemknn")
    with pytest.raises(UsageError, match="no content"):
        larpbench.plan(data.folder, encoders="factors:provided:cf-bpr+tfidf")
    done = cli(
        "run", "--dataset", data.folder, "--encoders", "provided:cf-bpr", "--allow-leaky", "--output", tmp_path / "r"
    )
    assert done.code == 0, done.err
    record = next((tmp_path / "r").rglob("*cf-bpr*/*/*.json"))
    card = json.loads(record.read_text())["encoder"]["card"]
    assert card["control"] is True
    assert card["overlaps"] == ["small"]
    (tmp_path / "run.toml").write_text(
        f'dataset = "{data.folder}"\nencoders = ["provided:cf-bpr"]\nallow-leaky = true\noutput = "{tmp_path / "t"}"\n'
    )
    assert cli("plan", "--config", tmp_path / "run.toml").code == 0


def test_default_and_all_have_what_the_data_set_brings_but_no_leak(data, cli):
    write(data)
    write(data, "cf-bpr", LEAK)
    plan = json.loads(cli("plan", "--dataset", data.folder, "--json").out)
    assert {cell["encoder"] for cell in plan["cells"]} == {"random", "tfidf", "provided:sound"}
    assert plan["estimated_seconds"] > 0


def test_a_file_put_there_by_hand_needs_no_card(data, cli, tmp_path):
    ids, rows = vectors_of(data)
    (data.folder / "vectors").mkdir()
    pl.DataFrame({"track_id": ids, "embedding": rows.tolist()}).write_parquet(data.folder / "vectors" / "own.parquet")
    (data.folder / "vectors" / "shards").mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(ids)), 3)):
        frame = pl.DataFrame({"track_id": [ids[row] for row in part], "embedding": rows[part].tolist()})
        frame.write_parquet(data.folder / "vectors" / "shards" / f"{number}.parquet")
    done = cli("run", "--dataset", data.folder, "--encoders", "provided:own,provided:shards", "--output", tmp_path)
    assert done.code == 0, done.err


def test_wrong_names_cards_and_twins(data, cli, tmp_path):
    write(data)
    absent = cli("run", "--dataset", data.folder, "--encoders", "provided:sund", "--output", tmp_path / "r")
    assert absent.code == 3
    assert "brings no vectors 'sund'" in absent.err
    card = data.folder / "vectors" / "sound.json"
    card.write_text('{"what": 1}')
    with pytest.raises(DataError, match="card of the vectors does not fit"):
        vector_sets(data.folder)
    card.write_text(CARD.model_dump_json())
    (data.folder / "vectors" / "sound.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="two sets of vectors are called 'sound'"):
        vector_sets(data.folder)


def test_a_failed_write_leaves_nothing_and_moved_sets_are_whole(data, tmp_path):
    with pytest.raises(ZeroDivisionError), VectorWriter(tmp_path / "staged", "x", CARD) as writer:
        writer.add(["a"], np.zeros((1, 3)))
        raise ZeroDivisionError
    assert list((tmp_path / "staged").iterdir()) == []
    for name in ("x", "y"):
        with VectorWriter(tmp_path / "staged", name, CARD) as writer:
            writer.add(["a", "b"], np.ones((2, 3)))
    assert bring(tmp_path / "staged", data.folder) == ["x", "y"]
    assert list((tmp_path / "staged").iterdir()) == []
    assert set(vector_sets(data.folder)) == {"x", "y"}
    assert bring(tmp_path / "nowhere", data.folder) == []
