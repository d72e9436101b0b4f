"""Training that goes wrong: never half a checkpoint, and a message that helps."""

from __future__ import annotations

import errno
import resource
from contextlib import contextmanager

import pytest
from support.small_data import build_split_tables
from support.toy_training import (
    ENCODED,
    FITS,
    Toy,
    left_behind,
    toy,
    train,
)

from larpbench.benchmark.plan import plan
from larpbench.benchmark.run import run
from larpbench.encoders.checkpoint_folder import CARD, read_card
from larpbench.encoders.run.training import untrained
from larpbench.errors import DataError, EmbeddingError, StorageError
from larpbench.tasks.validation import validation_recall


class TestWhatGoesWrong:
    def test_the_work_folder_survives_a_failure_and_goes_after_a_success(self, data, store):
        seen: list[str] = []

        class Interrupted(Toy):
            def fit(self, train, valid, context):
                half = context.workdir / "half-done"
                seen.append(half.read_text() if half.is_file() else "")
                half.write_text("up to here")
                if len(seen) < 3:
                    raise (RuntimeError("too hot"), KeyboardInterrupt)[len(seen) - 1]
                return super().fit(train, valid, context)

        spec = toy(factory=Interrupted).learning_from(data)
        for kind in (RuntimeError, KeyboardInterrupt):
            with pytest.raises(kind):
                train(store, spec)
            assert left_behind(store) == ["half-done"]
            assert untrained(store, spec, 0) == [spec]
        folder = train(store, spec)
        assert seen == ["", "up to here", "up to here"]
        assert left_behind(store) == [CARD, "weights.json"]
        assert [path for path in store.checkpoints.rglob("*") if path.is_dir()] == [folder.parent, folder]

    @pytest.mark.parametrize("split", ["train", "valid"])
    def test_a_data_set_without_playlists_to_learn_from_is_refused_before_any_work(self, tmp_path, store, split):
        data = build_split_tables(tmp_path / "one", without=(split,))
        with pytest.raises(
            DataError, match=f"learns from playlists, and the {split} split of 'one' has none"
        ) as caught:
            train(store, toy().learning_from(data))
        assert "--train-fraction" in str(caught.value)
        assert FITS == []
        assert ENCODED == []
        assert not store.root.exists()
        assert not store.checkpoints.exists()

    @pytest.mark.parametrize("lacking", ["fit", "save", "load"])
    def test_an_encoder_that_cannot_be_trained_is_named(self, data, store, lacking):
        class Lacking(Toy):
            pass

        setattr(Lacking, lacking, None)
        spec = toy(factory=Lacking).learning_from(data)
        with pytest.raises(EmbeddingError, match="'toy@one' says that it is trained, but it cannot be"):
            train(store, spec)
        assert left_behind(store) == []

    @pytest.mark.parametrize("size", [0, 60])
    def test_a_full_disk_leaves_no_half_checkpoint(self, data, store, size):
        class Heavy(Toy):
            def save(self, folder):
                with no_file_over(size):
                    (folder / "numbers.bin").write_bytes(b"x" * 60)
                    super().save(folder)  # 10 bytes
                    (folder / "more.bin").write_bytes(b"x" * 61)

        spec = toy(factory=Heavy).learning_from(data)
        with pytest.raises(StorageError, match="cannot write: File too large") as caught:
            train(store, spec)
        assert caught.value.next_step
        assert left_behind(store) == []
        assert untrained(store, spec, 0) == [spec]
        train(store, toy().learning_from(data))
        assert left_behind(store) == [CARD, "weights.json"]

    def test_a_kill_between_saving_and_tidying_up_leaves_nothing_for_ever(self, data, store, monkeypatch):
        spec = toy().learning_from(data)
        with monkeypatch.context() as killed:
            killed.setattr("shutil.rmtree", lambda *arguments, **options: None)
            folder = train(store, spec)
        (work,) = (path for path in folder.parent.iterdir() if path.is_dir() and path != folder)
        assert train(store, spec) == folder
        assert len(FITS) == 1
        assert not work.exists()

    def test_what_a_killed_process_was_saving_is_swept(self, data, store):
        spec = toy().learning_from(data)
        half = store.checkpoint(spec, 0).parent / ".larpbench-tmp-killed"
        half.mkdir(parents=True)
        (half / "weights.json").write_text("[")
        train(store, spec)
        assert not half.exists()

    @pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
    def test_a_damaged_card_is_named_with_what_to_do(self, data, store, text):
        folder = train(store, toy().learning_from(data))
        (folder / CARD).write_text(text)
        with pytest.raises(DataError, match="the card of a checkpoint is damaged") as caught:
            read_card(folder)
        assert str(folder / CARD) in str(caught.value)
        assert "delete that folder: what larpbench run trained is then trained anew" in caught.value.next_step

    @pytest.mark.parametrize("raised", [FileNotFoundError(errno.ENOENT, "no such wordlist"), RuntimeError("too hot")])
    def test_an_error_of_the_encoder_is_not_taken_for_one_of_the_store(self, data, store, raised):
        class Failing(Toy):
            def fit(self, train, valid, context):
                raise raised

        with pytest.raises(type(raised), match=str(raised.args[-1])):
            train(store, toy(factory=Failing).learning_from(data))

    def test_a_failed_training_fails_its_cells_and_no_others(self, data, store, tmp_path, monkeypatch):
        from larpbench.encoders.names import ENCODERS

        class Failing(Toy):
            def fit(self, train, valid, context):
                raise OSError(errno.EIO, "the fan broke")

        monkeypatch.setitem(ENCODERS._builtins, "toy", "nowhere:TOY")
        monkeypatch.setitem(ENCODERS._loaded, "toy", toy(factory=Failing))
        planned = plan(data, encoders=["toy", "tfidf"], seeds=2, output=tmp_path / "r", store=store)
        summary = run(planned)
        assert [planned.cell.encoder for planned, _ in summary.failed] == ["toy@one", "toy@one"]
        assert ["the fan broke" in message for _, message in summary.failed] == [True, True]
        assert [planned.cell.encoder for planned in summary.computed] == ["tfidf"]


@contextmanager
def no_file_over(size: int):
    """Let no file of this process grow over `size` bytes: the way in which a full disk shows, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_validation_takes_no_playlists_that_ask_nothing(tmp_path):
    data = build_split_tables(tmp_path / "one", lengths=(1, 1))
    with pytest.raises(DataError, match="no playlist of the valid split has both a seed and a held-out track"):
        validation_recall(data.split("valid"))
