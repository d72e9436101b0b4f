"""What to cite for an encoder: its own references, those of the model that it loads, and those of all its parts."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from larpbench.citations import OWN
from larpbench.encoders.names import ENCODERS
from larpbench.encoders.spec import EncoderSpec

MODELS = {
    "*/mert-*": ("li2024mert",),
    "*/muq-*": ("zhu2025muq",),
    "minzwon/musicfm*": ("won2024musicfm",),
    "*/clamp3*": ("wu2025clamp3",),
    "*/pe-a*": ("vyas2025peav",),
    "*/qwen2-audio*": ("chu2024qwen2audio",),
    "*/audio-flamingo-3*": ("goel2025audioflamingo",),
    "*/music-flamingo*": ("ghosh2025musicflamingo",),
    "*/hubert-*": ("hsu2021hubert",),
    "*/wav2vec2-*": ("baevski2020wav2vec",),
    "*/wavlm-*": ("chen2022wavlm",),
    "*/data2vec-audio-*": ("baevski2022data2vec",),
    "*/encodec_*": ("defossez2023encodec",),
    "laion/*clap*": ("wu2023clap",),
    "qwen/qwen3-embedding*": ("zhang2025qwen3",),
    "intfloat/multilingual-e5-*": ("wang2024me5",),
    "intfloat/e5-*": ("wang2022e5",),
    "baai/bge-m3*": ("chen2024m3",),
    "baai/bge-*": ("xiao2024cpack",),
    "thenlper/gte-*": ("li2023gte",),
    "alibaba-nlp/gte-*": ("zhang2024mgte", "li2023gte"),
    "google/embeddinggemma-*": ("vera2025embeddinggemma",),
    "sentence-transformers/*minilm*": ("reimers2019sbert", "wang2020minilm"),
    "sentence-transformers/*": ("reimers2019sbert",),
    "*bert-base-*": ("devlin2019bert",),
}
"""Pattern of a model's name on the hub, in lower case, -> keys; the first that fits counts."""
PACKAGES = {"transformers": ("wolf2020transformers",)}
"""Package whose code an encoder runs -> keys."""


def encoder_citations(spec: EncoderSpec) -> tuple[str, ...]:
    """Return the keys or entries of an encoder and of all that it builds upon, each once.

    Of one that larpbench brings and no paper describes it is the key of larpbench itself; of one that says nothing of
    where it comes from, such as a file of vectors or a plug-in without references, there is none.
    """
    return tuple(dict.fromkeys(_found(spec)))


def model_citations(name: str) -> tuple[str, ...]:
    """Return the keys of a model by its name on the hub, such as ``m-a-p/MERT-v1-95M``; none if it is not known."""
    lowered = name.lower()
    return next((keys for pattern, keys in MODELS.items() if fnmatch.fnmatchcase(lowered, pattern)), ())


def _found(spec: EncoderSpec) -> Iterator[str]:
    ours = _built_in(spec.card.name)
    model = model_citations(spec.weights.repo or "") if spec.weights else ()
    own = (*spec.card.citation, *model)
    yield from own
    for package in spec.requires if own or ours else ():
        yield from PACKAGES.get(package, ())
    parts = [*spec.inputs]
    if spec.training:
        parts += [*spec.training.inputs, *([spec.training.start] if spec.training.start else [])]
    for each in parts:
        yield from _found(each)
    if ours and not own and (spec.takes or "[").startswith("["):
        yield OWN


def _built_in(name: str) -> bool:
    return name in ENCODERS.names() and ENCODERS.origin(name).built_in
