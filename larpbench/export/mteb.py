"""A data set as a retrieval task of mteb: documents, queries, relevant documents, and the task class.

The folder has the layout that mteb and the ``datasets`` library read from the hub, in JSON lines, and a README with the
header of a data set card. The task class is `larpbench.export.mteb_task`, copied as it is; all that comes from the data
set stands in JSON files beside it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from larpbench import storage
from larpbench.datasets.schema import Dataset, Interactions
from larpbench.evaluation.bounds import ceiling, chance
from larpbench.evaluation.metrics import CUTOFFS
from larpbench.evaluation.queries import Queries, queries_of
from larpbench.evaluation.ranking import tie_order
from larpbench.results.writers import escape_markdown
from larpbench.tasks.continuation.task import CONTINUATION

TESTED_MTEB = "2.26.24"
"""The version of mteb with which the tests run an exported task."""
LICENCES = (
    *("mit", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
    *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0", "odc-by", "apache-2.0", "cc0-1.0"),
    *("bsd-3-clause", "gpl-3.0", "lgpl-3.0", "cdla-sharing-1.0", "mpl-2.0"),
)
"""Licences of data that mteb knows by these names."""
_LICENCE_URL = re.compile(r"https?://[^\s]+")
_PAPER = "https://doi.org/10.1145/3637528.3671772"


@dataclass(frozen=True)
class ExportedTask:
    """What has been written.

    Attributes:
        folder: Where it lies.
        module: Name of the Python file, without its suffix.
        name: Name of the task in mteb.
        tracks: Number of documents.
        playlists: Number of queries.
        left_out: Reason -> number of test playlists that no score can count.
    """

    folder: Path
    module: str
    name: str
    tracks: int
    playlists: int
    left_out: Mapping[str, int]


def export_mteb(dataset: Dataset, output: Path) -> ExportedTask:
    """Write the playlist continuation of a data set as a task of mteb.

    Args:
        dataset: A data set of playlists.
        output: Folder to write; new or empty, or with just what is to come in.

    Returns:
        What was written.

    Raises:
        UsageError: If the data set is of another kind, or something else is in the folder.
        DataError: If no test playlist has both a seed and a held-out track.
        StorageError: If it cannot be written.
    """
    split = CONTINUATION.view(dataset).split("test")
    queries = queries_of(split)
    captions = split.tracks["caption"].fill_null("").to_list()
    identifier = _identifier(dataset.name)
    task = ExportedTask(
        output,
        f"larpbench_{identifier}",
        f"Larpbench_{identifier}_{dataset.manifest.fingerprint[:8]}",
        len(captions),
        len(queries.seeds),
        {reason: count for reason, count in queries.left_out.items() if count},
    )
    with storage.staging_folder(output) as folder:
        _write_lines(folder / "corpus.jsonl", _documents(queries, captions))
        _write_lines(folder / "queries.jsonl", _queries(queries, captions))
        _write_lines(folder / "qrels.jsonl", _relevant(queries))
        facts = {"metadata": _metadata(dataset, task.name), "bounds": _bounds(queries)}
        storage.write_text(folder / "task.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        code = Path(__file__).with_name("mteb_task.py").read_text(encoding="utf-8")
        storage.write_text(folder / f"{task.module}.py", code)
        storage.write_text(folder / "README.md", _readme(dataset, task))
        storage.put_in_place_once(folder, output)
    return task


def _documents(queries: Queries, captions: list[str]) -> Iterator[dict[str, Any]]:
    order = tie_order(queries.track_ids)
    for track, caption, place in zip(queries.track_ids, captions, order, strict=True):
        yield {"id": str(track), "text": caption, "tie_order": int(place)}


def _queries(queries: Queries, captions: list[str]) -> Iterator[dict[str, Any]]:
    for playlist, rows in _rows(queries.seeds):
        text = "\n".join(captions[row] for row in rows)
        yield {"id": playlist, "text": text, "seeds": [str(track) for track in queries.track_ids[rows]]}


def _relevant(queries: Queries) -> Iterator[dict[str, Any]]:
    for playlist, rows in _rows(queries.heldout):
        for track in queries.track_ids[rows]:
            yield {"query-id": playlist, "corpus-id": str(track), "score": 1}


def _rows(playlists: Interactions) -> Iterator[tuple[str, np.ndarray]]:
    for playlist, start, stop in zip(
        playlists.playlist_ids, playlists.offsets[:-1], playlists.offsets[1:], strict=True
    ):
        yield str(playlist), playlists.tracks[start:stop]


def _write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _bounds(queries: Queries) -> dict[str, float]:
    """Return the mean chance level and ceiling of recall and NDCG, named as mteb names scores, to its five decimals."""
    candidates, n_heldout = queries.candidates, queries.heldout.lengths
    means = {}
    for name, bound in (("chance", chance(candidates, n_heldout)), ("ceiling", ceiling(candidates, n_heldout))):
        for metric in ("ndcg", "recall"):
            for k in CUTOFFS:
                means[f"{name}_{metric}_at_{k}"] = round(float(bound[f"{metric}@{k}"].mean()), 5)
    return means


def _metadata(dataset: Dataset, name: str) -> dict[str, Any]:
    """Return the metadata that mteb asks of a task."""
    manifest = dataset.manifest
    return {
        "name": name,
        "description": (
            f"Cold-start playlist continuation on the data set {manifest.name}: given the seed tracks of a playlist, "
            f"rank all other test tracks. Source: {manifest.source}. Licence: {manifest.licence}."
        ),
        "reference": _PAPER,
        "dataset": {"path": name, "revision": manifest.fingerprint},
        "type": "Retrieval",
        "category": "t2t",
        "modalities": ["text"],
        "eval_splits": ["test"],
        "eval_langs": ["und-Zyyy"],  # titles and names of artists in any language
        "main_score": "ndcg_at_10",
        "domains": ["Music"],
        "task_subtypes": [],
        "license": _licence(manifest.licence),
        "annotations_creators": "derived",
        "dialect": [],
        "sample_creation": "found",
        "bibtex_citation": "",
        "is_public": False,
    }


def _licence(text: str) -> str:
    """Return a licence as mteb writes it: a known name, or an address; else that it is not specified."""
    if text.lower() in LICENCES:
        return text.lower()
    return text if _LICENCE_URL.fullmatch(text) else "not specified"


def _identifier(name: str) -> str:
    """Return the letters and digits of a data set's name, for names of Python and of files; others become ``_``."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")[:60] or "data"


def _readme(dataset: Dataset, task: ExportedTask) -> str:
    """Return the data set card: a header for the hub, the call, the facts, and what differs from larpbench."""
    manifest = dataset.manifest
    licence = _licence(manifest.licence)
    header = {
        "pretty_name": manifest.name,
        **({"license": licence} if licence in LICENCES else {"license": "other", "license_name": manifest.licence}),
        "tags": ["mteb", "text", "music"],
        "configs": [
            {"config_name": config, "data_files": [{"split": "test", "path": f"{file}.jsonl"}]}
            for config, file in (("corpus", "corpus"), ("queries", "queries"), ("default", "qrels"))
        ],
    }
    yaml = "\n".join(f"{key}: {json.dumps(value)}" for key, value in header.items())  # JSON is YAML
    facts = {
        "Data set": manifest.name,
        "Source": manifest.source,
        "Licence": manifest.licence,
        "Documents": f"{task.tracks} test tracks; their text is the caption, template {manifest.caption_template}",
        "Queries": f"{task.playlists} test playlists",
        "Left out": ", ".join(f"{count} playlists with {reason}" for reason, count in task.left_out.items()) or "none",
        "Fingerprint": manifest.fingerprint,
        "Written by": f"larpbench {metadata.version('larpbench')}; tested with mteb {TESTED_MTEB}",
    }
    table = "\n".join(f"| {name} | {escape_markdown(text)} |" for name, text in facts.items())
    notes = "".join(f"- {escape_markdown(note)}\n" for note in manifest.notes)
    return f"""---
{yaml}
---

# Playlist continuation for mteb: {escape_markdown(manifest.name)}

From Python, in this folder or with this folder in `sys.path`:

```python
import mteb

from {task.module} import PlaylistContinuation

model = mteb.get_model("sentence-transformers/all-MiniLM-L6-v2")
result = mteb.evaluate(model, PlaylistContinuation())
print(result.task_results[0].scores["test"][0]["ndcg_at_10"])
```

| | |
|---|---|
{table}

{notes}
The model encodes the captions of the tracks as documents. The vector of a playlist is the mean of the vectors of its
seed tracks, each scaled to length 1. All test tracks except the seed tracks of the playlist are ranked by inner
product; the held-out tracks are relevant. Recall and NDCG at 10, 20 and 40 are those of
`larpbench run --recommenders itemknn`, to mteb's five decimals, if the vectors are the same. The results hold the
chance level and the ceiling of each as `chance_*` and `ceiling_*`. The licence of the data set applies to this folder,
too: check it before you publish the folder.
"""
