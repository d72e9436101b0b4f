"""Data sets by name: the demo, those of plug-ins, those under the home folder, and any folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from larpbench import storage
from larpbench.datasets.files import MANIFEST, read_dataset
from larpbench.datasets.schema import Dataset
from larpbench.errors import DataError, MissingPartError, UnknownNameError, UsageError
from larpbench.registry import Registry, resolve
from larpbench.streams import aside


@dataclass(frozen=True)
class DatasetCard:
    """What a user should know of a data set before building it, for ``larpbench describe dataset``.

    Attributes:
        content: What it holds, with numbers.
        where: Where it is had.
        licence: What may be done with it.
        size: What it takes to download, store and build.
        paper: Who published it, and where; empty if nobody did.
        without: What can be done today without it, a sentence each.
        page: Its page in the documentation.
        citation: Keys of larpbench's references (`larpbench.citations`), or whole BibTeX entries.
    """

    content: str
    where: str
    licence: str
    size: str
    paper: str = ""
    without: tuple[str, ...] = ()
    page: str = ""
    citation: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetSource:
    """A data set with a name: what the registry of data sets holds.

    Attributes:
        name: Its name.
        summary: One line for lists.
        load: Function without arguments that returns the `Dataset` and makes it on first use, or its address
            ``module:attribute``. None: the data set is read from the home folder, where `build` has put it.
        build: The command that makes it first, where it cannot be made without the user's own files.
        card: What is known of it beforehand.
        fetch: The command that fetches the user's own copy; None: there is none.
        of_fetched: Function ``(fetched files, output)`` that builds it the usual way from what ``larpbench dataset
            fetch`` has fetched, or its address; None: there is none.
    """

    name: str
    summary: str
    load: str | Callable[[], Dataset] | None = None
    build: str | None = None
    card: DatasetCard | None = None
    fetch: str | None = None
    of_fetched: str | Callable[[Path, Path], object] | None = None


OTHER_DATA = (
    "the embedded data set, to try every command: larpbench run",
    "your own playlists or listening logs: larpbench dataset build csv --tracks T --playlists P --output DIR (CSV or "
    "Parquet; playlists exported from Spotify by Exportify are read as they are)",
    "your own music library: larpbench dataset build folder --audio DIR --playlists DIR --output DIR",
)
"""What needs no published collection."""
DATASETS: Registry[DatasetSource] = Registry(
    "dataset",
    DatasetSource,
    {
        "aotm": "larpbench.datasets.sources.aotm:AOTM",
        "demo": "larpbench.datasets.demo.build:DEMO",
        "demo-2": "larpbench.datasets.demo.build:DEMO_2",
        "demo-listeners": "larpbench.datasets.demo_listeners.build:DEMO_LISTENERS",
        "demo-large": "larpbench.datasets.demo_large.build:DEMO_LARGE",
        "disco-olga": "larpbench.datasets.artists.olga:DISCO_OLGA",
        "lfm": "larpbench.datasets.sources.lfm.build:LFM",
        "melon": "larpbench.datasets.sources.melon:MELON",
        "mpd": "larpbench.datasets.sources.mpd.build:MPD",
        "olga": "larpbench.datasets.artists.olga:OLGA",
        "onion": "larpbench.datasets.sources.onion.build:ONION",
        "talkplay": "larpbench.datasets.sources.talkplay:TALKPLAY",
        "toy-artists": "larpbench.datasets.artists.toy:TOY_ARTISTS",
        "yambda": "larpbench.datasets.sources.yambda:YAMBDA",
    },
    group="larpbench.datasets",
    name_of=lambda source: source.name,
)


def is_built(source: DatasetSource) -> bool:
    """Return whether a data set that needs the user's own files is there."""
    return (datasets_folder() / source.name / MANIFEST).is_file()


def load_source(source: DatasetSource) -> Dataset:
    """Return the data set of a registered source.

    Raises:
        MissingPartError: If it has to be built first.
    """
    if source.load is not None:
        load = resolve(source.load) if isinstance(source.load, str) else source.load
        made: Dataset = load()
        return made
    if not is_built(source):
        files = fetched_folder(source.name)
        if source.of_fetched is None or not files.is_dir():
            raise MissingPartError(
                f"the data set {source.name!r} has not been built: it needs your own copy of the files",
                where=str(datasets_folder() / source.name),
                next_step="; ".join(filter(None, (source.fetch, source.build))),
            )
        build = resolve(source.of_fetched) if isinstance(source.of_fetched, str) else source.of_fetched
        build(files, datasets_folder() / source.name)
    return read_dataset(datasets_folder() / source.name)


def fetched_folder(source: str) -> Path:
    """Return where ``larpbench dataset fetch`` puts the files of a collection, by the name of its data set."""
    return storage.home() / "fetched" / source


def datasets_folder() -> Path:
    """Return the folder under the home folder in which data sets are found by name."""
    return storage.home() / "datasets"


def list_datasets() -> list[str]:
    """Return the names of all data sets: built-in, of plug-ins, and under the home folder."""
    folder = datasets_folder()
    built = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}")) if folder.is_dir() else []
    registered = DATASETS.names()
    invented = re.compile(r"(demo(-2|-large|-listeners)?|toy-artists)-v\d+")
    return [*registered, *(name for name in built if name not in registered and not invented.fullmatch(name))]


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):  # longer than a path can be
        return False


def _require_rules(dataset: Dataset) -> None:
    """Refuse a plug-in's playlists that break the protocol; those that larpbench builds cannot."""
    from larpbench.datasets.check import check_rules  # which loads the audio libraries

    broken = [each for each in check_rules(dataset) if not each.ok] if dataset.graph is None else []
    if broken:
        raise DataError(
            f"the data set {dataset.name!r} of a plug-in breaks the protocol: "
            + "; ".join(f"{each.what}: {each.detail}" for each in broken),
            allowed="no track and no playlist in two splits (rule 1), roles as in rule 3",
        )


@aside()
def load_dataset(name: str | Path) -> Dataset:
    """Return a data set by name or folder. A name in the registry goes before a folder of that name.

    Raises:
        UnknownNameError: If there is no such data set.
        MissingPartError: If it comes from a plug-in that cannot be loaded, or has to be built first.
        DataError: If it is damaged.
    """
    if isinstance(name, str) and name in DATASETS.names():
        dataset = load_source(DATASETS.get(name))
        if not DATASETS.origin(name).built_in:
            _require_rules(dataset)
        return dataset
    return read_dataset(find_folder(name))


def _folders_beside(folder: Path) -> list[str]:
    """Return the data sets in the folder in which one was looked for: one of them may have been meant."""
    with suppress(OSError, ValueError):
        return sorted(str(each.parent) for each in folder.parent.glob(f"*/{MANIFEST}"))
    return []


def find_folder(name: str | Path) -> Path:
    """Return the folder of a data set that no registry knows: itself, or one of that name in the home folder.

    Raises:
        UnknownNameError: If there is no such folder.
        UsageError: If it is a file.
    """
    folder = Path(name)
    named = datasets_folder() / storage.slug(str(name))
    if not _is(Path.is_file, folder / MANIFEST) and (named / MANIFEST).is_file():
        return named
    if _is(Path.is_file, folder):
        raise UsageError(
            "a data set is a folder, and this is a file",
            where=str(folder),
            next_step="larpbench dataset build --help: what makes a data set of files",
        )
    if not _is(Path.is_dir, folder):
        next_step = "larpbench list datasets; or give the folder of a data set"
        raise UnknownNameError("dataset", str(name), [*list_datasets(), *_folders_beside(folder)], next_step)
    return folder  # reading it says what is missing
