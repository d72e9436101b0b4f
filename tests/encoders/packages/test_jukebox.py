"""Jukebox: only the layers that are needed, only the weights of a checkpoint, only the first 25 s."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("jukebox_infer")

from larpbench.encoders.adapters.jukebox import encoder as jukebox
from larpbench.encoders.adapters.jukebox.encoder import (
    LAYER,
    PRIOR_FILE,
    VQVAE_FILE,
    JukeboxEncoder,
    load_prior,
    load_vqvae,
)
from larpbench.encoders.adapters.jukebox.reference import JUKEBOX
from larpbench.encoders.encoder import TrackBatch
from larpbench.errors import DataError

RATE = 44_100
DEEP = f"prior.transformer._attn_mods.{LAYER}."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("jukebox")
    JUKEBOX.write(made)
    return made


@pytest.fixture(scope="module")
def vqvae(folder):
    return load_vqvae(folder / VQVAE_FILE)


@pytest.fixture(scope="module")
def prior(folder, vqvae):
    return load_prior(folder / PRIOR_FILE, vqvae)


def alive(width):
    """Numbers held by tensors whose last axis is a layer's, other than on the meta device."""
    gc.collect()
    found = {}
    for each in gc.get_objects():
        if (
            issubclass(type(each), torch.Tensor)
            and each.device.type != "meta"
            and each.ndim
            and each.shape[-1] == width
        ):
            found[each.untyped_storage().data_ptr()] = each.untyped_storage().nbytes()
    return sum(found.values())


def test_layers_after_36_never_take_memory(folder, vqvae):
    whole = torch.load(folder / PRIOR_FILE, weights_only=True)["model"]
    assert any(f"module.{DEEP}" in name for name in whole), "the checkpoint has all 72"
    widest = whole[f"module.{DEEP}mlp.c_fc.w"].shape[-1]
    del whole
    before = alive(widest)
    made = load_prior(folder / PRIOR_FILE, vqvae)
    layers = made.prior.transformer._attn_mods
    assert len(layers) == LAYER
    assert {each.device.type for each in made.parameters()} == {"cpu"}
    kept = sum(each.numel() * each.element_size() for each in made.parameters() if each.shape[-1] == widest)
    assert alive(widest) - before <= 1.05 * kept


def test_matrices_stay_in_half_precision(prior):
    """5.1 GB and not 10.3 for the real one."""
    layer = prior.prior.transformer._attn_mods[0]
    assert layer.mlp.c_fc.w.dtype == layer.attn.c_attn.w.dtype == torch.float16
    assert prior.prior.pos_emb.pos_emb.dtype == torch.float32
    assert not any(each.requires_grad for each in prior.parameters())


def test_both_formats_of_torch_files(folder, tmp_path, vqvae, prior):
    """The published files are older than torch's present format."""
    content = torch.load(folder / PRIOR_FILE, weights_only=True)
    torch.save(content, tmp_path / PRIOR_FILE, _use_new_zipfile_serialization=False)
    again = load_prior(tmp_path / PRIOR_FILE, vqvae)
    assert all(torch.equal(one, other) for one, other in zip(prior.parameters(), again.parameters(), strict=True))


def test_what_follows_25_seconds_is_not_heard(vqvae, prior, monkeypatch):
    assert jukebox.LONGEST_S == 25
    monkeypatch.setattr(jukebox, "LONGEST_S", 2.0)  # the real length takes long
    encoder = JukeboxEncoder(vqvae, prior, "cpu")
    noise = np.random.default_rng(0).uniform(-1, 1, size=3 * RATE).astype(np.float32)
    noise[100] = 1  # the peak
    codes = encoder.codes(noise)
    assert codes.shape == (1, 2 * RATE // 128)
    assert torch.equal(codes, encoder.codes(noise[: 2 * RATE]))


def test_the_prior_reads_so_many_codes_and_knows_only_what_came_before(vqvae, prior, monkeypatch):
    assert prior.prior.input_dims == 8_192
    monkeypatch.setattr(prior.prior, "input_dims", 700)  # the real length takes long
    encoder = JukeboxEncoder(vqvae, prior, "cpu")
    codes = torch.from_numpy(np.random.default_rng(0).integers(2_048, size=(1, 1_000)))
    states = encoder.states(codes)
    assert states.shape == (700, 64)
    head = encoder.states(codes[:, :300])
    torch.testing.assert_close(head, states[:300], rtol=1e-4, atol=1e-3)


def test_level_does_not_matter_and_silence_is_no_crash(vqvae, prior):
    encoder = JukeboxEncoder(vqvae, prior, "cpu")
    noise = np.random.default_rng(0).normal(scale=0.1, size=2 * RATE).astype(np.float32)
    clips = np.stack([noise, noise / 8, np.zeros_like(noise)])
    vectors = encoder.encode(TrackBatch(np.arange(3), np.full(3, "", dtype=object), clips))
    np.testing.assert_allclose(vectors[1], vectors[0], rtol=1e-4, atol=1e-3)
    assert np.isfinite(vectors).all()
    short = encoder.encode(TrackBatch(np.arange(1), np.full(1, "", dtype=object), clips[:1, :50]))
    assert np.isfinite(short).all()


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("make", [lambda p: p.write_bytes(b"no"), lambda p: p.write_bytes(pickle.dumps(Evil()))])
def test_files_that_are_no_checkpoints(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / VQVAE_FILE
    make(path)
    with pytest.raises(DataError, match="no checkpoint of Jukebox"):
        load_vqvae(path)
    torch.save({"model": {"x": Evil()}}, path)
    with pytest.raises(DataError, match="no checkpoint of Jukebox"):
        load_vqvae(path)
    assert not (tmp_path / "executed").exists()


def test_weights_of_something_else(tmp_path, vqvae):
    path = tmp_path / "other.pth.tar"
    torch.save({"weights": {}}, path)
    with pytest.raises(DataError, match="no weights under 'model'"):
        load_vqvae(path)
    torch.save({"model": {"x": torch.zeros(2)}}, path)
    with pytest.raises(DataError, match="not those of Jukebox"):
        load_vqvae(path)
    with pytest.raises(DataError, match="not those of Jukebox's prior"):
        load_prior(path, vqvae)
