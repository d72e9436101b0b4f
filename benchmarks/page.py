"""Put the figures of results/benchmarks.json into docs/performance.md, and draw the growth curves.

python benchmarks/page.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from figures import RESULTS, Curve, kept, table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance-growth.svg"


def filled(text: str, path: Path = RESULTS) -> str:
    """Return the text of the page with its marked tables made anew from the file of figures."""
    figures, curves = kept(path)
    for mark, rows in (("figures", list(table(figures))), ("growth", _growth(curves))):
        block = f"<!-- {mark} -->\n{_markdown(rows)}<!-- /{mark} -->"
        text = re.sub(f"<!-- {mark} -->.*?<!-- /{mark} -->", lambda _, block=block: block, text, flags=re.DOTALL)
    return text


def _growth(curves: Sequence[Curve]) -> list[tuple[str, ...]]:
    rows = [("what", "grows with", "from, to", "CPU s", "exponent", "others fixed", "machine")]
    for each in curves:
        sizes, seconds = (f"{a:,}, {b:,}" for a, b in [(each.sizes[0], each.sizes[-1])]), each.cpu_s
        rows.append(
            (
                each.name,
                each.size,
                next(sizes),
                f"{seconds[0]:.3g}, {seconds[-1]:.3g}",
                f"{each.exponent:.2f}",
                each.fixed,
                each.machine,
            )
        )
    return rows


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', ', ') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:], ""])


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Draw the curves, one panel for each size, both axes logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "larpbench"
    from matplotlib import pyplot

    sizes = list(dict.fromkeys(each.size for each in curves))
    chart, panels = pyplot.subplots(1, len(sizes), figsize=(3.6 * len(sizes), 3.2), sharey=True, squeeze=False)
    for panel, size in zip(panels[0], sizes, strict=True):
        for each in (one for one in curves if one.size == size):
            panel.loglog(each.sizes, each.cpu_s, marker="o", label=f"{each.name}: power {each.exponent:.2f}")
        panel.set_xlabel(size)
        panel.grid(True, which="both", alpha=0.3)
        panel.legend(fontsize="x-small")
    panels[0][0].set_ylabel("CPU seconds, one thread")
    chart.tight_layout()
    chart.savefig(path, metadata={"Date": None})


def main() -> None:
    """Write the page and the plot."""
    if not RESULTS.exists():
        raise SystemExit(f"error: there is no {RESULTS}, and without it the page would lose its figures")
    try:
        text, (_, curves) = filled(PAGE.read_text(encoding="utf-8")), kept()
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    PAGE.write_text(text, encoding="utf-8")
    if curves:
        draw(curves, PLOT)


if __name__ == "__main__":
    main()
