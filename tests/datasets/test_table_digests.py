from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larpbench.datasets import files
from larpbench.datasets.files import table_digests
from larpbench.datasets.schema import PLAYLIST_COLUMNS, TRACK_COLUMNS
from larpbench.fingerprint import digest_columns

CELLS = st.one_of(st.none(), st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=4))


@given(st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), max_size=9), st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_tables_are_digested_cell_by_cell_whatever_the_blocks(rows, size):
    table = pl.DataFrame(rows, schema=PLAYLIST_COLUMNS, orient="row")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_ROWS_AT_A_TIME", size)
        found = table_digests(pl.DataFrame(schema=TRACK_COLUMNS), table.lazy(), None)["playlists"]
    assert found == digest_columns(*(table[name].to_list() for name in PLAYLIST_COLUMNS))
