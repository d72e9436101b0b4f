"""An artist graph of seven artists as three tables, and the command that builds it."""

from __future__ import annotations

ARTISTS = "artist_id,name,split\n" + "".join(
    f"{name},Artist {name},{split}\n"
    for name, split in zip("tuvwxyz", ["train"] * 3 + ["valid"] * 2 + ["test"] * 2, strict=True)
)
TRACKS = "track_id,artist_id,title,artist,album\n" + "".join(
    f"{name}{song},{name},Song {song},Artist {name},\n" for name in "tuvwxyz" for song in (1, 2)
)
EDGES = "artist_a,artist_b\nt,u\nv,t\nw,x\nt,y\nz,y\n"


def build(cli, tmp_path, artists=ARTISTS, tracks=TRACKS, edges=EDGES, *more):
    for name, text in (("a.csv", artists), ("t.csv", tracks), ("e.csv", edges)):
        (tmp_path / name).write_text(text)
    return cli(
        "dataset", "build", "artist-graph", "--artists", tmp_path / "a.csv", "--tracks", tmp_path / "t.csv",
        "--edges", tmp_path / "e.csv", "--output", tmp_path / "out", *more,
    )  # fmt: skip
