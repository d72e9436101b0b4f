"""The command line: one file for each command; heavy modules are imported inside the commands."""

from __future__ import annotations

import errno
import logging
import os
import sys
import warnings
from importlib import metadata
from typing import Annotated

import typer

from larpbench import streams
from larpbench.cli import (
    check,
    cite,
    compare,
    convert,
    dataset,
    describe,
    doctor,
    encode,
    export,
    fetch,
    layers,
    list,
    plan,
    report,
    reproduce,
    results,
    run,
    table,
    train,
)
from larpbench.cli.options import EarlierFlags
from larpbench.errors import LarpbenchError, UsageError, clipped, name_too_long, printable

_INTERRUPTED = 130
_CANNOT_PRINT = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EPIPE)
_CANNOT_USE = (
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EACCES, errno.EPERM),
    *(errno.EROFS, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ENODEV),
)

app = typer.Typer(
    name="larpbench",
    help="How good is a music encoder for tracks and playlists that nobody has played yet?",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Start with: larpbench run    (the demo data set, no download)",
)
app.command(cls=EarlierFlags, epilog=run.EPILOG)(run.run)
app.command(cls=EarlierFlags, epilog=plan.EPILOG)(plan.plan)
app.command("list", epilog=list.EPILOG)(list.list_names)
app.command(epilog=describe.EPILOG)(describe.describe)
app.command(epilog=cite.EPILOG)(cite.cite)
app.add_typer(dataset.app, name="dataset")
app.command(epilog=fetch.EPILOG)(fetch.fetch)
app.command(epilog=encode.EPILOG)(encode.encode)
app.command(epilog=layers.EPILOG)(layers.layers)
app.add_typer(train.app, name="train")
app.add_typer(convert.app, name="convert")
app.add_typer(export.app, name="export")
app.command(epilog=reproduce.EPILOG)(reproduce.reproduce)
app.command(epilog=table.EPILOG)(table.table)
app.command(epilog=compare.EPILOG)(compare.compare)
app.command(epilog=report.EPILOG)(report.report)
app.add_typer(results.app, name="results")
app.command(epilog=check.EPILOG)(check.check)
app.command(epilog=doctor.EPILOG)(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"larpbench {metadata.version('larpbench')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """How good is a music encoder for tracks and playlists that nobody has played yet?"""


def main() -> None:
    """Run the command line and exit: 0 success, 1 failed cells, 2 usage, 3 missing parts, 130 interrupted."""
    with streams.owned():
        code = _ended()
    sys.exit(code)


def _ended() -> int | str | None:
    """Run the command line, flush the output and return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        code = _code()
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in _CANNOT_PRINT:
            raise
        if error.errno != errno.EPIPE:
            typer.echo(f"error: the output cannot be written: {error.strerror}", err=True)
        return 1
    if code == _INTERRUPTED:
        typer.echo("interrupted: finished work is kept; run the same command again to continue", err=True)
    return code


def _code() -> int | str | None:
    try:
        for argument in sys.argv[1:]:
            _require_text(argument)
        app()
    except LarpbenchError as error:
        return _failed(error)
    except OSError as error:
        if not _is_of_the_user(error):
            raise
        where = str(error.filename)
        refused = UsageError(f"{error.strerror}: {clipped(where)}", allowed="a path that can be used")
        return _failed(name_too_long(where) if error.errno == errno.ENAMETOOLONG else refused)
    except SystemExit as ended:
        return ended.code
    return 0


def _failed(error: LarpbenchError) -> int:
    typer.echo(f"error: {printable(str(error))}", err=True)
    return error.exit_code


def _require_text(argument: str) -> None:
    """Refuse empty arguments and arguments that are not text: neither can be a name or a path."""
    if not argument:
        raise UsageError(
            "'' names nothing: an argument is empty",
            next_step="leave it out, or check that the shell variable is set",
        )
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in argument):
        shown = clipped(argument.encode("utf-8", "backslashreplace").decode())
        raise UsageError(f"an argument holds bytes that are no text: {shown!r}", allowed="UTF-8, without NUL")


def _is_of_the_user(error: OSError) -> bool:
    """Return whether the error concerns a path on the command line; any other is a bug in larpbench."""
    if error.errno not in _CANNOT_USE or not isinstance(error.filename, (str, os.PathLike)):
        return False
    where = str(error.filename)
    named = [argument.rpartition("=")[2].rstrip("/") for argument in sys.argv[1:]]
    return any(each and each.rpartition(":")[2] in where for each in named)
