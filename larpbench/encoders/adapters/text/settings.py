"""How a text model is read: what its name asks for, else what its own files say, else the preset of its family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larpbench.encoders.adapters.text.families import Family, family_of
from larpbench.encoders.adapters.text.sentence_files import (
    PROMPTS,
    DenseLayer,
    SentenceFiles,
    read_json,
    read_sentence_files,
)
from larpbench.encoders.layers import MEAN, LayerName, read_layers
from larpbench.encoders.names import split_ending
from larpbench.encoders.pooling import split_pooling
from larpbench.encoders.precision import BFLOAT16
from larpbench.errors import UsageError

TAKES = "HF_NAME[@LAYER][:pool=HOW][:prompt=WHICH][:bf16]"
LONGEST = 512
"""Tokens of a caption at most, where neither the files nor the family of a model say otherwise."""
NO_PROMPT = "none"
_UNLIMITED = 1_000_000  # tokens: tokenizers that know no limit write 10 to the 30th
_OF_DOCUMENTS = ("document", "passage", "corpus")
_PROMPT = ":prompt="
_DEPTHS = ("num_hidden_layers", "n_layers", "num_layers", "n_layer", "encoder_layers")
_SHIFTED = ("camembert", "longformer", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl")
"""Types of model whose positions begin behind the number of the padding token."""
_WORDS = {
    "mean": "mean over tokens",
    "max": "maximum over tokens",
    "mean+std": "mean and standard deviation over tokens",
    "first": "first token",
    "last": "last token",
    "weighted-mean": "mean over tokens with weights 1 to n",
    "mean-sqrt": "sum over tokens by the square root of their number",
}


@dataclass(frozen=True)
class TextName(LayerName):
    """What follows ``text:``.

    Attributes:
        model: Name on the hub, or folder.
        layers: What follows the ``@``; None: the last layer.
        pooling: One of `POOLINGS`; None: that of the model.
        prompt: Name of the prompt, or ``none``; None: that of the model.
        precision: ``bf16``, or None.
    """

    model: str = ""
    layers: str | None = None
    pooling: str | None = None
    prompt: str | None = None
    precision: str | None = None

    @property
    def written(self) -> str:
        """The name."""
        prompt = f"{_PROMPT}{self.prompt}" if self.prompt else ""
        return super().written + prompt + (f":{self.precision}" if self.precision else "")


@dataclass(frozen=True)
class TextSettings:
    """How captions become vectors.

    Attributes:
        poolings: Side by side; one as a rule.
        states: First and last of the hidden states whose mean is taken, the second None for the last one there is;
            None: what the model gives as its output.
        layers: Dense layers behind the pooling.
        prompt: Text before each caption.
        longest: Most tokens; what is beyond them is cut off. None: as the tokenizer has it, and `LONGEST` at most.
        unusual_length: Whether `longest` is not what a model without files would have.
        lower_case: Whether captions are put into lower case.
        without_prompt: Whether the prompt's own tokens are left out of the pooling.
        depth: Number of layers; None: unknown.
        sources: Where each setting comes from, for the card.
    """

    poolings: tuple[str, ...] = ("mean",)
    states: tuple[int, int | None] | None = None
    layers: tuple[DenseLayer, ...] = ()
    prompt: str = ""
    longest: int | None = None
    unusual_length: bool = False
    lower_case: bool = False
    without_prompt: bool = False
    depth: int | None = None
    sources: tuple[str, ...] = ()

    @property
    def pooling_text(self) -> str:
        """The pooling in words, and all else that the vectors depend on, the prompt aside."""
        return self.described(self._of_layers)

    def described(self, layers: str) -> str:
        """Return the same of other layers, in words; none for what the model gives as its output."""
        widths = [*(each.width for each in self.layers[:1]), *(each.dim for each in self.layers)]
        through = " -> ".join(f"{width:,}" for width in widths)
        parts = [
            layers,
            "captions in lower case" if self.lower_case else "",
            " beside ".join(_WORDS[each] for each in self.poolings),
            f"of at most {self.longest:,} tokens" if self.unusual_length else "",
            "those of the prompt left out" if self.without_prompt and self.prompt else "",
            f"dense layers {through}" if self.layers else "",
            "scaled to length 1",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def _of_layers(self) -> str:
        if self.states is None:
            return ""
        first, last = self.states
        if last is None:
            return "the mean of all layers"
        layers = f"layer {first}" if first == last else f"the mean of layers {first} to {last}"
        return layers + (f" of {self.depth}" if self.depth else "")


def read_name(argument: str) -> TextName:
    """Return the parts of ``NAME@LAYER:pool=HOW:prompt=WHICH:bf16``, of which all but the first may be left out.

    Raises:
        UsageError: If a part makes no sense, or stands elsewhere.
    """
    rest, precision = split_ending(argument, (BFLOAT16,))
    rest, found, prompt = rest.rpartition(_PROMPT) if _PROMPT in rest else (rest, "", "")
    name = _read_layers(rest)
    wrong = ":" in name.model and not Path(name.model).expanduser().is_dir()
    if not name.model or wrong or (found and (not prompt or ":" in prompt)):
        raise UsageError(f"this is no name of a text model: {argument!r}", allowed=f"text:{TAKES}, in this order")
    return TextName(name.model, name.layers, name.pooling, prompt or None, precision)


def settings_of(name: TextName, folder: Path | None) -> TextSettings:
    """Return how a model is read.

    Args:
        name: What is asked for.
        folder: Of the model's files; None: they are not here, and what they say is unknown.

    Raises:
        UsageError: If the model has no such layer or prompt, or cannot be run without code of its own.
        DataError: If a file of it is damaged.
    """
    config = _object(folder, "config.json")
    _refuse_own_code(config, name.model)
    files = read_sentence_files(folder) if folder else SentenceFiles()
    family = family_of(name.model)
    preset = f"preset for {family.name}" if family else "default"
    poolings: tuple[str, ...] = (family.pooling if family else "mean",)
    source = preset
    if files.pooling_file:
        poolings, source = files.poolings, files.pooling_file
    if name.pooling:
        poolings, source = (name.pooling,), "the encoder's name"
    depth = next((int(config[key]) for key in _DEPTHS if isinstance(config.get(key), int)), None)
    states = _states(name, depth)
    prompt, which = _prompt(name, files, family, here=folder is not None)
    longest, usual, limit = _longest(config, _object(folder, "tokenizer_config.json"), files, family)
    return TextSettings(
        poolings=poolings,
        states=states,
        layers=files.layers if states is None and poolings == files.poolings else (),
        prompt=prompt,
        longest=longest,
        unusual_length=longest != usual,
        lower_case=files.lower_case,
        without_prompt=files.without_prompt,
        depth=depth,
        sources=(f"pooling: {source}", f"prompt: {which}", f"longest caption: {limit}"),
    )


def _read_layers(argument: str) -> LayerName:
    model, pooling = split_pooling(argument)
    if "/" in model.rpartition("@")[2] or Path(model).expanduser().is_dir():
        return LayerName(model, None, pooling)  # the @ is part of a folder's name
    return read_layers(argument, "text")


def _states(name: TextName, depth: int | None) -> tuple[int, int | None] | None:
    """Return the first and last of the hidden states that are asked for, None for what the model gives."""
    if name.layers is None or name.choice:
        return None
    if name.layers == MEAN and depth is None:
        return 0, None
    readout = name.readout(0, _UNLIMITED if depth is None else depth, name.model)
    return None if readout.first == depth else (readout.first, readout.last)


def _refuse_own_code(config: Mapping[str, Any], model: str) -> None:
    brought = config.get("auto_map")
    if isinstance(brought, Mapping) and "AutoModel" in brought:
        raise UsageError(
            f"the text model {model!r} cannot be run: it needs code of its own ({brought['AutoModel']}), and no code "
            "of a checkpoint is ever run; what transformers makes of its weights would be something else",
            allowed="models that transformers implements itself",
            next_step="encode the captions with the makers' code, and give the vectors as precomputed:FILE",
        )


def _prompt(name: TextName, files: SentenceFiles, family: Family | None, here: bool) -> tuple[str, str]:
    """Return the prompt of tracks, and in words which one it is and who says so."""
    prompts = {**(family.prompts if family else {}), **files.prompts}
    preset = f"preset for {family.name}" if family else ""
    if name.prompt == NO_PROMPT:
        return "", "none (the encoder's name)"
    if name.prompt and name.prompt not in prompts and here:
        allowed = ", ".join([*prompts, NO_PROMPT])
        raise UsageError(f"{name.model} has no prompt {name.prompt!r}", allowed=f":prompt= with {allowed}")
    if name.prompt:
        return prompts.get(name.prompt, ""), f"{name.prompt} (the encoder's name)"
    if files.default_prompt is not None:
        return files.prompts[files.default_prompt], f"{files.default_prompt} ({PROMPTS})"
    if family and family.prompt:
        return prompts[family.prompt], f"{family.prompt} ({preset})"
    document = next((each for each in _OF_DOCUMENTS if files.prompts.get(each)), None)
    if document:
        return files.prompts[document], f"{document} ({PROMPTS})"
    return "", f"none ({PROMPTS if files.prompts else preset or 'default'})"


def _longest(
    config: Mapping[str, Any], tokenizer: Mapping[str, Any], files: SentenceFiles, family: Family | None
) -> tuple[int | None, int | None, str]:
    """Return the most tokens, how many there would be without files and family, and who says so."""
    if not config:
        return None, None, "the model's own files"
    of_tokenizer, of_positions = _count(tokenizer.get("model_max_length")), _positions(config)
    usual = min(LONGEST, of_tokenizer, of_positions)
    if files.longest:
        longest = min(files.longest, of_positions)
        return longest, usual, f"{longest:,} tokens ({files.longest_file})"
    most = min(of_tokenizer, of_positions)
    if most < _UNLIMITED and (files.pooling_file or family):
        return most, usual, f"{most:,} tokens (the model's own maximum)"
    return usual, usual, f"{usual:,} tokens (default)"


def _positions(config: Mapping[str, Any]) -> int:
    """Return how many tokens a model has positions for."""
    positions = _count(config.get("max_position_embeddings"))
    if positions == _UNLIMITED or config.get("model_type") not in _SHIFTED:
        return positions
    padding = config.get("pad_token_id")
    return max(1, positions - 1 - (padding if isinstance(padding, int) else 1))


def _count(number: Any) -> int:  # noqa: ANN401 - whatever a file holds
    """Return a number of tokens; `_UNLIMITED` where there is none, or one that stands for none."""
    return int(number) if isinstance(number, (int, float)) and 0 < number < _UNLIMITED else _UNLIMITED


def _object(folder: Path | None, name: str) -> Mapping[str, Any]:
    """Return the content of a file of JSON; nothing if it is not there, or no object."""
    if folder is None or not (folder / name).is_file():
        return {}
    found = read_json(folder / name)
    return found if isinstance(found, dict) else {}
