"""Stored references of sentence encoders: sentence-transformers on tiny models in the layouts that are published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from larpbench.encoders.adapters.text.families import family_of
from larpbench.encoders.adapters.text.reference import REFERENCE
from larpbench.encoders.adapters.text.sentence_files import MODULES, read_json
from larpbench.encoders.adapters.text.settings import TextName, read_name, settings_of
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.reference import Reference, seeded, write_model, write_tokenizer

_FOLDER = Path(__file__).parent
_MODULES = {"Transformer": "", "Pooling": "1_Pooling"}
_SWITCHES = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
_WIDTH = 16
_BERT: dict[str, Any] = {
    "hidden_size": _WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 300,
    "pad_token_id": 0,
}
_DECODER: dict[str, Any] = {
    "hidden_size": _WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 32,
    "max_position_embeddings": 300,
    "pad_token_id": 0,
}


def write_e5(folder: Path) -> None:
    """Write a BERT in the layout of E5: the mean, and a prompt; the switches of earlier versions."""
    from transformers import BertConfig, BertModel

    write_model(BertModel(BertConfig(vocab_size=write_tokenizer(folder), **_BERT)), folder)
    write_sentence_files(folder, "mean_tokens", normalised=True, longest=100)
    write_prompts(folder, {"query": "query: ", "passage": "passage: "}, "query")


def write_bge(folder: Path) -> None:
    """Write an XLM-R in the layout of BGE-M3: the first token, and no prompt."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    write_model(XLMRobertaModel(XLMRobertaConfig(vocab_size=write_tokenizer(folder), **_BERT)), folder)
    write_sentence_files(folder, "cls_token", normalised=True, longest=250)


def write_qwen3(folder: Path) -> None:
    """Write a Qwen3 in the layout of Qwen3-Embedding: the last token, which ends each text; padding on the left."""
    from tokenizers import Tokenizer, processors
    from transformers import Qwen3Config, Qwen3Model

    vocabulary = write_tokenizer(folder)
    pieces = Tokenizer.from_file(str(folder / "tokenizer.json"))
    end = ("</s>", pieces.token_to_id("</s>"))
    pieces.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
    pieces.save(str(folder / "tokenizer.json"))
    _edit(folder / "tokenizer_config.json", padding_side="left")
    write_model(Qwen3Model(Qwen3Config(vocab_size=vocabulary, **_DECODER)), folder)
    write_sentence_files(folder, "lasttoken", normalised=True)
    instruction = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
    write_prompts(folder, {"query": instruction, "document": ""}, None)


def write_embeddinggemma(folder: Path) -> None:
    """Write a Gemma 3 in the layout of EmbeddingGemma: attention to both sides, the mean, and two dense layers."""
    from transformers import Gemma3TextConfig, Gemma3TextModel

    config = Gemma3TextConfig(
        vocab_size=write_tokenizer(folder),
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"],
        query_pre_attn_scalar=8,
        use_bidirectional_attention=True,
        **_DECODER,
    )
    write_model(Gemma3TextModel(config), folder)
    write_sentence_files(folder, "mean_tokens", dense=(64, _WIDTH), normalised=True, longest=200)
    prompts = {"query": "task: search result | query: ", "document": "title: none | text: "}
    write_prompts(folder, {**prompts, "STS": "task: sentence similarity | query: "}, None)


def write_sentence_files(
    folder: Path,
    pooling: str,
    dense: tuple[int, ...] = (),
    normalised: bool = False,
    longest: int | None = None,
) -> None:
    """Write what sentence-transformers keeps beside a model, as versions 2 to 5 did.

    Args:
        folder: Of the model, of width 16.
        pooling: End of the name of the switch that is on, such as ``cls_token``.
        dense: Lengths of what dense layers give, without bias and activation.
        normalised: Whether a module scales to length 1.
        longest: Most tokens; None: nothing says.
    """
    from safetensors.numpy import save_file

    modules = dict(_MODULES)
    width = _WIDTH
    switches = {f"pooling_mode_{each}": each == pooling for each in _SWITCHES}
    _write(
        folder / "1_Pooling" / "config.json", {"word_embedding_dimension": width, **switches, "include_prompt": True}
    )
    for number, dim in enumerate(dense, start=2):
        modules[f"Dense {number}"] = f"{number}_Dense"
        identity = {"bias": False, "activation_function": "torch.nn.modules.linear.Identity"}
        _write(folder / f"{number}_Dense" / "config.json", {"in_features": width, "out_features": dim, **identity})
        weights = seeded(f"{number}_Dense.linear.weight", (dim, width))
        save_file({"linear.weight": weights}, folder / f"{number}_Dense" / "model.safetensors")
        width = dim
    if normalised:
        modules["Normalize"] = f"{len(modules)}_Normalize"
        (folder / modules["Normalize"]).mkdir()  # holds nothing, in most models
    listed = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{name.split()[0]}"}
        for place, (name, path) in enumerate(modules.items())
    ]
    _write(folder / MODULES, listed)
    if longest:
        _write(folder / "sentence_bert_config.json", {"max_seq_length": longest, "do_lower_case": False})


def write_prompts(folder: Path, prompts: Mapping[str, str], default: str | None) -> None:
    """Write prompts by name, and the name of the one that the makers put before every text."""
    facts = {"prompts": dict(prompts), "default_prompt_name": default, "similarity_fn_name": "cosine"}
    _write(folder / "config_sentence_transformers.json", facts)


def run_sentences(folder: Path, batch: TrackBatch, argument: str | None) -> np.ndarray:
    """Return what sentence-transformers makes of the captions with our choice of prompt, (n, dim) float32 of length 1.

    Raises:
        ImportError: If it is not installed.
    """
    from sentence_transformers import SentenceTransformer

    from larpbench.encoders.towers.hub_models import quiet

    prompt = settings_of(read_name(argument) if argument else TextName(), folder).prompt
    with quiet():
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        vectors = model.encode(
            [str(each) for each in batch.captions], prompt=prompt, normalize_embeddings=True, show_progress_bar=False
        )
    return np.asarray(vectors, dtype=np.float32)


def reference_of(model: str, folder: Path | None) -> Reference:
    """Return the reference that is nearest to a model: that of its family, or of the layout of its files."""
    family = family_of(model)
    if folder is None:
        return _OF_FAMILIES.get(family.name, REFERENCE) if family else REFERENCE
    if not (folder / MODULES).is_file():
        return REFERENCE
    kind = read_json(folder / "config.json").get("model_type")
    if kind in _OF_TYPES:
        return _OF_TYPES[kind]
    return BGE if settings_of(TextName(model), folder).poolings == ("first",) else E5


def _edit(path: Path, **changes: object) -> None:
    _write(path, {**read_json(path), **changes})


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


_ORIGINAL = "sentence-transformers 6.2.0"
E5 = Reference(_FOLDER / "e5.npz", _ORIGINAL, write_e5, run_sentences)
BGE = Reference(_FOLDER / "bge.npz", _ORIGINAL, write_bge, run_sentences)
QWEN3 = Reference(_FOLDER / "qwen3.npz", _ORIGINAL, write_qwen3, run_sentences)
EMBEDDINGGEMMA = Reference(_FOLDER / "embeddinggemma.npz", _ORIGINAL, write_embeddinggemma, run_sentences)
SENTENCES = (E5, BGE, QWEN3, EMBEDDINGGEMMA)
_OF_TYPES = {"qwen3": QWEN3, "gemma3_text": EMBEDDINGGEMMA}
_OF_FAMILIES = {"E5": E5, "BGE": BGE, "Qwen3-Embedding": QWEN3, "EmbeddingGemma": EMBEDDINGGEMMA}
