"""The command line: one file a verb; what is heavy is imported inside the verb."""

from __future__ import annotations

import errno
import logging
import sys
import warnings
from typing import NoReturn

import typer

from larpbench.cli import (
    check,
    compare,
    convert,
    dataset,
    describe,
    doctor,
    encode,
    fetch,
    list,
    plan,
    report,
    reproduce,
    results,
    run,
    table,
    train,
)
from larpbench.errors import LarpbenchError, name_too_long, printable

_INTERRUPTED = 130
_CANNOT_PRINT = (errno.ENOSPC, errno.EIO, errno.EDQUOT)

app = typer.Typer(
    name="larpbench",
    help="How good is a music encoder for tracks and playlists that nobody has played yet?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Start with: larpbench run    (the demo data set, no download)",
)
app.command(epilog=run.EPILOG)(run.run)
app.command(epilog=plan.EPILOG)(plan.plan)
app.command("list", epilog=list.EPILOG)(list.list_names)
app.command(epilog=describe.EPILOG)(describe.describe)
app.add_typer(dataset.app, name="dataset")
app.command(epilog=fetch.EPILOG)(fetch.fetch)
app.command(epilog=encode.EPILOG)(encode.encode)
app.add_typer(train.app, name="train")
app.add_typer(convert.app, name="convert")
app.command(epilog=reproduce.EPILOG)(reproduce.reproduce)
app.command(epilog=table.EPILOG)(table.table)
app.command(epilog=compare.EPILOG)(compare.compare)
app.command(epilog=report.EPILOG)(report.report)
app.add_typer(results.app, name="results")
app.command(epilog=check.EPILOG)(check.check)
app.command(epilog=doctor.EPILOG)(doctor.doctor)


def main() -> None:
    """Run the command line and exit: 0 fine, 1 failed cells, 2 usage, 3 missing parts, 130 interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        app()
        sys.stdout.flush()
    except LarpbenchError as error:
        _fail(error)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            _fail(name_too_long(str(error.filename)))
        if error.errno not in _CANNOT_PRINT:
            raise
        typer.echo(f"error: what was to be printed cannot be written: {error.strerror}", err=True)
        sys.stdout = None  # nothing more can be printed, and Python would try at its end
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == _INTERRUPTED:
            typer.echo("interrupted: everything finished is kept; the same command goes on from there", err=True)
        raise


def _fail(error: LarpbenchError) -> NoReturn:
    typer.echo(f"error: {printable(str(error))}", err=True)
    sys.exit(error.exit_code)
