"""What may follow an encoder's name: a size, a view, the data set that it learns from, a file or a folder."""

from __future__ import annotations

import numpy as np
import pytest
from support.small_data import build_split_tables

from larpbench import load_dataset
from larpbench.encoders.encoder import EncodeContext
from larpbench.encoders.names import get_encoder, list_encoders, parse_name
from larpbench.encoders.run.keys import Keys
from larpbench.errors import DataError, MissingPartError, UnknownNameError, UsageError

CHAIN = ["larp-untrained", "larp-wtc", "larp-ttc", "larp-tpc", "larp-tpc-fusion"]


@pytest.fixture
def home_data(home):
    """The data set ``there``, found by its name."""
    return build_split_tables(home / "datasets" / "there")


def starts_of(spec):
    """The names that a spec goes on from, last to first."""
    before = spec.training.start
    return [before.card.name, *starts_of(before)] if before else []


@pytest.mark.parametrize("name", CHAIN)
def test_every_stage_has_a_name_and_goes_on_from_the_one_before(name):
    spec = get_encoder(name)
    assert (spec.identity, spec.card.name, spec.argument, spec.source) == (name, name, None, None)
    place = CHAIN.index(name.removesuffix("-fusion"))
    assert starts_of(spec) == CHAIN[:place][::-1]
    assert spec.training.settings["fusion"] == ("attention" if name == "larp-tpc-fusion" else "mean")
    assert [each.identity for each in spec.inputs] == ["centred:handcrafted", "centred:tfidf"]
    assert name in list_encoders()


def test_larp_is_short_for_the_whole_model():
    assert get_encoder("larp") == get_encoder("larp-tpc-fusion")
    assert get_encoder("larp:tiny:text").identity == "larp-tpc-fusion:tiny:text"
    assert parse_name("larp:audio@x")[0].base == "larp-tpc-fusion"
    assert "larp" not in list_encoders()


class TestSizesAndViews:
    @pytest.mark.parametrize("size", ["tiny", "paper"])
    def test_a_size(self, size):
        spec = get_encoder(f"larp-ttc:{size}")
        assert spec.identity == f"larp-ttc:{size}"
        assert spec.inputs == ()
        assert spec.reads_audio
        assert spec.card.sample_rate == spec.training.settings["audio"]["mel"]["sample_rate"]
        assert spec.training.reads_captions
        assert starts_of(spec) == ["larp-wtc", "larp-untrained"]
        before = spec.training.start
        assert before.training.settings["audio"] == spec.training.settings["audio"]

    def test_heads_is_the_size_that_is_meant_where_none_is_named(self):
        named, plain = get_encoder("larp-ttc:heads"), get_encoder("larp-ttc")
        assert named.training.settings == plain.training.settings
        assert named.identity == plain.identity == "larp-ttc"

    @pytest.mark.parametrize(("view", "place"), [("audio", 0), ("text", 1)])
    def test_a_view_of_the_heads_builds_upon_that_side_only(self, view, place):
        whole, side = get_encoder("larp-ttc"), get_encoder(f"larp-ttc:{view}")
        assert side.identity == f"larp-ttc:{view}"
        assert side.card.modalities == (view,)
        assert side.inputs == (whole.inputs[place],)
        assert (side.training.settings, side.training.inputs) == (whole.training.settings, whole.training.inputs)
        assert starts_of(side) == starts_of(whole)

    def test_a_view_of_a_size(self):
        audio, text = get_encoder("larp-ttc:tiny:audio"), get_encoder("larp-ttc:tiny:text")
        assert (audio.card.modalities, text.card.modalities) == (("audio",), ("text",))
        assert audio.reads_audio
        assert not text.reads_audio
        assert audio.training.settings == text.training.settings == get_encoder("larp-ttc:tiny").training.settings

    @pytest.mark.parametrize(
        "argument",
        ["", "huge", "AUDIO", "audio:tiny", "tiny:tiny", "audio:text", "audio:audio", "tiny:audio:text", ":audio"],
    )
    @pytest.mark.parametrize("source", ["", "@there"])
    def test_anything_else_is_refused_with_what_there_is(self, home_data, argument, source):
        with pytest.raises(UsageError) as caught:
            get_encoder(f"larp-wtc:{argument}{source}")
        assert caught.value.exit_code == 2
        assert caught.value.allowed == "larp-wtc:[heads|heads-plain|tiny|paper][:VIEW+VIEW][:audio|:text], in this order"
        assert "has no variant" in caught.value.what


class TestWhereItWasTrained:
    def test_a_data_set_after_the_at_sign(self, home_data):
        spec = get_encoder("larp-ttc@there")
        assert spec.identity == "larp-ttc@there"
        assert spec.source.manifest.fingerprint == home_data.manifest.fingerprint
        everything = [*spec.inputs, *spec.training.inputs, spec.training.start, spec.training.start.training.start]
        assert {each.source.name for each in everything} == {"there"}

    @pytest.mark.parametrize(
        ("names", "identity"),
        [
            (["larp-ttc@there:audio", "larp-ttc:audio@there"], "larp-ttc:audio@there"),
            (
                ["larp-ttc:tiny@there:audio", "larp-ttc@there:tiny:audio", "larp-ttc:tiny:audio@there"],
                "larp-ttc:tiny:audio@there",
            ),
            (["larp@there", "larp-tpc-fusion@there"], "larp-tpc-fusion@there"),
        ],
    )
    def test_it_may_stand_before_or_after_size_and_view(self, home_data, names, identity):
        found = [get_encoder(name) for name in names]
        assert [spec.identity for spec in found] == [identity] * len(names)
        assert [spec.card for spec in found] == [found[0].card] * len(names)
        assert [spec.training.settings for spec in found] == [found[0].training.settings] * len(names)
        assert [spec.argument for spec in found] == [found[0].argument] * len(names)

    def test_a_folder(self, tmp_path, home_data):
        other = build_split_tables(tmp_path / "in@odd" / "here", seeds={"train": 1})
        spec = get_encoder(f"larp-ttc@{other.folder}:text")
        assert spec.identity == "larp-ttc:text@here"
        assert spec.source.manifest.fingerprint == other.manifest.fingerprint

    def test_an_identity_is_a_name_of_the_same_encoder(self, home_data):
        for name in ("larp-ttc:tiny@there", "larp@there:text"):
            spec = get_encoder(name)
            again = get_encoder(spec.identity)
            assert (again.identity, again.card, again.training.settings) == (
                spec.identity,
                spec.card,
                spec.training.settings,
            )

    def test_without_one_it_learns_from_what_is_tested(self, home_data):
        assert get_encoder("larp-wtc").source is None
        bound = get_encoder("larp-wtc").learning_from(load_dataset("there"))
        assert bound.identity == "larp-wtc@there"
        with pytest.raises(MissingPartError, match="'centred:handcrafted' needs audio, and the data set 'there' has none"):
            Keys().checkpoint(bound, 0)

    def test_an_unknown_data_set(self, home_data):
        with pytest.raises(UnknownNameError, match="unknown dataset 'ther'; did you mean there") as caught:
            get_encoder("larp-ttc@ther:audio")
        assert "demo" in caught.value.allowed
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize("name", ["larp-ttc@", "larp-ttc:audio@", "larp-ttc@:audio"])
    def test_no_data_set_after_the_at_sign(self, name):
        with pytest.raises(UsageError, match="a data set must follow the @") as caught:
            get_encoder(name)
        assert caught.value.allowed == "larp-ttc@DATASET"

    @pytest.mark.parametrize("name", ["tfidf@there", "random@there", "tfidf@", "tfidf@nowhere"])
    def test_an_encoder_that_is_not_trained_takes_none(self, home_data, name):
        with pytest.raises(UsageError, match="is not trained on playlists: nothing follows an @") as caught:
            get_encoder(name)
        assert caught.value.where == name
        assert caught.value.allowed == name.partition("@")[0]

    def test_an_unknown_encoder_is_named_without_what_follows_it(self, home_data):
        with pytest.raises(UnknownNameError, match="unknown encoder 'larp-tcc'; did you mean larp-wtc or larp-ttc"):
            get_encoder("larp-tcc:audio@there")


class TestFilesAndFolders:
    def test_a_checkpoint_must_be_there(self, tmp_path):
        for folder in (tmp_path / "nothing", tmp_path, f"{tmp_path}:audio"):
            with pytest.raises(MissingPartError, match="there is no checkpoint in this folder") as caught:
                get_encoder(f"checkpoint:{folder}")
            assert caught.value.where == str(folder).removesuffix(":audio")
            assert "larpbench train" in caught.value.allowed
        for name in ("checkpoint", "checkpoint:"):
            with pytest.raises(UsageError, match="needs a FOLDER"):
                get_encoder(name)

    def test_a_folder_without_settings_is_no_checkpoint(self, tmp_path):
        (tmp_path / "card.json").write_text("{}")
        with pytest.raises(DataError, match="the settings of a model are missing"):
            get_encoder(f"checkpoint:{tmp_path}")

    def test_at_signs_and_colons_in_a_file_name_are_just_letters(self, tmp_path, home_data):
        for name in ("with@at/file.npz", "a:b/c@there.npz", "@there", "x@there:audio"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            with path.open("wb") as stream:
                np.savez(stream, ids=np.array(["t0"]), embeddings=np.ones((1, 2), dtype=np.float32))
            spec = get_encoder(f"precomputed:{path}")
            assert (spec.argument, spec.identity) == (str(path), f"precomputed:{path.name}")
            assert spec.weights_digest(EncodeContext(0, tmp_path))

    def test_a_file_is_needed(self):
        for name in ("precomputed", "precomputed:"):
            with pytest.raises(UsageError, match="needs a FILE"):
                get_encoder(name)
        with pytest.raises(UsageError, match="takes nothing after a colon"):
            get_encoder("tfidf:x")


PLUGIN = """
from larpbench.encoders.card import EncoderCard
from larpbench.encoders.spec import EncoderSpec, Training

def spec(name, **more):
    card = EncoderCard(
        name=name, version=1, summary="s", modalities=(), dim=1, weights="none", licence="none", tracks_per_second=1
    )
    return EncoderSpec(card, factory=lambda context, argument: None, **more)

PLAIN = spec("plain")
WORDY = spec("wordy", takes="WORD")
LEARNT = spec("learnt", takes="[WORD]", training=Training("learnt 1", {}))
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Three encoders of a distribution ``names``."""
    folder = tmp_path / "site"
    info = folder / "names-2.0.dist-info"
    info.mkdir(parents=True)
    (folder / "names_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: names\nVersion: 2.0\n")
    entries = "".join(f"{name} = names_plugin:{name.upper()}\n" for name in ("plain", "wordy", "learnt"))
    (info / "entry_points.txt").write_text(f"[larpbench.encoders]\n{entries}")
    monkeypatch.syspath_prepend(folder)


def test_names_of_plugins(plugin, home_data):
    assert get_encoder("plain").plugin == "names 2.0"
    for argument in ("word", "a@b", "there@there:audio", "@there", "http://x@y:80/"):
        spec = get_encoder(f"wordy:{argument}")
        assert (spec.argument, spec.identity, spec.source) == (argument, f"wordy:{argument}", None)
    for name in ("learnt:word@there", "learnt@there:word"):
        spec = get_encoder(name)
        assert (spec.argument, spec.identity, spec.plugin) == ("word", "learnt:word@there", "names 2.0")
    with pytest.raises(UsageError, match="takes nothing after a colon"):
        get_encoder("plain:word")
    with pytest.raises(UsageError, match="nothing follows an @"):
        get_encoder("wordy@there")
