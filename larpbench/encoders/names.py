"""Names of encoders: the registry, and the one parser of full names.

A full name is ``base[:argument]``; of an encoder that is trained, ``base[:variant][@data set]`` with the data set
anywhere after the base; and ``A+B`` of several, or ``A+0.5*B`` with weights. A variant is a list of words between
colons (`parse_variant`). Before a name may stand ``centred:`` or ``shuffled:``, also ``centred:(A+B)``. Before all of
it may stand a label: ``LABEL=ENCODER`` (`split_label`).
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from larpbench import storage
from larpbench.datasets.catalogue import DATASETS, datasets_folder, is_built, load_dataset
from larpbench.datasets.files import MANIFEST, read_manifest
from larpbench.encoders.combined import combine
from larpbench.encoders.spec import CENTRED, SHUFFLED, DatasetReference, EncoderSpec
from larpbench.errors import UnknownNameError, UsageError, clipped, printable
from larpbench.registry import Origin, Registry

Ending = TypeVar("Ending", bound=str)
DEFAULT_ENCODERS = ("random", "oracle", "tfidf")
ALIASES = {"larp": "larp-tpc-fusion"}
SEVERAL = ("all", "default")
"""Words that stand for several encoders, and are no names."""
_LARGEST_WEIGHT = 1_000
_UNSEEN = ("Cc", "Zl", "Zp")
_TURNS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # of the reading direction
_FOLDER = Path(__file__).parent
_OTHER_FAMILIES = (
    "baselines/specs.py",
    "centred.py",
    "checkpoint.py",
    "controls.py",
    "demo_views.py",
    "factors/specs.py",
    "larp/specs.py",
    "precomputed/__init__.py",
    "provided.py",
    "shuffled.py",
)
_HEADER = re.compile(r"^NAMES = (\(.*?\))", re.MULTILINE | re.DOTALL)
_LABEL = re.compile(r"\s*([^:/+@,=]*[^:/+@,=\s])\s*=(.*)", re.DOTALL)
_FILES = (".npz", ".npy", ".safetensors", ".parquet", ".csv", ".tsv", ".h5", ".hdf5", ".pt", ".pth")
_WEIGHT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\*(?=.)")
_GROUP = re.compile(rf"(?:{_WEIGHT.pattern})?(?:(?:{CENTRED}|{SHUFFLED}):)+\(")
_TRAINED = re.compile(r"(?P<before>(?::[^@]+)?)(?:@(?P<source>[^:]*))?(?P<after>(?::.+)?)")


def _built_in() -> dict[str, str]:
    """Return name -> address of its spec, for the families in `adapters` and `_OTHER_FAMILIES`. Imports none of them.

    A family's names are those of its header ``NAMES = (...)``, or else the one of its file, with ``-`` for ``_``. The
    spec is the attribute of the same name, in upper case and with ``_`` for ``-``.
    """
    adapters = _FOLDER / "adapters"
    paths = [*adapters.glob("*/__init__.py"), *(path for path in adapters.glob("*.py") if path.stem != "__init__")]
    found = {}
    for path in [*paths, *(_FOLDER / each for each in _OTHER_FAMILIES)]:
        module = ".".join(path.relative_to(_FOLDER).with_suffix("").parts).removesuffix(".__init__")
        header = _HEADER.search(path.read_text(encoding="utf-8"))
        names = ast.literal_eval(header[1]) if header else (module.rpartition(".")[2].replace("_", "-"),)
        found.update({name: f"larpbench.encoders.{module}:{name.upper().replace('-', '_')}" for name in names})
    return found


ENCODERS: Registry[EncoderSpec] = Registry(
    "encoder", EncoderSpec, _built_in(), group="larpbench.encoders", name_of=lambda spec: spec.card.name
)


@dataclass(frozen=True)
class EncoderName:
    """The name of one encoder.

    Attributes:
        written: As it was written.
        base: The part that the registry knows, with aliases resolved.
        rest: What follows it.
        weight: That of ``0.5*bert``; None if none is written.
    """

    written: str
    base: str
    rest: str
    weight: float | None = None

    def argument_and_source(self, trained: bool) -> tuple[str, str | None]:
        """Return the argument with its colon, and the data set after the ``@``; None where there is no ``@``."""
        if trained and (parts := _TRAINED.fullmatch(self.rest)):
            return parts["before"] + parts["after"], parts["source"]
        return self.rest, None


def parse_name(name: str) -> tuple[EncoderName, ...]:
    """Split a full name into those of its parts: several if it is ``A+B``, else one.

    A plus sign inside a file's name separates nothing. Nor does one in parentheses after ``centred:`` or ``shuffled:``,
    or one that joins views, as in ``factors:A+B``: the views end at an ``@``, and those of ``larp-ttc:A+B:audio`` at
    the side.

    Raises:
        UsageError: If there is nothing on one side of a plus sign, or a weight is 0.
    """
    parts: list[EncoderName] = []
    for text in _summands(name):
        part = _parsed(text)
        inside_file = parts and parts[-1].rest and part.base not in ENCODERS.names()
        if inside_file or (parts and text and _lists_views(parts[-1])):
            parts[-1] = _parsed(f"{parts[-1].written}+{text}")
        else:
            parts.append(part)
    if len(parts) > 1 and not all(part.written for part in parts):
        raise UsageError("an encoder must stand on each side of a +", where=name, allowed="A+B")
    if not all(part.weight is None or 0 < part.weight < _LARGEST_WEIGHT for part in parts):
        raise UsageError("a weight is above 0 and below 1000", where=name, allowed="A+0.5*B")
    return tuple(parts)


def _summands(name: str) -> list[str]:
    """Split a name at its plus signs, except those in the parentheses of a group."""
    found, begin, place = [], 0, 0
    while place <= len(name):
        if place == begin and (group := _GROUP.match(name, place)):
            place = _closing(name, group.end())
        elif place == len(name) or name[place] == "+":
            found.append(name[begin:place])
            begin = place = place + 1
        else:
            place += 1
    return found


def _closing(name: str, place: int) -> int:
    """Return the place after the parenthesis that closes a group which is open at a place.

    Raises:
        UsageError: If none does.
    """
    depth = 1
    while depth and place < len(name):
        depth += {"(": 1, ")": -1}.get(name[place], 0)
        place += 1
    if depth:
        raise UsageError("a parenthesis is not closed", where=name, allowed=f"{CENTRED}:(A+B)")
    return place


def _lists_views(name: EncoderName) -> bool:
    """Whether a name ends in a list of views, so that a plus sign adds another one."""
    if name.base in (CENTRED, SHUFFLED):
        return _lists_views(_parsed(name.rest[1:]))
    if not name.rest.startswith(":") or "@" in name.rest or name.base not in ENCODERS.names():
        return False
    joins = ENCODERS.get(name.base).joins_views
    return joins is not None and joins(name.rest[1:])


def _parsed(name: str) -> EncoderName:
    weight = _WEIGHT.match(name)
    alone = name[weight.end() :] if weight else name
    base = re.split("[:@]", alone, maxsplit=1)[0]
    return EncoderName(name, ALIASES.get(base, base), alone[len(base) :], float(weight[1]) if weight else None)


def get_encoder(name: str) -> EncoderSpec:
    """Return the spec of an encoder by its full name. No data set is loaded or made.

    Such as ``tfidf``, ``precomputed:vectors.npz``, ``larp-ttc:audio`` (one view of an encoder that is trained on the
    data set that is tested), ``larp-ttc@demo`` (trained on the data set ``demo``, whatever is tested),
    ``bert+handcrafted`` (several side by side), ``centred:bert`` (minus the mean of the train tracks), or
    ``mine=precomputed:vectors.npz`` (with a label for results).

    Raises:
        UnknownNameError: If no encoder, or data set, has that name.
        UsageError: If an argument after the colon is missing or out of place, or the label is another encoder's name.
        MissingPartError: If it is a plug-in that cannot be loaded.
    """
    label, name = split_label(name)
    parts = parse_name(name)
    if len(parts) == 1 and parts[0].weight is not None:
        raise UsageError("a weight stands before one of several encoders", where=name, allowed="A+0.5*B")
    specs = [_spec(part) for part in parts]
    weights = [1.0 if part.weight is None else part.weight for part in parts]
    spec = specs[0] if len(specs) == 1 else replace(combine(specs, weights), registered=True)
    return spec if label is None else labelled(spec, label)


def get_inner(prefix: str, argument: str) -> EncoderSpec:
    """Return the encoder that a word such as ``centred:`` stands before; one in parentheses may be a combination.

    Raises:
        UnknownNameError: If there is no such encoder.
        UsageError: If it has a label.
    """
    grouped = argument.startswith("(") and argument.endswith(")") and _closing(argument, 1) == len(argument)
    inner = get_encoder(argument[1:-1] if grouped else argument)
    if inner.label is not None:
        raise UsageError(
            "a label stands before the whole name",
            where=f"{prefix}:{argument}",
            allowed=f"{inner.label}={prefix}:{replace(inner, label=None).grouped}",
        )
    return inner


def split_label(name: str) -> tuple[str | None, str]:
    """Split ``LABEL=ENCODER`` at its first ``=``.

    A label holds none of ``: / + @ , =``. What cannot be a label is part of the name, as in
    ``precomputed:date=2024/x``.
    """
    found = _LABEL.fullmatch(name)
    return (found[1], found[2].strip()) if found else (None, name)


def require_label(text: str) -> str:
    """Return a text that can be a label.

    Raises:
        UsageError: If it cannot: it is empty, or holds a separator of names, a line end, or what a terminal would obey.
    """
    hidden = text != printable(text) or any(unicodedata.category(each) in _UNSEEN or each in _TURNS for each in text)
    if split_label(f"{text}=") != (text, "") or hidden:
        raise UsageError(
            f"{clipped(repr(text), 80)} is no label",
            allowed="text without : / + @ , =, blanks at its ends and control characters",
        )
    if text in SEVERAL:
        raise UsageError(f"{text!r} is no label: it stands for several encoders", allowed="another label")
    return text


def is_taken(name: str) -> bool:
    """Whether a package brings an encoder of that name: one of this process may be replaced."""
    return name in ALIASES or (name in ENCODERS.names() and not ENCODERS.origin(name).in_memory)


def labelled(spec: EncoderSpec, label: str) -> EncoderSpec:
    """Return an encoder whose name in results is a label.

    Raises:
        UsageError: If that cannot be a label, or is the name of another encoder.
    """
    require_label(label)
    if label == spec.name:
        return spec
    if is_taken(label):
        raise UsageError(
            f"the label {label!r} is the name of another encoder", where=f"{label}={spec.name}", allowed="another label"
        )
    return replace(spec, label=label)


def is_file_name(text: str) -> bool:
    """Whether a text that names no encoder is meant as a file of vectors, whether it exists or not."""
    return "/" in text or Path(text).suffix.lower() in _FILES


def _spec(name: EncoderName) -> EncoderSpec:
    base = name.base
    if is_file_name(name.written) and base not in ENCODERS.names():
        raise UnknownNameError("encoder", base, ENCODERS.names(), "for vectors from a file: precomputed:FILE")
    spec, origin = ENCODERS.get(base), ENCODERS.origin(base)
    spec = replace(spec, registered=True)
    if not (origin.built_in or origin.in_memory):
        spec = replace(spec, plugin=f"{origin.distribution} {origin.version}")
    argument, source = name.argument_and_source(spec.training is not None)
    if source == "":
        raise UsageError("a data set must follow the @", where=name.written, allowed=f"{base}@DATASET")
    takes_layer = (spec.takes or "").startswith("[@")
    if argument.startswith("@") and not takes_layer:
        raise UsageError(
            f"encoder {base!r} has no layers to choose from, and is not trained on playlists: nothing follows an @",
            where=name.written,
            allowed=base,
        )
    if spec.takes is None and argument:
        raise UsageError(f"encoder {base!r} takes nothing after a colon", where=name.written, allowed=base)
    if spec.takes is not None and len(argument) < 2 and not spec.takes.startswith("["):
        raise UsageError(f"encoder {base!r} needs a {spec.takes}", where=name.written, allowed=f"{base}:{spec.takes}")
    spec = spec.bind(argument if takes_layer else argument[1:]) if argument else spec
    return spec.learning_from(_dataset(source)) if source else spec


def _dataset(name: str) -> DatasetReference:
    """Return the data set of a name or folder, unloaded.

    Raises:
        UnknownNameError: If there is none.
        MissingPartError: If it has not been built and cannot be without the user's own files.
    """
    if name in DATASETS.names():
        source = DATASETS.get(name)
        return DatasetReference(name, name) if source.build is None or is_built(source) else _loaded(name)
    for folder in (Path(name), datasets_folder() / storage.slug(name)):
        with suppress(OSError, ValueError):  # longer than a path can be
            if (folder / MANIFEST).is_file():
                return DatasetReference(read_manifest(folder).name, str(folder))
    return _loaded(name)


def _loaded(name: str) -> DatasetReference:
    return DatasetReference.of(load_dataset(name))  # says what is wrong with it


def parse_variant(spec: EncoderSpec, argument: str, *slots: Sequence[str] | re.Pattern[str]) -> list[str | None]:
    """Return the words of a variant such as ``tiny:audio``, one per slot; None where the slot's word is left out.

    Args:
        spec: The encoder, for the message.
        argument: What follows the colon of its name.
        slots: In order, the words or the pattern of words that may stand there.

    Raises:
        UsageError: If a word fits no slot, or the order is another.
    """
    words = argument.split(":")
    found: list[str | None] = []
    for slot in slots:
        fits = words and (slot.fullmatch(words[0]) if isinstance(slot, re.Pattern) else words[0] in slot)
        found.append(words.pop(0) if fits else None)
    if words:
        name = spec.card.name
        raise UsageError(f"encoder {name!r} has no variant {argument!r}", allowed=f"{name}:{spec.takes}, in this order")
    return found


def split_ending(argument: str, endings: Sequence[Ending]) -> tuple[str, Ending | None]:
    """Split ``FOLDER:audio`` into ``FOLDER`` and its last word, if that is one of the endings; else None."""
    rest, _, last = argument.rpartition(":")
    ending = next((each for each in endings if each == last), None)
    return (rest if ending else argument), ending


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
    base = spec.card.name
    origin = spec.origin or (otherwise if otherwise and base not in ENCODERS.names() else ENCODERS.origin(base))
    return {"distribution": origin.distribution, "version": origin.version, "target": origin.target}
