"""Encoders and recommenders by name: what ``all``, ``default`` and ``@all`` stand for, and what can be loaded."""

from __future__ import annotations

from collections.abc import Sequence

from larpbench.encoders.layers import every_layer
from larpbench.encoders.names import ENCODERS, get_encoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import MissingPartError
from larpbench.recommenders import RECOMMENDERS
from larpbench.recommenders.base import Scorer


def expanded_encoders(names: Sequence[str], default: Sequence[str]) -> list[str]:
    """Return encoder names with ``all``, ``default`` and ``@all`` spelt out, each once.

    Args:
        names: Encoder names.
        default: What ``default`` stands for.
    """
    lists = {"default": list(default)}
    if "all" in names:  # imports the plug-ins, to see which of them need an argument
        ENCODERS.probe(ENCODERS.names())
        lists["all"] = [name for name in ENCODERS.names() if not _is_left_out(name)]
    listed = dict.fromkeys(each for name in names for each in lists.get(name, [name]))
    return list(dict.fromkeys(each for name in listed for each in every_layer(name)))


def encoders_by_name(names: Sequence[str]) -> dict[str, EncoderSpec | MissingPartError]:
    """Return name -> encoder, or why it cannot be loaded.

    Raises:
        UnknownNameError: If there is no such encoder.
    """
    ENCODERS.probe(name.partition(":")[0] for name in names)
    found: dict[str, EncoderSpec | MissingPartError] = {}
    for name in names:
        try:
            found[name] = get_encoder(name)
        except MissingPartError as error:  # a plug-in that breaks
            found[name] = error
    return found


def recommenders_by_name(names: Sequence[str], default: Sequence[str]) -> dict[str, Scorer | MissingPartError]:
    """Return name -> recommender, or why it cannot be loaded; ``all`` and ``default`` are what they stand for.

    Args:
        names: Recommender names.
        default: What ``default`` stands for.

    Raises:
        UnknownNameError: If there is no such recommender.
    """
    lists = {"all": RECOMMENDERS.names(), "default": list(default)}
    listed = dict.fromkeys(each for name in names for each in lists.get(name, [name]))
    RECOMMENDERS.probe(listed)
    found: dict[str, Scorer | MissingPartError] = {}
    for name in listed:
        try:
            found[name] = RECOMMENDERS.get(name)
        except MissingPartError as error:
            found[name] = error
    return found


def _is_left_out(name: str) -> bool:
    """Whether ``all`` does not mean an encoder: it needs an argument, or runs only by name."""
    try:
        spec = ENCODERS.get(name)
        return spec.only_by_name or (spec.takes is not None and not spec.takes.startswith("["))
    except MissingPartError:
        return False
