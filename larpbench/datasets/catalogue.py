"""Data sets by name: the demo, those under the home folder, and any folder."""

from __future__ import annotations

from pathlib import Path

from larpbench import storage
from larpbench.datasets.files import MANIFEST, read_dataset
from larpbench.datasets.schema import Dataset
from larpbench.errors import UnknownNameError

DEMO = "demo"


def datasets_folder() -> Path:
    """Return the folder under the home folder in which data sets are found by name."""
    return storage.home() / "datasets"


def list_datasets() -> list[str]:
    """Return the names of the data sets that are at hand; ``demo`` always is."""
    folder = datasets_folder()
    built = {path.parent.name for path in folder.glob(f"*/{MANIFEST}")} if folder.is_dir() else set()
    return [DEMO, *sorted(name for name in built if not name.startswith(f"{DEMO}-v"))]


def load_dataset(name: str | Path) -> Dataset:
    """Return a data set by name or folder; ``demo`` is made on first use.

    Raises:
        UnknownNameError: If there is no such data set.
        DataError: If it is damaged.
    """
    folder = Path(name)
    if (folder / MANIFEST).is_file():
        return read_dataset(folder)
    if str(name) == DEMO:
        from larpbench.datasets.demo.build import GENERATOR_VERSION, build_demo

        return build_demo(datasets_folder() / f"{DEMO}-v{GENERATOR_VERSION}")
    known = datasets_folder() / storage.slug(str(name))
    if (known / MANIFEST).is_file():
        return read_dataset(known)
    if folder.is_dir():
        return read_dataset(folder)  # says what is missing
    raise UnknownNameError("dataset", str(name), list_datasets())
