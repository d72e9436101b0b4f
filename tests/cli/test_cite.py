"""``larpbench cite``: BibTeX of whatever has a name, complete, well-formed and without entries that nobody needs."""

from __future__ import annotations

import re
from importlib import metadata

import numpy as np
import pytest
from support.doc_commands import ROOT

from larpbench.citations import OWN, bibtex, entries
from larpbench.datasets.catalogue import DATASETS
from larpbench.datasets.provided import FOLDER, VectorCard, VectorWriter
from larpbench.datasets.sources.onion.features import _CITATIONS as ONION
from larpbench.datasets.sources.talkplay import _CITATIONS as TALKPLAY
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.citations import MODELS, PACKAGES, encoder_citations, model_citations
from larpbench.encoders.names import ENCODERS, get_encoder
from larpbench.encoders.spec import EncoderSpec
from larpbench.errors import DataError
from larpbench.recommenders import RECOMMENDERS
from larpbench.tasks import TASKS, own_recommenders

NEEDED = {
    "article": {"author", "title", "journal", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "misc": {"author", "title", "year"},
}
CARD = {
    "name": "theirs", "version": 1, "summary": "s", "modalities": (), "dim": 1, "weights": "none", "licence": "none",
    "tracks_per_second": 1,
}  # fmt: skip


def keys_of(text):
    return re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)


def built_in(registry):
    return [registry.get(name) for name in registry.names() if registry.origin(name).built_in]


def fields_of(entry):
    """The fields of an entry in the one layout that the file has; fails on any other, and on braces without a match."""
    first, *lines, last = entry.splitlines()
    assert re.fullmatch(r"@(article|inproceedings|misc)\{[a-z]+(\d{4}[a-z0-9]+)?,", first)
    assert last == "}"
    fields = {}
    for line in lines:
        field, value = re.fullmatch(r"  ([a-z]+) = \{(.+)\},", line).groups()
        depth = 0
        for at, char in enumerate(value):
            depth += (char == "{") - (char == "}")
            assert depth >= 0, f"{entry}: {at}"
        assert depth == 0, entry
        assert field not in fields
        fields[field] = value
    return first[1:].partition("{")[0], fields


@pytest.mark.parametrize("key", sorted(entries()))
def test_an_entry_is_well_formed(key):
    kind, fields = fields_of(entries()[key])
    assert NEEDED[kind] <= fields.keys()
    year = re.search(r"\d{4}", key)
    assert year is None or fields["year"] == year[0]
    authors = fields["author"].split(" and ")
    assert all("," in author for author in authors) or key == OWN
    assert not any(author.strip(" {}").lower() in ("others", "et al.") for author in authors)
    if key != OWN:
        surname = re.sub(r"[^a-z]", "", re.sub(r"\\.|[{}]", "", authors[0].partition(",")[0]).lower())
        assert key.startswith(surname[:2])
    assert fields.get("archiveprefix", "arXiv") == "arXiv"
    assert ("eprint" in fields) == ("archiveprefix" in fields)
    assert re.fullmatch(r"\d{4}\.\d{4,5}", fields.get("eprint", "2000.00000"))
    assert re.fullmatch(r"10\.\d{4,}/\S+", fields.get("doi", "10.1000/x"))
    assert not re.search(
        r"[^\\][&%#_]", re.sub(r"\\url\{.*?\}", "", "".join(fields[each] for each in ("title", "author")))
    )


def test_the_file_holds_entries_and_nothing_else():
    text = (ROOT / "larpbench" / "citations.bib").read_text(encoding="ascii")
    assert "\n\n".join(entries().values()) + "\n" == text
    keys = keys_of(text)
    assert len(set(keys)) == len(keys) == len(entries())
    assert keys[1:] == sorted(keys[1:])


def test_every_key_has_an_entry_and_every_entry_is_needed():
    needed = {OWN}
    for spec in built_in(ENCODERS):
        needed |= {*encoder_citations(spec)}
    for source in built_in(DATASETS):
        needed |= {*source.card.citation}
    for each in (*built_in(TASKS), *built_in(RECOMMENDERS), *(found for _, found in own_recommenders().values())):
        needed |= {*getattr(each, "citation", ())}
    for table in (MODELS, PACKAGES, ONION, TALKPLAY):
        needed |= {key for keys in table.values() for key in keys}
    assert needed == set(entries())


def test_every_encoder_with_a_paper_and_every_published_data_set_has_a_reference():
    for spec in built_in(ENCODERS):
        if spec.card.paper:
            assert {*encoder_citations(spec)} - {OWN}, spec.card.name
            year = re.search(r"\b(19|20)\d\d\b", spec.card.paper)[0]
            assert any(year in entry for entry in bibtex(encoder_citations(spec))), spec.card.name
    for source in built_in(DATASETS):
        assert not source.card.paper or source.card.citation, source.name
        assert source.load is not None or source.card.citation, source.name
    assert all(task.citation for task in built_in(TASKS))


def test_larpbench_itself(cli):
    done = cli("cite")
    assert done.code == 0
    assert done.err == ""
    assert keys_of(done.out) == [OWN]
    assert done.out == cli("cite", "larpbench").out
    assert f"Version {metadata.version('larpbench')}" in done.out
    cff = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r'^title: "(.*)"$', cff, re.MULTILINE)[1] in done.out
    assert f"version: {metadata.version('larpbench')}" in cff


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("clap-pt", "wu2023clap wolf2020transformers"),
        ("htsat", "chen2022htsat wu2023clap wolf2020transformers"),
        ("musicnn-msd musicnn-mtt", "pons2019musicnn"),
        ("bert+handcrafted", "devlin2019bert wolf2020transformers mcfee2015librosa"),
        ("ours=bert+tfidf", "devlin2019bert wolf2020transformers li2006projections"),
        ("centred:minilm", "reimers2019sbert wang2020minilm wolf2020transformers"),
        ("shuffled:jukebox", "dhariwal2020jukebox castellon2021codified"),
        ("shuffled:centred:handcrafted", "mcfee2015librosa"),
        (
            "larp-ttc:tfidf+minilm",
            "salganik2024larp li2006projections reimers2019sbert wang2020minilm wolf2020transformers",
        ),
        ("larp-wtc:audio", "salganik2024larp mcfee2015librosa li2006projections"),
        ("factors:handcrafted", "mcfee2015librosa larpbench"),
        ("cnn@mpd", "mccallum2022mule chen2018recsys"),
        ("hf-audio:m-a-p/MERT-v1-95M@7", "li2024mert wolf2020transformers"),
        ("text:Qwen/Qwen3-Embedding-0.6B:bf16", "zhang2025qwen3 wolf2020transformers"),
        ("text", "wolf2020transformers"),
        ("random oracle demo toy-artists", "larpbench"),
        ("mpd lfm", "chen2018recsys schedl2022lfm2b"),
        ("cold-tracks", "tamm2026pretrained tamm2026acarec"),
        ("continuation itemknn", "salganik2024larp sarwar2001item"),
        ("gnn-gat-2", "groetschla2024clap velickovic2018gat"),
        ("walk-cosine itemknn-log", "larpbench salganik2024larp sarwar2001item"),
    ],
)
def test_names(cli, names, expected):
    done = cli("cite", *names.split())
    assert (done.code, done.err) == (0, "")
    assert keys_of(done.out) == expected.split()
    assert done.out == "\n\n".join(entries()[key] for key in expected.split()) + "\n"


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("OpenMuQ/MuQ-large-msd-iter", "zhu2025muq"),
        ("minzwon/MusicFM", "won2024musicfm"),
        ("facebook/pe-av-large", "vyas2025peav"),
        ("nvidia/music-flamingo-2601-hf", "ghosh2025musicflamingo"),
        ("nvidia/audio-flamingo-3-hf", "goel2025audioflamingo"),
        ("Qwen/Qwen2-Audio-7B", "chu2024qwen2audio"),
        ("intfloat/multilingual-e5-base", "wang2024me5"),
        ("intfloat/e5-small-v2", "wang2022e5"),
        ("BAAI/bge-m3", "chen2024m3"),
        ("BAAI/bge-small-en-v1.5", "xiao2024cpack"),
        ("google/embeddinggemma-300m", "vera2025embeddinggemma"),
        ("bert-base-uncased", "devlin2019bert"),
    ],
)
def test_models_of_the_hub(model, key):
    assert model_citations(model)[0] == key


def test_vectors_that_a_data_set_brings(cli, small):
    card = VectorCard(what="musicnn", citation=("pons2019musicnn",))
    folder = small.folder / "small"
    ids = [f"t{number}" for number in range(3)]
    with VectorWriter(folder / FOLDER, "theirs", card) as writer:
        writer.add(ids, np.eye(3))
    done = cli("cite", "centred:provided:theirs+tfidf", "--dataset", folder)
    assert done.code == 0, done.err
    assert keys_of(done.out) == ["pons2019musicnn", "li2006projections"]
    assert "no vectors 'nope'" in cli("cite", "provided:nope", "--dataset", folder).err


def test_what_nobody_knows_a_reference_of(cli, small):
    done = cli("cite", "precomputed", "tfidf", small.folder / "small", "provided:x")
    assert done.code == 0
    assert keys_of(done.out) == ["li2006projections"]
    assert len(done.err.splitlines()) == 3
    assert all(line.endswith(": no reference is known") for line in done.err.splitlines())
    assert cli("cite", "precomputed").out == ""


def test_unknown_names(cli):
    done = cli("cite", "clap-pt", "musicn-msd")
    assert done.code == 2
    assert "unknown name 'musicn-msd'; did you mean musicnn-msd" in done.err
    assert done.out == ""
    assert "unknown name 'contination'; did you mean continuation" in cli("cite", "contination").err
    assert "unknown dataset 'nope'" in cli("cite", "larp@nope").err
    assert "unknown encoder 'nope'" in cli("cite", "bert+nope").err


def test_a_plug_in_brings_its_own(cli, monkeypatch):
    entry = "@misc{theirs2026,\n  title = {Theirs},\n}"
    for citation in (("wu2023clap", entry), (), ("nothing2020",)):
        card = EncoderCard(**CARD, citation=citation)
        ENCODERS.register("theirs", EncoderSpec(card, factory=lambda context, argument: None))
        done = cli("cite", "theirs", "theirs")
        if citation == ("nothing2020",):
            assert done.code == 2
            assert "there is no reference 'nothing2020'" in done.err
            continue
        assert keys_of(done.out) == keys_of("\n".join(bibtex(citation)))
    with pytest.raises(DataError):
        bibtex(["nothing2020"])


def test_a_checkpoint_has_the_references_of_its_method_and_views(tmp_path):
    assert encoder_citations(get_encoder("larp-tpc")) == ("salganik2024larp", "mcfee2015librosa", "li2006projections")


def test_describe_prints_keys(cli):
    assert re.search(r"^citation +wu2023clap, wolf2020transformers$", cli("describe", "encoder", "clap-pt").out, re.M)
    assert re.search(r"^citation +chen2018recsys$", cli("describe", "dataset", "mpd").out, re.M)
    assert re.search(r"^citation +wei2021clcrec$", cli("describe", "recommender", "clcrec").out, re.M)
    assert re.search(r"^citation +salganik2024larp$", cli("describe", "task", "continuation").out, re.M)
