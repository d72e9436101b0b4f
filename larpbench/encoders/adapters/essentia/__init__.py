"""Encoders by Essentia: the descriptors of its MusicExtractor, and the networks that its authors publish."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from larpbench.encoders.adapters.essentia.graphs import read_graph
from larpbench.encoders.adapters.essentia.reference import REFERENCE
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.fingerprint import digest, digest_file_once

NAMES = ("essentia", "essentia-tf")
_TENSORFLOW = "essentia-tensorflow"


def build_essentia(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of the descriptors."""
    from larpbench.encoders.adapters.essentia.encoder import EssentiaEncoder

    return EssentiaEncoder()


def bind_essentia_tf(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the spec of one graph.

    Raises:
        MissingPartError: If the graph or its JSON file is not there.
        UsageError: If the graph has no embeddings, or takes no audio.
    """
    path = Path(argument).expanduser()
    graph = read_graph(path)
    facts: dict[str, Any] = {
        "dim": graph.dim,
        "sample_rate": graph.sample_rate,
        "pooling": f"mean over patches of {graph.output}",
        "weights": f"pretrained: {path.name}",
    }
    return replace(spec, card=spec.card.model_copy(update=facts))


def build_essentia_tf(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder of a graph."""
    from larpbench.encoders.adapters.essentia.graphs import GraphEncoder

    path = Path(argument or "").expanduser()
    return GraphEncoder(path, read_graph(path))


def essentia_tf_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of a graph and its JSON file."""
    path = Path(argument or "").expanduser()
    return digest([digest_file_once(path), digest_file_once(path.with_suffix(".json"))])


def without_tensorflow() -> str | None:
    """Return why the installed Essentia runs no graphs, None if it does."""
    try:
        metadata.version(_TENSORFLOW)
    except metadata.PackageNotFoundError:
        return f"this build of Essentia has no TensorFlow: pip uninstall essentia && pip install {_TENSORFLOW}"
    return None


ESSENTIA = EncoderSpec(
    EncoderCard(
        name="essentia",
        version=1,
        summary="2,547 low-level descriptors (Essentia)",
        modalities=("audio",),
        dim=2_547,
        sample_rate=44_100,
        pooling="nine statistics over frames, covariances of MFCC and GFCC; then sign(x) log(1 + |x|)",
        weights="none",
        licence="AGPL-3.0",
        paper="Bogdanov et al. 2013, Essentia; Porter et al. 2015, AcousticBrainz",
        original="MusicExtractor of essentia 2.1b6.dev1389",
        verification="MusicExtractor called on a file of the same clip: no difference",
        parameters=0,
        citation=("bogdanov2013essentia", "porter2015acousticbrainz"),
        standardised=True,
        process_per_core=True,
        tracks_per_second=2.5,
    ),
    factory=build_essentia,
    reference=REFERENCE,
    requires=("essentia",),
    extra="essentia",
)
ESSENTIA_TF = EncoderSpec(
    EncoderCard(
        name="essentia-tf",
        version=1,
        summary="a network published by Essentia",
        modalities=("audio",),
        dim=None,
        pooling="mean over patches",
        weights="those of the file",
        licence="AGPL-3.0, that of the model (Essentia's own: CC-BY-NC-SA-4.0)",
        training_data="that of the model",
        paper="Alonso-Jiménez et al. 2020, TensorFlow audio models in Essentia",
        original="the TensorflowPredict algorithms of essentia-tensorflow 2.1b6.dev1389",
        sources=(
            "tensors: those of the graph, which brings its own architecture; one that no node reads is not refused",
        ),
        citation=("alonso2020tensorflow",),
        tracks_per_second=2,
    ),
    factory=build_essentia_tf,
    requires=("essentia",),
    extra="essentia-tf",
    incompatible=without_tensorflow,
    takes="MODEL.pb",
    digest=essentia_tf_digest,
    binder=bind_essentia_tf,
)
