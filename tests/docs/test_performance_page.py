"""The page of figures is what the file of figures says."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest
from support.doc_commands import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def page(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    for name in ("paired", "figures", "page"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_file(page):
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert page.filled(text) == text


def test_a_run_replaces_what_it_measured_and_nothing_else(page, tmp_path):
    figures, path = sys.modules["figures"], tmp_path / "kept.json"
    ratio = sys.modules["paired"].Ratio(1.3, 1.2, 1.4, 0.3, 0.2)
    figures.keep([figures.measured("ranking / bare product, 3 x 4", "<= 1.25x", ratio)], path=path)
    figures.keep([figures.measured("memory, 3 x 4", "< 300 MB", "105 MB", value=105.0)], path=path)
    figures.keep([figures.measured("ranking / bare product, 3 x 4", "<= 1.35x", ratio)], path=path)
    kept = json.loads(path.read_text())["figures"]
    assert [(each["name"], each["peer"], each["met"]) for each in kept] == [
        ("ranking, 3 x 4", "bare product", True),
        ("memory, 3 x 4", "", True),
    ]


@pytest.mark.parametrize("content", [None, "", "{", "null", "[]", '{"figures": 3}', '{"figures": [{}], "curves": []}'])
def test_a_damaged_file_of_figures_changes_no_page(page, tmp_path, monkeypatch, content):
    written = tmp_path / "page.md"
    written.write_text("<!-- figures -->\nold\n<!-- /figures -->")
    monkeypatch.setattr(page, "PAGE", written)
    for module in (page, sys.modules["figures"]):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "kept.json")
    if content is not None:
        (tmp_path / "kept.json").write_text(content)
    monkeypatch.setattr(sys.modules["figures"].kept, "__defaults__", (tmp_path / "kept.json",))
    monkeypatch.setattr(page.filled, "__defaults__", (tmp_path / "kept.json",))
    with pytest.raises(SystemExit, match="there is no" if content is None else "is damaged .* git checkout"):
        page.main()
    assert "old" in written.read_text()


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        ("<= 1.25", 1.25, True),
        ("<= 1.25", 1.26, False),
        (">= 0.95", 0.94, False),
        ("< 1,500 MB", 1_400.0, True),
        ("0.67 to 1.5", 1.5, True),
        ("0.67 to 1.5", 0.66, False),
        ("none", 3.0, None),
        ("<= 1.2", None, None),
    ],
)
def test_whether_a_target_is_met(page, target, value, met):
    figure = sys.modules["figures"].measured("a / b", target, "shown", value=value)
    assert figure.met is met


def test_a_line_of_slope_one_in_a_log_log_plot_is_linear(page, tmp_path):
    made = sys.modules["figures"].curve("ranking", "tracks", [10, 20, 40], [1.0, 2.0, 4.0], "1 playlist")
    assert made.exponent == pytest.approx(1.0)
    page.draw([made], tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text(encoding="utf-8")
