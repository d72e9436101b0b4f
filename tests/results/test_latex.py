"""LaTeX that compiles: balanced, one cell a column, every character escaped, tables that fit a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_results import write_results

from larpbench import load_results
from larpbench.results.compare import comparison_sheet
from larpbench.results.latex import to_latex
from larpbench.results.latex_text import escape_latex
from larpbench.results.sheet import Column, Sheet, SheetCell, SheetRow, captioned, text_sheet
from larpbench.results.view import View
from larpbench.results.writers import write_sheet

HOSTILE = (
    "<script> | _a_ & \\b {c} $d$ #e ~f ^g 100% \"q\" `h` -- --- '' ,, ‡ “x” – Łódź Käse ığ αβ ≤ ± 日本語 ą 𝄞 \x1b"
)
WORDS = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    [HOSTILE, "[a]", "*", "-0.1", "a/b_c" * 20]
)
ENGINES = [name for name in ("pdflatex", "tectonic") if shutil.which(name)]


@st.composite
def sheets(draw):
    count = draw(st.integers(0, 5))
    columns = tuple(
        Column(draw(WORDS), right=draw(st.booleans()), rising=draw(st.booleans()), minor=draw(st.booleans()))
        for _ in range(count)
    )
    number = st.none() | st.floats(-1, 1)
    cell = st.builds(SheetCell, WORDS, st.sampled_from(["", "[-0.1, 0.2]", "[0.1, 0.2]†"]), st.integers(0, 2), number)
    row = st.builds(
        SheetRow, st.tuples(*([cell] * count)), st.sampled_from(["", "control", "bound"]), st.none() | WORDS
    )
    rows = tuple(draw(st.lists(row, max_size=6)) * draw(st.sampled_from([1, 1, 10])))
    return Sheet(draw(WORDS), columns, rows, tuple(draw(st.lists(WORDS, max_size=4))), (), draw(WORDS))


def commands_removed(text):
    """The text without escaped characters, so that what is left has its meaning for LaTeX."""
    return re.sub(r"\\[\\{}%#&$_]", "", text)


def require_sound(latex):
    lines = [re.sub(r"(?<!\\)%.*", "", line) for line in latex.splitlines()]
    bare = commands_removed(re.sub(r"\\\\\*?$", "", "\n".join(lines), flags=re.MULTILINE))
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    assert "#" not in bare
    assert "~" not in bare.replace(r"\~{", "")
    open_environments = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", "\n".join(lines)):
        if kind == "begin":
            open_environments.append(name)
        else:
            assert open_environments.pop() == name
    assert open_environments == []


@settings(max_examples=60, deadline=None)
@given(st.lists(sheets(), min_size=1, max_size=2))
def test_braces_and_environments_are_balanced_and_rows_have_one_cell_a_column(parts):
    for sheet in parts:
        latex = to_latex([sheet])
        require_sound(latex)
        shown = sum(not column.minor for column in sheet.columns)
        table = re.search(r"\\begin\{(tabular|longtable)\}\{@\{\}([lr]*)@\{\}\}(.*?)\\end\{\1\}", latex, re.DOTALL)
        assert (table is not None) == bool(shown)
        if table is None:
            continue
        assert len(table[2]) == shown
        rows = [line for line in table[3].splitlines() if re.search(r" \\\\\*?$", line) and "\\caption" not in line]
        rows = [line for line in rows if not line.startswith(r"\multicolumn")]
        assert len(rows) > len(sheet.rows)
        for row in rows:
            assert commands_removed(row[: row.rindex(" \\\\")]).count("&") == shown - 1
            assert not row.startswith(("[", "*"))
        assert sum(line.endswith(r" \\") for line in rows) == len(sheet.rows) + (2 if table[1] == "longtable" else 1)


@settings(max_examples=200, deadline=None)
@given(WORDS)
def test_text_is_one_line_in_which_nothing_is_a_command_of_its_own(text):
    shown = escape_latex(text, breakable=True)
    assert "\n" not in shown
    require_sound(shown)
    known = re.sub(r"\$.*?\$|\\[a-zA-Z]+(\{\})?|\\[^a-zA-Z]", "", shown.replace(r"\$", ""))
    assert not set(known) & set('\\%&_^<>|"`')


def test_what_words_become():
    assert escape_latex("a_b <c> | 50 %") == r"a\_b \textless{}c\textgreater{} \textbar{} 50 \%"
    assert escape_latex("table --all") == "table -{}-all"
    assert escape_latex("Käse, Łódź, ığ") == r"K\"{a}se, \L{}\'{o}d\'{z}, \i{}\u{g}"
    assert escape_latex("日") == r"\ifdefined\Umathchar 日\else [U+65E5]\fi{}"
    assert escape_latex("ą").endswith(r"\else a\fi{}"), "pdflatex prints the letter without its ogonek"
    assert escape_latex("α ≤ 1\nb") == r"$\alpha$ $\leq$ 1 b"


def test_by_default_two_metrics_and_the_notes_in_print(cli, tmp_path):
    results = write_results(tmp_path / "r", ["a", "b", "random"])
    latex = cli("table", results, "--format", "latex").out
    assert r"Encoder & Recommender & Recall@10 $\uparrow$ & NDCG@10 $\uparrow$ & Group \\" in latex
    assert "% Left out, to fit a page: Recall@20, Recall@40, NDCG@20, NDCG@40" in latex
    printed = "\n".join(line for line in latex.splitlines() if not line.startswith("%"))
    for part in (
        "chance & ",
        "ceiling & ",
        "60 playlists counted",
        r"The 95 \% intervals (bootstrap over playlists)",
        "chance: expected score of a random ranking",
        r"\label{tab:continuation-made}",
        r"\textbf{Bold}: best",
    ):
        assert part in printed  # fmt: skip
    sorted_by = cli("table", results, "--format", "latex", "--sort", "ndcg@40").out
    assert r"Recall@10 $\uparrow$ & NDCG@40 $\uparrow$ & Group" in sorted_by
    chosen = cli("table", results, "--format", "latex", "--metrics", "recall@20,recall@40,ndcg@20,map@40").out
    assert re.search(r"Recall@20.*Recall@40.*NDCG@20.*MAP@40", chosen)
    assert "Left out" not in chosen


def test_a_table_of_many_rows_goes_on_over_pages(tmp_path):
    many = write_results(tmp_path / "many", [f"encoder-{n}" for n in range(24)], ("itemknn", "ridge"))
    few = write_results(tmp_path / "few", ["a", "b"])
    for folder, kind in ((many, "longtable"), (few, "table")):
        latex = to_latex([load_results(folder)[0].sheet()])
        assert rf"\begin{{{kind}}}" in latex
        assert r"\caption{continuation: made}" in latex


@pytest.mark.skipif(not ENGINES, reason="needs pdflatex or tectonic")
def test_all_kinds_of_tables_compile(tmp_path):
    results = write_results(tmp_path / "r", ["larp@demo", HOSTILE.replace("\x1b", ""), "random"], ("itemknn", "ridge"))
    many = write_results(tmp_path / "many", [f"encoder-{n}" for n in range(24)], ("itemknn", "ridge"))
    (table,), (long,) = load_results(results), load_results(many)
    (wide,) = load_results(results, View(("recall@10", "recall@20", "ndcg@10", "coverage@10"), digits=3))
    compared = load_results(results).compare("larp@demo", "random")
    parts = [
        *captioned([table.sheet(), long.sheet(), wide.sheet()], HOSTILE, "tab:x"),
        comparison_sheet(compared.lines, "larp@demo", HOSTILE),
        text_sheet(HOSTILE, ("[a", HOSTILE), (("*", "[b]"), ("[c", HOSTILE)), (HOSTILE, "/a/b_c" * 40), ()),
        text_sheet("No columns", (), (), ("A note.",), ()),
    ]
    preamble = "\\documentclass{article}\n\\usepackage{booktabs,longtable}\n\\begin{document}\n\\ref{tab:x-1}\n"
    (tmp_path / "paper.tex").write_text(preamble + to_latex(parts) + "\\end{document}\n")
    flags = {"pdflatex": ["-interaction=nonstopmode", "-halt-on-error"], "tectonic": ["--only-cached"]}
    done = subprocess.run(
        [ENGINES[0], *flags[ENGINES[0]], "paper.tex"], cwd=tmp_path, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000


def test_reproduced_tables_are_written_by_the_same_writer(tmp_path):
    written = write_sheet(text_sheet("A table", ("a",), (("1",),), ("Note",), ()), tmp_path, "t")
    (tex,) = (path for path in written if path.suffix == ".tex")
    assert tex == tmp_path / "t.tex"
    text = Path(tex).read_text()
    assert r"\begin{tabular}{@{}l@{}}" in text
    assert "\nNote.\n" in text
