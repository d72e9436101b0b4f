"""Other people's packages: which are here and which are broken, without importing them into this process."""

from __future__ import annotations

import importlib.util
import os
import secrets
import subprocess
import sys
from importlib import metadata

from larpbench.offline import is_offline
from larpbench.processes import ending, explained

BESIDE_TORCH = ("torchvision", "torchaudio")
"""Built against one torch; where they cannot be imported, transformers cannot be either, although it needs neither."""


IMPORT_SECONDS = 60.0
"""How long the import of a plug-in may take."""
_PROBE = """
import contextlib, os, sys
from importlib import metadata
name, value, group, survived, offline = sys.argv[1:]
answer = os.dup(1)
if offline:
    from larpbench.offline import go_offline
    go_offline()
with contextlib.suppress(BaseException):
    metadata.EntryPoint(name, value, group).load()
os.write(answer, survived.encode())
os._exit(0)
"""


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


def import_ends(entry: metadata.EntryPoint) -> str | None:
    """Return how importing an entry point ends the process that does it, None if it does not: it may still raise.

    It is imported in a process of its own, since it may hang, crash or leave by ``os._exit``.
    """
    survived = secrets.token_hex(8)  # whatever it prints itself
    command = [
        sys.executable,
        "-P",
        "-c",
        _PROBE,
        entry.name,
        entry.value,
        entry.group,
        survived,
        "offline" * is_offline(),
    ]
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": paths},
            timeout=IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"takes more than {IMPORT_SECONDS:.0f} s"
    if survived.encode() in done.stdout:
        return None
    return f"ends the process: {explained([ending(done.returncode)])}"


def how_to_mend(modules: tuple[str, ...]) -> str:
    """Return the command that gets rid of broken packages, and the one that brings working ones."""
    names = " ".join(modules)
    return f"pip uninstall -y {names}    (or install the builds for your torch, from the index that it came from)"
