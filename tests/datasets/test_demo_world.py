"""The demo's generator: a reproducible, split-disjoint world whose sounds and words follow its causes."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest

from larpbench.datasets.demo import latents as causes
from larpbench.datasets.demo.fixed_point import ONE, normal
from larpbench.datasets.demo.sound_tables import SAMPLE_RATE, TOP
from larpbench.datasets.demo.synthesis import CLIP_SAMPLES, CLIP_SECONDS, PEAK, SOUND_PARAMETERS, synthesise
from larpbench.datasets.demo.words import Lexicon, artist_names
from larpbench.datasets.demo.world import (
    PLAYLIST_LENGTHS,
    SPLITS,
    THEME_DIM,
    World,
    WorldSpec,
    draw_playlist,
    draw_world,
    oracle_vectors,
    taste_vector,
)

SMALL = WorldSpec(tracks=(60, 30, 40), playlists=(40, 10, 20), artists=(6, 3, 4))


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(WorldSpec())


def same(a: World, b: World) -> bool:
    return (
        a.tracks.equals(b.tracks)
        and a.playlists.equals(b.playlists)
        and np.array_equal(a.oracle, b.oracle)
        and np.array_equal(a.sound, b.sound)
    )


def clip(seed: int = 0, **controls: float) -> np.ndarray:
    values = {"percussion": 0.2, **controls}
    return levels([values.get(name, 0.5) for name in SOUND_PARAMETERS], seed) / 32768


def levels(values: list[float], seed: int) -> np.ndarray:
    return synthesise(np.array([round(TOP * value) for value in values]), seed)


def power(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE), np.abs(np.fft.rfft(x)) ** 2


def centroid(x: np.ndarray) -> float:
    frequency, energy = power(x)
    return float(frequency @ energy / energy.sum())


def share_near(x: np.ndarray, centres: list[float], width: float = 3.0) -> float:
    frequency, energy = power(x)
    near = np.any([np.abs(frequency - centre) < width for centre in centres], axis=0)
    return float(energy[near].sum() / energy.sum())


def onsets_a_second(x: np.ndarray) -> float:
    """Count rises of the short-time energy that stand out, at most one in 80 ms."""
    frame = 160
    level = np.log(np.mean(x.reshape(-1, frame) ** 2, axis=1) + 1e-7)
    rise = np.maximum(level[2:] - level[:-2], 0)
    is_peak = [rise[i] == rise[max(0, i - 8) : i + 9].max() for i in range(len(rise))]
    return float(np.sum(is_peak & (rise > 0.3 * rise.max())) / CLIP_SECONDS)


def spectrogram(x: np.ndarray) -> np.ndarray:
    """Loudness in dB over time below 4 kHz, in bins of 8 Hz: a semitone of the middle octaves."""
    frames = x[: len(x) // 2048 * 2048].reshape(-1, 2048) * np.hanning(2048)
    return 20 * np.log10(np.abs(np.fft.rfft(frames))[:, :512] + 1e-3)


def test_the_same_spec_gives_the_same_world() -> None:
    assert same(draw_world(SMALL), draw_world(SMALL))


@pytest.mark.parametrize("other", [{"seed": 7}, {"private_noise": False}])
def test_another_spec_gives_another_world(other: dict[str, int]) -> None:
    a, b = draw_world(SMALL), draw_world(WorldSpec(**{**SMALL.__dict__, **other}))
    assert not np.array_equal(a.sound, b.sound)
    assert not a.tracks.get_column("title").equals(b.tracks.get_column("title"))


def test_sizes_and_columns_are_those_asked_for(world: World) -> None:
    spec = WorldSpec()
    assert world.tracks.columns == ["track_id", "title", "artist", "album", "split"]
    assert world.playlists.columns == ["playlist_id", "track_id", "split"]
    for i, split in enumerate(SPLITS):
        tracks = world.tracks.filter(pl.col("split") == split)
        playlists = world.playlists.filter(pl.col("split") == split)
        assert tracks.height == spec.tracks[i]
        assert tracks["artist"].n_unique() == spec.artists[i]
        assert playlists["playlist_id"].n_unique() == spec.playlists[i]
    assert world.sound.shape == (world.tracks.height, len(SOUND_PARAMETERS))
    assert world.sound.dtype == np.int64
    assert world.sound.min() >= 0
    assert world.sound.max() <= TOP
    assert world.tracks.null_count().sum_horizontal().item() == 0


def test_splits_share_no_track_artist_or_playlist(world: World) -> None:
    for column in ("track_id", "artist"):
        assert world.tracks.group_by(column).agg(pl.col("split").n_unique())["split"].max() == 1
    assert world.playlists.group_by("playlist_id").agg(pl.col("split").n_unique())["split"].max() == 1
    assert world.tracks["track_id"].is_unique().all()
    joined = world.playlists.join(world.tracks, on="track_id", how="left", suffix="_of_track")
    assert (joined["split"] == joined["split_of_track"]).all()


def test_splits_share_words(world: World) -> None:
    def words(split: str) -> set[str]:
        rows = world.tracks.filter(pl.col("split") == split)
        return set(re.findall(r"\w+", " ".join(rows["title"].to_list() + rows["album"].to_list())))

    assert len(words("train") & words("test")) > 0.8 * len(words("test"))


def test_ids_carry_no_information(world: World) -> None:
    assert world.tracks["track_id"].is_sorted()
    assert world.tracks["track_id"].str.contains(r"^demo-\d{6}$").all()
    assert world.playlists["playlist_id"].str.contains(r"^demo-p\d{5}$").all()
    is_test = (world.tracks["split"] == "test").to_numpy().astype(float)
    assert abs(np.corrcoef(is_test, np.arange(len(is_test)))[0, 1]) < 0.1
    artist = world.tracks["artist"]
    assert (artist.head(-1) == artist.tail(-1)).mean() < 0.05


def test_playlists_are_sets_of_8_to_16(world: World) -> None:
    sizes = world.playlists.group_by("playlist_id").agg(pl.len(), pl.col("track_id").n_unique())
    assert (sizes["len"] == sizes["track_id"]).all()
    assert (sizes["len"].min(), sizes["len"].max()) == PLAYLIST_LENGTHS


def test_an_artist_repeats_no_title_and_makes_a_few_albums(world: World) -> None:
    assert not world.tracks.select("artist", "title").is_duplicated().any()
    albums = world.tracks.group_by("artist").agg(pl.col("album").n_unique())["album"]
    assert 1 <= albums.mean() <= 3  # type: ignore[operator]


def test_names_are_unique_and_not_only_ascii(world: World) -> None:
    names = artist_names(200, np.random.default_rng(0))
    assert len(set(names)) == 200
    assert not "".join(world.tracks["artist"].to_list()).isascii()
    with pytest.raises(ValueError, match="artists can be named"):
        artist_names(10_000, np.random.default_rng(0))


def test_close_views_share_words() -> None:
    rng = np.random.default_rng(0)
    lexicon = Lexicon.draw(12, rng)
    assert len(set(lexicon.nouns + lexicon.adjectives)) == len(lexicon.nouns) + len(lexicon.adjectives)

    def words(view: np.ndarray) -> set[str]:
        titles = " ".join(lexicon.title(view, (), rng) for _ in range(20)).lower()
        return set(re.findall(r"\w+", titles)) & set(lexicon.nouns + lexicon.adjectives)

    view = normal(rng, 12)
    near, far = words(view + normal(rng, 12) // 10), words(-view)
    assert len(words(view) & near) > 2 * len(words(view) & far)


def test_without_private_noise_only_the_private_part_changes() -> None:
    noisy, clean = (causes.draw_latents(3, 0, 50, 5, private_noise) for private_noise in (True, False))
    assert not clean.private_audio.any()
    assert not clean.private_text.any()
    assert noisy.private_audio.std() / ONE == pytest.approx(1, abs=0.2)
    assert noisy.private_text.std() / ONE == pytest.approx(1, abs=0.2)
    for name in ("theme", "artist", "identity"):
        assert np.array_equal(getattr(noisy, name), getattr(clean, name))


@pytest.mark.parametrize(("view", "weakened"), [(causes.audio_view, 0), (causes.text_view, 1)])
def test_each_view_hears_one_theme_coordinate_badly(view: object, weakened: int) -> None:
    latents = causes.draw_latents(1, 0, 2000, 200, True)
    seen = view(1, 0, latents, 40)  # type: ignore[operator]
    fit = np.linalg.lstsq(np.c_[seen, np.ones(len(seen))], latents.theme, rcond=None)[0]
    error = np.var(latents.theme - np.c_[seen, np.ones(len(seen))] @ fit, axis=0)
    assert np.argmax(error) == weakened
    assert np.sort(error)[-1] > 2 * np.sort(error)[-2]


def test_the_oracle_is_the_utility_that_draws_playlists() -> None:
    latents = causes.draw_latents(5, 0, 80, 8, True)
    theme = causes.on_sphere(np.random.default_rng(0), 1)[0]
    utility = 6 * (latents.theme / ONE) @ (theme / ONE) + 3.9 * np.isin(latents.artist, [3, 5])
    taste = taste_vector(theme, np.array([3, 5]), 10)
    assert np.allclose(oracle_vectors(latents, 10) @ taste / ONE**2, utility, atol=1e-5)


def test_the_oracle_follows_the_rows_of_the_tracks(world: World) -> None:
    assert world.oracle.dtype == np.float32
    assert world.oracle.shape == (world.tracks.height, THEME_DIM + max(WorldSpec().artists))
    assert np.allclose(np.linalg.norm(world.oracle, axis=1) ** 2, 6 + 3.9, atol=1e-5)
    number = pl.Series(world.oracle[:, THEME_DIM:].argmax(axis=1))
    of_artist = world.tracks.with_columns(number=number).group_by("artist").agg(pl.col("number").n_unique())
    assert of_artist["number"].max() == 1
    # Members of a playlist lie close together where the oracle looks.
    row = {track_id: i for i, track_id in enumerate(world.tracks["track_id"])}
    spread = [
        np.linalg.norm(world.oracle[[row[t] for t in members], :THEME_DIM].mean(axis=0))
        for members in world.playlists.group_by("playlist_id").agg("track_id").head(100)["track_id"]
    ]
    assert np.mean(spread) > 0.6 * np.sqrt(6)


def test_a_playlist_has_its_share_of_strays() -> None:
    # With utilities far above the noise, only the strays are not of the favourite artists.
    latents = causes.draw_latents(5, 0, 200, 2, True)
    vectors = 100 * oracle_vectors(latents, 2)
    vectors[:, :THEME_DIM] = 0
    found = []
    for seed in range(40):
        chosen = draw_playlist(vectors, latents.artist, np.random.default_rng(seed))
        meant = latents.artist[chosen[: round(0.9 * len(chosen))]]
        assert len(set(chosen.tolist())) == len(chosen)
        found.append(len(set(meant.tolist())))
    assert sum(each == 1 for each in found) > 10  # those with one favourite: two of three playlists at most have two


@pytest.mark.parametrize(("tracks", "artists"), [(600, 188), (400, 125), (60, 6), (16, 16), (16, 1)])
def test_most_artists_have_one_track_and_a_few_have_many(tracks: int, artists: int) -> None:
    sizes = causes.artist_sizes(tracks, artists)
    assert sizes.sum() == tracks
    assert len(sizes) == artists
    assert sizes.min() >= 1
    if artists > 100:
        assert (sizes == 1).mean() == pytest.approx(0.6, abs=0.01)
        assert sizes.max() < tracks / 10


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"tracks": (10, 30, 40)}, {"artists": (0, 3, 4)}])
def test_a_world_that_cannot_be_drawn_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"seed|each split"):
        WorldSpec(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_clip_has_its_length_and_peak_and_is_never_silent(level: float) -> None:
    x = levels([level] * len(SOUND_PARAMETERS), seed=1)
    assert x.shape == (CLIP_SAMPLES,) == (SAMPLE_RATE * CLIP_SECONDS,)
    assert x.dtype == np.int16
    assert np.abs(x).max() == PEAK == round(0.3 * 32768)
    assert np.sqrt(np.mean((x / 32768) ** 2)) > 0.005
    assert x.reshape(-1, SAMPLE_RATE // 10).any(axis=1).all()


def test_a_clip_follows_its_controls_and_seed_only() -> None:
    assert np.array_equal(clip(seed=1), clip(seed=1))
    assert not np.array_equal(clip(seed=1), clip(seed=2))
    assert np.array_equal(clip(bass=1.0), clip(bass=1.7))  # out of range is clipped
    with pytest.raises(ValueError, match="16 integers"):
        synthesise(np.zeros(3, dtype=int), 0)
    with pytest.raises(ValueError, match="16 integers"):
        synthesise(np.full(len(SOUND_PARAMETERS), 0.5), 0)


@pytest.mark.parametrize("name", SOUND_PARAMETERS)
def test_every_control_changes_the_sound(name: str) -> None:
    low, high = (spectrogram(clip(**{name: level})) for level in (0.1, 0.9))
    assert np.abs(low - high).mean() > 1  # dB: about what can be noticed


@pytest.mark.parametrize("name", ["brightness", "tilt", "high_eq", "register"])
def test_colour_controls_raise_the_centroid(name: str) -> None:
    values = [centroid(clip(**{"richness": 0.7, name: level})) for level in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert values == sorted(values)
    assert values[-1] > 1.1 * values[0]


def test_tempo_raises_the_onset_rate() -> None:
    clips = [clip(tempo=level, sustain=0.0, attack=0.0, density=1.0) for level in (0.0, 0.5, 1.0)]
    values = [onsets_a_second(x) for x in clips]
    assert values[0] < values[1] < values[2]
    assert values[2] > 2 * values[0]


def test_mode_moves_energy_from_the_minor_to_the_major_third() -> None:
    minor, major = ([110 * 2 ** (third / 12 + octave) for octave in range(4)] for third in (3, 4))
    clips = [clip(mode=level) for level in (0.1, 0.5, 0.9)]
    ratios = [share_near(x, major) / share_near(x, minor) for x in clips]
    assert ratios == sorted(ratios)
    assert ratios[-1] > 4 * ratios[0]


def test_bass_raises_the_lowest_octave() -> None:
    shares = [share_near(clip(bass=level), [80.0], width=28) for level in (0.0, 0.5, 1.0)]
    assert shares == sorted(shares)
