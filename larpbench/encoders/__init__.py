"""Encoders: from a track to a vector. The registry holds specs, which are light; building one may be heavy."""

from __future__ import annotations

from dataclasses import replace

from larpbench.encoders.base import EncoderSpec
from larpbench.errors import UsageError
from larpbench.registry import Registry

ENCODERS: Registry[EncoderSpec] = Registry(
    "encoder",
    EncoderSpec,
    {
        "handcrafted": "larpbench.encoders.cards:HANDCRAFTED",
        "minilm": "larpbench.encoders.cards:MINILM",
        "musicnn-msd": "larpbench.encoders.cards:MUSICNN_MSD",
        "musicnn-mtt": "larpbench.encoders.cards:MUSICNN_MTT",
        "oracle": "larpbench.encoders.cards:ORACLE",
        "precomputed": "larpbench.encoders.cards:PRECOMPUTED",
        "random": "larpbench.encoders.cards:RANDOM",
        "same-artist": "larpbench.encoders.cards:SAME_ARTIST",
        "tfidf": "larpbench.encoders.cards:TFIDF",
    },
    group="larpbench.encoders",
    name_of=lambda spec: spec.card.name,
)
DEFAULT_ENCODERS = ("random", "oracle", "tfidf")


def get_encoder(name: str) -> EncoderSpec:
    """Return the spec of an encoder by its full name, such as ``tfidf`` or ``precomputed:vectors.npz``.

    Raises:
        UnknownNameError: If no encoder has that name.
        UsageError: If an argument after the colon is missing or out of place.
        MissingPartError: If it is a plug-in that cannot be loaded.
    """
    base, colon, argument = name.partition(":")
    spec, origin = ENCODERS.get(base), ENCODERS.origin(base)
    if not origin.built_in:
        spec = replace(spec, plugin=f"{origin.distribution} {origin.version}")
    if spec.takes is None and colon:
        raise UsageError(f"encoder {base!r} takes nothing after a colon", where=name, allowed=base)
    if spec.takes is not None and not argument:
        raise UsageError(f"encoder {base!r} needs a {spec.takes}", where=name, allowed=f"{base}:{spec.takes}")
    return spec.bind(argument) if argument else spec


def base_name(name: str) -> str:
    """Return the part of an encoder's name that the registry knows."""
    return name.partition(":")[0]


def list_encoders() -> list[str]:
    """Return the names of all encoders, built-ins first."""
    return ENCODERS.names()
