"""Names of files without the folders of a machine."""

import pytest

from larpbench.paths import hide_folders, without_folders


def test_a_file_that_is_there_is_called_by_its_name(tmp_path, monkeypatch):
    folder = tmp_path / "a folder#1" / "date=2024"
    folder.mkdir(parents=True)
    (folder / "v.npz").write_text("")
    monkeypatch.chdir(folder)
    for written in (folder / "v.npz", "v.npz", "./v.npz", "../date=2024/v.npz"):
        for ending in ("", "#column", ":audio", "@3", "#group/column"):
            assert without_folders(f"{written}{ending}") == f"v.npz{ending}"
    assert without_folders(".") == without_folders(str(folder)) == "date=2024"
    assert without_folders("org/model") == "org/model"  # of the hub


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file /data/mine/music/v.npz: gone", "no file v.npz: gone"),
        ("~/music/v.npz", "v.npz"),
        ("C:\\users\\me\\v.npz", "v.npz"),
        ("see https://huggingface.co/a/b, text/html", "see https://huggingface.co/a/b, text/html"),
        ("recall@10 and/or ndcg@10", "recall@10 and/or ndcg@10"),
    ],
)
def test_absolute_paths_in_a_text_are_cut(text, shown):
    assert hide_folders(text) == shown


def test_known_folders_may_hold_spaces(tmp_path):
    folder = tmp_path / "my music (new)"
    assert hide_folders(f"{folder}/a.mp3 is gone", [folder]) == "a.mp3 is gone"
