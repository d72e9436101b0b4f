"""How large the splits of published collections are: by the protocol, by the papers, or as the user asks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from larpbench.datasets.schema import SplitRule
from larpbench.datasets.splits.rules import TRAIN_FRACTION
from larpbench.errors import UsageError


@dataclass(frozen=True)
class Sizes:
    """Numbers of tracks and playlists; None leaves them to the rule.

    Attributes:
        train_tracks: Tracks that train claims.
        valid_playlists: Playlists of valid.
        test_playlists: Playlists of test.
        min_length: Valid and test playlists have at least so many tracks of their split.
        max_length: They are cut to so many.
    """

    train_tracks: int | None = None
    valid_playlists: int | None = None
    test_playlists: int | None = None
    min_length: int | None = None
    max_length: int | None = None


PAPER = {
    # Salganik et al. 2024, table 1 and released code. How many valid playlists there were is not said: these numbers
    # give about as many valid tracks as were released.
    "mpd": Sizes(100_000, 400, 100, 10, 101),
    "lfm": Sizes(87_558, 1_000, 1_000, 31, 99),
}
PROTOCOL = {
    "mpd": Sizes(min_length=5),
    "tables": Sizes(min_length=5),
    "lfm": Sizes(100_000, 500, 1_000, 31, 99),  # a whole listening history is no playlist, and all of them no test
}


def split_rule(
    collection: Literal["mpd", "lfm", "tables"],
    sizes: Sizes,
    *,
    drawn: Literal["tracks", "playlists"] | None = None,
    paper: bool,
    seed: int,
    artist_disjoint: bool,
) -> SplitRule:
    """Return how a collection is split.

    Args:
        collection: Which one; ``tables`` is the user's own, for which there is no paper.
        sizes: What the user wants otherwise.
        drawn: The rule that the user wants; None: ``tracks`` where shares of all playlists are drawn, ``playlists``
            where numbers are.
        paper: Whether train claims first, as in the papers, and not test, as in the protocol's rule 2.
        seed: Drives all draws.
        artist_disjoint: Whether no artist may be in two splits.

    Raises:
        UsageError: If the numbers contradict each other.
    """
    stated = {each.name: value for each in fields(sizes) if (value := getattr(sizes, each.name)) is not None}
    sizes = replace((PAPER if paper else PROTOCOL)[collection], **stated)
    if sizes.max_length is not None and sizes.max_length < (sizes.min_length or 1):
        raise UsageError(
            f"playlists of at least {sizes.min_length} and at most {sizes.max_length} tracks are none",
            allowed="--max-length of at least --min-length",
        )
    numbers = any(each is not None for each in (sizes.train_tracks, sizes.valid_playlists, sizes.test_playlists))
    if drawn is not None and paper:
        raise UsageError("--preset paper has a rule of its own: --split-rule would change nothing")
    if drawn == "tracks" and numbers:
        raise UsageError(
            "numbers of tracks and playlists are drawn by the rule playlists; the rule tracks draws shares",
            allowed="--split-rule playlists, or no numbers",
        )
    # Rule 2 has two test playlists for one of valid.
    if sizes.test_playlists is None and sizes.valid_playlists is not None:
        sizes = replace(sizes, test_playlists=2 * sizes.valid_playlists)
    if sizes.valid_playlists is None and sizes.test_playlists is not None:
        sizes = replace(sizes, valid_playlists=max(1, sizes.test_playlists // 2))
    return SplitRule(
        rule="paper" if paper else drawn or ("playlists" if numbers else "tracks"),
        roles="drawn",
        seed=seed,
        train_fraction=TRAIN_FRACTION if sizes.test_playlists is None else None,
        artist_disjoint=artist_disjoint,
        **asdict(sizes),
    )
