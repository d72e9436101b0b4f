"""Reading the pages of a report as a browser without scripts would."""

from __future__ import annotations

import posixpath
from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "link", "br", "img", "input", "wbr"}


class Page(HTMLParser):
    """One page: its tags, attributes, links, ids, and the text that a reader sees."""

    def __init__(self, path: str, source: str) -> None:
        super().__init__()
        self.path, self.source = path, source
        self.tags: list[str] = []
        self.found: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.unclosed: list[str] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.rows: list[dict] = []
        self.section = ""
        self.goes_on = False
        self.feed(source)
        self.close()
        self.unclosed += self.open

    def handle_starttag(self, tag, attrs):
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.found.append((tag, attributes))
        self.goes_on = tag == "wbr"  # where a line may end within a word
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = attributes.get("id", "")
        if tag == "tr" and "tbody" in self.open:
            self.rows.append({"section": self.section, "cells": [], "links": [], "attributes": attributes})
        if tag in ("td", "th") and "tbody" in self.open:
            self.rows[-1]["cells"].append("")
        if tag == "a" and "tbody" in self.open:
            self.rows[-1]["links"].append(attributes["href"])

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unclosed.append(f"/{tag}")

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            before = self.texts.pop()[1] if self.goes_on else ""
            self.texts.append((tuple(self.open), before + data))
            self.goes_on = False
            if self.rows and "tbody" in self.open and {"td", "th"} & set(self.open):
                self.rows[-1]["cells"][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(text for _, text in self.texts).split())

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.found if "id" in attributes]

    @property
    def links(self) -> list[str]:
        return [attributes["href"] for tag, attributes in self.found if tag == "a"]

    def attributes(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]

    def resolve(self, link: str) -> str:
        target = link.partition("#")[0]
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.path), target)) if target else self.path


def read_site(folder: Path) -> dict[str, Page]:
    """Return path -> page of a report."""
    paths = sorted(folder.rglob("*.html"))
    assert paths
    return {
        (name := path.relative_to(folder).as_posix()): Page(name, path.read_text(encoding="utf-8")) for path in paths
    }


def table_rows(page: Page) -> list[dict]:
    """Return the body rows of all tables: ``section``, ``cells``, ``text``, ``links``, ``attributes``."""
    for row in page.rows:
        row["cells"] = [" ".join(cell.split()) for cell in row["cells"]]
        row["text"] = " ".join(row["cells"])
    return page.rows
