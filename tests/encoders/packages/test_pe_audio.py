"""PE-Audio: as paper and configuration say, both towers or one, never another kind of checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from larpbench.encoders.adapters.pe_audio import encoder as adapter
from larpbench.encoders.adapters.pe_audio.reference import REFERENCE
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.errors import DataError, EmbeddingError, UsageError
from larpbench.testing import check_encoder, check_reference

RATE = 48_000
NAMES = ("pe-audio", "pe-audio:audio", "pe-audio:text")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pe-audio")
    REFERENCE.write(folder)
    return folder


@pytest.fixture
def copied(checkpoint, tmp_path):
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def built(name, folder):
    spec = get_encoder(name)
    return spec.factory(replace(EncodeContext(0, folder), weights=folder), spec.argument)


def of_clips(*clips):
    names = np.array([f"t{row}" for row in range(len(clips))])
    return TrackBatch(names, np.array(["a song"] * len(clips), dtype=object), np.stack(clips))


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("name", NAMES)
def test_as_written_out(checkpoint, name):
    """The stored vectors are those of the independent pass, and the encoder's."""
    stored, live = check_reference(get_encoder(name))
    assert stored.outcome == "pass", stored.detail
    assert float(stored.detail.split()[2]) < 1e-5, stored.detail
    assert live.outcome == "skipped"
    key = name.partition(":")[2] or "whole"
    expected = REFERENCE.expected(key)
    np.testing.assert_allclose(REFERENCE.run(checkpoint, REFERENCE.batch(RATE), key), expected, atol=1e-6)
    units = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.linalg.norm(units[:, None] - units[None], axis=2)[~np.eye(len(units), dtype=bool)].min() > 0.05


def test_both_towers_are_the_mean_of_each(checkpoint):
    batch = REFERENCE.batch(RATE)
    whole, audio, text = (built(name, checkpoint).encode(batch) for name in NAMES)
    np.testing.assert_allclose(whole, (audio + text) / 2, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm([*audio, *text], axis=1), 1, atol=1e-5)


def test_windows_of_30_seconds(checkpoint, monkeypatch):
    """The last window ends with the clip; the mean over windows is scaled, not the mean of scaled ones."""
    assert adapter.WINDOW_S == 30
    monkeypatch.setattr(adapter, "WINDOW_S", 10)
    noise = np.random.default_rng(1).normal(0, 0.1, 11 * RATE).astype(np.float32)
    encoder = built("pe-audio:audio", checkpoint)
    (whole,) = encoder.encode(of_clips(noise))
    first, last = encoder.encode(of_clips(noise[: 10 * RATE], noise[RATE:]))
    assert np.linalg.norm(first - last) > 1e-3
    assert np.linalg.norm(whole - first) > 1e-4
    mean = (first + last) / np.linalg.norm(first + last)  # of nearly equal lengths
    np.testing.assert_allclose(whole, mean, atol=1e-3)


def test_a_short_clip_is_repeated(checkpoint):
    encoder = built("pe-audio:audio", checkpoint)
    clip = REFERENCE.batch(RATE).audio[0, : RATE // 4]
    np.testing.assert_array_equal(encoder.encode(of_clips(clip)), encoder.encode(of_clips(np.tile(clip, 4))))


def test_as_every_encoder(checkpoint):
    spec = get_encoder("pe-audio")
    spec = replace(spec, card=spec.card.model_copy(update={"dim": 16}))
    assert [each for each in check_encoder(spec, built("pe-audio", checkpoint)) if each.outcome == "fail"] == []


def test_what_each_view_reads(checkpoint):
    batch = REFERENCE.batch(RATE)
    silent = replace(batch, audio=None)
    np.testing.assert_array_equal(
        built("pe-audio:text", checkpoint).encode(silent), built("pe-audio:text", checkpoint).encode(batch)
    )
    for name in NAMES[:2]:
        with pytest.raises(EmbeddingError, match="reads audio"):
            built(name, checkpoint).encode(silent)


def test_another_kind_of_checkpoint(copied):
    edit(copied / "config.json", model_type="pe_audio_video")
    with pytest.raises(DataError, match="no PE-Audio: its type is 'pe_audio_video'"):
        built("pe-audio", copied)
    (copied / "config.json").write_text("[]")
    with pytest.raises(DataError, match="cannot be understood"):
        built("pe-audio", copied)


def test_another_sampling_rate(copied):
    path = copied / "processor_config.json"
    settings = json.loads(path.read_text())["feature_extractor"]
    edit(path, feature_extractor=settings | {"sampling_rate": 16_000})
    with pytest.raises(DataError, match="16000 Hz"):
        built("pe-audio", copied)


def test_the_cards(cli):
    done = cli("describe", "encoder", "pe-audio", "--json")
    card = json.loads(done.out)
    assert (card["dim"], card["sample_rate"], card["window_s"], card["max_tokens"]) == (1_024, 48_000, 30.0, 512)
    assert card["licence_weights"] == "Apache-2.0"
    assert "vyas2025peav" in card["citation"]
    assert "have not been run" in card["verification"]
    assert {get_encoder(name).weights.repo for name in ("pe-audio", "pe-audio-base", "pe-audio-small")} == {
        f"facebook/pe-a-frame-{size}" for size in ("large", "base", "small")
    }
    text, audio = get_encoder("pe-audio:text").card, get_encoder("pe-audio:audio").card
    assert (text.modalities, audio.modalities) == (("text",), ("audio",))
    assert text.pooling != audio.pooling
    with pytest.raises(UsageError, match="no variant 'video'"):
        get_encoder("pe-audio:video")
