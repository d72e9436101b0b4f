"""What a build reports of its data set: the entries that were kept and dropped, and warnings."""

from __future__ import annotations

from larpbench.datasets.left_out import IN_NO_SPLIT, IN_OTHER_SPLIT, IN_SHORT_PLAYLIST
from larpbench.datasets.listeners.table import LISTENERS
from larpbench.datasets.schema import SPLITS, Manifest

MOST_DROPPED = 0.5
"""A build warns if a larger share of the entries was dropped."""
FEW_VALID = 20
"""A build warns if there are fewer valid playlists to choose by."""
_BY_SPLIT = (IN_OTHER_SPLIT, IN_SHORT_PLAYLIST, IN_NO_SPLIT)


def entries_before(manifest: Manifest) -> int:
    """Return how many playlist entries there were before any was left out."""
    return _kept(manifest) + sum((manifest.left_out_entries or {}).values())


def kept_and_dropped(manifest: Manifest) -> list[str]:
    """Return what share of the playlist entries was kept, and what share was dropped for which reason.

    There are no lines for artist graphs, and none for data sets of earlier versions, which did not count.
    """
    before = entries_before(manifest)
    if manifest.left_out_entries is None or not before:
        return []
    lines = [f"entries: {_kept(manifest)} of {before} kept ({_kept(manifest) / before:.1%})"]
    return lines + [
        f"dropped: {count / before:.1%} of the entries: {reason}" for reason, count in manifest.left_out_entries.items()
    ]


def build_warnings(manifest: Manifest) -> list[str]:
    """Return what a user should know of a data set before working with it, each with the option that helps."""
    if manifest.kind == LISTENERS:
        return _listener_warnings(manifest)
    if manifest.kind != "playlists":
        return []
    found = []
    before, left = entries_before(manifest), manifest.left_out_entries or {}
    lost = sum(left.values())
    if lost > MOST_DROPPED * before:
        by_split = sum(left.get(reason, 0) for reason in _BY_SPLIT)
        remedy = _remedy(manifest) if 2 * by_split > lost else "most before the split: see that the ids are alike"
        found.append(f"{lost / before:.0%} of the playlist entries were dropped; {remedy}")
    needed = SPLITS if _wants_train(manifest) else ("test",)
    if empty := [name for name in needed if not manifest.counts[f"{name}.playlists"]]:
        found.append(f"there is no playlist for {' and '.join(empty)}; {_remedy(manifest)}")
    scored = manifest.counts["valid.playlists"] - manifest.uncounted.get("valid", 0)
    if 0 < scored < FEW_VALID:
        few = "1 playlist" if scored == 1 else f"{scored} playlists"
        found.append(f"valid has only {few} to score: what training and tuning choose by so few is largely chance")
    for name, count in manifest.uncounted.items():
        remedy = (
            "a --min-length of 2 drops them"
            if manifest.split.rule != "given"
            else "give each of them both roles, or leave them out"
        )
        found.append(
            f"{count} {name} playlists lack a seed or a held-out track: no score counts them (protocol rule 8); "
            f"{remedy}"
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
