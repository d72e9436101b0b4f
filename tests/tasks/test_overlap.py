"""An encoder is never tested on tracks that it was trained on (protocol rule 13)."""

from __future__ import annotations

import polars as pl
import pytest

from larpbench import load_dataset
from larpbench.errors import ProtocolError
from larpbench.tasks.overlap import require_unseen


@pytest.fixture
def build(tmp_path, cli):
    """Build a data set whose tracks are (id, title, artist, split)."""

    def made(name, *tracks):
        folder = tmp_path / name
        folder.mkdir()
        rows = [dict(zip(("track_id", "title", "artist", "split"), each, strict=True)) for each in tracks]
        pl.DataFrame(rows).with_columns(album=pl.lit("")).write_csv(folder / "tracks.csv")
        entries = [{"playlist_id": f"p-{row['split']}", "track_id": row["track_id"]} for row in rows]
        pl.DataFrame(entries).write_csv(folder / "playlists.csv")
        tables = ("--tracks", folder / "tracks.csv", "--playlists", folder / "playlists.csv")
        built = cli("dataset", "build", "csv", *tables, "--output", folder / "data")
        assert built.code == 0, built.err
        return load_dataset(folder / "data")

    return made


SOURCE = [("s1", "Blue Train", "Kora", "train"), ("s2", "Tall Grass", "Mire", "train")]
SOURCE += [("s3", "Signal!", "Ona  Day", "valid"), ("s4", "Stone", "", "valid"), ("s5", "Quay", "Sel", "test")]


@pytest.mark.parametrize(
    ("track", "refused"),
    [
        (("new", "Harbor", "Kora", "test"), False),
        (("s1", "Another", "Nobody", "test"), True),  # the id
        (("new", "BLUE  TRAIN", "kora.", "test"), True),  # the song under another id
        (("new", "signal", "Ona Day", "test"), True),  # seen while the epoch was selected
        (("new", "Stone", "", "test"), False),  # an unknown artist is no evidence
        (("s5", "Quay", "Sel", "test"), False),  # the source's own test tracks were never seen
        (("s1", "Blue Train", "Kora", "train"), False),  # only tested tracks count
    ],
)
def test_what_counts_as_seen(build, track, refused):
    source = build("source", *SOURCE)
    tested = build("tested", track, ("t1", "Cloud", "Vale", "test"), ("t2", "Ember", "Vale", "test"))
    if refused:
        with pytest.raises(ProtocolError, match="1 tested tracks") as error:
            require_unseen(tested, source)
        assert track[0] in str(error.value)
    else:
        require_unseen(tested, source)


def test_the_data_set_itself_is_no_overlap(build):
    source = build("source", *SOURCE)
    require_unseen(source, source)
