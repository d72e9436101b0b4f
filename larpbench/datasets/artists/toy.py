"""A small invented artist graph: communities that edges, features and song titles all know of, each with noise.

It is drawn in integers, on the grid of `larpbench.datasets.demo.fixed_point`, so that it is the same on every CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.artists.files import GraphOptions, GraphTables, assemble_graph
from larpbench.datasets.catalogue import DatasetCard, DatasetSource, datasets_folder
from larpbench.datasets.demo.fixed_point import (
    ONE,
    as_float32,
    exp,
    matrix_product,
    normal,
    pick,
    root,
    spread,
    times,
    unit,
)
from larpbench.datasets.files import MANIFEST, read_dataset
from larpbench.datasets.schema import SPLITS, Dataset
from larpbench.storage import locked, sweep

GENERATOR_VERSION = 2
NOTE = (
    "Made on an invented graph with planted communities: it shows that the pipeline works, and says nothing of any "
    "encoder on real music."
)
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_SHARES = {"train": 0.5, "valid": 0.2, "test": 0.3}
_MOODS = 40
_WORDS_EACH = 8


@dataclass(frozen=True)
class ToySpec:
    """Which graph.

    Attributes:
        artists: How many.
        communities: How many groups of artists who are similar to each other.
        degree: Mean number of edges of an artist.
        mixing: Share of edges between artists of any two communities.
        latent: Dimension of the space in which communities and artists lie.
        spread: How far artists lie from the middle of their community; the middles are about 1.4 apart.
        feature_noise: How far an artist's features lie from what they describe.
        feature_dim: Length of the descriptors of sound.
        songs: Songs an artist.
        seed: Drives everything.
    """

    artists: int = 300
    communities: int = 15
    degree: float = 12.0
    mixing: float = 0.2
    latent: int = 8
    spread: float = 0.35
    feature_noise: float = 1.5
    feature_dim: int = 64
    songs: int = 3
    seed: int = 0


def draw_toy(spec: ToySpec) -> GraphTables:
    """Draw a graph: artists near the middle of their community, edges mostly to near artists of the same one."""
    generator = np.random.default_rng([spec.seed, GENERATOR_VERSION])
    n = spec.artists
    community = generator.permutation(np.arange(n) % spec.communities)
    middles = unit(normal(generator, spec.communities, spec.latent))
    own = normal(generator, n, spec.latent) * ONE // root(spec.latent * ONE)
    latent = middles[community] + times(_fixed(spec.spread), own)
    ids = np.array([f"artist-{number:05d}" for number in range(n)])
    split = _splits(n, generator)
    pairs = _edges(spec, community, latent, generator)
    vocabulary = _vocabulary(spec, generator)
    rows = []
    for number in range(n):
        for song in range(spec.songs):
            words = _any_of(vocabulary[community[number]], 3, generator)
            rows.append((ids[number], f"{ids[number]}-song-{song}", " ".join(words), _name(number)))
    songs = pl.DataFrame(rows, schema=["artist_id", "track_id", "title", "artist"], orient="row")
    return GraphTables(
        pl.DataFrame({"artist_id": ids, "name": [_name(number) for number in range(n)], "split": split}),
        songs.select("artist_id", "track_id"),
        pl.DataFrame({"artist_a": ids[pairs[:, 0]], "artist_b": ids[pairs[:, 1]]}),
        songs.select("track_id", "title", "artist", album=pl.lit("")),
        {
            "acousticbrainz": _descriptors(spec, latent, generator),
            "clap": _embeddings(spec, latent, generator),
            "moods-themes": _moods(spec, latent, generator),
        },
    )


def build_toy(output: Path, spec: ToySpec | None = None) -> Dataset:
    """Make the toy graph, unless it is there already.

    Args:
        output: Folder to write.
        spec: Which graph; the default one is the data set called ``toy-artists``.

    Raises:
        StorageError: If the folder cannot be written.
    """
    chosen = spec or ToySpec()
    sweep(output.parent)
    with locked(output):
        if spec is None and (output / MANIFEST).is_file():
            return read_dataset(output)
        options = GraphOptions(
            name="toy-artists" if chosen == ToySpec() else f"toy-artists-{chosen.seed}",
            source=f"larpbench toy graph generator, version {GENERATOR_VERSION}, seed {chosen.seed}, "
            f"{chosen.artists} artists in {chosen.communities} communities",
            licence="CC0-1.0",
            caption_template="title",
            notes=(NOTE,),
        )
        return assemble_graph(draw_toy(chosen), options, output)


def _load_toy() -> Dataset:
    return build_toy(datasets_folder() / f"toy-artists-v{GENERATOR_VERSION}")


TOY_ARTISTS = DatasetSource(
    "toy-artists",
    "300 invented artists in planted communities, made on first use",
    _load_toy,
    card=DatasetCard(
        content="300 invented artists in planted communities, their songs, edges and ready-made features; no evidence "
        "about any encoder on real music",
        where="made by larpbench on first use, the same on every CPU",
        licence="CC0-1.0",
        size="less than 1 MB, made in seconds",
        page="docs/artist-similarity.md",
    ),
)


def _fixed(number: float) -> int:
    return round(number * ONE)


def _splits(n: int, generator: np.random.Generator) -> np.ndarray:
    sizes = [round(share * n) for share in _SHARES.values()]
    sizes[0] += n - sum(sizes)
    return generator.permutation(np.repeat(np.array(SPLITS), sizes))


def _edges(spec: ToySpec, community: np.ndarray, latent: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw edges of artists with a popularity of their own; within a community near artists are preferred."""
    wanted = round(spec.artists * spec.degree / 2)
    popularity = exp(normal(generator, spec.artists))
    mixing, width = _fixed(spec.mixing), max(1, _fixed(spec.spread) ** 2 // ONE)
    members = [np.flatnonzero(community == each) for each in range(spec.communities)]
    found: set[tuple[int, int]] = set()
    for _ in range(20 * wanted):  # of which most are new; a bound where the graph is too small for its edges
        if len(found) == wanted:
            break
        one = int(pick(generator, popularity[None, :])[0])
        others = np.arange(spec.artists) if generator.integers(ONE) < mixing else members[community[one]]
        others = others[others != one]
        squares = ((latent[others] - latent[one]) ** 2).sum(axis=1)
        weights = times(popularity[others], exp(-squares // width)) + 1
        other = int(others[pick(generator, weights[None, :])[0]])
        found.add((min(one, other), max(one, other)))
    return np.array(sorted(found))


def _descriptors(spec: ToySpec, latent: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return what low-level descriptors of sound are like: many columns, each in a unit of its own."""
    noisy = _mixed(latent, spec.feature_dim, _fixed(spec.feature_noise), generator)
    descriptors: np.ndarray = np.ldexp(  # powers of two between about 0.001 and 10,000
        as_float32(noisy + normal(generator, spec.feature_dim)), generator.integers(-10, 14, size=spec.feature_dim)
    )
    return descriptors


def _embeddings(spec: ToySpec, latent: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return what a pretrained encoder's vectors are like: of length 1, with less noise than descriptors."""
    return as_float32(unit(_mixed(latent, spec.feature_dim, _fixed(spec.feature_noise) * 7 // 10, generator)))


def _moods(spec: ToySpec, latent: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return what tags are like: a few ones in a row of zeros."""
    scores = _mixed(latent, _MOODS, _fixed(spec.feature_noise) * 6 // 10, generator)
    threshold = np.sort(scores, axis=1)[:, -6]
    return (scores >= threshold[:, None]).astype(np.float32)


def _mixed(latent: np.ndarray, dim: int, noise: int, generator: np.random.Generator) -> np.ndarray:
    """Return the latent numbers mixed to `dim` others, with noise in proportion to their spread."""
    mixed = matrix_product(latent, normal(generator, latent.shape[1], dim))
    result: np.ndarray = mixed + times(times(noise, spread(mixed)), normal(generator, *mixed.shape))
    return result


def _vocabulary(spec: ToySpec, generator: np.random.Generator) -> list[list[str]]:
    """Return words for each community: some of its own, some of everybody."""
    common = [_word(generator) for _ in range(3 * _WORDS_EACH)]
    own = [[_word(generator) for _ in range(_WORDS_EACH)] for _ in range(spec.communities)]
    return [[*words, *_any_of(common, 2 * _WORDS_EACH, generator)] for words in own]


def _word(generator: np.random.Generator) -> str:
    return "".join(_any_of(letters, 1, generator)[0] for letters in 3 * (_CONSONANTS, _VOWELS))


def _any_of(items: Sequence[str], n: int, generator: np.random.Generator) -> list[str]:
    return [items[index] for index in generator.integers(len(items), size=n).tolist()]


def _name(number: int) -> str:
    return f"Artist {number}"
