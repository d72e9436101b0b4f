"""Data sets by name: the demo, those of plug-ins, those under the home folder, and any folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from larpbench import storage
from larpbench.datasets.files import MANIFEST, read_dataset
from larpbench.datasets.schema import Dataset
from larpbench.errors import DataError, MissingPartError, UnknownNameError
from larpbench.registry import Registry, resolve
from larpbench.streams import aside


@dataclass(frozen=True)
class DatasetSource:
    """A data set that can be had by name: what the registry of data sets holds.

    Attributes:
        name: Its name.
        summary: One line for lists.
        load: ``module:attribute`` of a function without arguments that returns the `Dataset`, making it if need be.
        build: The command that makes it first, where it cannot be made without the user's own files.
    """

    name: str
    summary: str
    load: str
    build: str | None = None


DEMO = DatasetSource(
    "demo", "invented music and playlists, made on first use", "larpbench.datasets.catalogue:load_demo"
)
DEMO_2 = DatasetSource(
    "demo-2", "another invented world, to test transfer: larp@demo-2", "larpbench.datasets.catalogue:load_demo_2"
)
MPD = DatasetSource(
    "mpd",
    "the Million Playlist Dataset, from your own copy",
    "larpbench.datasets.catalogue:load_mpd",
    "larpbench dataset build mpd --source spotify_million_playlist_dataset.zip --preset paper",
)
LFM = DatasetSource(
    "lfm",
    "listening histories of Last.fm users, from your own copy of LFM-2b or LFM-1b",
    "larpbench.datasets.catalogue:load_lfm",
    "larpbench dataset build lfm --source LFM-2b --preset paper",
)
OLGA = DatasetSource(
    "olga",
    "artists of OLGA and who is similar to whom, from your own copy and your own edges",
    "larpbench.datasets.catalogue:load_olga",
    "larpbench dataset build olga --source olga --edges artist_connections.npz",
)
DISCO_OLGA = DatasetSource(
    "disco-olga",
    "the artist graph of the second paper, from your own copy of its authors' archive",
    "larpbench.datasets.catalogue:load_disco_olga",
    "larpbench dataset build disco-olga --source disco-olga_data",
)
TOY_ARTISTS = DatasetSource(
    "toy-artists",
    "300 invented artists in planted communities, made on first use",
    "larpbench.datasets.catalogue:load_toy_artists",
)
DATASETS: Registry[DatasetSource] = Registry(
    "dataset",
    DatasetSource,
    {
        name: f"larpbench.datasets.catalogue:{name.upper().replace('-', '_')}"
        for name in ("demo", "demo-2", "disco-olga", "lfm", "mpd", "olga", "toy-artists")
    },
    group="larpbench.datasets",
    name_of=lambda source: source.name,
)


def load_demo() -> Dataset:
    """Return the demo data set, made on first use."""
    from larpbench.datasets.demo.build import GENERATOR_VERSION, build_demo

    return build_demo(datasets_folder() / f"demo-v{GENERATOR_VERSION}")


def load_demo_2() -> Dataset:
    """Return a second world of the demo's kind, made on first use."""
    from larpbench.datasets.demo.build import GENERATOR_VERSION, build_demo
    from larpbench.datasets.demo.world import WorldSpec

    folder = datasets_folder() / f"demo-2-v{GENERATOR_VERSION}"
    return read_dataset(folder) if (folder / MANIFEST).is_file() else build_demo(folder, WorldSpec(seed=2))


def load_mpd() -> Dataset:
    """Return the data set ``mpd``, if it has been built."""
    return _load_built(MPD)


def load_lfm() -> Dataset:
    """Return the data set ``lfm``, if it has been built."""
    return _load_built(LFM)


def load_olga() -> Dataset:
    """Return the data set ``olga``, if it has been built."""
    return _load_built(OLGA)


def load_disco_olga() -> Dataset:
    """Return the data set ``disco-olga``, if it has been built."""
    return _load_built(DISCO_OLGA)


def load_toy_artists() -> Dataset:
    """Return the toy graph, made on first use."""
    from larpbench.datasets.artists.toy import GENERATOR_VERSION, build_toy

    return build_toy(datasets_folder() / f"toy-artists-v{GENERATOR_VERSION}")


def is_built(source: DatasetSource) -> bool:
    """Return whether a data set that needs the user's own files is there."""
    return (datasets_folder() / source.name / MANIFEST).is_file()


def _load_built(source: DatasetSource) -> Dataset:
    if not is_built(source):
        raise MissingPartError(
            f"the data set {source.name!r} has not been built: it needs your own copy of the files",
            where=str(datasets_folder() / source.name),
            next_step=source.build,
        )
    return read_dataset(datasets_folder() / source.name)


def datasets_folder() -> Path:
    """Return the folder under the home folder in which data sets are found by name."""
    return storage.home() / "datasets"


def list_datasets() -> list[str]:
    """Return the names of all data sets: built-in, of plug-ins, and under the home folder."""
    folder = datasets_folder()
    built = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}")) if folder.is_dir() else []
    known = DATASETS.names()
    made = re.compile(r"(demo(-2)?|toy-artists)-v\d+")
    return [*known, *(name for name in built if name not in known and not made.fullmatch(name))]


def _is(kind: Callable[[Path], bool], path: Path) -> bool:
    try:
        return kind(path)
    except (OSError, ValueError):  # longer than a path can be
        return False


def _require_rules(dataset: Dataset) -> None:
    """Refuse a plug-in's playlists that break the protocol; those that larpbench builds cannot."""
    from larpbench.datasets.check import check_rules

    broken = [each for each in check_rules(dataset) if not each.ok] if dataset.graph is None else []
    if broken:
        raise DataError(
            f"the data set {dataset.name!r} of a plug-in breaks the protocol: "
            + "; ".join(f"{each.what}: {each.detail}" for each in broken),
            allowed="no track and no playlist in two splits (rule 1), roles as in rule 3",
        )


@aside()
def load_dataset(name: str | Path) -> Dataset:
    """Return a data set by name or folder. A name that larpbench or a plug-in brings is that one, whatever lies here.

    Raises:
        UnknownNameError: If there is no such data set.
        MissingPartError: If it comes from a plug-in that cannot be loaded, or has to be built first.
        DataError: If it is damaged.
    """
    folder = Path(name)
    if isinstance(name, str) and name in DATASETS.names():
        made: Dataset = resolve(DATASETS.get(name).load)()
        if DATASETS.origin(name).distribution != "larpbench":
            _require_rules(made)
        return made
    if _is(Path.is_file, folder / MANIFEST):
        return read_dataset(folder)
    known = datasets_folder() / storage.slug(str(name))
    if (known / MANIFEST).is_file():
        return read_dataset(known)
    if _is(Path.is_dir, folder):
        return read_dataset(folder)  # says what is missing
    raise UnknownNameError("dataset", str(name), list_datasets())
