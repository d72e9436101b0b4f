"""Conformance tests of a data set: that it is what its manifest says, and the same each time it is loaded."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl

from larpbench.datasets.catalogue import DATASETS, DatasetSource, load_dataset, load_source
from larpbench.datasets.check import check_dataset as verify
from larpbench.datasets.files import MANIFEST, read_dataset
from larpbench.datasets.schema import Dataset
from larpbench.errors import LarpbenchError, MissingPartError
from larpbench.registry import resolve
from larpbench.testing.checks import (
    Caution,
    Check,
    Failure,
    Skip,
    require_fields,
    require_no_side_effects,
    restored_state,
    run_check,
    run_checks,
    skipped,
)


class _Subject:
    """A data set by source or folder, loaded once."""

    def __init__(self, source: DatasetSource | Path, rebuild: bool) -> None:
        self.source, self.rebuild = source, rebuild

    @property
    def registered(self) -> DatasetSource:
        """The source.

        Raises:
            Skip: If it is a folder.
        """
        if isinstance(self.source, Path):
            raise Skip("it is a folder and has no registered name")
        return self.source

    def load(self) -> Dataset:
        """Load it, as `load_dataset` does."""
        if isinstance(self.source, Path):
            return read_dataset(self.source, as_built=False)  # damage is reported check by check
        return load_source(self.source)

    @functools.cached_property
    def dataset(self) -> Dataset:
        return self.load()


def check_dataset(source: DatasetSource | str | Path, *, rebuild: bool = False) -> list[Check]:
    """Run the conformance tests on a data set, among them all that ``larpbench dataset check`` verifies.

    Args:
        source: What its entry point names; or its name, or its folder.
        rebuild: Whether it is also loaded in an empty home folder, where it must be built anew, to compare both. What
            its loader downloads is then downloaded again.

    Raises:
        UnknownNameError: If there is no such data set.
        MissingPartError: If it comes from a plug-in that cannot be loaded, or is built by a command of its own and
            is not there.
    """
    subject = _Subject(source if isinstance(source, DatasetSource) else _source_of(source), rebuild)
    with restored_state():
        if isinstance(subject.source, DatasetSource) and subject.source.build:
            _require_built(subject)
        checks = [run_check("loads", _loads, subject)]
        if checks[0].outcome == "fail":
            return [*checks, *skipped(_CHECKS, "it could not be loaded")]
        return [*checks, *_verification(subject), *run_checks(_CHECKS, subject)]


def _source_of(name: str | Path) -> DatasetSource | Path:
    """Return a source by name, or a folder; one that is damaged is still a folder."""
    if isinstance(name, str) and name in DATASETS.names():
        return DATASETS.get(name)
    return (Path(name) if Path(name).is_dir() else load_dataset(name).folder).absolute()


def _require_built(it: _Subject) -> None:
    try:
        it.load()
    except MissingPartError:
        raise
    except Exception:  # a plug-in may raise anything: the first check says what
        return


def _loads(it: _Subject) -> None:
    dataset: object = it.dataset
    if not isinstance(dataset, Dataset):
        raise Failure(f"load returned a {type(dataset).__name__}", "return a Dataset: read_dataset(folder)")
    if not (dataset.folder / MANIFEST).is_file():
        raise Failure(f"{dataset.folder} has no {MANIFEST}", "write the data set into a folder, and read it from there")


def _verification(it: _Subject) -> list[Check]:
    """Return what ``larpbench dataset check`` verifies, check by check."""
    try:
        findings = verify(it.dataset.folder)
    except LarpbenchError as error:
        detail = f"{error.what} ({error.where})" if error.where else error.what
        return [Check("tables", "fail", detail, error.next_step or "build the data set anew")]
    advice = "correct the source, and build the data set anew"
    checks = [Check(each.what, "pass" if each.ok else "fail", each.detail) for each in findings]
    return [replace(each, advice=advice) if each.outcome == "fail" else each for each in checks]


def _attributes(it: _Subject) -> None:
    require_fields(it.registered, name=str, summary=str)
    if it.dataset.name != it.registered.name:
        raise Failure(
            f"it is registered as {it.registered.name!r}, and its manifest calls it {it.dataset.name!r}",
            "one name: tables and keys have that of the manifest",
        )


def _manifest(it: _Subject) -> None:
    manifest = it.dataset.manifest
    if empty := [name for name in ("name", "source", "licence") if not getattr(manifest, name).strip()]:
        raise Failure(f"the manifest has no {' and no '.join(empty)}", "records and tables repeat it")


def _as_on_disk(it: _Subject) -> None:
    stored = read_dataset(it.dataset.folder, as_built=False)
    changed = [name for name in ("tracks", "playlists") if not getattr(stored, name).equals(getattr(it.dataset, name))]
    if stored.graph and it.dataset.graph and not stored.graph.edges.equals(it.dataset.graph.edges):
        changed.append("edges")
    if changed or stored.manifest != it.dataset.manifest:
        raise Failure(
            f"{' and '.join(changed) or 'the manifest'} differ from what lies in {it.dataset.folder}",
            "return what read_dataset gives: results stand under the fingerprint of the folder",
        )


def _same_again(it: _Subject) -> None:
    first, again = it.dataset, it.load()
    if first.manifest.fingerprint != again.manifest.fingerprint or not first.tracks.equals(again.tracks):
        raise Failure("loading it twice gives two data sets", "build it once, and read the folder afterwards")


def _built_again(it: _Subject) -> None:
    if it.registered.build:
        raise Skip(f"it is built from the user's own files: {it.registered.build}")
    if not it.rebuild:
        raise Skip("loaded from where it lies; --rebuild builds it anew in an empty home folder and compares")
    with restored_state(), tempfile.TemporaryDirectory() as home:
        os.environ["LARPBENCH_HOME"] = home
        again = it.load()
        if again.folder.resolve() == it.dataset.folder.resolve():
            raise Skip("its folder does not lie in larpbench's home folder")
    built, first = again.manifest.fingerprint, it.dataset.manifest.fingerprint
    if built != first:
        raise Failure(
            f"built anew, its fingerprint is {built[:12]} and not {first[:12]}",
            "fixed seeds, sorted files, no dates: results of two machines must be comparable",
        )


def _texts(it: _Subject) -> None:
    tracks = it.dataset.tracks
    if missing := tracks["caption"].null_count():
        raise Failure(f"{missing} tracks have null for a caption", "an empty text where nothing is known")
    texts = tracks.select(pl.col("caption", "artist").fill_null("").str.strip_chars())
    if empty := [name for name in texts.columns if not (texts[name] != "").any()]:
        raise Caution(
            f"no track has a text in the column {' or '.join(empty)}",
            "text encoders read captions; the share of same-artist hits needs artists",
        )


def _splits(it: _Subject) -> None:
    column = "track_id" if it.dataset.graph is not None else "playlist_id"
    frame = it.dataset.tracks if it.dataset.graph is not None else it.dataset.playlists
    sizes = {name: frame.filter(pl.col("split") == name)[column].n_unique() for name in ("train", "valid", "test")}
    if not sizes["test"]:
        raise Failure("the test split is empty", "nothing can be scored without test data")
    if empty := [name for name in ("train", "valid") if not sizes[name]]:
        raise Caution(f"no playlists in {' and '.join(empty)}", "only what learns nothing can be scored on it")


def _side_effects(it: _Subject) -> None:
    if isinstance(it.registered.load, str):
        resolve(it.registered.load)  # importing it may set things; loading may not
    require_no_side_effects(it.load, "load", {})


_CHECKS: dict[str, Callable[[_Subject], None]] = {
    "registered name": _attributes,
    "manifest": _manifest,
    "splits": _splits,
    "captions and artists": _texts,
    "loaded = stored": _as_on_disk,
    "loads twice the same": _same_again,
    "builds twice the same": _built_again,
    "global state": _side_effects,
}
