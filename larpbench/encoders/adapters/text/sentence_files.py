"""The files by which sentence-transformers says what follows a text model: pooling, dense layers, prompts, length."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from larpbench.errors import DataError, UsageError

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"
LENGTHS = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json")
"""Which name the file has depends on the age of the model; the first that is there counts."""
DESCRIPTIONS = (MODULES, PROMPTS, *LENGTHS, "*_Pooling/config.json", "*_Normalize/config.json")
"""Files whose content is on the card, and hence in the key of embeddings."""
DENSE_FILES = ("*_Dense/config.json", "*_Dense/model.safetensors", "*_Dense/pytorch_model.bin")
"""Files that are counted among the weights."""
_POOLINGS = {
    "cls": "first",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean-sqrt",
    "weightedmean": "weighted-mean",
    "lasttoken": "last",
}
_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Of earlier versions, in the order in which several poolings stand side by side."""
_WITHOUT_EFFECT = ("Normalize", "Dropout")


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer behind the pooling.

    Attributes:
        folder: Holds its configuration and weights.
        width: Length of the vectors that it takes.
        dim: Length of those that it gives.
        bias: Whether it has one.
        activation: Name of the class of torch behind it.
    """

    folder: Path
    width: int
    dim: int
    bias: bool
    activation: str


@dataclass(frozen=True)
class SentenceFiles:
    """What the files of a model say.

    Attributes:
        poolings: Those that stand side by side, one as a rule; none: they say nothing.
        pooling_file: Where that is said.
        layers: What follows the pooling.
        prompts: Texts to put before a caption, by name.
        default_prompt: Name of the one that the makers put before every text.
        longest: Most tokens; None: they say nothing.
        longest_file: Where that is said.
        lower_case: Whether captions are put into lower case.
        without_prompt: Whether the prompt's own tokens are left out of the pooling.
    """

    poolings: tuple[str, ...] = ()
    pooling_file: str | None = None
    layers: tuple[DenseLayer, ...] = ()
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    longest: int | None = None
    longest_file: str | None = None
    lower_case: bool = False
    without_prompt: bool = False


def read_json(path: Path) -> Any:  # noqa: ANN401 - what the file holds
    """Return the content of a file of JSON.

    Raises:
        DataError: If it cannot be read, or is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"this is no JSON: {error}", where=str(path)) from error


def read_sentence_files(folder: Path) -> SentenceFiles:
    """Return what the files of a model in a folder say.

    Raises:
        DataError: If one of them is damaged.
        UsageError: If the model needs more than pooling and dense layers behind it, or code of its own.
    """
    facts: dict[str, Any] = {}
    if (folder / MODULES).is_file():
        facts |= _modules(folder)
    if (folder / PROMPTS).is_file():
        facts |= _prompts(folder / PROMPTS)
    lengths = next((folder / name for name in LENGTHS if (folder / name).is_file()), None)
    if lengths:
        facts |= _lengths(lengths)
    return SentenceFiles(**facts)


def _modules(folder: Path) -> dict[str, Any]:
    path = folder / MODULES
    modules = read_json(path)
    try:
        steps = [(str(each["type"]), folder / str(each.get("path", ""))) for each in modules]
    except (TypeError, KeyError, AttributeError) as error:
        raise _misread(path, "a list of modules with type and path") from error
    facts: dict[str, Any] = {}
    layers: list[DenseLayer] = []
    for place, (kind, where) in enumerate(steps):
        name = kind.rpartition(".")[2]
        known = kind.startswith("sentence_transformers.")
        if known and name == "Transformer" and place == 0 and where == folder:
            continue
        if known and name == "Pooling" and place == 1:
            facts |= _pooling(where / "config.json", folder)
        elif known and name == "Dense" and place > 1:
            layers.append(_dense(where))
        elif not (known and name in _WITHOUT_EFFECT and place > 1):
            raise UsageError(
                f"the module {kind!r} at place {place} of this sentence encoder cannot be run",
                where=str(path),
                allowed="Transformer, Pooling, then Dense, Normalize or Dropout, all of sentence-transformers",
                next_step="encode the captions with sentence-transformers, and give the vectors as precomputed:FILE",
            )
    return {**facts, "layers": tuple(layers)}


def _pooling(path: Path, folder: Path) -> dict[str, Any]:
    config = read_json(path)
    try:
        words = config.get("pooling_mode") or [word for key, word in _SWITCHES.items() if config.get(key)] or "mean"
        poolings = tuple(_POOLINGS[word] for word in ([words] if isinstance(words, str) else words))
    except (AttributeError, TypeError, KeyError) as error:
        raise _misread(path, f"pooling_mode: {', '.join(_POOLINGS)}") from error
    file = path.relative_to(folder).as_posix()
    return {"poolings": poolings, "pooling_file": file, "without_prompt": not config.get("include_prompt", True)}


def _dense(folder: Path) -> DenseLayer:
    path = folder / "config.json"
    config = read_json(path)
    try:
        layer = DenseLayer(
            folder=folder,
            width=int(config["in_features"]),
            dim=int(config["out_features"]),
            bias=bool(config.get("bias", True)),
            activation=str(config.get("activation_function", "torch.nn.modules.activation.Tanh")),
        )
        inputs = config.get("module_input_name", "sentence_embedding")
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise _misread(path, "in_features and out_features") from error
    if config.get("use_residual") or inputs != "sentence_embedding":
        raise UsageError("a dense layer of this kind cannot be run", where=str(path), allowed="one behind the pooling")
    return layer


def _prompts(path: Path) -> dict[str, Any]:
    config = read_json(path)
    try:
        prompts = {str(name): str(text or "") for name, text in (config.get("prompts") or {}).items()}
        default = config.get("default_prompt_name")
    except AttributeError as error:
        raise _misread(path, "prompts, by name") from error
    if default is not None and default not in prompts:
        raise _misread(path, f"default_prompt_name: {', '.join(prompts) or 'none, since there are no prompts'}")
    return {"prompts": prompts, "default_prompt": default}


def _lengths(path: Path) -> dict[str, Any]:
    config = read_json(path)
    try:
        longest = config.get("max_seq_length")
        task = config.get("transformer_task", "feature-extraction")
        found = None if longest is None else int(longest)
    except (AttributeError, TypeError, ValueError) as error:
        raise _misread(path, "max_seq_length: a number") from error
    if task != "feature-extraction":
        raise UsageError(f"a sentence encoder by {task!r} cannot be run", where=str(path), allowed="feature-extraction")
    if found is not None and found < 1:
        raise _misread(path, "max_seq_length: 1 or more")
    named = path.name if found else None
    return {"longest": found, "longest_file": named, "lower_case": bool(config.get("do_lower_case"))}


def _misread(path: Path, allowed: str) -> DataError:
    return DataError("this file of a sentence encoder cannot be understood", where=str(path), allowed=allowed)
