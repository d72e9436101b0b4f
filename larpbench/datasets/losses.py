"""What a build lost: which share of the playlist entries left and why, and when that is worth a warning."""

from __future__ import annotations

from larpbench.datasets.assemble import OTHER_SPLIT, TOO_SHORT
from larpbench.datasets.schema import SPLITS, Manifest

MOST_LEFT = 0.5
"""Where a larger share of the entries left, a build warns."""
_BY_SPLIT = (OTHER_SPLIT, TOO_SHORT)


def entries_before(manifest: Manifest) -> int:
    """Return how many playlist entries there were before any left."""
    return _kept(manifest) + sum((manifest.left_out_entries or {}).values())


def loss_lines(manifest: Manifest) -> list[str]:
    """Return what share of the playlist entries stayed, and what share left for which reason.

    Nothing is said of artist graphs, nor of data sets that an earlier version built and did not count.
    """
    before = entries_before(manifest)
    if manifest.left_out_entries is None or not before:
        return []
    lines = [f"entries: {_kept(manifest)} of {before} stayed ({_kept(manifest) / before:.1%})"]
    return lines + [
        f"left: {count / before:.1%} of the entries: {reason}" for reason, count in manifest.left_out_entries.items()
    ]


def build_warnings(manifest: Manifest) -> list[str]:
    """Return what a user should know of a data set before working with it, each with the option that mends it."""
    if manifest.kind != "playlists":
        return []
    found = []
    before, left = entries_before(manifest), manifest.left_out_entries or {}
    lost = sum(left.values())
    if lost > MOST_LEFT * before:
        by_split = sum(left.get(reason, 0) for reason in _BY_SPLIT)
        mends = _remedy(manifest) if 2 * by_split > lost else "most left before the split: see that the ids are alike"
        found.append(f"{lost / before:.0%} of the playlist entries left; {mends}")
    needed = SPLITS if _wants_train(manifest) else ("test",)
    if empty := [name for name in needed if not manifest.counts[f"{name}.playlists"]]:
        found.append(f"no playlist is left for {' and '.join(empty)}; {_remedy(manifest)}")
    for name, count in manifest.uncounted.items():
        mends = (
            "a --min-length of 2 lets them leave"
            if manifest.split.rule != "given"
            else "give each of them both roles, or leave them out"
        )
        found.append(
            f"{count} {name} playlists lack a seed or a held-out track: no score counts them (protocol rule 8); {mends}"
        )
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
