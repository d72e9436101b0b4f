"""Figures of the demo that a page quotes are those of results/demo.

What is looked at: columns of tables that are headed `demo`, or `recall@10 on demo`. Rows that begin with encoders in
backticks have a number for each, or, if they are "`A` over `B`", the difference. `chance` is a row too.
"""

from __future__ import annotations

import csv
import re
from statistics import mean

import pytest
from support.doc_commands import ROOT

RESULTS = ROOT / "results" / "demo"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/**/*.md"))
}
HEADING = re.compile(r"(recall@10 on )?`?demo`?", re.IGNORECASE)
NUMBER = re.compile(r"([+-]?\d?\.\d+)(?: \[([+-]?\d?\.\d+), ([+-]?\d?\.\d+)\])?")
COLUMNS = ("value", "ci_low", "ci_high")


def committed():
    """Return encoder -> recall@10 with its interval, with `itemknn`; chance is one of them."""
    found: dict[str, list[list[float]]] = {}
    for name in ("continuation", "table2", "table3"):  # table4 may have other candidates
        with (RESULTS / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
            lines = [line for line in csv.DictReader(stream) if line["value"] and line["metric"] == "recall@10"]
        lines = [line for line in lines if line["dataset"] == "demo" and line["recommender"] == "itemknn"]
        found["chance"] = [[float(lines[0]["chance"])] * 3]
        here: dict[str, list[list[float]]] = {}
        for line in lines:
            values = [float(line[column]) for column in COLUMNS]
            here.setdefault(line["encoder"].removesuffix("@demo"), []).append(values)
        found |= here
    return {name: [mean(values) for values in zip(*seeds, strict=True)] for name, seeds in found.items()}


def tables(text):
    """Yield the tables of a page, each as a list of rows of cells."""
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        yield [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]


def quoted(text):
    """Yield (names, whether it is a difference, numbers) of each row of the tables."""
    for head, _, *rows in tables(text):
        for place in (number for number, cell in enumerate(head) if HEADING.fullmatch(cell)):
            for row in (each for each in rows if each[0] == "chance" or each[0].startswith("`")):
                names = ["chance"] if row[0] == "chance" else re.findall(r"`([^`]+)`", row[0])
                yield names, "` over `" in row[0], NUMBER.findall(row[place])


def faults(text, results):
    """Yield what of a page is not what the results say."""
    for names, difference, numbers in quoted(text):
        if not set(names) <= set(results):
            continue  # not in the committed tables, such as another size
        if len(numbers) != (1 if difference else len(names)):
            yield f"{names}: {len(numbers)} numbers"
        elif difference:
            (number,) = numbers
            expected = results[names[0]][0] - results[names[1]][0]
            if abs(float(number[0]) - expected) > rounding(number[0]):
                yield f"{names[0]} over {names[1]} is {number[0]}, not {expected:.4f}"
        else:
            for name, number in zip(names, numbers, strict=True):
                for text_of, expected in zip(number, results[name], strict=True):
                    if text_of and abs(float(text_of) - expected) > rounding(text_of):
                        yield f"{name} is {text_of}, not {expected:.4f}"


def rounding(text):
    return 0.5 * 10.0 ** -len(text.partition(".")[2]) + 1e-9


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if any(quoted(text))])
def test_a_page_quotes_the_committed_results(page):
    assert list(faults(PAGES[page], committed())) == [], "write what results/demo has, or: make reproduce"


def test_the_pages_that_quote_them_are_found():
    assert {"docs/larp.md", "docs/encoders/baselines.md"} <= {page for page, text in PAGES.items() if any(quoted(text))}
    assert {"chance", "tfidf", "random", "larp-ttc", "handcrafted"} <= set(committed())


def test_wrong_figures_are_found():
    results = {"chance": [0.0254] * 3, "a": [0.0501, 0.044, 0.0561], "b": [0.03, 0.02, 0.04]}
    table = "| | recall@10 on demo | other |\n|---|---|---|\n"
    right = "| chance | .0254 | .9 |\n| `a` (3 seeds) | .0501 [.044, .056] | |\n| `a`, `b` | 0.050, .030 | |\n"
    right += "| `a` over `b` | +.0201 [.0100, .0300] | |\n| `of another size` | .9 | |\n"
    assert list(faults(table + right, results)) == []
    wrong = (
        "| chance | .0255 | |\n| `a` | .0501 [.045, .056] | |\n| `a`, `b` | .0501 | |\n| `b` over `a` | +.0201 | |\n"
    )
    assert len(list(faults(table + wrong, results))) == 4
