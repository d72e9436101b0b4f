"""What is imported when, and in which direction modules import each other."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import larpbench

HEAVY = ("torch", "transformers", "sklearn", "polars", "numpy", "pydantic")
LAYERS = [
    "training",
    "datasets",
    "evaluation",
    ("encoders", "recommenders"),
    ("tasks", "results"),
    ("benchmark", "testing"),
    ("reproduction", "report"),
    "cli",
]


@pytest.mark.parametrize(
    ("code", "banned"),
    [
        ("import larpbench", HEAVY),
        ("import larpbench; dir(larpbench)", HEAVY),
        ("import sys; sys.argv = ['larpbench', '--help']\nfrom larpbench.cli import main; main()", HEAVY),
        ("import sys; sys.argv = ['larpbench', 'list', 'encoders']\nfrom larpbench.cli import main; main()", HEAVY[:3]),
    ],
)
def test_light_things_load_nothing_heavy(code, banned):
    ending = f"import sys, json; print(json.dumps([m for m in {banned!r} if m in sys.modules]))"
    wrapped = f"try:\n    exec({code!r})\nexcept SystemExit:\n    pass\n{ending}"
    done = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def layer_of(module: str) -> int:
    """Position of a module in the direction of imports; modules at the top that everybody may use come first."""
    part = module.split(".")[1] if "." in module else ""
    for number, names in enumerate(LAYERS, start=1):
        if part in names if isinstance(names, tuple) else part == names:
            return number
    return 0


def test_nothing_imports_upwards():
    root = Path(larpbench.__file__).parent
    wrong = []
    for path in root.rglob("*.py"):
        module = ".".join(["larpbench", *path.relative_to(root).with_suffix("").parts]).removesuffix(".__init__")
        if module in ("larpbench", "larpbench.__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if not name.startswith("larpbench"):
                    continue
                ours, theirs = layer_of(module), layer_of(name)
                pair = {module.split(".")[1], name.split(".")[1] if "." in name else ""}
                if theirs > ours or pair == {"encoders", "recommenders"}:
                    wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_the_public_names_are_there():
    for name in larpbench.__all__:
        assert callable(getattr(larpbench, name)), name
    with pytest.raises(AttributeError):
        larpbench.nothing  # noqa: B018
