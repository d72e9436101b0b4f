"""LAION's CLAP: its file format, and clips of any length."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from larpbench.encoders.adapters.laion_clap.encoder import WEIGHTS_FILE, LaionClapEncoder
from larpbench.encoders.adapters.laion_clap.reference import REFERENCE
from larpbench.encoders.encoder import TrackBatch
from larpbench.errors import DataError


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laion")
    REFERENCE.write(folder)
    return folder / WEIGHTS_FILE


def test_numbers_of_an_older_numpy_beside_the_weights(checkpoint, tmp_path):
    """As in the published file, which is from before numpy 2."""
    old = tmp_path / "old.pt"
    with zipfile.ZipFile(checkpoint) as new, zipfile.ZipFile(old, "w") as written:
        for entry in new.infolist():
            content = new.read(entry)
            if entry.filename.endswith("data.pkl"):
                assert b"numpy._core" in content
                content = content.replace(b"numpy._core", b"numpy.core")
            written.writestr(entry.filename, content)
    batch = REFERENCE.batch(48_000)
    found = LaionClapEncoder(old, "cpu").encode(batch)
    np.testing.assert_allclose(found, REFERENCE.expected("whole"), atol=2e-5)


def test_long_clips_are_cut_into_windows_and_short_ones_repeated(checkpoint):
    encoder = LaionClapEncoder(checkpoint, "cpu")
    clip = REFERENCE.batch(48_000).audio[0]  # 4 s

    def vector(wave):
        return encoder.encode(TrackBatch(np.arange(1), np.full(1, "", dtype=object), wave[None]))[0]

    twice = np.concatenate([clip, clip, np.zeros(2 * 48_000, dtype=np.float32)])
    np.testing.assert_allclose(vector(clip), vector(twice), atol=1e-6)
    assert abs(vector(clip) @ vector(np.concatenate([twice, twice])) - 1) < 1e-5  # two windows that are the same
    assert vector(clip) @ vector(np.concatenate([twice, clip[::-1], clip])) < 0.9999
    np.testing.assert_allclose(np.linalg.norm(vector(clip[:10])), 1, atol=1e-5)


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


def test_nothing_of_the_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "x.pt")
    with pytest.raises(DataError, match="nothing of it was executed"):
        LaionClapEncoder(tmp_path / "x.pt", "cpu")
    assert not (tmp_path / "executed").exists()


def test_other_files(checkpoint, tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"state_dict": {"audio_branch.conv": torch.zeros(2)}}, path)
    with pytest.raises(DataError, match="no checkpoint of LAION's CLAP with an HTS-AT"):
        LaionClapEncoder(path, "cpu")
    state = torch.load(checkpoint, weights_only=False)["state_dict"]
    torch.save({name: each for name, each in state.items() if "audio_projection.2.bias" not in name}, path)
    with pytest.raises(DataError, match=r"missing: 'audio_projection\.2\.bias'"):
        LaionClapEncoder(path, "cpu")
