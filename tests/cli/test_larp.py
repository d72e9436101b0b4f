"""LARP on the command line: trained, kept, planned, tested; and what cannot be trained says why.

What holds of every size is shown with plain heads and with ``tiny``; the heads that keep their views have a file of
their own.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from support.small_data import build_heard, build_split_tables, split_tables, write_library
from support.small_larp import DIM, small_recipe

from larpbench import load_dataset, storage
from larpbench.benchmark.plan import default_store
from larpbench.encoders.adapters.tfidf import TfidfEncoder
from larpbench.encoders.encoder import TrackBatch
from larpbench.encoders.larp import specs
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run import pipeline
from larpbench.results.record import CellRecord

PLAIN = ("--size", "heads-plain")
STAGE_LINES = re.compile(
    r"(?P<name>\S+): (?P<updates>\d+) updates, best after epoch (?P<best>\d+)(?: \(the start\))? of "
    r"(?P<epochs>\d+)(?P<collapsed>, collapsed)?, validation recall@10 (?P<recall>[01]\.\d{4}), "
    r"start (?P<start>[01]\.\d{4}), frozen (?P<frozen>[01]\.\d{4}), chance (?P<chance>[01]\.\d{4})\n  (?P<folder>\S+)\n"
)


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)  # no processes beside this one


@pytest.fixture
def data(tmp_path):
    """A data set without audio; vectors of its tracks are in ``one-tables``."""
    return build_split_tables(tmp_path / "one")


@pytest.fixture
def towers(tmp_path):
    return f"precomputed:{tmp_path / 'one-tables' / 'vectors.npz'},tfidf"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_library(tmp_path_factory.mktemp("library"))


@pytest.fixture
def heard(tmp_path, library):
    return build_heard(tmp_path / "heard", library)


def stages(out):
    """What ``train larp`` says of each stage."""
    return [match.groupdict() for match in STAGE_LINES.finditer(out)]


def train_wtc(cli, data, towers, *options):
    """Train the first stage and return its folder."""
    trained = cli("train", "larp", "--dataset", data.folder, *PLAIN, "--towers", towers, "--stages", "wtc", *options)
    assert trained.code == 0, trained.err
    return stages(trained.out)[0]["folder"]


def records(output):
    found = {}
    for path in sorted(Path(output).glob("*/*/*/*/*.json")):
        record = json.loads(path.read_text())
        found[record["cell"]["encoder"], record["cell"]["seed"]] = record
    return found


def vectors(name, data, seed=0):
    spec = get_encoder(name)
    spec = spec.learning_from(data) if spec.training and not spec.source else spec
    return default_store().embed(spec, data, "test", seed).vectors


class TestTrain:
    def test_every_stage_is_printed_with_its_folder_and_trained_once(self, cli, data, towers):
        command = ("train", "larp", "--dataset", data.folder, *PLAIN, "--towers", towers)
        trained = cli(*command)
        assert trained.code == 0, trained.err
        found = stages(trained.out)
        assert [each["name"] for each in found] == ["larp-wtc", "larp-ttc", "larp-tpc-fusion"]
        pairs = data.split("train").entries["track_id"].n_unique() // 4  # 8 tracks an update, or 4 pairs
        for each, updates_an_epoch in zip(found, (24 // 8, pairs, pairs), strict=True):
            folder = Path(each["folder"])
            assert {path.name for path in folder.iterdir()} == {
                *("card.json", "log.jsonl", "model.safetensors", "settings.json"),
            }
            log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
            assert [entry["epoch"] for entry in log] == list(range(int(each["epochs"]) + 1)) == [0, 1, 2]
            assert int(each["updates"]) == log[-1]["update"] == 2 * updates_an_epoch
            assert max(entry["recall@10"] for entry in log) == log[int(each["best"])]["recall@10"]
            assert float(each["recall"]) == pytest.approx(log[int(each["best"])]["recall@10"], abs=5e-5)
            assert float(each["start"]) == pytest.approx(log[0]["recall@10"], abs=5e-5)
            assert json.loads((folder / "card.json").read_text())["valid"].keys() == {
                "chance",
                "frozen",
                "start",
                "best",
            }
            assert f"train larp {log[0]['stage']} (seed 0)" in trained.err
        assert f"next: larpbench run --dataset {data.folder} --encoders checkpoint:{folder}" in trained.err
        again = cli(*command)
        assert (again.code, again.out) == (0, trained.out)
        assert "train larp" not in again.err
        other = cli(*command, "--stages", "wtc,ttc", "--fusion", "mean", "--neighbours", "3")
        assert stages(other.out) == found[:2], "the first two stages know nothing of fusion and neighbours"

    def test_a_checkpoint_is_an_encoder_with_two_sides(self, cli, data, towers, tmp_path):
        folder = train_wtc(cli, data, towers)
        names = [f"checkpoint:{folder}", f"checkpoint:{folder}:audio", f"checkpoint:{folder}:text"]
        run = cli("run", "--dataset", data.folder, "--encoders", ",".join(names), "--output", tmp_path / "r")
        assert run.code == 0, run.err
        assert "train larp" not in run.err
        found = records(tmp_path / "r")
        shown = [f"checkpoint:{Path(folder).name}{view}" for view in ("", ":audio", ":text")]
        assert set(found) == {(name, 0) for name in shown}
        for name, modalities in zip(shown, (["audio", "text"], ["audio"], ["text"]), strict=True):
            encoder = found[name, 0]["encoder"]
            assert (encoder["card"]["modalities"], encoder["card"]["training_data"]) == (modalities, "one")
            assert encoder["weights_digest"]
        whole, audio, text = (vectors(name, data) for name in names)
        np.testing.assert_allclose(whole, (audio + text) / 2, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(audio, axis=1), 1, atol=1e-5)
        assert np.abs(audio - text).max() > 0.01

    def test_a_checkpoint_keeps_what_its_towers_have_learnt(self, cli, data, towers, tmp_path):
        other = build_split_tables(tmp_path / "two", seeds=dict.fromkeys(("train", "valid", "test"), 1))
        folder = stages(cli("train", "larp", "--dataset", data.folder, *PLAIN, "--towers", "random,tfidf").out)[-1][
            "folder"
        ]
        run = cli(
            "run", "--dataset", other.folder, "--encoders", f"checkpoint:{folder}:text", "--output", tmp_path / "r"
        )
        assert run.code == 0, run.err
        (tower,) = get_encoder(f"checkpoint:{folder}:text").inputs
        fitted = TfidfEncoder()
        fitted.fit(data.split("train"))
        tested = other.split("test")
        batch = TrackBatch(tested.track_ids, tested.tracks["caption"].to_numpy())
        np.testing.assert_allclose(default_store().embed(tower, other, "test", 0).vectors, fitted.encode(batch))
        shutil.rmtree(data.folder)
        gone = cli("run", "--dataset", other.folder, "--encoders", f"checkpoint:{folder}", "--output", tmp_path / "r")
        assert gone.code == 2
        assert "the data set 'one' that this checkpoint was trained on is gone or was changed" in gone.err
        build_split_tables(tmp_path / "one", seeds={"train": 1})
        changed = cli("plan", "--dataset", other.folder, "--encoders", f"checkpoint:{folder}")
        assert changed.code == 2
        assert "the data set 'one' that this checkpoint was trained on is gone or was changed" in changed.err

    def test_stages_at_equal_updates(self, cli, data, towers):
        whole_epochs = ("--updates", "15")  # of 3 updates with tracks, of 5 with pairs
        command = ("train", "larp", "--dataset", data.folder, *PLAIN, "--towers", towers, *whole_epochs)
        twice, both = (cli(*command, "--stages", chain) for chain in ("wtc,wtc", "wtc,ttc"))
        assert (twice.code, both.code) == (0, 0), twice.err + both.err
        assert [each["name"] for each in stages(twice.out)] == ["larp-wtc", "larp-chain-wtc-wtc"]
        assert [each["updates"] for each in stages(twice.out) + stages(both.out)] == ["15"] * 4
        assert stages(twice.out)[0] == stages(both.out)[0]

    def test_a_seed_makes_a_difference(self, cli, data, towers):
        zero, one = (train_wtc(cli, data, towers, "--seed", seed) for seed in ("0", "1"))
        assert zero != one
        assert np.abs(vectors(f"checkpoint:{zero}", data) - vectors(f"checkpoint:{one}", data)).max() > 0.01


class TestRun:
    def test_what_is_missing_is_planned_trained_recorded_and_kept(self, cli, heard, home, tmp_path, request):
        options = ("--dataset", heard.folder, "--encoders", "larp-ttc:tiny", "--output", tmp_path / "r")
        before = cli("plan", *options, "--seeds", "2")
        assert before.code == 0, before.err
        assert before.out.count("to train first: 3") == 2
        assert "2 of 2 cells to run" in before.out
        cells = json.loads(cli("plan", *options, "--seeds", "2", "--json").out)["cells"]
        assert [cell["to_train"] for cell in cells] == [
            ["larp-untrained:tiny@heard", "larp-wtc:tiny@heard", "larp-ttc:tiny@heard"]
        ] * 2
        assert list(home.iterdir()) == []
        run = cli("run", *options, "--seeds", "2")
        assert run.code == 0, run.err
        assert run.err.count("train larp wtc (seed 1)") == run.err.count("train larp ttc (seed 1)") == 1
        after = cli("plan", *options, "--seeds", "2")
        assert "to train first" not in after.out
        assert "0 of 2 cells to run" in after.out
        view = cli("plan", "--dataset", heard.folder, "--encoders", "larp-ttc:tiny:audio,larp-wtc:tiny", "--seeds", "1")
        assert "to train first" not in view.out
        assert "2 of 2 cells to run" in view.out

        found = records(tmp_path / "r")
        assert sorted(found) == [("larp-ttc:tiny@heard", 0), ("larp-ttc:tiny@heard", 1)]
        for record in found.values():
            training = record["training"]
            assert (training["method"], training["trained_on"]) == ("larp 3", "heard")
            assert training["trained_on_fingerprint"] == record["dataset"]["fingerprint"] == heard.manifest.fingerprint
            assert (home / "checkpoints" / "larp-ttc" / training["checkpoint"] / "model.safetensors").is_file()
            settings, facts = training["settings"], training["facts"]
            assert (settings["training"]["stage"], settings["training"]["batch"], settings["dim"]) == ("ttc", 4, DIM)
            assert settings["audio"]["mel"]["n_mels"] == 16
            pairs = 2 * (heard.split("train").entries["track_id"].n_unique() // 4)
            assert (facts["updates"], facts["updates_in_all"], facts["epochs"]) == (pairs, 2 + pairs, 2)
            assert facts["selected_by"] == "recall@10 of the valid playlists"
            assert [(entry["stage"], entry["epoch"]) for entry in facts["history"]] == [("ttc", n) for n in (0, 1, 2)]
            assert facts["best"] == max(entry["recall@10"] for entry in facts["history"])
            assert facts["parameters"] > 1_000
            assert record["encoder"]["card"]["weights"] == "trained: tiny size"
            CellRecord.model_validate(record)
            published = json.loads((request.config.rootpath / "docs" / "results-schema.json").read_text())
            part = published["$defs"]["TrainingPart"]
            assert set(training) == set(part["properties"]) == set(part["required"])
        first, second = (record["training"] for record in found.values())
        assert first["checkpoint"] != second["checkpoint"]
        assert np.abs(vectors("larp-ttc:tiny", heard, 0) - vectors("larp-ttc:tiny", heard, 1)).max() > 1e-3
        assert f"updates over all stages: {2 + pairs}; the epoch was selected by recall@10 of the valid" in run.out

    def test_the_same_seed_gives_the_same_vectors_in_another_home(self, cli, heard, tmp_path, monkeypatch):
        found = []
        for home in ("a", "b"):
            monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / home))
            encode = cli("encode", "--encoder", "larp-ttc:tiny", "--dataset", heard.folder, "--seed", "3")
            assert encode.code == 0, encode.err
            found.append(vectors("larp-ttc:tiny", heard, 3))
        np.testing.assert_array_equal(*found)
        assert np.ptp(found[0], axis=0).max() > 1e-3

    def test_a_transfer_needs_no_more_of_the_tested_data_than_the_view_reads(self, cli, heard, data, tmp_path):
        name = f"larp-wtc:tiny:text@{heard.folder}"
        run = cli("run", "--dataset", data.folder, "--encoders", name, "--seeds", "1", "--output", tmp_path / "r")
        assert run.code == 0, run.err
        ((encoder, _),) = records(tmp_path / "r")
        assert encoder == "larp-wtc:tiny:text@heard"
        whole = name.replace(":text", "")
        refused = cli("run", "--dataset", data.folder, "--encoders", whole, "--output", tmp_path / "r")
        assert refused.code == 3
        assert f"cannot run: {whole}:" in refused.err
        assert "needs audio, and the data set 'one' has none" in refused.err

    def test_a_checkpoint_is_not_tested_on_the_tracks_that_it_was_trained_on(self, cli, data, towers, tmp_path):
        folder = train_wtc(cli, data, towers)
        tables = tmp_path / "one-tables"
        tracks = pl.read_csv(tables / "tracks.csv").filter(pl.col("split") == "train").drop("split")
        entries = pl.read_csv(tables / "playlists.csv").filter(pl.col("split") == "train").drop("split", "role")
        tracks.write_csv(tmp_path / "seen.csv")
        entries.write_csv(tmp_path / "seen-playlists.csv")
        build = ("dataset", "build", "csv", "--tracks", tmp_path / "seen.csv", "--train-fraction", "0")
        built = cli(*build, "--playlists", tmp_path / "seen-playlists.csv", "--output", tmp_path / "seen")
        assert built.code == 0, built.err
        run = cli(
            "run", "--dataset", tmp_path / "seen", "--encoders", f"checkpoint:{folder}", "--output", tmp_path / "r"
        )
        assert "were in the training on 'one'" in run.err  # protocol rule 13

    def test_encode_trains_first_and_prints_where_the_vectors_are(self, cli, heard):
        for encoder in ("larp-untrained:tiny:text", "handcrafted"):
            encode = cli("encode", "--encoder", encoder, "--dataset", heard.folder)
            assert encode.code == 0, encode.err
            folder = Path(encode.out.strip().rpartition(": ")[2])
            assert (folder / "shard-000000.safetensors").is_file(), encode.out

    def test_the_same_encoder_under_two_names_runs_once(self, cli, heard):
        names = f"larp-untrained:tiny,larp-untrained:tiny@{heard.folder}"
        plan = cli("plan", "--dataset", heard.folder, "--encoders", names, "--seeds", "1")
        assert "1 of 1 cells to run" in plan.out

    def test_all_includes_the_encoders_that_are_trained(self, cli, heard):
        plan = json.loads(cli("plan", "--dataset", heard.folder, "--encoders", "all", "--seeds", "1", "--json").out)
        planned = {cell["encoder"]: cell["to_train"] for cell in plan["cells"]}
        chain = [f"larp-{stage}@heard" for stage in ("untrained", "wtc", "ttc", "tpc")]
        assert {name: planned[name] for name in chain} == {name: chain[: n + 1] for n, name in enumerate(chain)}
        assert planned["larp-tpc-fusion@heard"] == [*chain[:3], "larp-tpc-fusion@heard"]
        assert "checkpoint" not in {name.partition(":")[0] for name in planned}


class TestWhatCannotBeTrained:
    @pytest.mark.parametrize("name", ["larp-wtc", "larp", "larp-ttc:audio", "larp-ttc:tiny", "larp-untrained"])
    def test_a_data_set_without_audio(self, cli, data, tmp_path, name):
        for verb in ("run", "plan"):
            refused = cli(verb, "--dataset", data.folder, "--encoders", f"tfidf,{name}", "--output", tmp_path / "r")
            assert refused.code == 3
            assert f"cannot run: {name}: encoder" in refused.err
            assert "needs audio, and the data set 'one' has none" in refused.err
            mend = (
                "build the data set with audio (larpbench dataset build folder" if ":" in name else "name other views"
            )
            assert f"next: {mend}" in refused.err
            assert "Traceback" not in refused.err
            assert not (tmp_path / "r").exists()
        everything = cli("plan", "--dataset", data.folder, "--encoders", f"all,{name}")
        assert everything.code == 3

    def test_training_on_a_data_set_without_audio(self, cli, data, home):
        for options in ([], ["--size", "tiny"]):
            refused = cli("train", "larp", "--dataset", data.folder, *options)
            assert refused.code == 3
            assert "needs audio, and the data set 'one' has none" in refused.err
            assert list(home.iterdir()) == []

    @pytest.mark.parametrize("split", ["train", "valid"])
    def test_a_data_set_without_playlists_to_learn_from(self, cli, tmp_path, split, home, towers):
        data = build_split_tables(tmp_path / "one", without=(split,))
        refused = cli("train", "larp", "--dataset", data.folder, *PLAIN, "--towers", towers)
        assert refused.code == 2
        assert f"learns from playlists, and the {split} split of 'one' has none" in refused.err
        assert list(home.iterdir()) == []

    @pytest.mark.parametrize("words", ["", "same"])
    def test_captions_that_say_nothing(self, cli, tmp_path, library, words):
        heard = build_heard(tmp_path / "heard", library, words=words)
        refused = cli("train", "larp", "--dataset", heard.folder, "--size", "tiny")
        assert refused.code == 2
        assert "all 12 tracks have the caption" in refused.err
        assert "next: build the data set with titles, artists or albums" in refused.err
        run = cli(
            "run", "--dataset", heard.folder, "--encoders", "larp-wtc:tiny,random", "--seeds", "1",
            "--output", tmp_path / "r",
        )  # fmt: skip
        assert run.code == 1
        assert "1 cells computed, 0 kept, 1 failed" in run.err
        assert "Traceback" not in run.err

    def test_playlists_of_one_track(self, cli, tmp_path, towers):
        build_split_tables(tmp_path / "one")
        tables = tmp_path / "one-tables"
        entries = pl.read_csv(tables / "playlists.csv")
        alone = entries.filter((pl.col("split") != "train") | pl.col("playlist_id").is_first_distinct())
        alone.write_csv(tmp_path / "alone.csv")
        build = ("dataset", "build", "csv", "--tracks", tables / "tracks.csv")
        built = cli(*build, "--playlists", tmp_path / "alone.csv", "--output", tmp_path / "alone")
        assert built.code == 0, built.err
        command = ("train", "larp", "--dataset", tmp_path / "alone", *PLAIN, "--towers", towers)
        assert cli(*command, "--stages", "wtc").code == 0
        for stage in ("ttc", "tpc"):
            refused = cli(*command, "--stages", f"wtc,{stage}")
            assert refused.code == 2
            assert "no two train tracks share a playlist" in refused.err
            assert "allowed: train playlists of at least two tracks" in refused.err

    def test_validation_playlists_of_one_track(self, cli, tmp_path, towers):
        data = build_split_tables(tmp_path / "one", lengths=(1, 1))
        refused = cli("train", "larp", "--dataset", data.folder, *PLAIN, "--towers", towers)
        assert refused.code == 1
        assert "no playlist of the valid split has both a seed and a held-out track" in refused.err

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--stages", "bogus"], "unknown stages: 'bogus'"),
            (["--stages", "wtc,bogus"], "allowed: wtc, ttc, tpc"),
            (["--stages", ""], "'' names nothing"),
            (["--towers", "tfidf", *PLAIN], "1 towers under plain heads: tfidf"),
            (["--towers", "a,b,c"], "allowed: one view, or an audio and a text view"),
            (["--towers", "tfidf,random", "--size", "tiny"], "--towers changes nothing of --size tiny"),
            (["--towers", "nobody,tfidf"], "unknown encoder 'nobody'"),
            (["--towers", "tfidf@demo,tfidf"], "nothing follows an @"),
            (["--size", "huge"], "--size"),
            (["--fusion", "sum"], "--fusion"),
            (["--neighbours", "0"], "--neighbours"),
            (["--updates", "0"], "--updates"),
            (["--seed", "-1"], "--seed"),
            (["--audio-weights", "random"], "no tower to give initial weights to"),
            (["--dataset", "nowhere"], "unknown dataset 'nowhere'"),
        ],
    )
    def test_options_that_make_no_sense(self, cli, data, home, options, said):
        refused = cli("train", "larp", "--dataset", data.folder, *options)
        assert refused.code == 2
        assert said in refused.err
        assert "Traceback" not in refused.err
        assert list(home.iterdir()) == []

    def test_vectors_that_are_missing(self, cli, data, tmp_path):
        ids = np.append(data.split("train").track_ids, data.split("test").track_ids)
        np.savez(tmp_path / "few.npz", ids=ids, embeddings=np.ones((len(ids), 3), dtype=np.float32))
        refused = cli(
            "train", "larp", "--dataset", data.folder, *PLAIN, "--towers", f"precomputed:{tmp_path / 'few.npz'},tfidf"
        )
        assert refused.code == 2
        assert "24 of 24 tracks have no vector: 'valid-0-000'" in refused.err
        assert "encode" not in refused.err  # said before anything is computed

    @pytest.mark.parametrize("size", [2_000, 100_000])  # not even vectors; not the weights
    def test_a_full_disk(self, cli, data, towers, home, size):
        command = ("train", "larp", "--dataset", data.folder, *PLAIN, "--towers", towers, "--stages", "wtc")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            stopped = cli(*command)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert stopped.code == 1
        assert "error: cannot write: File too large" in stopped.err
        assert "Traceback" not in stopped.err
        assert not list(home.rglob("model.safetensors"))
        assert not list(home.rglob(".larpbench-tmp-*"))
        again = cli(*command)
        assert again.code == 0, again.err
        assert list(home.rglob("model.safetensors"))

    def test_a_damaged_checkpoint(self, cli, data, towers, tmp_path):
        folder = train_wtc(cli, data, towers)
        weights, settings, card = (Path(folder) / name for name in ("model.safetensors", "settings.json", "card.json"))
        run = ("run", "--dataset", data.folder, "--encoders", f"checkpoint:{folder}", "--output", tmp_path / "r")
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-10])
        cut = cli(*run)
        assert cut.code == 1
        assert "a file of weights is missing or damaged" in cut.err
        weights.write_bytes(whole)
        text = settings.read_text()
        settings.write_text(text.replace(f'"dim": {DIM}', '"dim": 16'))
        other = cli(*run)
        assert other.code == 1
        assert "these weights are not those of the model that the settings describe" in other.err
        settings.write_text("{}")
        assert "the settings of a model are damaged" in cli(*run).err
        settings.write_text(text)
        card.write_text("[]")
        damaged = cli(*run)
        assert damaged.code == 2
        assert "the card of a checkpoint is damaged: it is no JSON object" in damaged.err
        assert "Traceback" not in cut.err + other.err + damaged.err

    def test_a_damaged_card_of_a_kept_training_fails_its_cells_and_no_others(self, cli, heard, tmp_path):
        run = ("run", "--dataset", heard.folder, "--encoders", "larp-wtc,random", "--seeds", "1")
        assert cli(*run, "--output", tmp_path / "first").code == 0
        (card,) = (path for path in storage.home().glob("checkpoints/larp-wtc/*/card.json"))
        card.write_text("[]")
        damaged = cli(*run, "--output", tmp_path / "r")
        assert damaged.code == 1
        assert "the card of a checkpoint is damaged" in damaged.err
        assert "1 cells computed, 0 kept, 1 failed" in damaged.err
        shutil.rmtree(card.parent)  # as the message says
        mended = cli(*run, "--output", tmp_path / "r")
        assert mended.code == 0, mended.err
        assert "train larp wtc" in mended.err


def test_the_data_set_is_known_by_its_name_too(cli, home, towers, tmp_path):
    data = build_split_tables(home / "datasets" / "there")
    split_tables(tmp_path / "one-tables")
    trained = cli("train", "larp", "--dataset", "there", *PLAIN, "--towers", towers, "--stages", "wtc")
    assert trained.code == 0, trained.err
    card = json.loads((Path(stages(trained.out)[0]["folder"]) / "card.json").read_text())
    assert load_dataset(card["trained_on_folder"]).manifest.fingerprint == data.manifest.fingerprint
