"""Text models by name: pooling, prompts, layers and length, from the model's own files, its family or the name."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from support.small_data import build_split_tables
from support.weights_server import serving

from larpbench.encoders.adapters.text.families import FAMILIES
from larpbench.encoders.adapters.text.reference import REFERENCE, run_text
from larpbench.encoders.adapters.text.sentences import BGE, E5, EMBEDDINGGEMMA, QWEN3, SENTENCES, write_prompts
from larpbench.encoders.adapters.text.settings import read_name, settings_of
from larpbench.encoders.encoder import EncodeContext, TrackBatch
from larpbench.encoders.names import get_encoder
from larpbench.encoders.pooling import POOLINGS
from larpbench.encoders.run.keys import _WITHOUT_EFFECT_ON_VECTORS
from larpbench.errors import DataError, UsageError
from larpbench.testing import check_encoder, check_reference

CAPTIONS = (
    *("The track Night Train by Alpha", "", "x", "夜に駆ける ー YOASOBI", "أغنية الليل — فيروز"),
    *("\U0001f3b5\U0001f3a7 e\u0301te\u0301 \U0001f469\u200d\U0001f467", "\u00e9te", "नमस्ते दुनिया", "\u200f\u0000\n\t"),
    *("many words " * 30, "many words " * 60),
)
GONE = object()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each layout, by the name of its reference."""
    made = {}
    for reference in (REFERENCE, *SENTENCES):
        name = reference.stored.stem
        made[name] = tmp_path_factory.mktemp(name)
        reference.write(made[name])
    return made


@pytest.fixture
def copied(folders, tmp_path):
    """Copies a folder, so that it may be spoilt."""

    def copy(name, place="copy"):
        return shutil.copytree(folders[name], tmp_path / place)

    return copy


def batch(captions=CAPTIONS):
    return TrackBatch(np.array([f"t{row}" for row in range(len(captions))]), np.array(captions, dtype=object))


def vectors(name, captions=CAPTIONS):
    return get_encoder(name).build(EncodeContext(0, None)).encode(batch(captions))


def edit(path, **changes):
    content = {**json.loads(path.read_text()), **changes} if path.exists() else changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not GONE}))


class TestAgainstOthers:
    @pytest.mark.parametrize("reference", SENTENCES, ids=lambda each: each.stored.stem)
    def test_as_sentence_transformers(self, folders, reference):
        """Its vectors are stored; what is allowed is 1e-6 of a vector's length."""
        folder = folders[reference.stored.stem]
        found = vectors(f"text:{folder}", reference.batch(None).captions)
        expected = reference.expected("whole")
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert np.abs(expected[:, None] - expected[None]).max(axis=2)[~np.eye(len(expected), dtype=bool)].min() > 1e-3

    @pytest.mark.parametrize("reference", SENTENCES, ids=lambda each: each.stored.stem)
    def test_the_stored_vectors_are_those_of_transformers_and_numpy(self, folders, reference):
        """Nobody has to believe the files: transformers called literally, padded, pooled and projected by numpy."""
        folder = folders[reference.stored.stem]
        found = run_text(folder, reference.batch(None), str(folder))
        for each in sorted(folder.glob("*_Dense/model.safetensors")):
            found = found @ load_file(each)["linear.weight"].T
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        np.testing.assert_allclose(found, reference.expected("whole"), atol=1e-6)

    @pytest.mark.parametrize("name", ["text", "bge", "qwen3"])
    @pytest.mark.parametrize("how", POOLINGS)
    def test_every_pooling_and_script(self, folders, name, how):
        argument = f"{folders[name]}@1:pool={how}"
        np.testing.assert_allclose(vectors(f"text:{argument}"), run_text(folders[name], batch(), argument), atol=2e-6)

    @pytest.mark.parametrize("name", ["text", "qwen3", "embeddinggemma"])
    def test_every_layer(self, folders, name):
        whole = vectors(f"text:{folders[name]}:pool=mean")
        for layer in (0, 1, 2):
            argument = f"{folders[name]}@{layer}:pool=mean:prompt=none"
            found = vectors(f"text:{argument}")
            if name != "embeddinggemma" or layer < 2:  # whose last layer goes through its dense layers
                np.testing.assert_allclose(found, run_text(folders[name], batch(), argument), atol=2e-6)
            assert (np.abs(found - whole).max() < 1e-6) == (layer == 2 and name != "embeddinggemma")

    @pytest.mark.parametrize("name", ["text", "bge", "qwen3", "embeddinggemma"])
    def test_means_of_layers(self, folders, name):
        for layers in ("mean", "0-2", "1-2", "0-1"):
            argument = f"{folders[name]}@{layers}:pool=mean+std:prompt=none"
            found = vectors(f"text:{argument}")
            np.testing.assert_allclose(found, run_text(folders[name], batch(), argument), atol=2e-6)
        cards = [get_encoder(f"text:{folders[name]}@{layers}").card for layers in ("mean", "0-2", "1-1", "1")]
        assert cards[0] == cards[1]
        assert cards[2] == cards[3]
        assert cards[0].pooling.startswith("the mean of layers 0 to 2 of 2, ")
        assert "dense" not in cards[0].pooling

    def test_the_encoder_of_t5_alone(self, tmp_path):
        from transformers import AutoTokenizer, T5Config, T5EncoderModel

        from larpbench.encoders.reference import write_model, write_tokenizer

        config = T5Config(vocab_size=write_tokenizer(tmp_path), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
        write_model(T5EncoderModel(config), tmp_path)
        model = T5EncoderModel.from_pretrained(tmp_path).eval()
        ids = torch.tensor([AutoTokenizer.from_pretrained(tmp_path)("night")["input_ids"]])
        with torch.inference_mode():
            expected = model(input_ids=ids).last_hidden_state[0, -1].numpy()
        found = vectors(f"text:{tmp_path}:pool=last", ["night"])
        np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected), atol=1e-6)

    def test_the_golden_check_of_a_family(self):
        """By its name alone, without weights."""
        for name in ("Qwen/Qwen3-Embedding-0.6B", "BAAI/bge-m3", "google/embeddinggemma-300m", "intfloat/e5-base-v2"):
            stored, live = check_reference(get_encoder(f"text:{name}"))
            assert (stored.outcome, live.outcome) == ("pass", "skipped"), stored
            assert "sentence-transformers" in stored.detail


class TestBatches:
    @pytest.mark.parametrize("name", ["text", "bge", "qwen3", "embeddinggemma"])
    def test_a_vector_is_the_same_in_any_company(self, folders, name):
        """Nothing is padded: what differs is the rounding of a product of larger matrices."""
        encoder = get_encoder(f"text:{folders[name]}").build(EncodeContext(0, None))
        together = encoder.encode(batch())
        alone = np.concatenate([encoder.encode(batch([caption])) for caption in CAPTIONS])
        np.testing.assert_allclose(alone, together, atol=1e-6)
        order = np.random.RandomState(0).permutation(len(CAPTIONS))
        shuffled = encoder.encode(batch([CAPTIONS[row] for row in order]))
        np.testing.assert_allclose(shuffled, together[order], atol=1e-6)

    def test_as_every_encoder(self, folders):
        checks = check_encoder(get_encoder(f"text:{folders['qwen3']}"))
        assert [each for each in checks if each.outcome == "fail"] == []

    def test_captions_that_are_cut_are_counted(self, cli, copied, tmp_path):
        folder = copied("bge")
        edit(folder / "sentence_bert_config.json", max_seq_length=12)
        encoder = get_encoder(f"text:{folder}").build(EncodeContext(0, None))
        found = encoder.encode(batch(["0123456789", "0123456789x", "0123456789y", "short"]))
        assert encoder.notes() == ("2 captions have more than 12 tokens and were cut there",)
        np.testing.assert_array_equal(found[0], found[1])
        build_split_tables(tmp_path / "data")
        done = cli("run", "--dataset", tmp_path / "data", "--encoders", f"text:{folder}", "--output", tmp_path / "out")
        assert done.code == 0, done.err
        told = [line for line in done.err.splitlines() if "were cut there" in line]
        assert len(told) == len({line.partition(":")[0] for line in told})
        assert any(line.startswith("text:copy (test): ") for line in told), done.err


class TestWhoDecides:
    @pytest.mark.parametrize(
        ("name", "pooling", "prompt"),
        [
            ("Qwen/Qwen3-Embedding-0.6B", "last", ""),
            ("Qwen/Qwen3-Embedding-8B", "last", ""),
            ("intfloat/e5-base-v2", "mean", "query: "),
            ("intfloat/multilingual-e5-small", "mean", "query: "),
            ("intfloat/multilingual-e5-large-instruct", "mean", ""),
            ("intfloat/e5-mistral-7b-instruct", "last", ""),
            ("BAAI/bge-m3", "first", ""),
            ("BAAI/bge-small-en-v1.5", "first", ""),
            ("BAAI/bge-multilingual-gemma2", "last", ""),
            ("thenlper/gte-base", "mean", ""),
            ("thenlper/gte-large-zh", "first", ""),
            ("Alibaba-NLP/gte-modernbert-base", "first", ""),
            ("google/embeddinggemma-300m", "mean", "title: none | text: "),
            ("sentence-transformers/all-MiniLM-L6-v2", "mean", ""),
            ("some/model", "mean", ""),
        ],
    )
    def test_a_family(self, name, pooling, prompt):
        found = settings_of(read_name(name), None)
        assert (found.poolings, found.prompt) == ((pooling,), prompt)
        assert ("preset for" in found.sources[0]) == (name != "some/model")

    def test_every_family_has_words_of_its_own(self):
        names = [each.name for each in FAMILIES]
        assert len(set(names)) == len(names)
        assert all(each.prompt is None or each.prompt in each.prompts for each in FAMILIES)

    def test_the_files_of_a_model_come_before_its_family_and_the_name_before_both(self, copied):
        folder = copied("e5", "bge-small-en-v1.5")
        card = get_encoder(f"text:{folder}").card
        assert card.pooling == "mean over tokens, of at most 100 tokens, scaled to length 1"
        assert (card.prompt, card.max_tokens) == ("query: ", 100)
        assert card.sources == (
            "pooling: 1_Pooling/config.json",
            "prompt: query (config_sentence_transformers.json)",
            "longest caption: 100 tokens (sentence_bert_config.json)",
        )
        card = get_encoder(f"text:{folder}@1:pool=max:prompt=passage:bf16").card
        assert card.pooling == "layer 1 of 2, maximum over tokens, of at most 100 tokens, scaled to length 1"
        assert card.prompt == "passage: "
        assert card.weights.endswith("bge-small-en-v1.5, in bfloat16")
        assert card.sources[:2] == ("pooling: the encoder's name", "prompt: passage (the encoder's name)")
        (folder / "modules.json").unlink()
        assert get_encoder(f"text:{folder}").card.pooling.startswith("first token, ")

    @pytest.mark.parametrize(
        ("config", "words"),
        [
            ({"embedding_dimension": 16, "pooling_mode": "lasttoken"}, "last token"),
            ({"pooling_mode": ["cls", "mean"]}, "first token beside mean over tokens"),
            (
                {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True},
                "first token beside maximum over tokens",
            ),
            ({"pooling_mode_mean_tokens": False}, "mean over tokens"),
            ({"pooling_mode_weightedmean_tokens": True}, "mean over tokens with weights 1 to n"),
        ],
    )
    def test_both_spellings_of_a_pooling(self, copied, config, words):
        folder = copied("bge")
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
        assert get_encoder(f"text:{folder}").card.pooling == f"{words}, of at most 250 tokens, scaled to length 1"
        assert vectors(f"text:{folder}").shape[1] == 16 * (1 + ("beside" in words))

    def test_prompts(self, copied):
        folder = copied("embeddinggemma")
        chosen = {which: get_encoder(f"text:{folder}:prompt={which}").card.prompt for which in ("query", "STS", "none")}
        assert chosen == {
            "query": "task: search result | query: ",
            "STS": "task: sentence similarity | query: ",
            "none": None,
        }
        own = vectors(f"text:{folder}", ["night"])
        written = vectors(f"text:{folder}:prompt=none", ["title: none | text: night"])
        np.testing.assert_allclose(own, written, atol=1e-6)
        with pytest.raises(UsageError, match="no prompt 'title'") as caught:
            get_encoder(f"text:{folder}:prompt=title")
        assert "document, STS, none" in caught.value.allowed
        write_prompts(folder, {"passage": "p: ", "query": "q: "}, None)
        assert get_encoder(f"text:{folder}").card.prompt == "p: "
        write_prompts(folder, {"passage": "p: ", "query": "q: "}, "query")
        assert get_encoder(f"text:{folder}").card.prompt == "q: "

    def test_dense_layers_follow_the_model_s_own_pooling_alone(self, folders):
        folder = folders["embeddinggemma"]
        own = get_encoder(f"text:{folder}").card.pooling
        assert "dense layers 16 -> 64 -> 16" in own
        for same in ("@2", ":pool=mean", "@2:pool=mean"):
            assert get_encoder(f"text:{folder}{same}").card.pooling == own
        for other in ("@1", ":pool=last"):
            assert "dense" not in get_encoder(f"text:{folder}{other}").card.pooling

    def test_a_prompt_that_is_left_out_of_the_pooling(self, copied):
        folder = copied("e5")
        edit(folder / "1_Pooling" / "config.json", include_prompt=False)
        assert "those of the prompt left out" in get_encoder(f"text:{folder}").card.pooling
        edit(folder / "1_Pooling" / "config.json", include_prompt=True, pooling_mode="cls")
        first = vectors(f"text:{folder}", ["night"])
        edit(folder / "1_Pooling" / "config.json", include_prompt=False)
        after = vectors(f"text:{folder}", ["night"])
        assert np.abs(first - after).max() > 1e-3

    def test_lower_case(self, copied):
        folder = copied("bge")
        edit(folder / "sentence_bert_config.json", do_lower_case=True)
        found = vectors(f"text:{folder}", ["NIGHT İ Σ", "night i̇ σ"])
        np.testing.assert_array_equal(found[0], found[1])
        assert get_encoder(f"text:{folder}").card.pooling.startswith("captions in lower case, ")

    def test_models_without_a_word_of_themselves_keep_their_key(self, folders):
        card = get_encoder(f"text:{folders['text']}").card
        keyed = card.model_dump(mode="json", exclude=_WITHOUT_EFFECT_ON_VECTORS, exclude_defaults=True)
        assert keyed == {
            "name": "text",
            "version": 1,
            "modalities": ["text"],
            "dim": None,
            "pooling": "mean over tokens, scaled to length 1",
            "weights": f"pretrained: {folders['text'].name}",
            "licence": "Apache-2.0, that of the model",
            "training_data": "unknown",
        }

    def test_described(self, cli, folders):
        facts = json.loads(cli("describe", "encoder", f"text:{folders['embeddinggemma']}", "--json").out)
        assert facts["prompt"] == "title: none | text: "
        assert facts["max_tokens"] == 200
        assert facts["pooling"].startswith("mean over tokens")
        assert "sentence-transformers" in facts["verification"]
        shown = cli("describe", "encoder", "text:Qwen/Qwen3-Embedding-0.6B").out
        assert "last token, scaled to length 1" in shown
        assert "pooling: preset for Qwen3-Embedding" in shown


class TestNames:
    @pytest.mark.parametrize(
        "argument",
        [
            *(
                "a/b@",
                "a/b@last",
                "a/b@1.5",
                "@3",
                "@all",
                "a/b@3-1",
                "a/b@²",
                "a/b:pool=median",
                "a/b:pool=",
                "a/b:prompt=",
            ),
            *(
                "a/b:pool=mean@3",
                "a/b:prompt=x:pool=mean",
                "a/b:bf16:pool=mean",
                "a/b:pol=mean",
                "a/b:max",
                ":pool=mean",
            ),
        ],
    )
    def test_what_makes_no_sense(self, argument):
        with pytest.raises(UsageError) as caught:
            get_encoder(f"text:{argument}")
        assert any(each in caught.value.allowed for each in ("HF_NAME", "NAME[@LAYER]", "@LAYER, @A-B"))

    def test_in_combinations(self, folders):
        name = f"text:{folders['text']}@1:pool=mean+std"
        spec = get_encoder(f"{name}+tfidf")
        assert [each.identity for each in spec.inputs] == [f"text:{folders['text'].name}@1:pool=mean+std", "tfidf"]
        assert get_encoder(f"own={name}").identity == "own"
        assert vectors(name).shape == (len(CAPTIONS), 32)

    def test_a_layer_that_a_model_has_not(self, folders):
        for layers in ("3", "1-3"):
            with pytest.raises(UsageError, match=f"no layer '{layers}'") as caught:
                get_encoder(f"text:{folders['qwen3']}@{layers}")
            assert "@0 to " in caught.value.allowed

    def test_a_model_that_does_not_say_how_many_layers_it_has(self, copied):
        folder = copied("text")
        edit(folder / "config.json", num_hidden_layers=GONE)
        assert get_encoder(f"text:{folder}@mean").card.pooling.startswith("the mean of all layers, ")
        for choice in ("all", "best"):
            with pytest.raises(UsageError, match="does not say how many layers"):
                get_encoder(f"text:{folder}@{choice}")
        for layers in ("@mean", "@all", "@best", "@3-4"):
            assert get_encoder(f"text:maker/absent{layers}").status().state == "missing-weights"

    def test_a_folder_without_a_model(self, tmp_path):
        with pytest.raises(DataError, match="no text model"):
            get_encoder(f"text:{tmp_path}")


class TestWhatIsRefused:
    def test_code_of_a_checkpoint(self, copied):
        folder = copied("text", "gte-base-en-v1.5")
        edit(
            folder / "config.json", model_type="new", auto_map={"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"}
        )
        with pytest.raises(UsageError, match=r"gte-base-en-v1\.5.*modeling\.NewModel") as caught:
            get_encoder(f"text:{folder}")
        assert "precomputed:FILE" in caught.value.next_step

    @pytest.mark.parametrize(
        "module",
        ["custom_st.Transformer", "sentence_transformers.models.WordWeights", "sentence_transformers.models.Asym"],
    )
    def test_modules_that_are_not_known(self, copied, module):
        folder = copied("bge")
        modules = json.loads((folder / "modules.json").read_text())
        modules[0 if module.startswith("custom") else 2]["type"] = module
        (folder / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(UsageError, match=module):
            get_encoder(f"text:{folder}")

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("modules.json", "[{]"),
            ("modules.json", "[1, 2]"),
            ("modules.json", '{"0": "Transformer"}'),
            ("1_Pooling/config.json", '{"pooling_mode": "median"}'),
            ("1_Pooling/config.json", "[]"),
            ("1_Pooling/config.json", None),
            ("2_Dense/config.json", '{"in_features": "many"}'),
            ("config_sentence_transformers.json", '{"prompts": ["a"]}'),
            ("config_sentence_transformers.json", '{"default_prompt_name": "query"}'),
            ("sentence_bert_config.json", '{"max_seq_length": "long"}'),
            ("sentence_bert_config.json", '{"max_seq_length": -1}'),
        ],
    )
    def test_damaged_files(self, copied, file, content):
        folder = copied("embeddinggemma")
        (folder / file).write_text(content) if content else (folder / file).unlink()
        with pytest.raises(DataError) as caught:
            get_encoder(f"text:{folder}")
        assert caught.value.where.endswith(file)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda state: {}, "missing: 'linear.weight'"),
            (lambda state: {"weight": state["linear.weight"]}, "unexpected: 'weight'"),
            (lambda state: {**state, "linear.bias": np.zeros(64, np.float32)}, "unexpected: 'linear.bias'"),
            (
                lambda state: {"linear.weight": state["linear.weight"].T.copy()},
                "of another shape or type: 'linear.weight' is",
            ),
            (
                lambda state: {"linear.weight": state["linear.weight"].astype(np.int32)},
                "'linear.weight' is .*int32, expected",
            ),
        ],
    )
    def test_weights_of_a_dense_layer_that_do_not_fit(self, copied, change, message):
        folder = copied("embeddinggemma")
        path = folder / "2_Dense" / "model.safetensors"
        save_file(change(load_file(path)), path)
        with pytest.raises(DataError, match=message):
            get_encoder(f"text:{folder}").build(EncodeContext(0, None))

    def test_dense_layers_that_cannot_be_run(self, copied):
        folder = copied("embeddinggemma")
        edit(folder / "2_Dense" / "config.json", activation_function="os.system")
        with pytest.raises(UsageError, match=r"os\.system"):
            get_encoder(f"text:{folder}").build(EncodeContext(0, None))
        edit(folder / "2_Dense" / "config.json", activation_function="torch.nn.modules.linear.Identity")
        edit(folder / "1_Pooling" / "config.json", pooling_mode=["cls", "mean"])
        with pytest.raises(DataError, match="takes vectors of length 16, and the pooling gives 32"):
            vectors(f"text:{folder}")


class TestFetching:
    def test_what_lies_in_folders_comes_too(self, cli, folders, home, monkeypatch):
        folder = folders["embeddinggemma"]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with serving() as hub:
            hub.models["maker/embedder"] = {**files, "onnx/model.safetensors": b"x", "2_Dense/deep/a.json": b"x"}
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            done = cli("fetch", "text:maker/embedder")
        assert done.code == 0, done.err
        spec = get_encoder("text:maker/embedder")
        assert "dense layers" in spec.card.pooling
        np.testing.assert_array_equal(spec.build(EncodeContext(0, None)).encode(batch()), vectors(f"text:{folder}"))
        assert not list(spec.weights.found().rglob("onnx"))
        edit(spec.weights.found() / "1_Pooling" / "config.json", pooling_mode="max")
        assert spec.status().state == "missing-weights", "what was changed is not what was fetched"

    def test_what_the_card_says_is_not_counted_among_the_weights(self, copied):
        folder = copied("embeddinggemma")
        digests, poolings = [], []
        for file, changes in (("1_Pooling", {}), ("1_Pooling", {"pooling_mode": "max"}), ("2_Dense", {"bias": True})):
            edit(folder / file / "config.json", **changes)
            spec = get_encoder(f"text:{folder}")
            digests.append(spec.weights.digest())
            poolings.append(spec.card.pooling)
        assert digests[0] == digests[1] != digests[2]
        assert poolings[0] != poolings[1] == poolings[2]

    def test_references_are_chosen_by_what_is_here(self, folders):
        chosen = {name: get_encoder(f"text:{folder}").reference for name, folder in folders.items()}
        expected = {"text": REFERENCE, "e5": E5, "bge": BGE, "qwen3": QWEN3, "embeddinggemma": EMBEDDINGGEMMA}
        assert chosen == expected
        for asked, reference in (
            ("@1", REFERENCE),
            (":pool=last", REFERENCE),
            (":pool=mean:prompt=query", EMBEDDINGGEMMA),
        ):
            assert get_encoder(f"text:{folders['embeddinggemma']}{asked}").reference is reference
        stored, live = check_reference(get_encoder(f"text:{folders['bge']}@1:pool=last"))
        assert (stored.outcome, live.outcome) == ("pass", "pass"), live
