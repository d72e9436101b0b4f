"""A table as Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from jinja2 import Environment, PackageLoader

from larpbench.errors import printable
from larpbench.results.rows import Row, Score, Table

CSV_COLUMNS = (
    "task",
    "dataset",
    "encoder",
    "recommender",
    "seed",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "chance",
    "ceiling",
    "n",
    "group",
    "licence",
)
_NOT_APPLICABLE = "n/a"


def to_markdown(tables: Sequence[Table]) -> str:
    """Return GitHub-flavoured Markdown: best bold, second best underlined."""
    marks = {1: ("**", "**"), 2: ("<u>", "</u>"), 0: ("", "")}

    def cell(score: Score | None) -> str:
        before, after = marks[score.place if score else 0]
        return f"{before}{number_text(score)}{after}{interval_text(score)}"

    parts = []
    for table in tables:
        heads = ["Encoder", "Recommender", *(f"{column_head(column)} ↑" for column in table.columns), "Group"]
        lines = [heads, ["---", "---", *("--:" for _ in table.columns), "---"]]
        lines += [[escape_markdown(text) for text in _labels(row)] + _cells(row, table, cell) for row in table.rows]
        lines += [
            [name, "", *(bound_text(values.get(c)) for c in table.columns), ""] for name, values in _bounds(table)
        ]
        title = f"## {escape_markdown(table.task)}: {escape_markdown(table.tested)}"
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "\n".join(f"- {escape_markdown(text)}" for text in (*table.facts, *table.footnotes))
        parts.append(f"{title}\n\n{body}\n\n{notes}\n")
    return "\n".join(parts)


def to_csv(tables: Sequence[Table]) -> str:
    """Return long CSV: one line a cell and metric, ``n/a`` where K reaches the candidates; one for a failed cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in tables:
        groups = {(row.encoder, row.recommender): row.group for row in table.rows}
        for record in table.records:
            cell = record.cell
            name = (cell.task, table.tested, cell.encoder, cell.recommender, cell.seed)
            licence = record.encoder.card["licence"]
            if record.status == "failed":
                writer.writerow([*name, "failed", *[""] * 7, licence])
            for metric in record.metrics:
                numbers = (metric.value, metric.ci_low, metric.ci_high, metric.chance, metric.ceiling)
                shown = ["" if number is None else repr(number) for number in numbers]
                if not metric.applicable:
                    shown = [_NOT_APPLICABLE] * len(numbers)
                group = groups[cell.encoder, cell.recommender] if metric.name == table.columns[0] else ""
                writer.writerow([*name, metric.name, *shown, metric.n, group, licence])
    return stream.getvalue()


def to_latex(tables: Sequence[Table]) -> str:
    """Return LaTeX for the booktabs package: best bold, second best underlined."""

    def cell(score: Score | None) -> str:
        command = {1: r"\textbf{%s}", 2: r"\underline{%s}", 0: "%s"}[score.place if score else 0]
        return (command % number_text(score)) + (rf" {{\scriptsize {interval_text(score).strip()}}}" if score else "")

    parts = []
    for table in tables:
        lines = [
            rf"% {escape_latex(table.task)}: {escape_latex(table.tested)}",
            rf"\begin{{tabular}}{{ll{'r' * len(table.columns)}l}}",
            r"\toprule",
            " & ".join(["Encoder", "Recommender", *map(column_head, table.columns), "Group"]) + r" \\",
            r"\midrule",
        ]
        lines += [
            " & ".join([*map(escape_latex, _labels(row)), *_cells(row, table, cell)]) + r" \\" for row in table.rows
        ]
        lines.append(r"\midrule")
        for name, values in _bounds(table):
            lines.append(" & ".join([name, "", *(bound_text(values.get(c)) for c in table.columns), ""]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [f"% {escape_latex(text)}" for text in (*table.facts, *table.footnotes)]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def to_html(tables: Sequence[Table]) -> str:
    """Return one self-contained page; every text from the data is escaped."""
    environment = Environment(loader=PackageLoader("larpbench.results"), autoescape=True, trim_blocks=True)
    environment.filters.update(number=number_text, interval=interval_text, plain=bound_text, head=column_head)
    return environment.get_template("tables.html").render(tables=tables, bounds=_bounds)


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
    "html": to_html,
}


def _labels(row: Row) -> list[str]:
    seeds = f" ({row.seeds} seeds)" if row.seeds > 1 else ""
    control = " (control)" if row.control else ""
    return [f"{row.encoder}{control}{seeds}", row.recommender]


def _cells(row: Row, table: Table, cell: Callable[[Score | None], str]) -> list[str]:
    if row.failure:
        return ["failed", *("" for _ in table.columns)]
    return [*(cell(row.scores[column]) for column in table.columns), row.group]


def _bounds(table: Table) -> list[tuple[str, dict[str, float | None]]]:
    bounds = [("chance", table.chance), ("ceiling", table.ceiling)]
    return [(name, values) for name, values in bounds if values or table.records]


def column_head(column: str) -> str:
    """Return a metric as a heading, such as ``NDCG@10``."""
    name, at, k = column.partition("@")
    if not at:
        return column
    first, *rest = name.split("_")
    words = [first.upper() if first in ("ndcg", "mrr", "map") else first.capitalize(), *rest]
    return f"{' '.join(words)}@{k}"


def number_text(score: Score | None) -> str:
    """Return a score to four decimals."""
    return _NOT_APPLICABLE if score is None else f"{score.value:.4f}"


def interval_text(score: Score | None) -> str:
    """Return a score's interval, with a space before it; empty if it has none."""
    if score is None or score.low is None or score.high is None:
        return ""
    return f" [{score.low:.3f}, {score.high:.3f}]{'†' if score.few_hits else ''}"


def bound_text(value: float | None) -> str:
    """Return chance or ceiling to four decimals."""
    return _NOT_APPLICABLE if value is None else f"{value:.4f}"


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    for character in "\\`|<>*_[]":
        text = text.replace(character, f"\\{character}")
    return " ".join(printable(text).split())


def escape_latex(text: str) -> str:
    """Return text that LaTeX shows as it is, on one line."""
    table = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "†": r"\dag{}"}
    table |= {character: f"\\{character}" for character in "&%$#_{}"}
    return " ".join("".join(table.get(character, character) for character in text).split())
