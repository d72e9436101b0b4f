"""clap-ft, co-playlist and cnn on the command line: trained, kept, planned, tested, cut off; and what cannot be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.resuming import Interrupter, checkpoints, heard_data, require_same, states
from support.small_baselines import NAMES, TEXT, shrink_baselines
from support.small_clap import write_clap
from support.small_data import build_split_tables, split_tables
from support.small_larp import AUDIO

from larpbench.benchmark.plan import default_store
from larpbench.datasets.assemble import BuildOptions
from larpbench.datasets.sources.csv import build_csv
from larpbench.encoders.baselines import specs
from larpbench.encoders.baselines.trainers import ClapTrainer, CnnTrainer
from larpbench.encoders.names import get_encoder
from larpbench.encoders.run import pipeline
from larpbench.results.record import CellRecord
from larpbench.training import resumable

TRAINED = re.compile(
    r"\S+: \d+ updates, best after epoch \d+(?: \(the start\))? of \d+, validation recall@10 [01]\.\d{4}, "
    r"start [01]\.\d{4}, chance [01]\.\d{4}\n  (\S+)"
)


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    shrink_baselines(monkeypatch)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)  # no processes beside this one


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """16 tracks of a second a split."""
    return heard_data(tmp_path_factory.mktemp("data"))


def vectors(name, data, seed=0):
    spec = get_encoder(name)
    return default_store().embed(spec if spec.source else spec.learning_from(data), data, "test", seed).vectors


def trained_folder(cli, *options):
    trained = cli("train", *options)
    assert trained.code == 0, trained.err
    return Path(TRAINED.search(trained.out)[1])


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_it_is_planned_trained_recorded_and_kept(self, cli, heard, tmp_path, name):
        options = (
            "--dataset",
            heard.folder,
            "--encoders",
            f"{name}:tiny,random",
            "--seeds",
            "1",
            "--output",
            tmp_path / "r",
        )
        cells = json.loads(cli("plan", *options, "--json").out)["cells"]
        assert [cell["to_train"] for cell in cells if cell["encoder"] != "random"] == [[f"{name}@heard"]]
        run = cli("run", *options)
        assert run.code == 0, run.err
        assert f"train {name} (seed 0)" in run.err
        assert "to train first" not in cli("plan", *options).out
        (path,) = (tmp_path / "r").glob(f"continuation/heard/{name}*/*/*.json")
        record = json.loads(path.read_text())
        CellRecord.model_validate(record)
        training, facts = record["training"], record["training"]["facts"]
        assert (training["method"], training["trained_on"]) == (f"{name} 1", "heard")
        assert training["settings"]["training"]["batch"] == 8
        assert training["settings"] == dict(get_encoder(f"{name}:tiny").training.settings)
        assert facts["selected_by"] == "recall@10 of the valid playlists"
        assert (facts["epochs"], facts["updates"], facts["parameters"] > 500) == (2, 4, True)
        assert facts["best"] == max(entry["recall@10"] for entry in facts["history"])
        assert record["encoder"]["card"]["weights"] == "trained: tiny size"
        assert record["encoder"]["card"]["modalities"] == (["audio", "text"] if name == "clap-ft" else ["audio"])
        assert get_encoder(f"{name}:tiny").identity == get_encoder(name).identity == name

    def test_weights_after_ctrl_c_are_those_of_an_uninterrupted_run(self, cli, heard, tmp_path, monkeypatch, name):
        monkeypatch.setattr(resumable, "SECONDS_BETWEEN_SAVES", 0.0)
        command = ("train", name, "--dataset", heard.folder)
        monkeypatch.setenv("LARPBENCH_HOME", str(tmp_path / "whole"))
        trained_folder(cli, *command[1:])
        home = tmp_path / "cut"
        monkeypatch.setenv("LARPBENCH_HOME", str(home))
        presses = Interrupter(monkeypatch, ClapTrainer if name == "clap-ft" else CnnTrainer, 1, 3, 6)
        left = 0
        for _ in range(3):
            stopped = cli(*command)
            assert stopped.code == 130
            assert "run the same command again to continue" in stopped.err
            left += len(states(home))
        assert left == 3
        assert cli(*command).code == 0
        assert presses.count == 4 + 3, "no update was done twice but those that were cut off"
        assert set(checkpoints(home)) == {name}
        require_same(home, tmp_path / "whole")

    def test_a_transfer_and_a_folder_give_the_same_vectors(self, cli, heard, tmp_path, name):
        folder = trained_folder(cli, name, "--dataset", heard.folder, "--seed", "2", "--updates", "3")
        card = json.loads((folder / "card.json").read_text())
        assert (card["seed"], card["updates"], card["settings"]["training"]["patience"]) == (2, 4, 0)
        default = trained_folder(cli, name, "--dataset", heard.folder)
        names = f"{name}:tiny@{heard.folder},checkpoint:{folder}"
        run = cli("run", "--dataset", heard.folder, "--encoders", names, "--seeds", "1", "--output", tmp_path / "r")
        assert run.code == 0, run.err
        assert f"train {name}" not in run.err
        here = vectors(f"{name}:tiny", heard)
        assert np.abs(vectors(f"checkpoint:{folder}", heard) - here).max() > 1e-4
        np.testing.assert_array_equal(vectors(f"checkpoint:{default}", heard), here)

    def test_a_data_set_without_audio(self, cli, tmp_path, home, name):
        silent = build_split_tables(tmp_path / "silent")
        for command in (["train", name], ["run", "--encoders", name], ["plan", "--encoders", name]):
            refused = cli(*command, "--dataset", silent.folder)
            assert refused.code == 3
            assert "needs audio, and the data set 'silent' has none" in refused.err
            assert "Traceback" not in refused.err
        assert list(home.iterdir()) == []

    @pytest.mark.parametrize("split", ["train", "valid"])
    def test_a_data_set_without_playlists(self, cli, heard, tmp_path, home, name, split):
        tables = split_tables(tmp_path / "tables", tracks=16, without=(split,))
        build_csv(
            tables.tracks, tables.playlists, BuildOptions("bare", "a test", "none"), tmp_path / "bare",
            audio=heard.folder.parent / "sound", policy=heard.manifest.audio_policy,
        )  # fmt: skip
        refused = cli("train", name, "--dataset", tmp_path / "bare")
        assert refused.code == 2
        assert f"learns from playlists, and the {split} split of 'bare' has none" in refused.err
        assert list(home.iterdir()) == []

    def test_what_makes_no_sense(self, cli, heard, name):
        for wrong in (f"{name}:huge", f"{name}:paper:both", f"{name}:tiny:tiny"):
            refused = cli("plan", "--dataset", heard.folder, "--encoders", wrong)
            assert refused.code == 2
            assert f"allowed: {name}:[tiny|paper]" in refused.err
        for options, said in ((["--size", "heads"], "--size"), (["--updates", "0"], "--updates")):
            refused = cli("train", name, "--dataset", heard.folder, *options)
            assert refused.code == 2
            assert said in refused.err

    def test_a_loss_that_is_no_number(self, cli, heard, home, monkeypatch, name):
        kind = ClapTrainer if name == "clap-ft" else CnnTrainer
        losses = kind.losses

        def broken(trainer, anchors, draw):
            terms = losses(trainer, anchors, draw)
            return {
                term: value * (float("nan") if trainer.progress.update == 3 else 1) for term, value in terms.items()
            }

        monkeypatch.setattr(kind, "losses", broken)
        stopped = cli("train", name, "--dataset", heard.folder)
        assert stopped.code == 1
        assert f"error: the loss of {name} is nan at update 3" in stopped.err
        kept = re.search(r"\(encoder (checkpoint:.+)\)", stopped.err)[1]
        run = cli("run", "--dataset", heard.folder, "--encoders", kept, "--output", home / "r")
        assert run.code == 0, run.err


def test_the_two_sides_of_clap_ft(cli, heard, tmp_path):
    names = "clap-ft:tiny,clap-ft:tiny:audio,clap-ft:tiny:text"
    run = cli("run", "--dataset", heard.folder, "--encoders", names, "--seeds", "1", "--output", tmp_path / "r")
    assert run.code == 0, run.err
    assert run.err.count("train clap-ft (seed 0): 4 of 4") == 1
    whole, audio, text = (vectors(name, heard) for name in names.split(","))
    np.testing.assert_allclose(whole, (audio + text) / 2, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(audio, axis=1), 1, atol=1e-5)
    refused = cli("plan", "--dataset", heard.folder, "--encoders", "cnn:audio")
    assert refused.code == 2


def test_clap_ft_of_the_papers_size_needs_its_checkpoint_and_starts_from_it(cli, heard, tmp_path, monkeypatch):
    missing = cli("train", "clap-ft", "--dataset", heard.folder, "--size", "paper")
    assert missing.code == 3
    assert "the initial weights 'laion/clap-htsat-unfused' are not here" in missing.err
    assert "next: hf download laion/clap-htsat-unfused" in missing.err
    assert cli("plan", "--dataset", heard.folder, "--encoders", "clap-ft:paper").code == 3
    write_clap(tmp_path / "clap")
    text = TEXT.model_copy(update={"vocabulary": 50, "padding": 1})
    kind = specs.KINDS["clap-ft"]

    def recipe(size):
        made = kind.recipe(size)
        return made.model_copy(update={"model": made.model.model_copy(update={"text": text, "audio": AUDIO})})

    monkeypatch.setitem(specs.KINDS, "clap-ft", specs.replace(kind, recipe=recipe))
    folder = trained_folder(cli, "clap-ft", "--dataset", heard.folder, "--weights", tmp_path / "clap")
    card = json.loads((folder / "card.json").read_text())
    assert card["initial_weights"]["weights"] == str(tmp_path / "clap")
    assert card["initial_weights"]["matched"] > 40
    assert (folder / "tokenizer.json").is_file()
    assert specs.baseline_spec("clap-ft", "paper").card.weights == "trained: paper size, from laion/clap-htsat-unfused"
    assert np.isfinite(vectors(f"checkpoint:{folder}", heard)).all()
