"""Other people's packages: which are here and which are broken, without importing them into this process."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib import metadata

BESIDE_TORCH = ("torchvision", "torchaudio")
"""Built against one torch; where they cannot be imported, transformers cannot be either, although it needs neither."""


def importable(module: str) -> bool:
    """Return whether a module can be found; it is not imported, and may break when it is."""
    try:
        return importlib.util.find_spec(module) is not None
    except Exception:  # a part of a package that is not there, or one whose own start breaks
        return False


def unmet(requirement: str) -> str | None:
    """Return why an installed package is of the wrong version, None if it is right or absent.

    Args:
        requirement: As pip knows it, such as ``numpy<2``.
    """
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return None
    if wanted.specifier.contains(version, prereleases=True):
        return None
    return f"{wanted.name} {version} is installed, and it needs {requirement}"


def broken(modules: tuple[str, ...] = BESIDE_TORCH) -> dict[str, str]:
    """Return those modules that are installed but cannot be imported, with the error's last line.

    Each is imported in a process of its own, since a broken one may leave half of itself behind.
    """
    found = {}
    for module in modules:
        if importable(module):
            done = subprocess.run(  # noqa: S603 - our own interpreter
                [sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False
            )
            if done.returncode:
                found[module] = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return found


def how_to_mend(modules: tuple[str, ...]) -> str:
    """Return the command that gets rid of broken packages, and the one that brings working ones."""
    names = " ".join(modules)
    return f"pip uninstall -y {names}    (or install the builds for your torch, from the index that it came from)"
