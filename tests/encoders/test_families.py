"""Built-in encoders are found by the names of their files, described in one line, and listed in the documentation."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.encoder_table import PAGE, filled

from larpbench.encoders import names
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.names import ENCODERS, get_encoder, parse_name, parse_variant
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import UsageError
from larpbench.storage import home

CARD = {"name": "x", "version": 1, "summary": "s", "modalities": (), "dim": 1, "weights": "none", "licence": "none"}


def test_a_file_is_enough(tmp_path, monkeypatch):
    """One file of one encoder, and a folder with a header of several; neither is imported."""
    for folder in ("adapters/several", "larp", "baselines", "factors", "precomputed"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "adapters" / "my_new_one.py").write_text("raise AssertionError('imported')\n")
    header = 'raise AssertionError\nNAMES = (\n    "one-of-several",\n    "other",\n)\n'
    (tmp_path / "adapters" / "several" / "__init__.py").write_text(header)
    for path in names._OTHER_FAMILIES:
        (tmp_path / path).write_text("NAMES = ()\n")
    monkeypatch.setattr(names, "_FOLDER", tmp_path)
    assert names._built_in() == {
        "my-new-one": "larpbench.encoders.adapters.my_new_one:MY_NEW_ONE",
        "one-of-several": "larpbench.encoders.adapters.several:ONE_OF_SEVERAL",
        "other": "larpbench.encoders.adapters.several:OTHER",
    }


def test_names_are_listed_and_specs_are_read_without_heavy_imports():
    code = """
import json, sys
from larpbench.encoders.names import ENCODERS
names = ENCODERS.names()
families = [each for each in sys.modules if each.startswith("larpbench.encoders.adapters.")]
for name in names:
    ENCODERS.get(name)
heavy = [each for each in ("torch", "transformers", "sklearn", "librosa", "essentia") if each in sys.modules]
print(json.dumps([families, heavy]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]


def test_a_list_of_one_line_an_encoder(cli, monkeypatch):
    """Short enough for any terminal, whatever is missing here."""
    built_in = [name for name in ENCODERS.names() if ENCODERS.origin(name).built_in]
    done = cli("list", "encoders")
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.split()[0].partition(":")[0] for line in lines[: len(built_in)]] == built_in
    spare = len("missing-package") - max(len(line.split()[3].rstrip("*")) for line in lines[: len(built_in)])
    assert max(map(len, lines)) + spare <= 100
    larp = next(line for line in lines if line.startswith("larp-tpc "))
    assert larp.split()[:3] == ["larp-tpc", "audio+text", "varies"]
    assert larp.endswith("LARP, stage 3 (track-playlist contrast)")
    rows = {row["name"].partition(":")[0]: row for row in json.loads(cli("list", "encoders", "--json").out)}
    assert rows["essentia-tf"]["unverified"] == "yes"
    assert rows["htsat"]["unverified"] == ""
    assert "larpbench fetch htsat" in rows["htsat"]["next"]


def test_the_table_of_the_documentation_is_that_of_the_cards():
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "python tests/support/encoder_table.py"


def test_a_name_is_resolved_without_its_data_set(cli, monkeypatch):
    """Not even where it would have to be made first; and it is loaded once for all that learns from it."""
    loaded = []

    def load(place):
        loaded.append(place)
        raise LookupError("loaded")

    monkeypatch.setattr("larpbench.encoders.availability.load_dataset", load)
    spec = get_encoder("larp:text@demo-2")
    assert spec.identity == "larp-tpc-fusion:text@demo-2"
    assert spec.tested_on(None) == spec
    assert spec.training.start.trained_on is spec.trained_on
    assert spec.status().state == "ready"
    assert cli("describe", "encoder", "larp@demo-2").code == 0
    assert loaded == []
    assert not list(home().rglob("manifest.json"))
    with pytest.raises(LookupError, match="loaded"):
        assert spec.source


def test_a_full_name_in_parts():
    (name,) = parse_name("larp:tiny@demo:audio")
    assert (name.base, name.rest) == ("larp-tpc-fusion", ":tiny@demo:audio")
    assert name.argument_and_source(trained=True) == (":tiny:audio", "demo")
    assert name.argument_and_source(trained=False) == (":tiny@demo:audio", None)
    assert [each.written for each in parse_name("precomputed:a+b.npz+bert")] == ["precomputed:a+b.npz", "bert"]
    with pytest.raises(UsageError, match="on each side"):
        parse_name("bert+")


def test_words_of_a_variant_stand_in_order():
    spec = get_encoder("clap-pt")
    sizes, views = ("tiny", "paper"), ("audio", "text")
    assert parse_variant(spec, "paper:text", sizes, views) == ["paper", "text"]
    assert parse_variant(spec, "text", sizes, views) == [None, "text"]
    for argument in ("", "text:paper", "tiny:paper", "text:text", ":text"):
        with pytest.raises(UsageError, match="has no variant"):
            parse_variant(spec, argument, sizes, views)


def test_earlier_spellings():
    """The field of a card, and a factory named by its address."""
    card = EncoderCard(**CARD, tracks_per_second=1, original="other code", proof="no difference")
    assert card.verification == "no difference"
    assert not card.unverified
    assert EncoderCard(**CARD, tracks_per_second=1, original="other code").unverified
    with pytest.warns(DeprecationWarning, match="give the function itself"):
        spec = EncoderSpec(card, factory="larpbench.encoders.controls:build_random")
    assert type(spec.build(EncodeContext(0, None))).__name__ == "RandomEncoder"
