"""Cold tracks for known listeners: which encoders and recommenders a reproduced table runs, and with what result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from larpbench.encoders.names import get_encoder, split_label
from larpbench.encoders.provided import provided_encoders
from larpbench.encoders.spec import SHUFFLED, EncoderSpec
from larpbench.reproduction.request import Evaluation, Request, evaluate
from larpbench.reproduction.selection import Selection, report_not_run, select
from larpbench.results.rows import Row
from larpbench.results.view import View
from larpbench.tasks.cold_tracks.artists import NO_ENCODER, artists_known
from larpbench.tasks.cold_tracks.task import COLD_TRACKS, CONTROLS

NONE = NO_ENCODER.card.name
ARTISTS = ("same-artist", NONE)
"""The encoders that read nothing but artists."""
ARTIST_MEAN = CONTROLS[0]
_PERMUTED_BY = "itemknn"  # a recommender that learns would be fitted once a permutation
_NO_ARTISTS = (
    f"not run: {', '.join(CONTROLS)}, {ARTISTS[0]}: the data set knows no artists (next: build it from a copy that "
    "has them, such as id_information.csv beside the files of onion)."
)


@dataclass(frozen=True)
class ColdResults:
    """What was run of a table.

    Attributes:
        found: Cells of encoders and recommenders.
        permuted: Cells of shuffled encoders, with itemknn; None if there are none.
        shown: Names of the encoders that have rows, in their order.
        encoders: Which encoders were selected.
        recommenders: Which recommenders were selected.
        not_run: What was not run and why, in words.
    """

    found: Evaluation
    permuted: Evaluation | None
    shown: tuple[str, ...]
    encoders: Selection
    recommenders: Selection
    not_run: tuple[str, ...]

    def paired(self, encoder: str) -> tuple[str, ...]:
        """Return the recommenders that an encoder is tested with; controls are no recommenders of content."""
        if encoder not in self.encoders.names:
            return ()
        return tuple(name for name in self.recommenders.names if (encoder == NONE) == (name in CONTROLS))

    def reason(self, encoder: str, recommender: str) -> str | None:
        """Return why a pair was not run; None if it was."""
        return self.found.absent.get(encoder) or self.found.absent.get(recommender)

    def permuted_row(self, encoder: str) -> Row | None:
        """Return the row of an encoder's shuffled vectors; None if there is none."""
        if self.permuted is None or encoder == NONE:
            return None
        return self.permuted.row(shuffled_name(encoder), _PERMUTED_BY)


def shuffled_name(encoder: str) -> str:
    """Return the name of an encoder with its vectors permuted; those of a combination are permuted as one."""
    name = split_label(encoder)[1]
    return f"{SHUFFLED}:({name})" if get_encoder(name).combined else f"{SHUFFLED}:{name}"


def measured(
    request: Request, of_paper: Sequence[str], recommenders: Sequence[str], view: View, permutations: bool
) -> ColdResults:
    """Run the cells that are missing.

    Encoders are those of the paper, the others that the data set brings, and, where artists are known, those that read
    nothing else. An explicit list is taken as it is, with controls that are recommenders asked for by name.

    Args:
        request: What the table is made of.
        of_paper: Names of the paper's encoders.
        recommenders: Names of the table's recommenders, beside the controls.
        view: The metrics of the table.
        permutations: Whether shuffled vectors stand beside the encoders' own.

    Raises:
        UnknownNameError: If there is no encoder or recommender of a requested name.
        MissingPartError: If nothing can be run.
    """
    dataset = request.dataset
    brought = [name for name in provided_encoders(dataset) if name not in of_paper]
    knows_artists = artists_known(dataset)
    controls = ARTISTS if knows_artists else ()
    asked = (*request.encoders, *COLD_TRACKS.needed_encoders(request.recommenders)) if request.encoders else ()
    encoders = select(
        asked,
        (*of_paper, *brought, *controls),
        lambda: [*COLD_TRACKS.expanded(["all"]), *provided_encoders(dataset)],
    )
    scorers = (*recommenders, *(CONTROLS if NONE in encoders.names else ()))
    selected = select(request.recommenders, scorers, lambda: COLD_TRACKS.recommenders(["all"]))
    found = evaluate(request, encoders.names, selected.names, COLD_TRACKS, view)
    content = [name for name in encoders.names if name in found.identities and _is_content(request, name)]
    permuted = None
    if permutations and content:
        names = list(dict.fromkeys(map(shuffled_name, content)))
        permuted = evaluate(request, names, (_PERMUTED_BY,), COLD_TRACKS, view)
    not_run = report_not_run(request, found.absent, encoders, selected)
    if not knows_artists and NONE not in encoders.names:
        request.report(_NO_ARTISTS)
        not_run = (*not_run, _NO_ARTISTS)
    # Own rows stand beside all that the paper has, also beside rows that were not asked for. What was run is first.
    beside = of_paper if encoders.own else ()
    shown = sorted(dict.fromkeys((*encoders.names, *beside)), key=lambda name: name not in found.identities)
    return ColdResults(found, permuted, tuple(shown), encoders, selected, not_run)


def _is_content(request: Request, name: str) -> bool:
    """Return whether an encoder is more than a control, so that its vectors are worth permuting."""
    spec = COLD_TRACKS.encoders([name], lambda: request.dataset)[name]
    return isinstance(spec, EncoderSpec) and not spec.tested_on(request.dataset).card.control
