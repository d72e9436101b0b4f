"""Stored vectors that were damaged, swapped or written by an earlier version change no score."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import larpbench
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run.keys import Keys

EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier-version"


def recall_of(cli, encoder, output):
    ran = cli("run", "--dataset", EARLIER / "small", "--encoders", encoder, "--recommenders", "itemknn",
              "--seeds", "1", "--output", output)  # fmt: skip
    assert ran.code == 0, ran.err
    (record,) = output.glob(f"*/*/{encoder}/*/*.json")
    return {each["name"]: each["value"] for each in json.loads(record.read_text())["metrics"]}["recall@10"], ran.err


def flip(path):
    data = bytearray(path.read_bytes())
    for place in range(1, 4000, 4):
        data[-place] ^= 0x80
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize("damage", [flip, cut])
def test_damaged_vectors_change_no_recall(cli, home, tmp_path, damage):
    expected, said = recall_of(cli, "tfidf", tmp_path / "before")
    assert "cannot be trusted" not in said
    (shard,) = (home / "embeddings").rglob("*.safetensors")
    damage(shard)
    found, said = recall_of(cli, "tfidf", tmp_path / "after")
    assert found == expected
    assert "warning: 1 stored shards of tfidf (test) cannot be trusted and are encoded anew" in said


def test_vectors_of_another_encoder_change_no_recall(cli, home, tmp_path):
    expected, _ = recall_of(cli, "tfidf", tmp_path / "before")
    recall_of(cli, "random", tmp_path / "random")
    (mine,) = (home / "embeddings" / "tfidf").rglob("*.safetensors")
    (strange,) = (home / "embeddings" / "random").rglob("*.safetensors")
    mine.write_bytes(strange.read_bytes())
    found, said = recall_of(cli, "tfidf", tmp_path / "after")
    assert found == expected
    assert "of other tracks or another encoder" in said


def test_vectors_of_an_earlier_version_are_encoded_anew(cli, home, tmp_path):
    spec, data = get_encoder("tfidf"), larpbench.load_dataset(EARLIER / "small")
    key = Keys().embedding(spec, data, data.split("test"), 0)
    stored = home / "embeddings" / "tfidf" / key
    written = next((EARLIER / "embeddings").rglob("*.safetensors")).parent
    shutil.copytree(written, stored)
    planned = larpbench.plan(data, encoders=["tfidf"], recommenders=["itemknn"], output=tmp_path / "plan")
    assert [each.tracks_to_encode for each in planned.cells] == [len(data.split("test").track_ids)]
    found, said = recall_of(cli, "tfidf", tmp_path / "after")
    assert "written by an earlier version, without a digest" in said
    shutil.rmtree(home / "embeddings")
    assert recall_of(cli, "tfidf", tmp_path / "fresh")[0] == found
    assert "cannot be trusted" not in recall_of(cli, "tfidf", tmp_path / "again")[1]
