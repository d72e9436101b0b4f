"""Heads by name and on the command line: over any views, of one side, in a folder, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.factor_world import write_world
from support.small_data import build_split_tables

import larpbench
from larpbench.benchmark.plan import default_store
from larpbench.encoders.checkpoint_folder import read_card
from larpbench.encoders.larp import recipes, specs
from larpbench.encoders.names import get_encoder, parse_name
from larpbench.encoders.run import pipeline
from larpbench.errors import UnknownNameError, UsageError

FOLDER = re.compile(r"^(\S+): .*\n  (\S+)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    def few_epochs(*given):  # of heads, at a rate for few updates
        made = recipes.recipe(*given)
        if given[0] != "heads":
            return made
        training = made.training and made.training.model_copy(update={"epochs": 4, "learning_rate": 2e-2})
        return made.model_copy(update={"training": training})

    monkeypatch.setattr(specs, "recipe", few_epochs)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two files of vectors, behind which playlists follow a taste."""
    return write_world(tmp_path_factory.mktemp("world") / "one", tracks=240)


def folders(out):
    """Name -> folder, of what ``train`` prints."""
    return dict(FOLDER.findall(out))


def vectors(name, data, seed=0):
    spec = get_encoder(name)
    spec = spec.learning_from(data) if spec.training and not spec.source else spec
    return default_store().embed(spec, data, "test", seed).vectors


class TestNames:
    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            ("larp-ttc:tfidf+minilm", ["larp-ttc:tfidf+minilm"]),
            ("larp-tpc:j5:text-like+audio-like@demo-large", ["larp-tpc:j5:text-like+audio-like@demo-large"]),
            ("larp-ttc:heads-plain:text-like+audio-like", ["larp-ttc:heads-plain:text-like+audio-like"]),
            ("larp:tfidf+minilm:audio+random", ["larp:tfidf+minilm:audio", "random"]),
            ("larp-wtc:tfidf@x+minilm", ["larp-wtc:tfidf@x", "minilm"]),
            ("larp-wtc+minilm", ["larp-wtc", "minilm"]),
            ("larp-wtc:tiny+minilm", ["larp-wtc:tiny", "minilm"]),
            ("larp-tpc:j5+minilm", ["larp-tpc:j5", "minilm"]),
            ("larp-tpc:text+minilm", ["larp-tpc:text", "minilm"]),
            ("larp-tpc:precomputed:a+b.npz+tfidf", ["larp-tpc:precomputed:a+b.npz+tfidf"]),
            ("centred:larp-ttc:tfidf+random@x+tfidf", ["centred:larp-ttc:tfidf+random@x", "tfidf"]),
            ("tfidf+larp-ttc:tfidf+random", ["tfidf", "larp-ttc:tfidf+random"]),
        ],
    )
    def test_a_plus_sign_joins_views_up_to_a_side_or_a_data_set(self, name, parts):
        assert [each.written for each in parse_name(name)] == parts

    @pytest.mark.parametrize(
        ("name", "identity"),
        [
            ("larp-ttc:tfidf+random", "larp-ttc:tfidf+random"),
            ("larp:heads:tfidf+random", "larp-tpc-fusion:tfidf+random"),
            ("larp:j5:centred:tfidf+random:text", "larp-tpc-fusion:j5:tfidf+random:text"),
            ("larp-wtc:heads-plain:tfidf+random:text", "larp-wtc:heads-plain:tfidf+random:text"),
            ("larp-wtc:handcrafted+tfidf", "larp-wtc"),
            ("larp-wtc:heads-plain:handcrafted+tfidf", "larp-wtc:heads-plain"),
            ("larp-tpc:j10:tfidf", "larp-tpc:tfidf"),
            ("mine=larp-tpc:tfidf", "mine"),
        ],
    )
    def test_a_name_in_results(self, name, identity):
        assert get_encoder(name).identity == identity

    def test_views_are_centred_inputs_of_every_stage(self):
        spec = get_encoder("larp-tpc:j5:tfidf+random")
        assert [each.identity for each in spec.inputs] == ["centred:tfidf", "centred:random"]
        assert spec.card.modalities == ("text",)
        chain = [spec]
        while chain[-1].training.start:
            chain.append(chain[-1].training.start)
        assert [each.identity for each in chain] == [
            "larp-tpc:j5:tfidf+random",
            "larp-ttc:tfidf+random",
            "larp-wtc:tfidf+random",
            "larp-untrained:tfidf+random",
        ]
        assert {each.training.method for each in chain} == {"larp 2"}
        assert all(each.training.settings["views"] == ["tfidf", "random"] for each in chain)
        assert chain[0].training.settings["training"]["neighbours"] == 5
        assert not get_encoder("larp-untrained:tfidf").card.stochastic  # the frozen views: no seed matters
        assert get_encoder("larp-wtc:tfidf").card.stochastic

    def test_sides_are_the_first_and_the_second_view(self):
        whole = get_encoder("larp-ttc:tfidf+random")
        for place, side in enumerate(("audio", "text")):
            spec = get_encoder(f"larp-ttc:tfidf+random:{side}")
            assert spec.inputs == (whole.inputs[place],)
            assert (spec.training.settings, spec.training.inputs) == (whole.training.settings, whole.training.inputs)
            assert spec.card.pooling.startswith(f"the {side} view")

    def test_plain_heads_are_what_heads_were(self):
        """Their settings and method decide the keys of what earlier versions have trained."""
        spec = get_encoder("larp-ttc:heads-plain")
        assert spec.training.method == "larp 3"
        assert [each.identity for each in spec.inputs] == ["handcrafted", "tfidf"]
        settings = spec.training.settings
        assert (settings["audio"], settings["text"], settings["dim"]) == ("handcrafted", "tfidf", 256)
        assert settings["head"] == {"hidden": 512, "dropout": 0.5}
        assert {name: settings["training"][name] for name in ("queue", "momentum", "batch", "learning_rate")} == {
            "queue": 57_600,
            "momentum": 0.995,
            "batch": 32,
            "learning_rate": 3e-4,
        }
        assert set(settings) == {
            *("audio", "text", "head", "words", "dim", "temperature", "learn_temperature", "fusion", "training")
        }

    @pytest.mark.parametrize(
        ("name", "error", "words"),
        [
            ("larp-ttc:tfidf+", UsageError, "each side"),
            ("larp-ttc:+tfidf", UsageError, "each side|no variant"),
            ("larp-ttc:tfidf+minlm", UnknownNameError, "did you mean minilm"),
            ("larp-ttc:tfdf", UsageError, "no variant 'tfdf'"),
            ("larp-ttc:vectors.npz", UnknownNameError, "unknown encoder"),
            ("larp-ttc:tfidf+tfidf", UsageError, "a view is there twice"),
            ("larp-ttc:tfidf+random+bert", UsageError, "3 views"),
            ("larp-ttc:larp-wtc", UsageError, "trained on playlists"),
            ("larp-ttc:factors:tfidf", UsageError, "trained on playlists"),
            ("larp-ttc:a=tfidf", UsageError, "no v"),
            ("larp-ttc:tfidf:audio", UsageError, "one view has no sides"),
            ("larp-ttc:tfidf:tiny", UsageError, "no variant|unknown|nothing after a colon"),
            ("larp-ttc:tiny:tfidf", UsageError, "no variant"),
            ("larp-ttc:paper:tfidf+random", UsageError, "no variant"),
            ("larp-ttc:heads-plain:tfidf", UsageError, "1 towers under plain heads"),
            ("larp-ttc:j5:tfidf", UsageError, "no variant"),
            ("larp-ttc:tfidf:j5", UsageError, "no variant|nothing after a colon"),
            ("larp-ttc:tfidf@", UsageError, "data set must follow"),
        ],
    )
    def test_what_is_refused(self, name, error, words):
        with pytest.raises(error, match=words):
            get_encoder(name)

    def test_an_object_of_this_process_needs_a_key(self):
        larpbench.register("keyless", lambda captions: np.ones((len(captions), 2)), modality="text")
        with pytest.raises(UsageError, match="object in memory"):
            get_encoder("larp-wtc:keyless")
        larpbench.register("keyed", lambda captions: np.ones((len(captions), 2)), modality="text", cache_key="1")
        assert get_encoder("larp-wtc:keyed").identity == "larp-wtc:keyed"


class TestTrain:
    def test_train_run_and_checkpoint_are_the_same(self, cli, world, tmp_path):
        data, views = world.data.folder, ",".join(world.views)
        done = cli("train", "larp", "--dataset", data, "--towers", views, "--stages", "wtc,ttc")
        assert done.code == 0, done.err
        assert re.search(
            r"larp-ttc: \d+ updates, best after epoch \d+ of 4, weight [\d.]+, validation recall@10 \.?\d", done.out
        )
        trained = folders(done.out)
        assert list(trained) == ["larp-wtc", "larp-ttc"]
        again = cli("train", "larp", "--dataset", data, "--towers", "+".join(world.views), "--stages", "wtc,ttc")
        assert again.out == done.out
        assert "train larp" not in again.err
        name = f"larp-ttc:{'+'.join(world.views)}"
        frozen = "+".join(f"centred:{each}" for each in world.views)
        names = f"{name},kept=checkpoint:{trained['larp-ttc']},{frozen},larp-untrained:{'+'.join(world.views)}"
        ran = cli("run", "--dataset", data, "--encoders", names, "--seeds", "1", "--output", tmp_path / "r")
        assert ran.code == 0, ran.err
        assert "train larp" not in ran.err
        frame = larpbench.load_results(tmp_path / "r").to_polars().filter(pl.col("metric") == "recall@10")
        found = {row["encoder"]: row for row in frame.iter_rows(named=True)}
        shown = "precomputed:view0.npz+precomputed:view1.npz"
        by_name, kept = found[f"larp-ttc:{shown}@world"], found["kept"]
        below = found["centred:precomputed:view0.npz+centred:precomputed:view1.npz"]
        assert by_name["value"] == kept["value"] > 1.1 * below["value"]
        assert found[f"larp-untrained:{shown}@world"]["value"] == below["value"]
        records = [json.loads(path.read_text()) for path in (tmp_path / "r").rglob("*.json")]
        (facts,) = (
            each["training"]["facts"] for each in records if each["cell"]["encoder"] == f"larp-ttc:{shown}@world"
        )
        assert facts["weight"] > 0
        assert [each["weight"] for each in facts["weights"]] == [0, 0.25, 0.5, 1, 2, 4]
        assert facts["valid"].keys() == {"chance", "frozen", "start", "best"}
        assert str(tmp_path) not in json.dumps([each.get("training") for each in records])

    def test_a_folder_keeps_what_its_views_were_centred_on(self, cli, world, tmp_path):
        done = cli(
            "train", "larp", "--dataset", world.data.folder, "--towers", ",".join(world.views), "--stages", "ttc"
        )
        (folder,) = folders(done.out).values()
        other = build_split_tables(tmp_path / "other")
        spec = get_encoder(f"checkpoint:{folder}")
        assert {each.source.name for each in spec.inputs} == {"world"}
        card = read_card(Path(folder))
        width = 256 if card["weight"] else 0
        assert spec.card.dim == 36 + width
        assert other.name != spec.inputs[0].source.name
        whole = vectors(f"checkpoint:{folder}", world.data)
        assert whole.shape[1] == spec.card.dim
        heads = 0.0
        for place, side in enumerate(("audio", "text")):
            one = get_encoder(f"checkpoint:{folder}:{side}")
            assert one.card.dim == 18 + width
            found = vectors(f"checkpoint:{folder}:{side}", world.data)
            np.testing.assert_allclose(found[:, :18] / np.sqrt(2), whole[:, 18 * place : 18 * place + 18], atol=1e-6)
            heads = heads + found[:, 18:] / 2
        np.testing.assert_allclose(whole[:, 36:], heads, atol=1e-6)

    def test_one_view_needs_no_audio_and_has_no_sides(self, cli, tmp_path):
        data = build_split_tables(tmp_path / "silent")
        done = cli("train", "larp", "--dataset", data.folder, "--towers", "tfidf")
        assert done.code == 0, done.err
        trained = folders(done.out)
        assert list(trained) == ["larp-wtc", "larp-ttc", "larp-tpc-fusion"]
        with pytest.raises(UsageError, match="no sides"):
            get_encoder(f"checkpoint:{trained['larp-ttc']}:audio")
        ran = cli(
            "run", "--dataset", data.folder, "--encoders", "larp-wtc:tfidf,larp:tfidf", "--output", tmp_path / "r",
            "--seeds", "1",
        )  # fmt: skip
        assert ran.code == 0, ran.err
        assert "train larp" not in ran.err

    def test_a_seed_makes_other_heads(self, cli, tmp_path):
        data = build_split_tables(tmp_path / "silent")
        command = ("train", "larp", "--dataset", data.folder, "--towers", "tfidf", "--stages", "wtc")
        cards = [(Path(folders(cli(*command, "--seed", seed).out)["larp-wtc"])) for seed in ("0", "1")]
        assert cards[0] != cards[1]
        assert (cards[0] / "model.safetensors").read_bytes() != (cards[1] / "model.safetensors").read_bytes()

    def test_playlists_of_one_track(self, cli, tmp_path):
        build_split_tables(tmp_path / "one")
        tables = tmp_path / "one-tables"
        entries = pl.read_csv(tables / "playlists.csv")
        alone = entries.filter((pl.col("split") != "train") | pl.col("playlist_id").is_first_distinct())
        alone.write_csv(tmp_path / "alone.csv")
        build = ("dataset", "build", "csv", "--tracks", tables / "tracks.csv")
        assert cli(*build, "--playlists", tmp_path / "alone.csv", "--output", tmp_path / "alone").code == 0
        command = ("train", "larp", "--dataset", tmp_path / "alone", "--towers", "tfidf")
        assert cli(*command, "--stages", "wtc").code == 0
        refused = cli(*command, "--stages", "wtc,ttc")
        assert refused.code == 2
        assert "no two train tracks share a playlist" in refused.err

    @pytest.mark.parametrize("split", ["train", "valid"])
    def test_a_data_set_without_playlists_to_learn_from(self, cli, tmp_path, split):
        data = build_split_tables(tmp_path / "one", without=(split,))
        refused = cli("train", "larp", "--dataset", data.folder, "--towers", "tfidf")
        assert refused.code == 2
        assert re.search(f"the {split} split of 'one' has none|the data set 'one' has none", refused.err)
        assert "Traceback" not in refused.err

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--towers", "tfidf,tfidf"], "a view is there twice: tfidf+tfidf"),
            (["--towers", "tfidf,random,bert"], "3 views: tfidf+random+bert"),
            (["--towers", "larp-wtc,tfidf"], "trained on playlists"),
            (["--towers", "nobody"], "unknown encoder 'nobody'"),
            (["--towers", "tfidf", "--audio-weights", "random"], "no tower to give initial weights to"),
            (["--towers", "tfidf", "--size", "heads-plain"], "1 towers under plain heads: tfidf"),
        ],
    )
    def test_options_that_make_no_sense(self, cli, tmp_path, home, options, said):
        data = build_split_tables(tmp_path / "one")
        refused = cli("train", "larp", "--dataset", data.folder, *options)
        assert refused.code == 2
        assert said in refused.err
        assert "Traceback" not in refused.err
        assert list(home.iterdir()) == []

    def test_a_damaged_folder(self, cli, tmp_path):
        data = build_split_tables(tmp_path / "one")
        command = ("train", "larp", "--dataset", data.folder, "--towers", "tfidf", "--stages", "wtc")
        folder = Path(folders(cli(*command).out)["larp-wtc"])
        settings = folder / "settings.json"
        run = ("run", "--dataset", data.folder, "--encoders", f"checkpoint:{folder}", "--output", tmp_path / "r")
        text = settings.read_text()
        settings.write_text(text.replace('"width": 256', '"width": 16'))
        assert "these weights are not those of the model that the settings describe" in cli(*run).err
        settings.write_text("{}")
        assert "the settings of a model are damaged" in cli(*run).err
        settings.write_text(text)
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({k: v for k, v in card.items() if k != "trained_on_folder"}))
        refused = cli(*run)
        assert refused.code == 2
        assert "does not say what its views are centred on" in refused.err
