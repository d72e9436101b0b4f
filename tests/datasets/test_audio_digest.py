"""The digest of a data set's audio is that of the sound: how a file is packed changes no fingerprint and no key."""

from __future__ import annotations

import json

import mutagen
import numpy as np
import polars as pl
import pytest
import soundfile
from support.sounds import tone, write_tone

from larpbench import load_dataset
from larpbench.audio import AudioPolicy, examine
from larpbench.audio.clips import clip_digest, samples_digest
from larpbench.datasets.demo.build import build_demo
from larpbench.datasets.demo.world import WorldSpec
from larpbench.datasets.files import AUDIO_FILES, MANIFEST
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run.keys import Keys
from larpbench.fingerprint import digest, digest_columns, digest_file

POLICY = AudioPolicy(clip_seconds=2)


def noise(seed: int, seconds: float = 3.0, rate: int = 8_000) -> np.ndarray:
    steps = np.random.default_rng(seed).integers(-9_000, 9_000, size=round(seconds * rate))
    return steps.astype(np.int16)


def write_library(folder, compression: float, **tags: str):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(6):
        path = folder / f"{number}.flac"
        soundfile.write(path, noise(number), 8_000, compression_level=compression)
        if tags:
            found = mutagen.File(path, easy=True)
            found.update(tags)
            found.save()
    (folder / "all.m3u").write_text("".join(f"{number}.flac\n" for number in range(6)))
    return folder


def build(cli, library, output):
    return cli(
        "dataset", "build", "folder", "--audio", library, "--playlists", library, "--train-fraction", "0",
        "--min-length", "2", "--clip-seconds", "2", "--output", output,
    )  # fmt: skip


def key_of(dataset):
    return Keys().embedding(get_encoder("handcrafted"), dataset, dataset.split("test"), 0)


def test_other_bytes_of_the_same_samples_are_the_same_data(cli, tmp_path):
    fast, small = write_library(tmp_path / "fast", 0.0), write_library(tmp_path / "small", 1.0, comment="ripped anew")
    assert build(cli, fast, tmp_path / "a").code == 0
    assert build(cli, small, tmp_path / "b").code == 0
    one, other = load_dataset(tmp_path / "a"), load_dataset(tmp_path / "b")
    assert set(one.audio.files["sha256"]).isdisjoint(other.audio.files["sha256"])
    assert one.manifest.digests == other.manifest.digests
    assert one.manifest.fingerprint == other.manifest.fingerprint
    assert one.split("test").audio.digest == other.split("test").audio.digest
    assert key_of(one) == key_of(other)


def test_one_other_sample_is_other_data(cli, tmp_path):
    library = write_library(tmp_path / "library", 0.5)
    assert build(cli, library, tmp_path / "a").code == 0
    moved = noise(3)
    moved[12_000] += 1
    soundfile.write(library / "3.flac", moved, 8_000)
    assert build(cli, library, tmp_path / "b").code == 0
    one, other = load_dataset(tmp_path / "a"), load_dataset(tmp_path / "b")
    assert one.manifest.digests["tracks.audio"] != other.manifest.digests["tracks.audio"]
    assert key_of(one) != key_of(other)


def test_a_library_with_new_tags_is_taken_in_by_building_again(cli, tmp_path):
    library = write_library(tmp_path / "library", 0.5)
    assert build(cli, library, tmp_path / "data").code == 0
    before = load_dataset(tmp_path / "data").manifest
    write_library(library, 0.5, comment="a long comment of another size")
    told = cli("dataset", "check", tmp_path / "data")
    assert told.code == 1
    assert "0.flac: changed, the clip sounds the same: build the data set again" in told.out
    assert build(cli, library, tmp_path / "data").code == 0
    after = load_dataset(tmp_path / "data").manifest
    assert after.fingerprint == before.fingerprint
    proof = cli("dataset", "check", tmp_path / "data")
    assert proof.code == 0, proof.out
    unchanged = (tmp_path / "data" / MANIFEST).read_bytes()
    assert build(cli, library, tmp_path / "data").code == 0
    assert (tmp_path / "data" / MANIFEST).read_bytes() == unchanged


def test_a_library_that_was_moved_is_found_by_building_again(cli, tmp_path):
    library = write_library(tmp_path / "library", 0.5)
    assert build(cli, library, tmp_path / "data").code == 0
    library.rename(tmp_path / "moved")
    assert cli("dataset", "check", tmp_path / "data").code == 1
    assert build(cli, tmp_path / "moved", tmp_path / "data").code == 0
    proof = cli("dataset", "check", tmp_path / "data")
    assert proof.code == 0, proof.out


def test_building_again_trusts_no_table_that_was_changed(cli, tmp_path):
    library = write_library(tmp_path / "library", 0.5)
    assert build(cli, library, tmp_path / "data").code == 0
    path = tmp_path / "data" / "playlists.parquet"
    pl.read_parquet(path, glob=False).with_columns(role=pl.lit("seed")).write_parquet(path)
    write_library(library, 0.5, comment="other bytes")
    again = build(cli, library, tmp_path / "data")
    assert again.code == 2
    assert "was changed since it was built" in again.err


def test_a_data_set_of_an_earlier_version_keeps_its_fingerprint(cli, tmp_path):
    assert build(cli, write_library(tmp_path / "library", 0.5), tmp_path / "data").code == 0
    path, manifest_path = tmp_path / "data" / AUDIO_FILES, tmp_path / "data" / MANIFEST
    earlier = pl.read_parquet(path, glob=False).drop("samples_sha256")
    earlier.write_parquet(path)
    tracks = pl.read_parquet(tmp_path / "data" / "tracks.parquet", glob=False)
    starts = tracks["clip_start_s"].cast(pl.String)
    manifest = json.loads(manifest_path.read_text())
    manifest["digests"]["tracks.audio"] = digest(
        [digest_columns(tracks["track_id"], earlier["sha256"], starts), manifest["audio_policy"]]
    )
    manifest["fingerprint"] = digest(manifest["digests"])
    manifest["files"][AUDIO_FILES] = digest_file(path)
    manifest_path.write_text(json.dumps(manifest))
    read = load_dataset(tmp_path / "data")
    assert read.split("test").audio.digest == manifest["digests"]["tracks.audio"]
    proof = cli("dataset", "check", tmp_path / "data")
    assert proof.code == 0, proof.out


def test_a_forged_digest_of_samples_is_found(cli, tmp_path):
    assert build(cli, write_library(tmp_path / "library", 0.5), tmp_path / "data").code == 0
    path = tmp_path / "data" / AUDIO_FILES
    forged = pl.read_parquet(path, glob=False).with_columns(samples_sha256=pl.col("sha256"))
    forged.write_parquet(path)
    proof = cli("dataset", "check", tmp_path / "data")
    assert proof.code == 1
    assert "BAD  digest of tracks.audio" in proof.out


@pytest.mark.parametrize("name", ["a.flac", "a.wav", "a.aiff"])
def test_lossless_formats_of_one_sound_have_one_digest(tmp_path, name):
    soundfile.write(tmp_path / name, noise(0, seconds=2), 8_000, subtype="PCM_16")
    found = examine(tmp_path / name, POLICY, 0, "t")
    assert found.samples_sha256 == samples_digest(noise(0, seconds=2) / np.float32(32768), 8_000)
    assert found.samples_sha256 == clip_digest(tmp_path / name, found.start_s, 2)


def test_the_digest_knows_rate_length_and_what_lies_beyond_full_scale(tmp_path):
    loud = 1.5 * tone(300, 1, 8_000) / 0.3
    digests = [
        samples_digest(loud, 8_000),
        samples_digest(loud, 16_000),
        samples_digest(loud[:-1], 8_000),
        samples_digest(np.clip(loud, -1, 1), 8_000),
        samples_digest(np.float32(1e30) * loud, 8_000),
    ]
    assert len(set(digests)) == len(digests)
    assert samples_digest(loud + np.float32(1e-9), 8_000) == digests[0]
    stereo = write_tone(tmp_path / "stereo.wav", 300, rate=8_000, channels=2)
    assert clip_digest(stereo, 0, 2) == clip_digest(write_tone(tmp_path / "mono.wav", 300, rate=8_000), 0, 2)


def test_the_demo_digests_what_is_decoded_from_its_files(tmp_path):
    made = build_demo(tmp_path / "demo", WorldSpec(seed=5, tracks=(16, 16, 16), playlists=(4, 4, 4), artists=(2, 2, 2)))
    stated = dict(made.audio.files.select("track_id", "samples_sha256").iter_rows())
    for track_id, digested in stated.items():
        assert clip_digest(made.folder / "audio" / f"{track_id}.flac", 0, 5) == digested
