"""Writes tracks.csv, playlists.csv and vectors.npz: an invented catalogue whose playlists keep to one genre each."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

GENRES, TRACKS, PLAYLISTS, LENGTH, DIM = 12, 900, 400, 24, 32


def main(folder: Path) -> None:
    """Write the three files."""
    generator = np.random.default_rng(0)
    ids = [f"track-{number:04d}" for number in range(TRACKS)]
    genre = generator.integers(GENRES, size=TRACKS)
    with (folder / "tracks.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["track_id", "title", "artist", "album"])
        writer.writerows((name, f"Song {n}", f"Artist {n % 90}", f"Album {n % 180}") for n, name in enumerate(ids))
    with (folder / "playlists.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["playlist_id", "track_id"])
        for playlist in range(PLAYLISTS):
            own = np.flatnonzero(genre == generator.integers(GENRES))
            others = generator.integers(TRACKS, size=LENGTH // 4)
            chosen = {*generator.choice(own, size=LENGTH * 3 // 4).tolist(), *others.tolist()}
            writer.writerows((f"playlist-{playlist:03d}", ids[track]) for track in sorted(chosen))
    centres = generator.normal(size=(GENRES, DIM))
    vectors = centres[genre] + 2 * generator.normal(size=(TRACKS, DIM))
    np.savez(folder / "vectors.npz", ids=np.array(ids), embeddings=vectors.astype(np.float32))


if __name__ == "__main__":
    main(Path())
