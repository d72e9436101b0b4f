"""Whatever names, titles and messages hold, a page shows it as text."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import polars as pl
import pytest
from support.made_results import write_results
from support.pages import read_site
from support.small_data import random_tables

SCRIPT = "<script>alert(1)</script>"
QUOTES = "\"'`><img src=x onerror=alert(1)> {{ 7 * 7 }} {% include 'base.html' %} ]]> --> &lt;"
RIGHT_TO_LEFT = "\u202eسلام\u202d <b> \u2067x"
LONG = "x" * 10_000
HOSTILE = [SCRIPT, QUOTES, RIGHT_TO_LEFT, f"../../{LONG}", "javascript:alert(1)", "\x00\x1b[31mred\x7f"]
KNOWN_TAGS = re.compile(
    "(a bdi body br button caption circle details div figcaption figure footer form h1 h2 h3 head header html "
    "img input label li line link main meta nav ol option p path pre rect script section select small span summary svg "
    "table tbody td text tfoot th thead title tr ul wbr)".replace(" ", "|")
)


def check(site):
    """Nothing on the pages runs, loads or styles but what the report brings."""
    for path, page in site.items():
        assert [tag for tag in page.tags if not KNOWN_TAGS.fullmatch(tag)] == [], path
        assert page.unclosed == [], path
        policy = next(each["content"] for each in page.attributes("meta") if each.get("http-equiv"))
        assert policy.startswith("default-src 'none'; "), path
        assert "unsafe" not in policy
        scripts = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
        assert len(scripts) == page.tags.count("script"), path
        for text in scripts:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert re.search(rf"script-src [^;]*'sha256-{re.escape(digest)}'", policy), path
        for _, attributes in page.found:
            assert not any(name.startswith("on") or name in ("style", "srcdoc", "action") for name in attributes), path
            for name in ("href", "src", "xlink:href"):
                if name in attributes:
                    assert re.fullmatch(r"[a-z0-9./#_-]+|data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", attributes[name])
        assert LONG not in page.source
        assert re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", page.source) is None, path


@pytest.fixture
def hostile(tmp_path):
    folder = write_results(
        tmp_path / "results", [*HOSTILE, "random"], ["itemknn", QUOTES], [SCRIPT, RIGHT_TO_LEFT],
        failed=(HOSTILE[4],), failure="\n".join(HOSTILE), notes=tuple(HOSTILE),
    )  # fmt: skip
    for path in folder.glob("*/*/*/*/*.json"):
        record = json.loads(path.read_text())
        record["encoder"]["card"] |= {"licence": QUOTES, "summary": LONG, "weights": SCRIPT, "modalities": [SCRIPT]}
        record["encoder"]["origin"] = dict.fromkeys(("distribution", "version", "target"), QUOTES)
        record["versions"] = {SCRIPT: QUOTES}
        record["warnings"] = HOSTILE
        record["recommender"]["trials"] = [{"params": {SCRIPT: 1.0}, "valid_recall": None, "failure": SCRIPT}]
        path.write_text(json.dumps(record))
    return folder


def test_names_messages_and_notes_are_only_text(cli, hostile, tmp_path):
    done = cli("report", hostile, "--output", tmp_path / "report", "--all")
    assert done.code == 0, done.err
    site = read_site(tmp_path / "report")
    check(site)
    index = site["index.html"].text
    for text in (SCRIPT, QUOTES, RIGHT_TO_LEFT, "javascript:alert(1)"):
        assert text in index
    assert "(10006 characters)" in index
    failed = [page for path, page in site.items() if path.startswith("cells/") and "EmbeddingError" in page.text]
    assert len(failed) == 4
    assert all(SCRIPT in page.text for page in failed)
    assert all(len(path) < 250 for path in site)
    for row in site["index.html"].found:
        if row[0] == "option":
            assert len(row[1]["value"]) <= 2


def test_names_of_any_direction_stay_within_themselves(cli, hostile, tmp_path):
    assert cli("report", hostile, "--output", tmp_path / "report").code == 0
    page = read_site(tmp_path / "report")["index.html"]
    marked = [where for where, text in page.texts if "\u202e" in text and "table" in where]
    assert marked
    assert all(where[-1] in ("bdi", "td") for where in marked)  # each on its own, or in a cell of its own


def test_titles_of_tracks_and_ids_of_playlists_are_only_text(cli, tmp_path):
    tables = random_tables(tmp_path / "tables", tracks=60, playlists=8)
    tracks = pl.read_csv(tables.tracks)
    titles = [HOSTILE[:5][number % 5] for number in range(tracks.height)]
    tracks.with_columns(title=pl.Series(titles), artist=pl.Series(titles[::-1])).write_csv(tables.tracks)
    playlists = pl.read_csv(tables.playlists)
    playlists.with_columns(playlist_id=SCRIPT + pl.col("playlist_id")).write_csv(tables.playlists)
    build = ("dataset", "build", "csv", "--tracks", tables.tracks, "--playlists", tables.playlists)
    built = cli(*build, "--output", tmp_path / "data")
    assert built.code == 0, built.err
    run = cli("run", "--dataset", tmp_path / "data", "--encoders", "tfidf", "--output", tmp_path / "results")
    assert run.code == 0, run.err
    done = cli("report", tmp_path / "results", "--output", tmp_path / "report", "--dataset", tmp_path / "data")
    assert done.code == 0, done.err
    site = read_site(tmp_path / "report")
    check(site)
    pages = [page for path, page in site.items() if path.startswith("playlists/")]
    assert all(SCRIPT in page.text and QUOTES[:40] in page.text for page in pages)


def test_a_damaged_record_is_named(cli, hostile, tmp_path):
    path = next(hostile.glob("*/*/*/*/*.json"))
    path.write_text(path.read_text().replace('"status"', '"state"'))
    done = cli("report", hostile, "--output", tmp_path / "report")
    assert done.code == 2
    assert path.name in done.err
    assert not (tmp_path / "report").exists()
