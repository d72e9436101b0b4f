"""The folder of an encoder's vectors of a split: what is missing in it, and what it says of itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from larpbench import progress, storage
from larpbench.datasets.schema import Split
from larpbench.encoders.run import claims
from larpbench.encoders.run.shards import Shard
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import clipped, printable

_IDS, _CARD = "ids.json", "card.json"


def missing_shards(spec: EncoderSpec, split: Split, shards: Sequence[Shard], chosen: Sequence[Shard]) -> list[Shard]:
    """Return those of the chosen shards that are missing or cannot be trusted; what killed processes left is deleted.

    Args:
        spec: The encoder.
        split: Its tracks.
        shards: All shards of the split.
        chosen: Those that are looked at.
    """
    folder = shards[0].path.parent
    sweep(folder)
    if not all(path.is_file() for path in described(folder)):
        _describe(spec, split, folder)
    faults = {shard: shard.fault() for shard in chosen if shard.path.is_file()}
    _warn(spec, split, folder, [reason for reason in faults.values() if reason])
    return [shard for shard in chosen if faults.get(shard, "missing")]


def described(folder: Path) -> tuple[Path, ...]:
    """Return the files that say what the vectors in a folder are."""
    return folder / _IDS, folder / _CARD


def sweep(folder: Path) -> None:
    """Delete what killed processes have left in a folder of vectors, and in the one above."""
    for each in (folder.parent, folder):
        storage.sweep(each)
    claims.sweep(folder)


def _write_text(path: Path, text: str) -> None:
    """Write a text file that other machines may write, too, with the same or as good a content."""
    with storage.own_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _describe(spec: EncoderSpec, split: Split, folder: Path) -> None:
    """Write into a folder what its vectors are; before the first is there, so that no kill leaves them without."""
    card = {
        "encoder": replace(spec, centred=False).identity,  # what is stored is as it was encoded
        "card": spec.card.model_dump(mode="json"),
        "split": split.name,
        "tracks": len(split.track_ids),
    }
    _write_text(folder / _IDS, json.dumps(split.track_ids.tolist(), ensure_ascii=False) + "\n")
    _write_text(folder / _CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def _warn(spec: EncoderSpec, split: Split, folder: Path, reasons: list[str]) -> None:
    """Print how many stored shards are not used, and why."""
    if reasons:
        why = clipped(printable("; ".join(sorted(set(reasons)))))
        progress.say(
            f"warning: {len(reasons)} stored shards of {spec.identity} ({split.name}) cannot be trusted and are "
            f"encoded anew: {why} (in {folder})"
        )
