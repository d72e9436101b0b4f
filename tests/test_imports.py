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


FAMILIES = ("larpbench.encoders.larp", "larpbench.encoders.baselines", "larpbench.encoders.adapters")
MAY_IMPORT_LARP = ("larpbench.encoders.larp", "larpbench.cli", "larpbench.reproduction")


def imported_by(path: Path) -> set[str]:
    """Modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def inside(module: str, package: str) -> bool:
    """Whether a module is a package, or in it."""
    return f"{module}.".startswith(f"{package}.")


def test_larp_the_baselines_and_the_adapters_do_not_import_each_other():
    root = Path(larpbench.__file__).parent
    wrong = []
    for path in root.rglob("*.py"):
        module = ".".join(["larpbench", *path.relative_to(root).with_suffix("").parts])
        own = [family for family in FAMILIES if inside(module, family)]
        others = {family for family in FAMILIES if family not in own} if own else set()
        if not any(inside(module, each) for each in MAY_IMPORT_LARP):
            others.add("larpbench.encoders.larp")
        wrong += [f"{module} imports {name}" for name in imported_by(path) for each in others if inside(name, each)]
    assert wrong == []


def test_training_is_below_all_that_learns():
    root = Path(larpbench.__file__).parent / "training"
    names = {name for path in root.glob("*.py") for name in imported_by(path)}
    above = [name for name in names if layer_of(name) > layer_of("larpbench.training")]
    assert above == []


def test_the_public_names_are_there():
    for name in larpbench.__all__:
        assert callable(getattr(larpbench, name)), name
    with pytest.raises(AttributeError):
        larpbench.nothing  # noqa: B018
