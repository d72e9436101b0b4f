"""``larpbench doctor``."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import typer

from larpbench.cli import options
from larpbench.errors import MissingPartError
from larpbench.streams import aside

if TYPE_CHECKING:
    from larpbench.encoders.spec import EncoderSpec
    from larpbench.registry import Registry

EPILOG = """Examples:

larpbench doctor

larpbench doctor --json"""


def doctor(as_json: options.Json = False) -> None:
    """Report versions, hardware and problems of this installation.

    The exit code is 3 if there is a problem.
    """
    from larpbench import storage
    from larpbench.datasets.catalogue import DATASETS
    from larpbench.encoders.names import ENCODERS
    from larpbench.encoders.run.bucket import EMBEDDINGS
    from larpbench.encoders.run.place import default_store
    from larpbench.errors import LarpbenchError, StorageError, UsageError
    from larpbench.packages import broken, how_to_repair
    from larpbench.recommenders import RECOMMENDERS
    from larpbench.runtime import machine, versions
    from larpbench.tasks import TASKS

    problems = [
        f"{problem.kind}: {problem.message}"
        for registry in (ENCODERS, RECOMMENDERS, DATASETS, TASKS)
        for problem in registry.problems()
    ]
    problems += [f"not installed: {name}" for name, version in versions().items() if version == "not installed"]
    unsound = broken()
    problems += [f"installed but cannot be imported: {name}: {message}" for name, message in unsound.items()]
    problems += [f"transformers does not work with it; next: {how_to_repair(tuple(unsound))}"] if unsound else []
    home, free = None, None
    try:
        home = storage.home()
        storage.write_text(home / "doctor.txt", "This file may be deleted.\n")
        (home / "doctor.txt").unlink()
        free = shutil.disk_usage(home).free
    except StorageError as error:
        problems.append(f"the home folder cannot be written: {error.what} ({home}); set LARPBENCH_HOME")
    except UsageError as error:
        problems.append(f"there is no home folder: {error.what}; set LARPBENCH_HOME")
    place = os.environ.get(EMBEDDINGS) or (str(home / "embeddings") if home else None)
    try:
        if home:
            default_store()
    except LarpbenchError as error:
        problems.append(f"there is no place for embeddings: {error.what} (${EMBEDDINGS})")
    gib = None if free is None else round(free / 2**30, 1)
    facts = {**versions(), **machine(), "home": home and str(home), "free_gib": gib, "embeddings": place}
    if as_json:
        typer.echo(json.dumps({**facts, "problems": problems}, indent=2))
    else:
        for key, value in facts.items():
            typer.echo(f"{key:14} {value}")
        for row in _encoders(ENCODERS) if home else ():
            typer.echo(f"encoder {row}")
        for problem in problems:
            typer.echo(f"PROBLEM  {problem}")
        if not problems:
            typer.echo("no problem found")
    if any(not problem.startswith("clash") for problem in problems):
        raise typer.Exit(3)


@aside()
def _encoders(registry: Registry[EncoderSpec]) -> list[str]:
    from larpbench.cli.describe import speed_text

    rows = []
    for name in registry.names():
        try:
            spec = registry.get(name)
        except MissingPartError:
            continue  # already among the problems
        status = spec.status()
        state = "ready" if status.state == "ready" else f"{status.text}; next: {status.next_step}"
        rows.append(f"{name:14} {state}, {speed_text(spec)}")
    return rows
