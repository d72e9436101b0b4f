"""Names of encoders: the registry, and the one place where a full name becomes a spec."""

from __future__ import annotations

import re
from dataclasses import replace

from larpbench.datasets.catalogue import load_dataset
from larpbench.encoders.combined import combine
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import UsageError
from larpbench.registry import Origin, Registry

ENCODERS: Registry[EncoderSpec] = Registry(
    "encoder",
    EncoderSpec,
    {
        "bert": "larpbench.encoders.hub_cards:BERT",
        "checkpoint": "larpbench.encoders.checkpoint:CHECKPOINT",
        "clap-ft": "larpbench.encoders.baselines.specs:CLAP_FT",
        "clap-music": "larpbench.encoders.hub_cards:CLAP_MUSIC",
        "clap-music-speech": "larpbench.encoders.hub_cards:CLAP_MUSIC_SPEECH",
        "clap-pt": "larpbench.encoders.hub_cards:CLAP_PT",
        "clap-random": "larpbench.encoders.hub_cards:CLAP_RANDOM",
        "cnn": "larpbench.encoders.baselines.specs:CNN",
        "co-playlist": "larpbench.encoders.baselines.specs:CO_PLAYLIST",
        "essentia": "larpbench.encoders.package_cards:ESSENTIA",
        "essentia-tf": "larpbench.encoders.package_cards:ESSENTIA_TF",
        "handcrafted": "larpbench.encoders.cards:HANDCRAFTED",
        "hf-audio": "larpbench.encoders.package_cards:HF_AUDIO",
        "htsat": "larpbench.encoders.hub_cards:HTSAT",
        "jukebox": "larpbench.encoders.package_cards:JUKEBOX",
        "laion-clap": "larpbench.encoders.package_cards:LAION_CLAP",
        "larp-tpc": "larpbench.encoders.larp.specs:LARP_TPC",
        "larp-tpc-fusion": "larpbench.encoders.larp.specs:LARP_TPC_FUSION",
        "larp-ttc": "larpbench.encoders.larp.specs:LARP_TTC",
        "larp-untrained": "larpbench.encoders.larp.specs:LARP_UNTRAINED",
        "larp-wtc": "larpbench.encoders.larp.specs:LARP_WTC",
        "minilm": "larpbench.encoders.cards:MINILM",
        "mule": "larpbench.encoders.package_cards:MULE",
        "musicnn-msd": "larpbench.encoders.cards:MUSICNN_MSD",
        "musicnn-mtt": "larpbench.encoders.cards:MUSICNN_MTT",
        "openl3": "larpbench.encoders.package_cards:OPENL3",
        "oracle": "larpbench.encoders.cards:ORACLE",
        "precomputed": "larpbench.encoders.cards:PRECOMPUTED",
        "random": "larpbench.encoders.cards:RANDOM",
        "same-artist": "larpbench.encoders.cards:SAME_ARTIST",
        "text": "larpbench.encoders.hub_cards:TEXT",
        "tfidf": "larpbench.encoders.cards:TFIDF",
    },
    group="larpbench.encoders",
    name_of=lambda spec: spec.card.name,
)
DEFAULT_ENCODERS = ("random", "oracle", "tfidf")
ALIASES = {"larp": "larp-tpc-fusion"}
_NAME = re.compile(r"(?P<base>[^:@]+)(?P<before>(?::[^@]+)?)(?:@(?P<source>[^:]*))?(?P<after>(?::.+)?)")


def get_encoder(name: str) -> EncoderSpec:
    """Return the spec of an encoder by its full name.

    Such as ``tfidf``, ``precomputed:vectors.npz``, ``larp-ttc:audio`` (one view of an encoder that is trained on the
    data set that is tested), ``larp-ttc@demo`` (trained on the data set ``demo``, whatever is tested), or
    ``bert+handcrafted`` (several side by side).

    Raises:
        UnknownNameError: If no encoder, or data set, has that name.
        UsageError: If an argument after the colon is missing or out of place.
        MissingPartError: If it is a plug-in that cannot be loaded.
    """
    parts = split_combination(name)
    if len(parts) == 1:
        return _single(name)
    if not all(parts):
        raise UsageError("an encoder must stand on each side of a +", where=name, allowed="A+B")
    return combine([_single(part) for part in parts])


def split_combination(name: str) -> list[str]:
    """Return the names of the parts of ``A+B``; a plus sign inside a file's name separates nothing."""
    parts: list[str] = []
    for part in name.split("+"):
        known = ALIASES.get(base := re.split("[:@]", part, maxsplit=1)[0], base) in ENCODERS.names()
        if parts and not known and re.search("[:@]", parts[-1]):
            parts[-1] += f"+{part}"
        else:
            parts.append(part)
    return parts


def _single(name: str) -> EncoderSpec:
    base = base_name(name)
    spec, origin = ENCODERS.get(base), ENCODERS.origin(base)
    if not origin.built_in:
        spec = replace(spec, plugin=f"{origin.distribution} {origin.version}")
    written = name.partition(":")[0].partition("@")[0]
    argument, source = name[len(written) :], None
    if spec.training and (parts := _NAME.fullmatch(name)):
        argument, source = parts["before"] + parts["after"], parts["source"]
    if source == "":
        raise UsageError("a data set must follow the @", where=name, allowed=f"{base}@DATASET")
    if argument.startswith("@"):
        raise UsageError(
            f"encoder {base!r} is not trained on playlists: nothing follows an @", where=name, allowed=base
        )
    if spec.takes is None and argument:
        raise UsageError(f"encoder {base!r} takes nothing after a colon", where=name, allowed=base)
    if spec.takes is not None and len(argument) < 2 and not spec.takes.startswith("["):
        raise UsageError(f"encoder {base!r} needs a {spec.takes}", where=name, allowed=f"{base}:{spec.takes}")
    spec = spec.bind(argument[1:]) if argument else spec
    return spec.learning_from(load_dataset(source)) if source else spec


def base_name(name: str) -> str:
    """Return the part of an encoder's name that the registry knows."""
    written = re.split("[:@]", name, maxsplit=1)[0]
    return ALIASES.get(written, written)


def list_encoders() -> list[str]:
    """Return the names of all encoders, built-ins first."""
    return ENCODERS.names()


def encoder_origin(spec: EncoderSpec, otherwise: Origin | None = None) -> dict[str, str]:
    """Return distribution, version and import path of what brought an encoder; those of a combination are joined.

    Args:
        spec: The encoder.
        otherwise: Whose it is if no registry knows it: that of the task that made it.
    """
    if spec.combined:
        parts = [encoder_origin(each, otherwise) for each in spec.inputs]
        return {key: "+".join(dict.fromkeys(part[key] for part in parts)) for key in parts[0]}
    base = base_name(spec.identity)
    origin = otherwise if otherwise and base not in ENCODERS.names() else ENCODERS.origin(base)
    return {"distribution": origin.distribution, "version": origin.version, "target": origin.target}
