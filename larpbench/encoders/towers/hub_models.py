"""Models and tokenizers of transformers out of a folder: nothing is downloaded, and missing weights are an error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from larpbench.checkpoint_tensors import NOT_WEIGHTS, Faults, TensorFacts, facts_of, matches, not_floating, say_casts
from larpbench.encoders.weights.finder import TOKENIZER
from larpbench.encoders.weights.stored import model_files, stored_tensors
from larpbench.errors import DataError
from larpbench.runtime import torch_device

_AT_ONCE = 64  # captions of one length: more gain nothing, and need more memory
_TOKENS_AT_ONCE = 64 * 512
LONGEST = 512
"""Tokens that a caption has at most, where nothing says otherwise: few models can take more."""


@dataclass(frozen=True)
class Place:
    """Where a model computes, and how.

    Attributes:
        device: As torch names it.
        dtype: Of its weights and activations, as torch has them.
        openvino: Whether OpenVINO computes, from these weights.
        bfloat16: Whether it is computed in bfloat16.
    """

    device: str
    dtype: torch.dtype
    openvino: bool = False
    bfloat16: bool = False

    @classmethod
    def of(cls, bfloat16: bool, openvino: bool = False) -> Place:
        """Return the best device of this machine, or the CPU for OpenVINO, which takes the weights in float32."""
        if openvino:
            return cls("cpu", torch.float32, openvino, bfloat16)
        return cls(torch_device(), torch.bfloat16 if bfloat16 else torch.float32, bfloat16=bfloat16)


def load_model(
    kind: Any,  # noqa: ANN401 - transformers has no common type for it
    folder: Path,
    place: Place,
    optional: Sequence[str] = (),
    unused: Sequence[str] = (),
) -> Any:  # noqa: ANN401
    """Return a model with the weights of a folder, for inference.

    Args:
        kind: Its class in transformers.
        folder: Holds ``config.json`` and the weights.
        place: Where and how it computes.
        optional: Patterns (``*``) of the names of tensors that may be missing, since nothing uses them.
        unused: Patterns of the names of tensors that may be there although the model has no place for them.

    Raises:
        DataError: If the weights are damaged, or are not exactly those of the model.
    """
    stored = stored_tensors(model_files(folder))
    with quiet():
        try:
            model, loading = kind.from_pretrained(
                folder,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # they are refused below, by name
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise DataError(f"no model can be read: {error}", where=str(folder)) from error
    _refuse_others(model, loading, stored, folder, optional, unused)
    if place.dtype == torch.float32:
        used = {name: facts for name, (facts, _) in stored.items() if not matches(name, (*unused, *NOT_WEIGHTS))}
        say_casts(used, _of_one_file(stored, used, folder))
    return model.to(device=place.device, dtype=place.dtype).eval()


def _refuse_others(
    model: Any,  # noqa: ANN401
    loading: Mapping[str, Any],
    stored: Mapping[str, tuple[TensorFacts, Path]],
    folder: Path,
    optional: Sequence[str],
    unused: Sequence[str],
) -> None:
    """Refuse weights that are not exactly those of a model, given what transformers says of loading them.

    It knows the names of the model, and the files may have older ones.
    """
    own = facts_of(model.state_dict())
    prefix = f"{model.base_model_prefix}."
    unknown = TensorFacts((), "of unknown type")
    found = {name: facts for name, (facts, _) in stored.items() if not matches(name, unused)}
    faults = Faults(other=not_floating(found))
    for name in sorted(map(str, loading["missing_keys"])):
        if not matches(name, (*optional, *NOT_WEIGHTS)):
            faults.missing[name] = own.get(name, unknown)
    for name in sorted(map(str, loading["unexpected_keys"])):
        if not matches(name, (*unused, *NOT_WEIGHTS)) and not matches(name.removeprefix(prefix), unused):
            faults.unexpected[name] = stored[name][0] if name in stored else unknown
    for name, shape, _ in sorted(loading.get("mismatched_keys") or ()):
        faults.other.setdefault(str(name), (TensorFacts(tuple(shape)), own.get(str(name), unknown)))
    faults.refuse(type(model).__name__, _of_one_file(stored, [*faults.other, *faults.unexpected], folder))


def _of_one_file(stored: Mapping[str, tuple[TensorFacts, Path]], names: Iterable[str], folder: Path) -> Path:
    """Return the file that holds some tensors, or the folder if there are several."""
    files = {stored[name][1] for name in names if name in stored} or {path for _, path in stored.values()}
    return files.pop() if len(files) == 1 else folder


class Tokens:
    """A model's own tokenizer.

    Args:
        folder: Holds its files.
        longest: Most tokens of a caption, special ones among them; None: as the tokenizer has it, `LONGEST` at most.

    Attributes:
        longest: That number.
        cut: How many captions had more, and were cut there.

    Raises:
        DataError: If they cannot be read.
    """

    def __init__(self, folder: Path, longest: int | None = None) -> None:
        from transformers import AutoTokenizer

        if not any(list(folder.glob(pattern)) for pattern in TOKENIZER.split("|")):
            # transformers would make an empty one without a warning: every caption the same
            raise DataError("there is no tokenizer beside the model", where=str(folder), allowed=TOKENIZER)
        with quiet():
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            except (OSError, ValueError, KeyError, ImportError) as error:
                raise DataError(f"no tokenizer can be read: {error}", where=str(folder)) from error
        self.longest: int = longest or min(self._tokenizer.model_max_length, LONGEST)
        self.cut = 0

    def count(self, text: str) -> int:
        """Return how many tokens a text begins a longer one with: a special token at its end is none of them."""
        ids = self._tokenizer(text)["input_ids"]
        return len(ids) - (ids[-1:] != [] and ids[-1] in self._tokenizer.all_special_ids)

    def _ids(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of texts, one at least of each, and count those that are cut."""
        if not texts:
            return []
        with quiet():
            rows: list[list[int]] = self._tokenizer(texts, truncation=True, max_length=self.longest)["input_ids"]
            full = [text for text, row in zip(texts, rows, strict=True) if len(row) >= self.longest]
            whole = self._tokenizer(full)["input_ids"] if full else []
        self.cut += sum(len(row) > self.longest for row in whole)
        return [row or [self._alone()] for row in rows]

    def _alone(self) -> int:
        """Return the token that stands for a text of none, as of an empty caption without special tokens."""
        names = ("eos", "bos", "pad", "unk")
        ids = [getattr(self._tokenizer, f"{name}_token_id") for name in names]
        return next((each for each in ids if each is not None), 0)

    def apply(
        self, captions: Sequence[str] | np.ndarray, encode: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Return what a function makes of all captions, row by row.

        It gets captions of one length at a time: padding would cost time, and change the last bits with the batch.

        Args:
            captions: (n,) str.
            encode: From tokens, (rows, length) int64, to (rows, dim).

        Returns:
            (n, dim), where `encode` left it.
        """
        tokens = self._ids([str(each) for each in captions])
        lengths = np.array([len(each) for each in tokens])
        order = np.argsort(lengths, kind="stable")
        changes = np.flatnonzero(np.diff(lengths[order])) + 1
        groups = [
            group[start : start + rows]
            for group in np.split(order, changes)
            for rows in [min(_AT_ONCE, max(1, _TOKENS_AT_ONCE // lengths[group[0]]))]
            for start in range(0, len(group), rows)
        ]
        parts = [encode(torch.tensor([tokens[row] for row in group])) for group in groups]
        return torch.cat(parts)[torch.from_numpy(np.argsort(order))]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and tables of its own."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
