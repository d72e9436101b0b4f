"""Encoders that are objects: models, functions and vectors in memory, beside names and files."""

from __future__ import annotations

import inspect
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from larpbench.datasets.schema import Split
from larpbench.encoders.card import EncoderCard, View
from larpbench.encoders.encoder import EncodeContext, Encoder, TrackBatch
from larpbench.encoders.names import (
    ENCODERS,
    get_encoder,
    is_file_name,
    is_taken,
    labelled,
    require_label,
    split_label,
)
from larpbench.encoders.precomputed.memory import ALLOWED, are_vectors, is_array, vectors_encoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import EmbeddingError, UsageError, clipped
from larpbench.fingerprint import digest
from larpbench.registry import Origin
from larpbench.vectors import on_host, within_float32

Reads = Literal["batch", "captions", "audio"]
EncoderLike = Any
"""A registered name, a path, vectors, an object with ``encode``, a callable, or an `EncoderSpec`; see `as_encoder`."""


@dataclass(frozen=True)
class ObjectOptions:
    """What has to be known of objects that do not say it themselves.

    Attributes:
        modality: What callables read: ``audio`` or ``text``.
        sample_rate: In Hz, for those that read audio.
        cache_key: What tells an object's vectors apart from those of any other; with it they are stored and used again.
    """

    modality: View | None = None
    sample_rate: int | None = None
    cache_key: str | None = None


def requested_encoders(
    encoders: EncoderLike | Sequence[EncoderLike] | Mapping[str, EncoderLike], options: ObjectOptions
) -> list[str | EncoderSpec]:
    """Return the encoders that a call names: names as they stand, all else as specs.

    Args:
        encoders: One encoder, several, or a mapping of labels to encoders.
        options: Of objects.

    Raises:
        UsageError: If something is no encoder.
    """
    if hasattr(encoders, "encode") and not isinstance(encoders, str):  # a model may be a list or a dict, too
        return [_requested(encoders, options, None)]
    if isinstance(encoders, Mapping) and not are_vectors(encoders):
        return [_requested(each, options, str(label)) for label, each in encoders.items()]
    if isinstance(encoders, list | tuple | Set | ValuesView | Iterator) and not are_vectors(encoders):
        return [_requested(each, options, None) for each in encoders]
    return [_requested(encoders, options, None)]


def _requested(value: EncoderLike, options: ObjectOptions, label: str | None) -> str | EncoderSpec:
    if isinstance(value, str) and not _is_path(value):
        return value if label is None else f"{require_label(label)}={value}"
    return as_encoder(
        value,
        label,
        modality=options.modality,
        sample_rate=options.sample_rate,
        cache_key=options.cache_key,
    )


def as_encoder(
    value: EncoderLike,
    name: str | None = None,
    *,
    modality: View | None = None,
    sample_rate: int | None = None,
    cache_key: str | None = None,
) -> EncoderSpec:
    """Return anything that can be tested as the spec of an encoder.

    Args:
        value: One of:

            * a registered name, such as ``"tfidf"``;
            * vectors: ``(ids, array)``, a dict of id to vector, a frame of polars or pandas, or a path as
              ``precomputed:`` takes it;
            * an object with ``encode(batch)``, if it has a ``card`` or the parameter is annotated as `TrackBatch`; any
              other object with ``encode``, such as a SentenceTransformer, gets a list of captions;
            * a callable with a modality: ``text`` gets a list of captions, ``audio`` an array (n, samples) float32;
            * an `EncoderSpec`.
        name: What it is called in results; default: what it calls itself, or the name of its class or function.
        modality: What a callable reads, unless it has an attribute of that name.
        sample_rate: Sample rate in Hz of the audio that a callable gets, likewise.
        cache_key: Text that, together with the name, stands for the object's vectors. They are stored under it and used
            again, and a run that is interrupted goes on; change it whenever the object changes. Without it an object is
            encoded anew for each plan, and nothing of it is kept.

    Raises:
        UsageError: If it is nothing that can be tested.
        UnknownNameError: If it is a name that nothing has.
        DataError: If vectors make no sense.
    """
    spec = spec_of(value, name, ObjectOptions(modality, sample_rate, cache_key))
    spec = spec if name is None else labelled(spec, name)
    own = spec.identity
    if not spec.registered and spec.label is None:
        require_label(spec.card.name)
    if not spec.registered and is_taken(own):
        raise UsageError(
            f"an object is called {own!r}, which is the name of another encoder",
            allowed=f"a name of its own: evaluate(.., name=..), or a mapping {{'my-{own}': ..}}",
        )
    return spec


def spec_of(value: EncoderLike, name: str | None, options: ObjectOptions) -> EncoderSpec:
    """Return what `as_encoder` does, whatever else has its name."""
    if isinstance(value, EncoderSpec):
        return _of_spec(value, name, options)
    if isinstance(value, str):
        return get_encoder(f"precomputed:{value}" if _is_path(value) else value)
    if isinstance(value, Path):
        return get_encoder(f"precomputed:{value}")
    if are_vectors(value):
        return vectors_encoder(value, name or "vectors")
    if isinstance(value, type):
        raise UsageError(f"{value.__name__} is a class and no encoder", allowed=f"an object of it: {value.__name__}()")
    if callable(getattr(value, "encode", None)):
        return _of_object(value, value.encode, name or type(value).__name__, options)
    if callable(value):
        own = getattr(value, "__name__", type(value).__name__)
        return _of_object(value, value, name or (own if own.isidentifier() else "function"), options)
    if is_array(value):
        raise UsageError(f"an array of shape {tuple(value.shape)} has no track ids", allowed=ALLOWED)
    raise UsageError(
        f"{clipped(repr(value), 80)} is no encoder",
        where=f"an object of type {type(value).__name__}",
        allowed=f"a name, a path, {ALLOWED}, an object with encode, a callable, or an EncoderSpec",
    )


def _is_path(text: str) -> bool:
    """Whether a text that names no encoder names a file or folder."""
    _, rest = split_label(text)
    if rest != text or rest.partition(":")[0].partition("@")[0].partition("+")[0] in ENCODERS.names():
        return False
    if is_file_name(text):
        return True
    try:
        return Path(text.rpartition("#")[0] or text).expanduser().exists() or Path(text).exists()
    except (OSError, ValueError, RuntimeError):  # longer than a path can be, or no such user
        return False


def _of_spec(spec: EncoderSpec, name: str | None, options: ObjectOptions) -> EncoderSpec:
    known = spec.card.name in ENCODERS.names() and ENCODERS.get(spec.card.name) is spec
    if spec.registered or known or spec.in_place:
        return replace(spec, registered=spec.registered or known)
    spec = replace(spec, origin=Origin.of_object(spec.factory))
    if spec.training:  # its weights have a key of their own
        key = uuid.uuid4().hex if options.cache_key is None else _key(name or spec.identity, options.cache_key)
        return replace(spec, plugin=f"in memory {key}")
    return _keyed(spec, name or spec.identity, options)


def _of_object(value: object, encode: Callable[..., Any], name: str, options: ObjectOptions) -> EncoderSpec:
    own = getattr(value, "card", None)
    card = own if isinstance(own, EncoderCard) else None
    takes_batch = card is not None or _wants_batch(encode)
    if card is None:
        card = _described(value, name, takes_batch, options)
    reads: Reads = "batch" if takes_batch else "audio" if "audio" in card.modalities else "captions"
    card = card.model_copy(update={"process_per_core": False})  # an object cannot be in several processes
    build = FittedObjectEncoder if card.learns != "nothing" else ObjectEncoder
    factory = partial(_build, build, value, encode, reads)
    return _keyed(EncoderSpec(card, factory, origin=Origin.of_object(value)), name, options)


def _described(value: object, name: str, takes_batch: bool, options: ObjectOptions) -> EncoderCard:
    modality = getattr(value, "modality", None) or options.modality
    rate = getattr(value, "sample_rate", None) or options.sample_rate
    if modality is None and (takes_batch or hasattr(value, "encode")):
        modality = "text"
    if modality not in ("audio", "text"):
        raise UsageError(
            f"what {name!r} reads is not known" if modality is None else f"{name!r} reads {modality!r}",
            allowed='modality="audio" with sample_rate=.., or modality="text"',
        )
    if modality == "audio" and not (isinstance(rate, int | np.integer) and rate > 0):
        raise UsageError(
            f"{name!r} reads audio at {rate or 'an unknown number of'} Hz", allowed="sample_rate=.., in Hz"
        )
    kind = value if inspect.isroutine(value) else type(value)
    return EncoderCard(
        name=name,
        version=1,
        summary=f"an object in memory: {kind.__module__}.{kind.__qualname__}",
        modalities=(modality,),
        dim=None,
        sample_rate=int(rate or 0) if modality == "audio" else None,
        weights="those of the object",
        licence="unknown",
        training_data="unknown",
        tracks_per_second=5 if modality == "audio" else 100,
    )


def _wants_batch(encode: Callable[..., Any]) -> bool:
    """Whether the first parameter of a function is annotated as `TrackBatch`."""
    try:
        parameters: Iterable[inspect.Parameter] = inspect.signature(encode).parameters.values()
    except (TypeError, ValueError):  # built in, or made in another language
        return False
    first = next(iter(parameters), None)
    if first is None:
        return False
    annotation = first.annotation
    if isinstance(annotation, str):
        return re.search(rf"\b{TrackBatch.__name__}\b", annotation) is not None
    return annotation is TrackBatch or TrackBatch in get_args(annotation)


def _keyed(spec: EncoderSpec, name: str, options: ObjectOptions) -> EncoderSpec:
    if options.cache_key is None:
        return replace(spec, unkeyed=True)
    key = _key(name, options.cache_key)
    return replace(spec, digest=lambda context, argument: key)


def _key(name: str, cache_key: str) -> str:
    """Return what stands for the vectors of an object; several may have one cache key, and differ by their names."""
    return digest(["cache_key", str(cache_key), name])


def _build(
    kind: type[ObjectEncoder],
    value: object,
    encode: Callable[..., Any],
    reads: Reads,
    context: EncodeContext,
    argument: str | None,
) -> Encoder:
    return kind(value, encode, reads)


class ObjectEncoder:
    """Gives an object what it reads, and takes arrays of any library.

    Args:
        value: The object.
        encode: What is called.
        reads: What it gets: the whole batch, a list of captions, or the audio.
    """

    def __init__(self, value: object, encode: Callable[..., Any], reads: Reads) -> None:
        self._value, self._encode, self._reads = value, encode, reads
        self._where = f"{type(value).__module__}.{type(value).__qualname__}"

    def encode(self, batch: TrackBatch) -> np.ndarray:
        """Return (n, dim) float32."""
        if self._reads == "captions":
            found = self._encode(batch.captions.tolist())
        else:
            found = self._encode(batch if self._reads == "batch" else batch.require_audio(type(self._value).__name__))
        try:
            array = np.asarray(on_host(found))
            if array.dtype.kind not in "iuf":
                raise TypeError(f"values of type {array.dtype}")
        except (TypeError, ValueError) as error:
            raise EmbeddingError(
                f"an object gave no array of numbers but a {type(found).__name__}: {error}",
                where=self._where,
                allowed=f"an array of shape ({len(batch)}, dim)",
            ) from error
        try:
            with within_float32(np.atleast_1d(array), batch.track_ids):
                return array.astype(np.float32, copy=False)
        except ValueError as error:
            raise EmbeddingError(str(error), where=self._where, next_step="scale the vectors") from error


class FittedObjectEncoder(ObjectEncoder):
    """An object that learns from the train split, as its card declares."""

    def fit(self, train: Split) -> None:
        """Learn.

        Raises:
            EmbeddingError: If the object cannot.
        """
        learn = getattr(self._value, "fit", None)
        if not callable(learn):
            raise EmbeddingError("the card of an object declares that it learns, but it has no fit method")
        learn(train)
