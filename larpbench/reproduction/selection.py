"""Which rows of a paper's table are run: all of them, or those asked for, with rows of the user's own behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from larpbench.encoders.names import parse_name, split_label
from larpbench.paths import shown_encoder
from larpbench.reproduction.request import Request
from larpbench.tasks.continuation.task import CONTINUATION

DEFAULT = "default"
NOT_ASKED_FOR = "not asked for"


@dataclass(frozen=True)
class Selection:
    """Names of encoders or recommenders.

    Attributes:
        names: What is run: those of the paper in its order, then the others as they were written.
        own: Those of them that the paper's table does not have.
        left_out: Those of the paper's table that were not asked for.
    """

    names: tuple[str, ...]
    own: tuple[str, ...]
    left_out: tuple[str, ...]


def select(
    asked: Sequence[str],
    of_paper: Sequence[str],
    everything: Callable[[], Iterable[str]],
    canonical: Callable[[str], str] = lambda name: name,
) -> Selection:
    """Return which names are run.

    Args:
        asked: What the user has written; ``default`` stands for those of the paper, and so does nothing.
        of_paper: Those of the paper's table, in its order.
        everything: Returns what ``all`` stands for.
        canonical: Returns a name as `of_paper` has it, if it means one of these.
    """
    lists: dict[str, Iterable[str]] = {DEFAULT: of_paper}
    if "all" in asked:
        lists["all"] = everything()
    names = dict.fromkeys(each for name in asked or (DEFAULT,) for each in lists.get(name, (name,)))
    meant = {canonical(name) for name in names}
    own = tuple(name for name in names if canonical(name) not in of_paper)
    chosen = tuple(name for name in of_paper if name in meant)
    return Selection((*chosen, *own), own, tuple(name for name in of_paper if name not in meant))


def select_recommenders(request: Request, of_paper: Sequence[str]) -> Selection:
    """Return which recommenders of a table are run."""
    return select(request.recommenders, of_paper, lambda: CONTINUATION.recommenders(["all"]))


def select_encoders(request: Request, of_paper: Sequence[str]) -> Selection:
    """Return which encoders of a table are run; a trained one without a size is the one in the table's size."""
    unsized = {name.removesuffix(f":{request.size}"): name for name in of_paper}

    def canonical(name: str) -> str:
        if split_label(name)[0] is not None:
            return name
        parts = parse_name(name)
        weights = ["" if part.weight is None else f"{part.weight:g}*" for part in parts]
        written = "+".join(weight + part.base + part.rest for weight, part in zip(weights, parts, strict=True))
        return unsized.get(written, written)

    return select(request.encoders, of_paper, lambda: CONTINUATION.expanded(["all"]), canonical)


def shown_name(name: str) -> str:
    """Return an encoder's name as tables show it if it has not been run: its label, or no folder in its argument."""
    label, name = split_label(name)
    return label or shown_encoder(name)


def report_not_run(request: Request, absent: Mapping[str, str], *selections: Selection) -> tuple[str, ...]:
    """Report what of the paper, and of what was asked for, has not been run and why; return it for the table's notes.

    Args:
        request: Receives the lines.
        absent: Name -> reason.
        selections: Of encoders, then of recommenders.
    """
    lines = [f"not run: {shown_name(name)}: {reason}." for name, reason in absent.items()]
    for option, selection in zip(("--encoders", "--recommenders"), selections, strict=False):
        if selection.left_out:
            lines.append(f"not run: {', '.join(selection.left_out)}: {NOT_ASKED_FOR} ({option}).")
    for line in lines:
        request.report(line)
    return tuple(lines)
