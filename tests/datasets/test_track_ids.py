"""Track ids as people write them."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larpbench.datasets.track_ids import canonical_ids, ids_of_uris, last_parts

ID = "0010xmHR6UICBOYT8lKzbp"


@pytest.mark.parametrize(
    ("written", "canonical", "last"),
    [
        (ID, ID, ID),
        (f"spotify:track:{ID}", ID, ID),
        (f"spotify:track:{ID}?si=abc", ID, ID),
        (f"https://open.spotify.com/track/{ID}?si=4f:2/x", ID, ID),
        (f"http://open.spotify.com/intl-de/track/{ID}", ID, ID),
        (f"open.spotify.com/embed/track/{ID}/", ID, ID),
        ("spotify:local:Artist:Album:Title:200", "spotify:local:Artist:Album:Title:200",
         "spotify:local:Artist:Album:Title:200"),
        (f"spotify:album:{ID}", f"spotify:album:{ID}", ID),
        ("rock/song one.flac", "rock/song one.flac", "song one"),
        ("C:\\Music\\one.mp3", "C:\\Music\\one.mp3", "one"),
        ("12.5", "12.5", "12.5"),
        ("007", "007", "007"),
        (".mp3", ".mp3", ".mp3"),
        (" t1 ", "t1", "t1"),
        ("cafe\u0301", "caf\u00e9", "cafe\u0301"),
        ("", "", ""),
        (None, None, None),
    ],
)  # fmt: skip
def test_spellings(written, canonical, last):
    ids = pl.Series("track_id", [written], dtype=pl.String)
    assert canonical_ids(ids).to_list() == [canonical]
    assert last_parts(ids).to_list() == [last]
    assert canonical_ids(ids).name == "track_id"


@given(st.lists(st.text(max_size=30)))
def test_each_id_has_one_answer_that_does_not_depend_on_the_others(ids):
    series = pl.Series(ids, dtype=pl.String)
    for function in (canonical_ids, last_parts):
        found = function(series)
        assert len(found) == len(ids)
        assert not found.has_nulls()
        assert found.to_list() == [function(pl.Series([each]))[0] for each in ids]
    assert canonical_ids(canonical_ids(series)).equals(canonical_ids(series))


NO_IDS = ["", " ", "spotify:track:", "spotify:track:\n", "a\tb", None]
OTHERS = [
    ID,
    f" spotify:track:{ID}",
    f"spotify:track:{ID}?si=1",
    "spotify:local:a:b:c:200",
    f"spotify:track:{ID}\u00e9",
]


@given(st.lists(st.sampled_from([*[f"spotify:track:{ID[:-1]}{letter}" for letter in "abc"], *OTHERS, *NO_IDS])))
def test_addresses_in_any_spelling_beside_the_usual_one(uris):
    series = pl.Series("uri", uris, dtype=pl.String)
    expected = [None if uri in NO_IDS else canonical_ids(pl.Series([uri]))[0] for uri in uris]
    assert ids_of_uris(series).to_list() == expected
    assert ids_of_uris(series).name == "uri"
