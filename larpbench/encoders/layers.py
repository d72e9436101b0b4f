"""Layers of a model and pooling over time, as names have them: ``NAME@LAYER:pool=HOW``.

``@7`` is one layer, ``@3-6`` the mean of several, ``@mean`` that of all. ``@all`` stands for one encoder a layer, and
``@best`` for the layer that is best on the valid split of the data set that is tested.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from larpbench.encoders.names import get_encoder, split_label
from larpbench.encoders.pooling import split_pooling
from larpbench.encoders.spec import EncoderSpec, LayerChoice
from larpbench.errors import MissingPartError, UsageError

TAKES = "@LAYER[:pool=HOW]"
CHOICES: tuple[LayerChoice, ...] = ("all", "best")
MEAN = "mean"
_RANGE = re.compile(r"(0|[1-9]\d*)(?:-(0|[1-9]\d*))?", re.ASCII)  # 06 would be a second name of layer 6
_ALL = re.compile(r"@all(?=$|[:+)])")
_LAYER = re.compile(r"@(\d+(-\d+)?|mean|best|encoder)$", re.ASCII)
_END_OF_MODEL = re.compile(r":(?=pool=|prompt=|bf16$)|$")
_WORDS = {
    "mean": "mean",
    "max": "maximum",
    "mean+std": "mean and standard deviation",
    "first": "first frame",
    "last": "last frame",
}


@dataclass(frozen=True)
class Readout:
    """What an encoder takes of a model: layers, whose mean counts, and how frames become one vector.

    Attributes:
        first: Number of the first layer: 0 is what enters the first one, n what the nth gives.
        last: Number of the last layer.
        pooling: One of `POOLINGS`.
    """

    first: int
    last: int
    pooling: str = "mean"

    def text(self, depth: int) -> str:
        """Return it in words, for a card; `depth` is the number of the model's last layer."""
        over = "" if self.pooling in ("first", "last") else " over time"
        several = f"the mean of hidden states {self.first} to {self.last}"
        layers = f"hidden states {self.last}" if self.first == self.last else several
        return f"{_WORDS[self.pooling]}{over} of {layers} of {depth}"


@dataclass(frozen=True)
class LayerName:
    """What a name says after its model.

    Attributes:
        model: Name or folder of the model.
        layers: What follows the ``@``; None if there is none.
        pooling: What follows ``:pool=``; None if there is none.
    """

    model: str
    layers: str | None
    pooling: str | None

    @property
    def choice(self) -> LayerChoice | None:
        """Which of several layers, if it is not a certain one."""
        return next((each for each in CHOICES if each == self.layers), None)

    @property
    def written(self) -> str:
        """The name: model, layers and pooling."""
        at = "" if self.layers is None else f"@{self.layers}"
        return f"{self.model}{at}" + (f":pool={self.pooling}" if self.pooling else "")

    def at(self, layer: int) -> str:
        """Return the name at one layer."""
        return replace(self, layers=str(layer)).written

    def readout(self, default: int, depth: int, encoder: str) -> Readout:
        """Return what is taken of a model.

        Args:
            default: Number of the layer if none is named.
            depth: Number of the last layer.
            encoder: Name of the encoder, for messages.

        Raises:
            UsageError: If there is no such layer.
        """
        pooling = self.pooling or "mean"
        if self.layers is None:
            return Readout(default, default, pooling)
        if self.layers == MEAN:
            return Readout(0, depth, pooling)
        found = _RANGE.fullmatch(self.layers)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last <= depth:
            raise UsageError(
                f"{encoder} has no layer {self.layers!r}",
                where=f"{encoder}@{self.layers}",
                allowed=f"{encoder}@0 to {encoder}@{depth}, @A-B of these, @mean, @all or @best",
            )
        return Readout(first, last, pooling)


def read_layers(argument: str, encoder: str) -> LayerName:
    """Return the parts of ``MODEL@LAYER:pool=HOW``.

    Raises:
        UsageError: If what follows the ``@``, or ``pool=``, makes no sense whatever the model.
    """
    own = encoder if argument.startswith(":") else ""  # ``mert-95m:pool=max``
    rest, pooling = split_pooling(f"{own}{argument}")
    model, at, layers = rest.rpartition("@")
    if not at:
        return LayerName(rest.removeprefix(own), None, pooling)
    found = _RANGE.fullmatch(layers)
    if layers not in (*CHOICES, MEAN) and not (found and int(found[1]) <= int(found[2] or found[1])):
        raise UsageError(
            f"{encoder} has no layer {layers!r}",
            where=f"{encoder}:{argument}" if model else f"{encoder}{argument}",
            allowed="@LAYER, @A-B, @mean, @all or @best, and after it :pool=mean|max|mean+std|first|last",
        )
    if found:
        layers = "-".join(str(int(each)) for each in found.groups() if each)
    return LayerName(model, layers, pooling)


def over_layers(
    spec: EncoderSpec, name: LayerName, bind: Callable[[EncoderSpec, str], EncoderSpec], depth: int | None
) -> EncoderSpec:
    """Return the encoder that stands for all layers of a model, or the best of them.

    Args:
        spec: With the argument, and all that does not depend on the layer.
        name: Its parts.
        bind: Binds the same model at a layer, given the spec and the argument.
        depth: Number of the last layer; None if it is unknown, since the model is not here.
    """
    layers = () if depth is None else tuple(name.at(layer) for layer in range(depth + 1))
    inputs = tuple(bind(replace(spec, argument=each), each) for each in layers)
    which = "the layer of the best recall@10 (itemknn) on valid" if name.choice == "best" else "every layer"
    pooling = f"{_WORDS[name.pooling or 'mean']} over time of {which}"
    card = (inputs[0] if inputs else spec).card
    summary = card.summary.removesuffix(", layer 0") + (", best layer on valid" if name.choice == "best" else "")
    card = card.model_copy(update={"pooling": pooling, "summary": summary})
    return replace(spec, card=card, inputs=inputs, choice=name.choice)


def every_layer(name: str) -> list[str]:
    """Return the names that one with ``@all`` stands for, the first layer first; any other name as it is.

    Where the model is not here, and nobody knows how many layers it has, the name stays as it is.

    Raises:
        UsageError: If two parts of a combination have ``@all``.
    """
    if not _ALL.search(name):
        return [name]
    label, written = split_label(name)
    try:
        found = [part for part in _parts(get_encoder(written)) if part.choice == "all"]
    except MissingPartError:  # whoever asks for the encoder meets it
        return [name]
    if not found or not found[0].inputs:
        return [name]
    if len(found) > 1 or len(_ALL.findall(written)) > 1:
        raise UsageError("@all stands once in a name", where=name, allowed="one @all")
    labels = "" if label is None else f"{label} {{}}="
    return [labels.format(layer) + _ALL.sub(f"@{layer}", written) for layer in range(len(found[0].inputs))]


def with_every_layer(name: str) -> str:
    """Return the name of all layers of an encoder that is named without a layer.

    Raises:
        UsageError: If the name has one, or the encoder has no layers.
        UnknownNameError: If there is no such encoder.
    """
    if _ALL.search(name):
        return name
    place = _END_OF_MODEL.search(name)
    written = f"{name[: place.start()]}@all{name[place.start() :]}" if place else name
    spec, model = get_encoder(name), name[: place.start()] if place else name
    layered = False
    if not _LAYER.search(model):
        with suppress(UsageError):
            layered = any(part.choice == "all" for part in _parts(get_encoder(written)))
    if not layered:
        raise UsageError(
            f"{spec.identity!r} has no layers to compare, or its name has a layer already",
            allowed="an encoder that takes @LAYER, without it, such as hf-audio:HF_NAME, mert-95m or muq:pool=max",
        )
    return written


def _parts(spec: EncoderSpec) -> Iterator[EncoderSpec]:
    """Yield an encoder and what it is a combination of."""
    yield spec
    for each in spec.inputs if spec.combined else ():
        yield from _parts(each)
