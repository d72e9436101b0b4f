"""What is imported when, and in which direction modules import each other."""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import larpbench

PACKAGE = Path(larpbench.__file__).parent
HEAVY = ("torch", "transformers", "sklearn", "polars", "numpy", "pydantic")
LAYERS = [  # from below; modules at the top of the package may be used by all of them
    ("audio", "engine", "training"),
    "datasets",
    "evaluation",
    ("encoders", "recommenders"),
    ("tasks", "results"),
    ("benchmark", "testing", "export"),
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


def family_of(module: str) -> str:
    """The encoder family that a module is a part of: LARP, an adapter, ..; nothing for what they share."""
    parts = module.split(".")[1:]
    if parts[:2] in (["encoders", "larp"], ["encoders", "baselines"], ["encoders", "factors"]):
        return parts[1]
    return parts[2] if parts[:2] == ["encoders", "adapters"] and len(parts) > 2 else ""


@functools.cache
def files() -> dict[str, ast.Module]:
    """Return the syntax tree of every file by the name of its module; a package is named after its folder."""
    paths = {path.relative_to(PACKAGE.parent).with_suffix("").parts: path for path in PACKAGE.rglob("*.py")}
    return {".".join(parts).removesuffix(".__init__"): ast.parse(path.read_text()) for parts, path in paths.items()}


class Imports(ast.NodeVisitor):
    """Collects the modules that a file imports anywhere, those for type checkers left out."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._modules = set(modules)
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names} & self._modules

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            self.names |= {inner if inner in self._modules else node.module or ""} & self._modules


@functools.cache
def imports() -> dict[str, set[str]]:
    """Return the modules of larpbench that each module imports, in functions too."""
    trees = files()
    found = {}
    for module, tree in trees.items():
        reader = Imports(trees)
        reader.visit(tree)
        found[module] = reader.names - {module}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules in which each imports, directly or not, every other one."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        left = [start]
        while left:
            new = graph[left.pop()] - seen
            seen |= new
            left.extend(new)
        return seen

    reach = {module: reached(module) for module in graph}
    groups = {frozenset(other for other in reach[module] if module in reach[other]) for module in graph}
    return sorted(sorted(group) for group in groups if group)


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": {"d"}, "f": {"d"}}
    assert circles(graph) == [["a", "b", "c"], ["d", "e"]]


def test_no_file_imports_itself_by_way_of_others():
    found = [" <-> ".join(each.removeprefix("larpbench.") for each in circle) for circle in circles(imports())]
    assert not found, "files that import each other:\n" + "\n".join(found)


def test_nothing_imports_upwards():
    wrong = []
    for module, names in imports().items():
        for name in names if module not in ("larpbench", "larpbench.__main__") else ():
            pair = {module.split(".")[1], name.split(".")[1] if "." in name else ""}
            if layer_of(name) > layer_of(module) or pair == {"encoders", "recommenders"}:
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_encoder_families_do_not_know_each_other():
    pairs = [(module, name) for module, names in imports().items() for name in names]
    assert [
        f"{module} imports {name}"
        for module, name in pairs
        if family_of(module) and family_of(name) and family_of(module) != family_of(name)
    ] == []


def test_larp_is_imported_by_itself_the_command_line_and_reproduction_only():
    may = ("larpbench.encoders.larp", "larpbench.cli", "larpbench.reproduction")
    assert [
        f"{module} imports {name}"
        for module, names in imports().items()
        for name in names
        if f"{name}.".startswith("larpbench.encoders.larp.") and not module.startswith(may)
    ] == []


def test_the_public_names_are_there():
    assert larpbench.__version__
    for name in set(larpbench.__all__) - {"__version__"}:
        assert callable(getattr(larpbench, name)), name
    with pytest.raises(AttributeError):
        larpbench.nothing  # noqa: B018
