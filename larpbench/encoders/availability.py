"""What an encoder refers to: a data set that need not be loaded yet, and whether the encoder can run here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.schema import Dataset


@dataclass(frozen=True)
class Status:
    """Whether an encoder can run here.

    Attributes:
        state: What is missing, if anything.
        next_step: The command that helps.
        reason: What exactly is missing or wrong.
    """

    state: Literal["ready", "missing-package", "missing-weights", "incompatible"]
    next_step: str | None = None
    reason: str | None = None

    @property
    def text(self) -> str:
        """State and reason."""
        return f"{self.state} ({self.reason})" if self.reason else self.state


@dataclass(frozen=True)
class DatasetReference:
    """A data set that is loaded, and made if need be, when it is first used.

    Attributes:
        name: Its name in identities and records.
        place: Its registered name or its folder.
    """

    name: str
    place: str

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetReference:
        """Return the reference to a data set in memory."""
        reference = cls(dataset.name, str(dataset.folder))
        reference.__dict__["dataset"] = dataset
        return reference

    @cached_property
    def dataset(self) -> Dataset:
        """The data set itself."""
        return load_dataset(self.place)
