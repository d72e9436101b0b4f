"""Invented data is the same on every CPU, whatever code NumPy and OpenBLAS choose on it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy._core import _multiarray_umath as numpy_core
from support import world_digests

from larpbench.datasets.demo import fixed_point, latents, sound_tables, synthesis, words, world

DATASETS = Path(fixed_point.__file__).parents[1]

EXPECTED = {
    "names": "f58a5863e9a95f3a",
    "playlists": "ef4f8d5d8102a3d1",
    "oracle": "430a56ed3b7eb77c",
    "controls": "3d1c84da6c70c893",
    "samples": "87697a1ca9893b94",
    "toy artists": "fafe81c994fc8ef4",
    "toy features": "de93bd9066fe8f97",
    "large tables": "b422d2f1a56fea0f",
    "large views": "07cc3c297f5e80ec",
    "listeners": "7a3d1c90ee752a6b",
    "listeners' views": "b89e58718bfac382",
}
"""Changes with GENERATOR_VERSION, and with nothing else."""

_CAN = [name for name in numpy_core.__cpu_dispatch__ if numpy_core.__cpu_features__.get(name)]
_PLAIN = {"NPY_DISABLE_CPU_FEATURES": " ".join(_CAN)} if _CAN else {}
_HAS_AVX2, _HAS_AVX512 = (
    any(numpy_core.__cpu_features__.get(name) for name in names)
    for names in (("AVX2", "X86_V3"), ("AVX512_SKX", "X86_V4"))
)
OTHER_MACHINES = [
    {**_PLAIN, "OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "1"},
    *([{"OPENBLAS_CORETYPE": "Haswell"}] if _HAS_AVX2 else []),
    *([{**_PLAIN, "OPENBLAS_CORETYPE": "SkylakeX"}] if _HAS_AVX512 else []),
]


def test_every_cpu_makes_the_same():
    def made(environment: dict[str, str]) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, world_digests.__file__],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found

    with ThreadPoolExecutor(2) as pool:
        others = pool.map(made, OTHER_MACHINES)
        assert world_digests.digests() == EXPECTED
        for environment, found in zip(OTHER_MACHINES, others, strict=True):
            assert found == EXPECTED, environment


INTEGER_FUNCTIONS = {
    "abs", "arange", "argsort", "array", "array_split", "clip", "concatenate", "cumsum", "diff", "empty", "eye",
    "flatnonzero", "full", "hstack", "minimum", "partition", "repeat", "resize", "roll", "searchsorted", "shape",
    "sort", "split", "stack", "unique", "where", "zeros", "zeros_like", "asarray", "issubdtype", "integer", "int16",
    "int64", "uint16", "ndarray", "random",
}  # fmt: skip
"""What the generators may call of NumPy: on integers, these are exact in any order."""
PACKING = {"float16", "float32", "ldexp"}
"""Exact, too: what stands for a number becomes it. For what is handed out, not for what decides anything."""
WHOLE = {"float32", "float64", "floating", "finfo", "square"}
"""Of the one product by BLAS, which takes whole numbers that these hold."""


def faults(path: Path, allowed: set[str], *, floats: bool = False, products: bool = False) -> list[str]:
    """Return what the source of a generator does that could depend on the CPU."""
    drawn = {name for name in dir(np.random.Generator) if not name.startswith("_")} - {"integers", "permutation"}
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Attribute):
            of = node.value
            if isinstance(of, ast.Name) and of.id == "np" and node.attr not in allowed:
                found.append(f"{where} np.{node.attr}")
            elif isinstance(of, ast.Name) and of.id == "math" and node.attr != "isqrt":
                found.append(f"{where} math.{node.attr}")
            elif node.attr in drawn | {"mean", "std", "var", "dot"} and not (
                isinstance(of, ast.Name) and of.id == "np"
            ):
                found.append(f"{where} .{node.attr}")
        elif isinstance(node, ast.BinOp | ast.AugAssign):
            if isinstance(node.op, ast.MatMult) and not products:
                found.append(f"{where} @")
            if isinstance(node.op, ast.Div) and not floats:
                found.append(f"{where} /")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float) and not floats:
            found.append(f"{where} {node.value}")
    return found


@pytest.mark.parametrize("module", [latents, words, world, synthesis])
def test_the_demo_is_reckoned_in_integers(module):
    assert not faults(Path(module.__file__), INTEGER_FUNCTIONS)


def test_the_tables_and_the_toy_graph_call_no_function_of_floats():
    assert not faults(Path(sound_tables.__file__), INTEGER_FUNCTIONS, floats=True)  # of decimals, which are exact
    assert not faults(
        DATASETS / "demo" / "fixed_point.py", INTEGER_FUNCTIONS | PACKING | WHOLE, floats=True, products=True
    )
    assert not faults(DATASETS / "artists" / "toy.py", INTEGER_FUNCTIONS | PACKING, floats=True)  # a spec is in floats


@pytest.mark.parametrize("name", ["tracks", "playlists", "words", "views", "world"])
def test_demo_large_is_reckoned_in_integers(name):
    path = DATASETS / "demo_large" / f"{name}.py"
    assert not faults(path, INTEGER_FUNCTIONS | (PACKING if name in ("playlists", "views") else set()))


def test_demo_listeners_is_reckoned_in_integers():
    assert not faults(DATASETS / "demo_listeners" / "world.py", INTEGER_FUNCTIONS)


@pytest.mark.parametrize(
    "line", ["np.tanh(x)", "np.fft.rfft(x)", "a @ b", "x / 2", "0.5 * x", "x.std()", "rng.standard_normal(3)",
             "math.exp(x)", "rng.choice(3, p=x)", "np.linalg.norm(x)", "np.einsum('i,i', x, x)", "a @= b"],
)  # fmt: skip
def test_the_test_of_the_source_finds_what_depends_on_the_cpu(tmp_path, line):
    (tmp_path / "generator.py").write_text(f"{line}\n")
    assert faults(tmp_path / "generator.py", INTEGER_FUNCTIONS)


def test_products_of_integers_are_exact():
    rng = np.random.default_rng(0)
    a, b = rng.integers(-(1 << 23), 1 << 23, size=(7, 18)), rng.integers(-(1 << 22), 1 << 22, size=(18, 5))
    exact = [
        [sum(x * y for x, y in zip(row, column, strict=True)) >> 20 for column in b.T.tolist()] for row in a.tolist()
    ]
    assert fixed_point.matrix_product(a, b).tolist() == exact


def test_tables_do_not_depend_on_the_callers_decimal_context():
    code = """
import decimal
decimal.setcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP))
from larpbench.datasets.demo import fixed_point as f
from larpbench.datasets.demo import sound_tables as s
print(int(f._gumbel_quantiles().sum()), int(f._tanh_table().sum()), int(s.sine()[1:1000].sum()), s.cents(800))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tables = (fixed_point._gumbel_quantiles(), fixed_point._tanh_table(), sound_tables.sine()[1:1000])
    assert [int(word) for word in done.stdout.split()] == [*(int(table.sum()) for table in tables), 3435]
