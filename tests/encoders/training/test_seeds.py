"""Several seeds of a small encoder: trained side by side, to the same bits as one after another."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from support.small_larp import small_recipe

from larpbench.encoders.larp import specs
from larpbench.encoders.run import pipeline, seeds
from larpbench.encoders.run.keys import Keys
from larpbench.encoders.run.seeds import train_seeds
from larpbench.tasks.validation import validation_recall


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)


@pytest.fixture
def side_by_side(monkeypatch):
    return lambda cores=2: monkeypatch.setattr(seeds, "cores", lambda: cores)


@pytest.fixture
def spec(data, tmp_path):
    vectors = f"precomputed:{tmp_path / 'one-tables' / 'vectors.npz'}"
    return specs.larp_spec(("wtc", "ttc"), towers=(vectors, "tfidf")).learning_from(data)


def weights(home: Path) -> dict[str, dict[str, bytes]]:
    found = sorted(home.glob("checkpoints/*/*/model.safetensors"))
    return {f"{path.parent.parent.name}/{path.parent.name}": _bytes(path) for path in found}


def _bytes(path: Path) -> dict[str, bytes]:
    return {name: tensor.tobytes() for name, tensor in load_file(path).items()}


def test_a_seed_that_fails_is_named_and_weights_are_those_of_one_seed_after_another(
    cli, data, spec, tmp_path, monkeypatch, side_by_side
):
    vectors = f"precomputed:{tmp_path / 'one-tables' / 'vectors.npz'},tfidf"
    train = ("train", "larp", "--dataset", data.folder, "--towers", vectors, "--stages", "wtc,ttc")
    homes = [tmp_path / "beside", tmp_path / "alone"]
    monkeypatch.setenv("LARPBENCH_HOME", str(homes[0]))
    key = Keys().checkpoint(spec.training.start, 1)
    blocked = homes[0] / "checkpoints" / "larp-wtc" / f".{key}.work"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder should be")
    side_by_side()
    failed = cli(*train, "--seeds", "3")
    assert failed.code == 1
    assert "seeds 0, 1, 2, 2 at once" in failed.err
    assert "error: seed 1: " in failed.err
    assert "Traceback" not in failed.err
    assert [f"larp-ttc (seed {seed})" in failed.out for seed in range(3)] == [True, False, True]
    blocked.unlink()
    beside = cli(*train, "--seeds", "3")  # one is missing
    assert beside.code == 0, beside.err
    assert "at once" not in beside.err
    monkeypatch.setenv("LARPBENCH_HOME", str(homes[1]))
    monkeypatch.setattr(seeds, "cores", lambda: 1)
    alone = cli(*train, "--seeds", "2")
    last = cli(*train, "--seed", "2")
    assert (alone.code, last.code) == (0, 0), alone.err + last.err
    assert "at once" not in alone.err
    expected = weights(homes[1])
    assert {name.partition("/")[0] for name in expected} == {"larp-untrained", "larp-wtc", "larp-ttc"}
    assert weights(homes[0]) == expected
    places = [out.replace(str(home), "") for out, home in zip((beside.out, alone.out), homes, strict=True)]
    assert places[0].startswith(places[1])
    assert [line.partition(":")[0] for line in beside.out.splitlines() if not line.startswith(" ")] == [
        f"larp-{stage} (seed {seed})" for seed in range(3) for stage in ("wtc", "ttc")
    ]
    assert not [path for path in homes[0].rglob(".*") if path.is_file()]
    assert cli(*train, "--seeds", "2").out == alone.out  # nothing is trained twice


@pytest.mark.parametrize("cores", [1, 2])
def test_what_is_not_small_or_alone_is_left_to_its_own_time(store, spec, data, side_by_side, monkeypatch, cores):
    side_by_side(cores)
    called = []
    monkeypatch.setattr(seeds, "_side_by_side", lambda *arguments: called.append(arguments[2]) or {})
    assert train_seeds(store, spec, [4], validation_recall) == {}
    assert train_seeds(store, specs.larp_spec(("wtc",), "tiny").learning_from(data), [0, 1], validation_recall) == {}
    assert called == []
    assert train_seeds(store, spec, [4, 5, 4], validation_recall) == {}
    assert called == ([[4, 5]] if cores > 1 else [])


def test_a_process_that_dies_leaves_the_seeds_to_this_one(store, spec, side_by_side, monkeypatch, capsys):
    side_by_side()
    monkeypatch.setattr(seeds, "_train", Killer())
    assert train_seeds(store, spec, [0, 1], validation_recall) == {}
    assert "a process that trained larp-ttc" in (said := capsys.readouterr().err)
    assert re.search(r"died: (SIGKILL \(probably out of memory\)|an unknown reason); one seed at a time now", said)
    # the reason is known only if the pool learnt how the first of them ended before the others were gone, too


class Killer:
    """Kills the process that receives it, before anything is imported there."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


def test_the_card_compares_with_chance_frozen_and_start(store, spec):
    from larpbench.encoders.run.training import ensure_trained

    card = json.loads((ensure_trained(store, spec, 0, validation_recall) / "card.json").read_text())
    assert list(card["valid"]) == ["chance", "frozen", "start", "best"]
    assert card["valid"]["best"] >= card["valid"]["start"]
    assert card["ended"] in ("epochs", "patience")
