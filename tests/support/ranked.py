"""Trainings by several processes, each launched by accelerate: this file is also the script that launches them.

It is a process of its own, in which nothing has computed a gradient or a table: only then can it be forked. In FOLDER
is a data set, ``one``; what each rank found comes to lie there in ``NAME-COUNT-RANK.npz``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState, debug_launcher
from support.small_larp import AUDIO
from support.toy_training import Toy, toy, train

from larpbench import storage
from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.schema import Interactions
from larpbench.encoders.checkpoint_folder import read_card
from larpbench.encoders.larp.model import Larp
from larpbench.encoders.larp.settings import HeadSettings, ModelSettings, TrainingSettings
from larpbench.encoders.larp.stage import StageTrainer
from larpbench.encoders.run.store import EmbeddingStore
from larpbench.encoders.towers.inputs import MelInputs, TrackInputs, VectorInputs, embed
from larpbench.encoders.towers.sampling import PlaylistGraph
from larpbench.encoders.towers.settings import BertSettings
from larpbench.encoders.towers.training import load_model, save_model
from larpbench.training import resumable
from larpbench.training.launch import joined
from larpbench.training.ranks import LostProcessError, current

TRACKS, DIM, BATCH = 30, 12, 7
"""A batch of 7 is shared unevenly by 2 and by 3; a pair batch has 14 rows."""
CASES = {
    "towers": {"stage": "tpc"},
    "chunks": {"stage": "ttc", "chunk": 2},
    "first": {"stage": "wtc"},
    "heads": {"stage": "tpc", "learning_rate": 1e-2},
}
"""Towers, then heads in their place; all with a queue, and with dropout and drop path but for ``chunks``."""
UPDATES, STOP = 3, 5


class Tokens:
    """Four numbered words a track."""

    def __len__(self) -> int:
        return TRACKS

    def take(self, rows, training):
        words = torch.from_numpy((rows[:, None] * np.array([1, 3, 5, 7])) % 29 + 1)
        return words, (torch.arange(4) < 2 + words[:, :1] % 3).long()


def made(case: str, seed: int = 0) -> StageTrainer:
    """Return the trainer of a case."""
    draw = np.random.default_rng(5)
    dropout = 0.0 if case == "chunks" else 0.3
    if case in ("first", "heads"):
        shapes = {side: HeadSettings(encoder=side, inputs=6, hidden=16, dropout=dropout) for side in ("audio", "text")}
        tracks = TrackInputs(*(VectorInputs(draw.normal(size=(TRACKS, 6)).astype(np.float32)) for _ in range(2)))
    else:
        shapes = {
            "audio": AUDIO.model_copy(update={"drop_path": dropout}),
            "text": BertSettings(
                vocabulary=40, hidden=16, layers=2, heads=2, intermediate=32, positions=32, dropout=dropout,
                initial_std=0.25,
            ),
        }  # fmt: skip
        frames = 1 + round(AUDIO.mel.window_s * AUDIO.mel.sample_rate) // AUDIO.mel.hop
        windows = draw.normal(-30, 9, size=(TRACKS, 2 * min(frames, 40) * AUDIO.mel.n_mels)).astype(np.float32)
        mel = AUDIO.mel.model_copy(update={"window_s": 39 * AUDIO.mel.hop / AUDIO.mel.sample_rate})
        tracks = TrackInputs(MelInputs(windows, mel), Tokens())
    held = [np.unique(draw.integers(0, TRACKS, 6)) for _ in range(20)]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in held])]).astype(np.int64)
    names = np.array([f"p{number:02d}" for number in range(len(held))])
    graph = PlaylistGraph(Interactions(names, offsets, np.concatenate(held)), TRACKS)
    torch.manual_seed(seed)
    model = Larp(ModelSettings(**shapes, dim=DIM, fusion="attention", learn_temperature=case == "heads"))
    settings = TrainingSettings(batch=BATCH, epochs=2, patience=0, neighbours=3, **CASES[case])
    return StageTrainer(model, settings, tracks, graph, seed)


def update(case: str) -> dict[str, np.ndarray]:
    """Return losses and gradients of the first update, and what some updates come to."""
    first, found = made(case), {}
    step = first.optimiser.step
    first.optimiser.step = lambda: found.update(
        {f"gradient.{name}": each.grad.numpy().copy() for name, each in first.model.named_parameters()
         if each.grad is not None}
    )  # fmt: skip
    first.prepare()
    anchors = first._anchors
    for number in range(UPDATES):
        terms = first._update(np.roll(anchors, number)[:BATCH])
        found |= {f"loss.{number}.{name}": np.array(value) for name, value in terms.items()}
        first.optimiser.step = step
        first.progress.update += 1
    return found | {name: each.numpy() for name, each in first.tensors().items()}


def fitted(case: str, workdir: Path, stop: int | None = None) -> dict[str, np.ndarray]:
    """Train to the end, and go on where a state is; `stop` is the update in which all are interrupted."""
    resumable.SECONDS_BETWEEN_SAVES = 0.0
    trainer = made(case)
    losses = trainer.losses

    def cut(anchors, draw):
        if trainer.progress.update == stop:
            raise KeyboardInterrupt
        return losses(anchors, draw)

    trainer.losses = cut
    if not trainer.ranks.leads:
        for name in ("write_text", "atomic_file", "make_folder"):
            setattr(storage, name, refused)
    trained = resumable.fit(
        trainer,
        workdir,
        "a test",
        embed=lambda model: embed(model, trainer.tracks, "cpu"),
        score=lambda vectors: -float(np.abs(vectors[:5] @ vectors[5:10].T).mean()),
        save=lambda folder, model: save_model(folder, model, model.settings),
        load=lambda folder: load_model(folder, Larp, ModelSettings),
    )
    weights = {name: each.numpy() for name, each in trainer.tensors().items()}
    weights |= {f"best.{name}": each.numpy() for name, each in trained.model.state_dict().items()}
    scores = [[entry["recall@10"], *entry["loss"].values()] for entry in trained.history if entry["epoch"]]
    return {**weights, "history": np.array(scores), "best_epoch": np.array(trained.facts["best_epoch"])}


def refused(*arguments: object, **options: object) -> None:
    raise AssertionError("a process that does not lead has written")


def broken_off(case: str, workdir: Path) -> dict[str, np.ndarray]:
    """Let the second process die in the fourth update; return how long the first takes to say so."""
    resumable.SECONDS_BETWEEN_SAVES = 0.0
    losses, moment = StageTrainer.losses, time.monotonic()

    def dying(trainer, anchors, draw):
        nonlocal moment
        moment = time.monotonic()
        if trainer.progress.update == 3 and trainer.ranks.index == 1:
            os._exit(9)
        return losses(trainer, anchors, draw)

    StageTrainer.losses = dying
    try:
        fitted(case, workdir)
    except LostProcessError as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # by which the launcher would end this one while it saves
        return {"seconds": np.array(time.monotonic() - moment), "said": np.array(str(error))}
    raise AssertionError("nothing was noticed")


class Late(Toy):
    """Its second process reads the working folder long after the first, and comes late to the end."""

    def fit(self, train, valid, context):
        ranks, best = current(), context.workdir / "best"
        if ranks.leads:
            best.write_text("weights")
        ranks.agreed(None)
        time.sleep(0.4 * ranks.index)
        return super().fit(train, valid, context) | {"read": best.read_text()}


def trained_late(folder: Path) -> dict[str, np.ndarray]:
    """Train on the data set in a folder with a process that is late; return what each sees at the end."""
    spec = toy(factory=Late, several_processes=True).learning_from(load_dataset(str(folder / "one")))
    late = folder / "late"
    folder = train(EmbeddingStore(folder / "home"), spec)
    time.sleep(0.4 * current().index)
    if not current().leads:
        late.touch()
    current().agreed(None)
    return {"read": np.array(read_card(folder)["read"]), "waited": np.array(late.exists())}


def on_each(folder: Path, name: str, count: int, job: Callable[[], dict[str, np.ndarray]]) -> None:
    """Run a job on so many ranks, and write what each finds."""

    def run() -> None:
        torch.set_num_threads(1)
        with joined() as ranks:
            assert ranks.count == count
            assert count == 1 or PartialState().num_processes == count
            found = job()
            with (folder / f"{name}-{count}-{ranks.index}.npz").open("wb") as stream:
                np.savez(stream, **found)
            if name == "death":
                os._exit(0)  # nobody is left to part from

    with contextlib.suppress(Exception) if name in ("death", "cut") else contextlib.nullcontext():
        debug_launcher(run, num_processes=count)


def main(folder: Path) -> None:
    """Launch everything, some of it by one, two and three processes."""
    made("towers")  # imports what all need
    for count in (1, 2):
        on_each(folder, "updates", count, lambda: {
            f"{case}/{name}": value for case in CASES for name, value in update(case).items()
        })  # fmt: skip
    on_each(folder, "late", 2, partial(trained_late, folder))
    for name in ("whole", "cut", "death"):
        (folder / name).mkdir()
    on_each(folder, "whole", 2, partial(fitted, "heads", folder / "whole"))
    on_each(folder, "cut", 2, partial(fitted, "heads", folder / "cut", STOP))
    for count in (2, 3):
        place = shutil.copytree(folder / "cut", folder / f"resumed-{count}")
        on_each(folder, "resumed", count, partial(fitted, "heads", place))
    on_each(folder, "death", 2, partial(broken_off, "heads", folder / "death"))
    on_each(folder, "revived", 1, partial(fitted, "heads", folder / "death"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
