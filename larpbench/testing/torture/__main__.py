"""``python -m larpbench.testing.torture``: prints a table of kills and what came of them."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from larpbench.testing.torture.commands import COMMANDS, PREPARED
from larpbench.testing.torture.inputs import make_inputs
from larpbench.testing.torture.kills import Tally, Torturer

_HEADS = ("command", "kills", "failed", "lost", "different", "left")


def main() -> int:
    """Kill the commands that were chosen; return 1 if anything was lost, different or left, else 0."""
    asked = _asked()
    chosen = [command for command in COMMANDS if not asked.only or command.name in asked.only]
    shares = [asked.kills // len(chosen) + (place < asked.kills % len(chosen)) for place in range(len(chosen))]
    with tempfile.TemporaryDirectory(prefix="larpbench-torture-", ignore_cleanup_errors=True) as folder:
        inputs, scratch = Path(folder) / "inputs", Path(folder) / "scratch"
        scratch.mkdir()
        make_inputs(inputs)
        torturer = Torturer(inputs, scratch, random.Random(asked.seed), _say)  # noqa: S311 - no secret
        for line in PREPARED if any(command.prepared for command in chosen) else ():
            torturer.prepare([each.format(inputs=inputs) for each in line])
        found: dict[str, Tally] = {}
        for command, kills in zip(chosen, shares, strict=True):
            _say(f"{command.name}: {kills} kills")
            found[command.name] = torturer.torture(command, kills)
    print(_table(found))  # noqa: T201 - a script
    return 0 if all(tally.sound for tally in found.values()) else 1


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m larpbench.testing.torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills in all, shared among the commands")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    names = [command.name for command in COMMANDS]
    parser.add_argument("--only", action="append", choices=names, metavar="COMMAND", help=f"one of: {', '.join(names)}")
    return parser.parse_args()


def _table(found: dict[str, Tally]) -> str:
    rows = [(name, *(getattr(tally, head) for head in _HEADS[1:])) for name, tally in found.items()]
    rows.append(("all", *(sum(int(row[place]) for row in rows) for place in range(1, len(_HEADS)))))
    return "\n".join(
        "".join(f"{cell:<24}" if not place else f"{cell:>11}" for place, cell in enumerate(row))
        for row in [_HEADS, *rows]
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    sys.exit(main())
