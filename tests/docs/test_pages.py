"""Every command and Python block of every page works, in the order of the page, on small stand-ins.

The embedded data set gives way to a small library, trained encoders to small parts of a few updates, builds get smaller
sizes. An encoder whose weights or package are not here must say so. What would need the network, a large checkpoint or
minutes is parsed only: the command, its options and their values exist.
"""

from __future__ import annotations

import re
import shutil
from functools import partial

import numpy as np
import polars as pl
import pytest
import torch
from scipy import sparse
from support.doc_commands import DOCS, commands_of, python_of, require_parses
from support.open_collections import write_aotm, write_melon, write_onion, write_talkplay, write_yambda
from support.published_data import lfm_tables, mpd_slices, write_challenge, write_lfm, write_zip
from support.small_baselines import shrink_baselines
from support.small_data import build_heard, split_tables, write_library
from support.small_graphs import random_graph, small_toy
from support.small_larp import small_recipe

from larpbench.datasets.artists.toy import GENERATOR_VERSION
from larpbench.datasets.demo_listeners.world import ListenerWorldSpec
from larpbench.encoders.adapters.hf_audio.reference import write_hubert
from larpbench.encoders.larp import specs
from larpbench.encoders.run import pipeline
from larpbench.recommenders.training import GradientRecommender
from larpbench.storage import home
from larpbench.tasks.artist_similarity.settings import graph_layers_installed

TRACKS = 22  # of each split: more than 20 candidates
FEW = {"essentia": 5}  # where a clip takes a third of a second
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if path.name != "cli.md"]
PARSED = (
    r"(dataset )?fetch ",
    r"reproduce ",  # tests/reproduction writes every table and figure
    r"dataset build demo ",
    r".*demo-large",  # tests/datasets make it
    r"train \S+ .*--size paper",
    r"convert larp |run .*checkpoint:my-larp",  # tests/encoders/larp/test_convert.py has such a checkpoint
    r".*--download",
    r"run --encoders all",
    r".*--engine ray",  # tests/engine start clusters
)
SIZES = {
    "mpd": ("--train-tracks", "150", "--valid-playlists", "10", "--test-playlists", "10", "--min-length", "5"),
    "lfm": (*("--train-tracks", "80", "--valid-playlists", "2", "--test-playlists", "2"),
            *("--min-length", "2", "--max-length", "8")),
}  # fmt: skip
WRITERS = {
    "onion": write_onion, "yambda": write_yambda, "talkplay": write_talkplay, "melon": write_melon, "aotm": write_aotm,
}  # fmt: skip
ON_DEFAULT_DATA = r"(run|train|encode)\b(?!.*--(dataset|task|config))"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return write_library(tmp_path_factory.mktemp("library"), TRACKS)


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch, tmp_path):
    monkeypatch.setattr(specs, "recipe", small_recipe)
    small_world = partial(ListenerWorldSpec, artists=300, listeners=100)
    monkeypatch.setattr("larpbench.datasets.demo_listeners.build.ListenerWorldSpec", small_world)
    shrink_baselines(monkeypatch)
    monkeypatch.setattr(pipeline, "cores", lambda: 1)  # no processes beside this one
    monkeypatch.setattr(GradientRecommender, "epochs", 2)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def add_own_data(folder, text, library, tracks):
    """Tables, vectors, and data sets of them with audio; the one that the page itself builds is left to it."""
    build_heard(folder / "heard", library, tracks)
    for name in ("my-data", "DIR"):
        if f"--output {name}" not in text:
            shutil.copytree(folder / "heard", folder / name)
    tables = folder / "heard-tables"
    if "--output my-data" in text:
        split_tables(tables, tracks=60, playlists=60, lengths=(6, 12))
    for name in ("vectors.npz", "tracks.csv", "playlists.csv"):
        shutil.copy(tables / name, folder / name)
    if "listens.csv" in text:
        listens = pl.read_csv(folder / "playlists.csv").select("playlist_id", "track_id").unique(maintain_order=True)
        listens.with_columns(count=pl.int_range(1, pl.len() + 1)).write_csv(folder / "listens.csv")
    if "--by genre" in text:
        tracks = pl.read_csv(folder / "tracks.csv")
        genres = pl.Series("genre", ["rock", "pop"] * tracks.height).head(tracks.height)
        tracks.with_columns(genres).write_csv(folder / "tracks.csv")


def add_results(cli, folder):
    for name in ("results", "monday"):
        assert cli("run", "--dataset", "my-data", "--encoders", "tfidf", "--output", folder / name).code == 0
    assert cli("run", "--dataset", "my-data", "--encoders", "random", "--output", folder / "tuesday").code == 0


def add_published_data(folder):
    write_zip(folder / "spotify_million_playlist_dataset.zip", mpd_slices())
    write_challenge(folder / "challenge_set.json")
    write_lfm(folder / "LFM-2b", lfm_tables())


def add_artists(folder):
    small_toy(home() / "datasets" / f"toy-artists-v{GENERATOR_VERSION}")
    graph = random_graph(3, artists=60, edges=400)
    names = graph.artists["artist_id"].to_list()
    splits = graph.artists["split"].to_list()
    pairs = graph.pairs
    matrix = sparse.csr_matrix((np.ones(len(pairs), bool), tuple(pairs.T)), shape=(len(names), len(names)))
    features = np.random.default_rng(0).normal(size=(len(names), 5)).astype(np.float32)
    for name in ("olga", "disco-olga_data"):
        (folder / name).mkdir()
    pl.DataFrame(
        {
            "index": range(len(names)),
            "musicbrainz_id": names,
            "partition": [{"valid": "val"}.get(split, split) for split in splits],
            "tracks": [f"['{name}-1', '{name}-2']" for name in names],
        }
    ).write_csv(folder / "olga" / "olga.csv")
    np.save(folder / "olga" / "acousticbrainz.npy", features)
    sparse.save_npz(folder / "artist_connections.npz", matrix)
    sparse.save_npz(folder / "disco-olga_data" / "similar_to.npz", matrix)
    np.save(folder / "disco-olga_data" / "clap.npy", features)
    for name, split in (("train", "train"), ("val", "valid"), ("test", "test")):
        np.save(folder / "disco-olga_data" / f"{name}_mask.npy", np.array(splits) == split)
    pl.DataFrame({"artist_id": names, "artist": names, "split": splits}).write_csv(folder / "artists.csv")
    songs = pl.DataFrame({"track_id": [f"{name}-1" for name in names], "artist_id": names, "artist": names})
    songs.with_columns(title="track_id", album=pl.lit("")).write_csv(folder / "songs.csv")
    ends = {"artist_a": [names[a] for a, _ in pairs], "artist_b": [names[b] for _, b in pairs]}
    pl.DataFrame(ends).write_csv(folder / "similar.csv")


def add_catalogue(folder):
    """Tables of a service with columns of its own, and two versions of its vectors in shards."""
    draw, tracks, style = np.random.default_rng(0), 3000, 100
    ids = [f"track-{number}" for number in range(tracks)]
    names = {
        "track_id": ids,
        "title": ids,
        "artist": [f"Artist {number // 3}" for number in range(tracks)],
        "album": ids,
    }
    own = {"release_year": draw.integers(2018, 2025, tracks), "language": ["en", "de", "fr"] * (tracks // 3)}
    pl.DataFrame(names | own).write_parquet(folder / "tracks.parquet")
    starts = draw.integers(tracks // style, size=200) * style
    chosen = [[ids[start + track] for track in draw.permutation(style)[:40]] for start in starts]
    lists = pl.DataFrame({"playlist_id": [f"p{number}" for number in range(len(chosen))], "tracks": chosen})
    lists.write_parquet(folder / "playlists.parquet")
    for version in ("vectors-v1", "vectors-v2"):
        (folder / version).mkdir()
        table = pl.DataFrame({"track_id": ids, "embedding": draw.normal(size=(tracks, 8))})
        for shard, rows in enumerate((slice(0, 2000), slice(2000, tracks))):
            table[rows].write_parquet(folder / version / f"{shard}.parquet")


@pytest.fixture
def workplace(cli, tmp_path, library, request):
    """Makes a folder with the files that a page speaks of."""

    def made(page):
        text, folder = page.read_text(encoding="utf-8"), tmp_path / "work"
        if page.stem in ("demo", "notebook"):
            request.getfixturevalue("with_demo")
        if page.stem in SIZES:
            add_published_data(folder)
        elif page.stem in WRITERS:
            WRITERS[page.stem](folder / page.stem)
        elif page.stem == "artist-similarity":
            add_artists(folder)
        elif page.stem == "service":
            add_catalogue(folder)
        elif commands_of(text) or python_of(text):
            add_own_data(folder, text, library, FEW.get(page.stem, TRACKS))
        if page.stem in ("report", "results-schema", "reading-tables", "notebook"):
            add_results(cli, folder)
        if page.stem in ("runs", "service"):
            (folder / "bench.toml").write_text(re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0], encoding="utf-8")
        if page.stem == "hf-audio":
            write_hubert(folder / "FOLDER")
        return text

    return made


def quick(arguments):
    """Return a command line with options behind it that make it short."""
    more = []
    line = " ".join(arguments)
    if re.match(ON_DEFAULT_DATA, line):
        more += ["--dataset", "heard"]
    if arguments[0] == "run":
        more += ["--seeds", "1", *(("--epochs", "1") if "artist-similarity" in arguments else ("--budget", "1"))]
    if arguments[:2] == ["dataset", "build"]:
        more += SIZES.get(arguments[2], ())
    if "--test-playlists" in arguments:
        more += ["--test-playlists", "8", "--valid-playlists", "4"]
    return [*arguments, *more]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_commands_and_blocks_of_a_page(cli, workplace, page):
    text = workplace(page)
    for arguments in commands_of(text):
        line = " ".join(arguments)
        require_parses(arguments)
        if re.match("|".join(PARSED), line) or (page.stem == "artist-similarity" and not graph_layers_installed()):
            continue
        outcome = cli(*quick(arguments))
        lacking = outcome.code == 3 and re.search(r"missing-(weights|package)|incompatible", outcome.err)
        assert outcome.code == 0 or (lacking and "next: " in outcome.err), f"{line}: {outcome.err}"
    names = {"audio": torch.randn(1, 64_000)}  # of all blocks, as in a notebook
    for block in python_of(text):
        exec(compile(block, str(page), "exec"), names)


def test_most_commands_are_run():
    """What is parsed only stays the exception."""
    lines = [" ".join(arguments) for page in PAGES for arguments in commands_of(page.read_text(encoding="utf-8"))]
    assert len([line for line in lines if not re.match("|".join(PARSED), line)]) > 0.6 * len(lines) > 20
