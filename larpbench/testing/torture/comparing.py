"""What two calls of one command have written: what is different, and what one has left over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

_OF_THE_CALL = {"costs", "versions", "machine", "created", "wall_s", "cpu_s", "seconds"}
"""Fields of JSON that tell when, where and how fast something was made."""
_SPEED = "speed.json"
"""An estimate, which only a call that encodes to the end can make."""


def files(folder: Path) -> dict[str, Path]:
    """Return all files and links below a folder, and those folders that are hidden, by their relative names."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.name != _SPEED and (not path.is_dir() or path.name.startswith("."))
    }


def different(one: Path, other: Path) -> list[str]:
    """Return the relative names of what one folder has, and the other has not, or has with another content."""
    first, second = files(one), files(other)
    return [name for name, path in first.items() if name not in second or not _same(path, second[name])]


def left_over(one: Path, other: Path) -> list[str]:
    """Return the relative names of what only the other folder has."""
    known = files(one)
    return [name for name in files(other) if name not in known]


def _same(one: Path, other: Path) -> bool:
    if one.is_dir() or other.is_dir():
        return one.is_dir() and other.is_dir()
    if one.suffix in (".json", ".jsonl"):
        return _documents(one) == _documents(other)
    if one.suffix == ".safetensors":
        return _same_tensors(one, other)
    return one.read_bytes() == other.read_bytes()


def _documents(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8")
    return [_lasting(json.loads(each)) for each in (text.splitlines() if path.suffix == ".jsonl" else [text])]


def _lasting(found: Any) -> Any:  # noqa: ANN401 - it is JSON
    if isinstance(found, dict):
        return {name: _lasting(value) for name, value in found.items() if name not in _OF_THE_CALL}
    return [_lasting(each) for each in found] if isinstance(found, list) else found


def _same_tensors(one: Path, other: Path) -> bool:
    """Compare by value: the metadata of a file tell how long it took."""
    with safe_open(one, framework="numpy") as first, safe_open(other, framework="numpy") as second:
        names = list(first.keys())
        return names == list(second.keys()) and all(
            np.array_equal(first.get_tensor(name), second.get_tensor(name)) for name in names
        )
