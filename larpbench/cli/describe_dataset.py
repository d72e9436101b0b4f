"""What ``larpbench describe dataset`` says: of a data set by name, before and after it is built, and of any folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from larpbench.errors import shell_word

if TYPE_CHECKING:
    from pathlib import Path

    from larpbench.datasets.catalogue import DatasetSource
    from larpbench.datasets.schema import Manifest


def about(name: str) -> dict[str, object]:
    """Return what is known of a data set. Nothing is built or loaded; a plug-in's code is imported.

    Raises:
        UnknownNameError: If there is no such data set.
        MissingPartError: If it comes from a plug-in that cannot be imported.
        DataError: If it is a folder without a manifest, or with a damaged one.
    """
    from larpbench.datasets.catalogue import DATASETS, find_folder
    from larpbench.datasets.files import read_manifest

    if name not in DATASETS.names():
        folder = find_folder(name)
        manifest = read_manifest(folder)
        return {"name": manifest.name, **_built(folder, manifest), "origin": "a folder"}
    source = DATASETS.get(name)
    return {"name": name, **_registered(source), "origin": str(DATASETS.origin(name))}


def _registered(source: DatasetSource) -> dict[str, object]:
    from larpbench.datasets.catalogue import datasets_folder, is_built
    from larpbench.datasets.files import read_manifest

    card = source.card
    folder = datasets_folder() / source.name
    built = _built(folder, read_manifest(folder)) if is_built(source) else {}
    if built:
        status = "built"
    else:
        status = "made on first use" if source.load is not None else "not built: it needs your own copy of the files"
    return {
        "summary": source.summary,
        "content": card and card.content,
        "where": card and card.where,
        "licence": card.licence if card else built.get("licence", "in its manifest, once it is made"),
        "size": card and card.size,
        "paper": card and card.paper,
        "citation": list(card.citation) if card else [],
        "fetch": source.fetch,
        "command": source.build or f"larpbench dataset stats {source.name}",
        "without": list(card.without) if card else [],
        "page": card and card.page,
        "status": status,
        **{key: value for key, value in built.items() if key != "licence"},
    }


def _built(folder: Path, manifest: Manifest) -> dict[str, object]:
    """Return what a data set folder states of itself; its tables are not read."""
    from larpbench.datasets.listeners.table import LISTENERS
    from larpbench.results.notes import split_rule

    per_split: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for name, count in manifest.counts.items():
        split, _, what = name.partition(".")
        if split in per_split:
            per_split[split].append(f"{count} {what}")
    audio = manifest.audio_policy
    named = shell_word(folder)
    run = "larpbench run --task cold-tracks" if manifest.kind == LISTENERS else "larpbench run"
    return {
        "source": manifest.source,
        "licence": manifest.licence,
        "kind": manifest.kind,
        "split_rule": split_rule(manifest.split.model_dump(mode="json")),
        "splits": [f"{split}: {', '.join(counts)}" for split, counts in per_split.items() if counts],
        "left_out": [f"{count} {reason}" for reason, count in manifest.left_out.items()],
        "captions": manifest.caption_template,
        "audio": f"clips of {audio.clip_seconds:g} s" if audio else "none: encoders of audio cannot be tested on it",
        "notes": list(manifest.notes),
        "fingerprint": manifest.fingerprint,
        "folder": str(folder),
        "next": f"larpbench dataset check {named}; larpbench dataset stats {named}; {run} --dataset {named}",
    }
