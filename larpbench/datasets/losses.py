"""What does not come into a data set: counted by reason, and told with a warning where much is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import SPLITS, Manifest

OTHER_SPLIT = "entries whose track belongs to another split"
NO_SPLIT = "entries whose track is in no split"
TOO_SHORT = "entries of playlists with too few tracks of their split"
MOST_LEFT = 0.5
"""Where a larger share of the entries left, a build warns."""
FEW_VALID = 20
"""With fewer playlists to choose by, a build warns."""
_BY_SPLIT = (OTHER_SPLIT, TOO_SHORT, NO_SPLIT)
_NAMED = 3
_LONGEST = 120


class LossCounter:
    """What does not come into a data set: counts by reason, and the first three names of each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one.

        Args:
            reason: What is left out, and why, such as ``files that cannot be read``.
            name: Which one; any text of a file or a folder.
        """
        self._counts[reason] = self._counts.get(reason, 0) + 1
        names = self._names.setdefault(reason, [])
        if len(names) < _NAMED:
            names.append(name)

    def by_reason(self) -> dict[str, int]:
        """Return reason, with the first three names, -> count."""
        return {with_names(reason, self._names[reason], count): count for reason, count in self._counts.items()}


def with_names(reason: str, names: Sequence[str], total: int) -> str:
    """Return a reason with the first three names, shortened and escaped: ``reason ('a', 'b', 'c', ..)``."""
    shown = ", ".join(repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…") for name in names[:_NAMED])
    return f"{reason} ({shown}{', ..' if total > _NAMED else ''})"


def in_words(left_out: Mapping[str, int]) -> str:
    """Return reasons and counts as one line, for messages."""
    return "; ".join(f"{count} {reason}" for reason, count in left_out.items())


def entry_losses(left_out: Mapping[str, int]) -> dict[str, int]:
    """Return the reasons for which playlist entries left; duplicates are no loss (protocol rule 1)."""
    return {reason: count for reason, count in left_out.items() if reason.startswith("entries ")}


def entries_before(manifest: Manifest) -> int:
    """Return how many playlist entries there were before any left."""
    return _kept(manifest) + sum((manifest.left_out_entries or {}).values())


def loss_lines(manifest: Manifest) -> list[str]:
    """Return what share of the playlist entries was kept, and what share was dropped for which reason.

    Nothing is said of artist graphs, nor of data sets that an earlier version built and did not count.
    """
    before = entries_before(manifest)
    if manifest.left_out_entries is None or not before:
        return []
    lines = [f"entries: {_kept(manifest)} of {before} kept ({_kept(manifest) / before:.1%})"]
    return lines + [
        f"dropped: {count / before:.1%} of the entries: {reason}" for reason, count in manifest.left_out_entries.items()
    ]


def build_warnings(manifest: Manifest) -> list[str]:
    """Return what a user should know of a data set before working with it, each with the option that mends it."""
    if manifest.kind == LISTENERS:
        return _listener_warnings(manifest)
    if manifest.kind != "playlists":
        return []
    found = []
    before, left = entries_before(manifest), manifest.left_out_entries or {}
    lost = sum(left.values())
    if lost > MOST_LEFT * before:
        by_split = sum(left.get(reason, 0) for reason in _BY_SPLIT)
        mends = _remedy(manifest) if 2 * by_split > lost else "most before the split: see that the ids are alike"
        found.append(f"{lost / before:.0%} of the playlist entries were dropped; {mends}")
    needed = SPLITS if _wants_train(manifest) else ("test",)
    if empty := [name for name in needed if not manifest.counts[f"{name}.playlists"]]:
        found.append(f"there is no playlist for {' and '.join(empty)}; {_remedy(manifest)}")
    scored = manifest.counts["valid.playlists"] - manifest.uncounted.get("valid", 0)
    if 0 < scored < FEW_VALID:
        few = "1 playlist" if scored == 1 else f"{scored} playlists"
        found.append(f"valid has only {few} to score: what training and tuning choose by so few is largely chance")
    for name, count in manifest.uncounted.items():
        mends = (
            "a --min-length of 2 drops them"
            if manifest.split.rule != "given"
            else "give each of them both roles, or leave them out"
        )
        found.append(
            f"{count} {name} playlists lack a seed or a held-out track: no score counts them (protocol rule 8); {mends}"
        )
    return found


def _listener_warnings(manifest: Manifest) -> list[str]:
    found = []
    if not manifest.counts["valid.entries"]:
        found.append("no track of valid is played by anybody: recommenders that learn cannot be tuned on it")
    for name, count in manifest.uncounted.items():
        found.append(f"{count} {name} listeners have no track of train: no score counts them (no profile)")
    return found


def _kept(manifest: Manifest) -> int:
    return sum(manifest.counts.get(f"{name}.entries", 0) for name in SPLITS)


def _wants_train(manifest: Manifest) -> bool:
    """Whether there is something to train on; a given split may be all test, and so may a drawn one (fraction 0)."""
    return manifest.split.rule != "given" and manifest.split.train_fraction != 0


def _remedy(manifest: Manifest) -> str:
    rule = manifest.split
    if rule.rule == "given":
        return "the split column decides: give playlists of each split that is needed"
    if rule.rule == "date":
        artists = "no --artist-disjoint, " if rule.artist_disjoint else ""
        return f"{artists}a lower --min-length, other boundaries or another --train-fraction keep more"
    if rule.rule == "tracks":
        return "a lower --min-length or another --train-fraction keeps more"
    if rule.train_fraction == 0:
        return "a lower --min-length keeps more"
    if rule.train_fraction is not None:
        return "--split-rule tracks keeps more for train; so does a lower --min-length or another --train-fraction"
    return (
        "a lower --min-length or other numbers (--train-tracks, --valid-playlists, --test-playlists) keep more; "
        "so does --split-rule tracks without numbers, where there is one"
    )
