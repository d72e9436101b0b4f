"""Names for objects of this process, as an entry point gives them to those of a package."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from larpbench.datasets.catalogue import DATASETS, DatasetSource
from larpbench.datasets.schema import Dataset
from larpbench.encoders.card import View
from larpbench.encoders.names import ALIASES, ENCODERS, require_label
from larpbench.encoders.objects import ObjectOptions, spec_of
from larpbench.errors import UsageError
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import Recommender
from larpbench.registry import Origin
from larpbench.tasks import TASKS
from larpbench.tasks.base import Task


def register(
    name: str,
    value: Any,  # noqa: ANN401 - whatever can be tested
    *,
    modality: View | None = None,
    sample_rate: int | None = None,
    cache_key: str | None = None,
) -> None:
    """Give an object a name, by which it is found as long as this process lives; an earlier one is replaced.

        >>> larpbench.register("my-model", model)
        >>> larpbench.evaluate(["my-model", "my-model+tfidf"])

    Args:
        name: Its name.
        value: An encoder (`larpbench.as_encoder`), a recommender, a task or a data set.
        modality: Of a callable; see `larpbench.as_encoder`.
        sample_rate: Likewise.
        cache_key: Likewise.

    Raises:
        UsageError: If a package has that name already, no encoder can have it (it is no label), the object calls itself
            otherwise, or it is nothing of that.
    """
    if isinstance(value, Dataset):
        value = DatasetSource(name, f"a data set in memory: {value.name}", partial(_same, value))
    if isinstance(value, DatasetSource):
        DATASETS.register(name, value)
    elif isinstance(value, Recommender):
        RECOMMENDERS.register(_own(name, value), value)
    elif isinstance(value, Task):
        TASKS.register(_own(name, value), value)
    else:
        if name in ALIASES:
            raise UsageError(f"encoder {name!r} is short for {ALIASES[name]!r}", allowed="a name that nothing else has")
        spec = spec_of(value, require_label(name), ObjectOptions(modality, sample_rate, cache_key))
        label = name if spec.combined else None  # its own name is that of its parts
        spec = replace(spec, card=spec.card.model_copy(update={"name": name}), label=label)
        ENCODERS.register(name, spec, spec.origin or Origin.of_object(value))


def _same(dataset: Dataset) -> Dataset:
    return dataset


def _own(name: str, value: Recommender | Task[Any]) -> str:
    if value.name != name:
        raise UsageError(f"an object that is registered as {name!r} calls itself {value.name!r}", allowed="one name")
    return name
