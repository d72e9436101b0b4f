"""Tables in a terminal: aligned columns that fit its width; Markdown where there is none."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress

import pytest
from rich.cells import cell_len
from support.made_results import write_results

from larpbench import load_results
from larpbench.results.compare import comparison_sheet
from larpbench.results.sheet import SheetCell, text_sheet
from larpbench.results.terminal import to_terminal
from larpbench.results.view import View

NAMES = ["larp-tpc-fusion@demo", "precomputed:vectors.npz#clap", "clap-ft@demo+handcrafted+tfidf", "tfidf", "random"]
STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("made") / "results", NAMES, ("itemknn", "dropoutnet-content"))


def in_a_terminal(folder, width, **variables):
    """Return what a command prints into a terminal of a width."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    subprocess.run(["stty", "cols", str(width)], stdin=theirs, check=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "larpbench", "table", str(folder)],
        stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment | {"TERM": "xterm"} | variables,
    )  # fmt: skip
    os.close(theirs)
    parts = []
    with suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 65_536):
            parts.append(part)
    assert process.wait() == 0
    os.close(ours)
    return b"".join(parts).decode().replace("\r\n", "\n")


def test_a_terminal_gets_columns_of_its_width_and_everything_else_markdown(cli, results):
    shown = in_a_terminal(results, 90)
    assert "| Encoder |" not in shown
    assert re.search(r"\x1b\[1m0\.\d{4}\x1b\[0m", shown), "the best is bold"
    assert max(cell_len(STYLE.sub("", line)) for line in shown.splitlines()) <= 90
    plain = in_a_terminal(results, 90, NO_COLOR="1")
    assert "\x1b" not in plain
    assert re.search(r"0\.\d{4}\*", plain)
    (table,) = load_results(results)
    assert plain == to_terminal([table.sheet()], 90, styled=False)
    assert "| Encoder | Recommender |" in cli("table", results).out


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160, 240])
@pytest.mark.parametrize("styled", [True, False])
def test_no_line_is_wider_than_the_terminal_and_what_is_left_out_is_named(results, width, styled):
    (table,) = load_results(results)
    lines = STYLE.sub("", to_terminal([table.sheet()], width, styled)).splitlines()
    assert max(map(cell_len, lines)) <= width
    head = "\n".join(lines[: next(number for number, line in enumerate(lines) if "──" in line)])
    text = " ".join(" ".join(lines).split())
    for column in table.sheet().columns:
        if column.label not in head:
            (named,) = re.findall(r"- Not shown, for want of room: (.*?)\. A wider", text)
            assert column.label in named.replace("- ", "").split(", ")
    assert ("Not shown" in text) == (width < 160)
    names = [line.split(" ")[0] for line in lines]
    assert names[names.index("chance") + 1] == "ceiling"
    if width >= 80:
        for row in table.rows:
            for metric in ("recall@10", "ndcg@10"):
                assert f"{row.scores[metric].value:.4f}" in text
                assert row.scores[metric].interval.rstrip("†") in text


def test_numbers_stand_below_each_other(results):
    (table,) = load_results(results, View(("recall@10", "ndcg@10"), intervals=False))
    lines = to_terminal([table.sheet()], 120, styled=False).splitlines()
    start = next(number for number, line in enumerate(lines) if "──" in line)
    points = re.compile(r"(?<=\d)\.(?=\d{4})")
    ends = {match.start() for line in lines[start + 1 : start + 13] for match in points.finditer(line)}
    assert len(ends) == 2


def test_comparisons_keep_all_numbers_in_eighty_columns(results):
    compared = load_results(results).compare("larp-tpc-fusion@demo", "tfidf")
    text = to_terminal([comparison_sheet(compared.lines, "larp-tpc-fusion@demo", "tfidf")], 80, styled=False)
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "p (Holm)" in text
    assert f"{compared.lines[0].comparison.effect_size:+.2f}" in text


def test_text_of_the_data_is_only_text():
    hostile = "\x1b[31m[bold]x[/bold] :smile: 日本語\x00"
    sheet = text_sheet(hostile, (hostile,), ((SheetCell(hostile, "[0, 1]", 1),),), (hostile,), ())
    for width in (40, 200):
        text = to_terminal([sheet], width, styled=False)
        assert "\x1b" not in text
        assert "\x00" not in text
        assert text.count("[bold]x[/") == 4
        assert ":smile:" in text
