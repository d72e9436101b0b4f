"""Pages from templates: everything escaped, nothing that a page may load or run but what it holds itself."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from larpbench.results.compare import p_text
from larpbench.results.rows import Score, score_cell
from larpbench.results.sheet import bound_text, column_head

SCRIPTS = ("sortable.min.js", "filter.js")
"""The first is sortable-tablesort 4.1.7 as published (Unlicense: assets/sortable.LICENSE)."""
STYLE = "report.css"
NAME_LENGTH = 120
TEXT_LENGTH = 4_000
_MARKS = re.compile(r"(?<=[:@/+#,_.=&|-])(?=[^\s:@/+#,_.=&|-])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")


class Pages:
    """Writes the pages of one report.

    Args:
        folder: Where to.
        menu: Pages that every page leads to, path -> title.
    """

    def __init__(self, folder: Path, menu: dict[str, str]) -> None:
        self._folder, self._menu = folder, menu
        (folder / STYLE).write_text(_asset(STYLE), encoding="utf-8", newline="\n")
        self._scripts = tuple(Markup(_asset(name).strip()) for name in SCRIPTS)  # noqa: S704 - our own files
        self._environment = Environment(
            loader=PackageLoader("larpbench.report"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._environment.filters.update(
            {"name": shown_name, "text": shown_text, "amount": amount, "number": _number}
            | {"interval": _interval, "plain": bound_text, "head": column_head, "p_text": p_text}
        )

    def write(self, path: str, template: str, *, scripted: bool = False, images: bool = False, **facts: object) -> None:
        """Write one page.

        Args:
            path: Below the report's folder, such as ``cells/NAME.html``.
            template: Name of the template.
            scripted: Whether it has tables to sort and filter.
            images: Whether it holds images.
            facts: What the template asks for.
        """
        scripts = self._scripts if scripted else ()
        page = self._environment.get_template(template).render(
            policy=_policy(scripts, images),
            style=STYLE,
            scripts=scripts,
            menu=self._menu,
            here=path,
            root="../" * path.count("/"),
            **facts,
        )
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8", newline="\n")


def shown_text(value: object, most: int = TEXT_LENGTH) -> str:
    """Return text as pages show it: without control characters, and cut if it is very long."""
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value))
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def shown_name(value: object) -> Markup:
    """Return a name as pages show it: text of any direction stays within itself, and lines end behind a mark."""
    parts = _MARKS.split(shown_text(value, NAME_LENGTH))
    return Markup("<bdi>{}</bdi>").format(Markup("<wbr>").join(parts))


def amount(value: object) -> str:
    """Return a value of a record as text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(amount, value)) or "none"
    return shown_text(value)


def _number(score: Score | None) -> str:
    return score_cell(score).text


def _interval(score: Score | None) -> str:
    """Return a score's interval with a space before it; empty if it has none."""
    return f" {score.interval}" if score and score.interval else ""


def _policy(scripts: tuple[str, ...], images: bool) -> str:
    """Return the Content-Security-Policy: scripts by their digests, the style sheet beside the page, nothing else."""
    parts = ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "style-src 'self' file:"]
    if scripts:
        parts.append(f"script-src {' '.join(map(_source, scripts))}")
    if images:
        parts.append("img-src data:")
    return "; ".join(parts)


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return resources.files("larpbench.report").joinpath("assets", name).read_text(encoding="utf-8")
