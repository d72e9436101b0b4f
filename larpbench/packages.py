"""Other people's packages: which are here and which are broken, without importing them into this process."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

from larpbench.offline import is_offline
from larpbench.processes import ending, explained

BESIDE_TORCH = ("torchvision", "torchaudio")
"""Built against one torch; where they cannot be imported, transformers cannot be either, although it needs neither."""


IMPORT_SECONDS = 60.0
"""How long the import of a plug-in may take."""
_START_SECONDS = 60.0
_PROBE = """
import contextlib, faulthandler, json, os, sys
from importlib import metadata
survived, seconds, offline, *entries = sys.argv[1:]
answer = os.dup(1)
if offline:
    from larpbench.offline import go_offline
    go_offline()
for entry in entries:
    faulthandler.dump_traceback_later(float(seconds), exit=True, file=answer)
    with contextlib.suppress(BaseException):
        metadata.EntryPoint(*json.loads(entry)).load()
    os.write(answer, survived.encode())
os._exit(0)
"""
_TOO_LONG = b"Timeout ("  # what faulthandler writes before it ends the process


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


def import_endings(entries: Sequence[metadata.EntryPoint]) -> dict[metadata.EntryPoint, str | None]:
    """Return how importing each entry point ends the process that does it, None if it does not: it may still raise.

    They are imported in a process of their own, since one may hang, crash or leave by ``os._exit``: all in one process,
    and the rest in another where one ends it. That one counts as at fault only if it also ends a process as the first.
    """
    found: dict[metadata.EntryPoint, str | None] = {}
    waiting = list(entries)
    while waiting:
        survived, how = _import_in_turn(waiting)
        found |= dict.fromkeys(waiting[:survived])
        if survived == 0:
            found[waiting[0]] = how
        waiting = waiting[survived or 1 :]
    return found


def _import_in_turn(entries: Sequence[metadata.EntryPoint]) -> tuple[int, str]:
    """Import entry points in a process; return how many it survived, and how it ended."""
    survived = secrets.token_hex(8)  # whatever they print themselves
    listed = [json.dumps([entry.name, entry.value, entry.group]) for entry in entries]
    command = [sys.executable, "-P", "-c", _PROBE, survived, str(IMPORT_SECONDS), "offline" * is_offline(), *listed]
    paths = os.pathsep.join(path for path in sys.path if path)
    code = 0
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": paths},
            timeout=IMPORT_SECONDS * len(entries) + _START_SECONDS,  # what they start may hold the output open
            check=False,
        )
        said, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"") + _TOO_LONG
    *lived, last = said.split(survived.encode())
    if _TOO_LONG in last:
        return len(lived), f"takes more than {IMPORT_SECONDS:.0f} s"
    return len(lived), f"ends the process: {explained([ending(code)])}"


def how_to_repair(modules: tuple[str, ...]) -> str:
    """Return the command that gets rid of broken packages, and the one that brings working ones."""
    names = " ".join(modules)
    return f"pip uninstall -y {names}    (or install the builds for your torch, from the index that it came from)"
