"""Families of sentence encoders: pooling and prompts as published, for models without files that say them.

Tracks of a catalogue are documents: where a family has a prompt for documents, every track gets it. E5 is the
exception. Its makers want ``passage:`` only beside queries, and ``query:`` wherever texts of one kind are compared, or
vectors are used as features. Tracks are compared with tracks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    """Models that are read in one way.

    Attributes:
        name: For cards.
        pattern: Of the last part of a model's name, in lower case.
        pooling: One of `POOLINGS`.
        prompts: Texts to put before a caption, by name.
        prompt: Name of the one that tracks get; None: none.
    """

    name: str
    pattern: str
    pooling: str
    prompts: Mapping[str, str] = field(default_factory=dict)
    prompt: str | None = None


FAMILIES = (
    Family("E5 of a decoder", r"e5-mistral-.*-instruct", "last"),
    Family("E5 with instructions", r"multilingual-e5-.*-instruct", "mean"),
    Family(
        "E5",
        r"(multilingual-)?e5-(small|base|large)(-v2|-unsupervised)?",
        "mean",
        {"query": "query: ", "passage": "passage: "},
        "query",
    ),
    Family("BGE of a decoder", r"bge-(multilingual-gemma2|en-icl)", "last"),
    Family("BGE", r"bge-(small|base|large|m3).*", "first"),
    Family("GTE", r"gte-(tiny|small|base|large)", "mean"),
    Family(
        "GTE for Chinese, 1.5, multilingual and ModernBERT",
        r"gte-((small|base|large)-zh|(base|large)-en-v1\.5|multilingual-base|modernbert-base)",
        "first",
    ),
    Family("GTE of a decoder", r"gte-qwen.*", "last"),
    Family("Qwen3-Embedding", r"qwen3-embedding-.*", "last"),
    Family(
        "EmbeddingGemma",
        r"embeddinggemma-.*",
        "mean",
        {"query": "task: search result | query: ", "document": "title: none | text: "},
        "document",
    ),
    Family("MiniLM", r"(all|multi-qa|paraphrase|paraphrase-multilingual)-minilm-.*", "mean"),
)


def family_of(model: str) -> Family | None:
    """Return the family of a model by its name on the hub, or by the folder that is named after it; None if unknown."""
    last = model.rstrip("/").rpartition("/")[2].lower()
    return next((family for family in FAMILIES if re.fullmatch(family.pattern, last)), None)
