"""A small invented artist graph: communities that edges, features and song titles all know of, each with noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from larpbench.datasets.files import MANIFEST, read_dataset
from larpbench.datasets.graph_files import GraphOptions, assemble_graph
from larpbench.datasets.schema import SPLITS, Dataset
from larpbench.storage import locked, sweep

GENERATOR_VERSION = 1
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


@dataclass(frozen=True)
class ToyWorld:
    """What has been drawn.

    Attributes:
        artists: Columns ``artist_id``, ``name``, ``split``.
        songs: Columns ``artist_id``, ``track_id``.
        tracks: Columns ``track_id``, ``title``, ``artist``, ``album``.
        edges: Columns ``artist_a``, ``artist_b``.
        features: ``acousticbrainz``, ``clap`` and ``moods-themes``: stand-ins of their kind, (artists, dim) float32.
    """

    artists: pl.DataFrame
    songs: pl.DataFrame
    tracks: pl.DataFrame
    edges: pl.DataFrame
    features: dict[str, np.ndarray]


def draw_toy(spec: ToySpec) -> ToyWorld:
    """Draw a graph: artists near the middle of their community, edges mostly to near artists of the same one."""
    generator = np.random.default_rng([spec.seed, GENERATOR_VERSION])
    n = spec.artists
    community = generator.permutation(np.arange(n) % spec.communities)
    middles = generator.normal(size=(spec.communities, spec.latent))
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    latent = middles[community] + spec.spread * generator.normal(size=(n, spec.latent)) / np.sqrt(spec.latent)
    ids = np.array([f"artist-{number:05d}" for number in range(n)])
    split = _splits(n, generator)
    pairs = _edges(spec, community, latent, generator)
    vocabulary = _vocabulary(spec, generator)
    rows = []
    for number in range(n):
        for song in range(spec.songs):
            words = generator.choice(vocabulary[community[number]], size=3)
            rows.append((ids[number], f"{ids[number]}-song-{song}", " ".join(words), _name(number)))
    songs = pl.DataFrame(rows, schema=["artist_id", "track_id", "title", "artist"], orient="row")
    return ToyWorld(
        pl.DataFrame({"artist_id": ids, "name": [_name(number) for number in range(n)], "split": split}),
        songs.select("artist_id", "track_id"),
        songs.select("track_id", "title", "artist", album=pl.lit("")),
        pl.DataFrame({"artist_a": ids[pairs[:, 0]], "artist_b": ids[pairs[:, 1]]}),
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
        world = draw_toy(chosen)
        options = GraphOptions(
            name="toy-artists" if chosen == ToySpec() else f"toy-artists-{chosen.seed}",
            source=f"larpbench toy graph generator, version {GENERATOR_VERSION}, seed {chosen.seed}, "
            f"{chosen.artists} artists in {chosen.communities} communities",
            licence="CC0-1.0",
            caption_template="title",
            notes=(NOTE,),
        )
        return assemble_graph(
            world.artists, world.songs, world.edges, world.tracks, options, output, features=world.features
        )


def _splits(n: int, generator: np.random.Generator) -> np.ndarray:
    sizes = [round(share * n) for share in _SHARES.values()]
    sizes[0] += n - sum(sizes)
    return generator.permutation(np.repeat(np.array(SPLITS), sizes))


def _edges(spec: ToySpec, community: np.ndarray, latent: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw edges of artists with a popularity of their own; within a community near artists are preferred."""
    wanted = round(spec.artists * spec.degree / 2)
    popularity = generator.lognormal(sigma=1.0, size=spec.artists)
    members = [np.flatnonzero(community == each) for each in range(spec.communities)]
    found: set[tuple[int, int]] = set()
    for _ in range(20 * wanted):  # of which most are new; a bound where the graph is too small for its edges
        if len(found) == wanted:
            break
        one = int(generator.choice(spec.artists, p=popularity / popularity.sum()))
        others = np.arange(spec.artists) if generator.random() < spec.mixing else members[community[one]]
        others = others[others != one]
        near = np.exp(-((latent[others] - latent[one]) ** 2).sum(axis=1) / spec.spread**2)
        weights = popularity[others] * near + 1e-12
        other = int(generator.choice(others, p=weights / weights.sum()))
        found.add((min(one, other), max(one, other)))
    return np.array(sorted(found))


def _descriptors(spec: ToySpec, latent: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return what low-level descriptors of sound are like: many columns, each in a unit of its own."""
    mixed = latent @ generator.normal(size=(spec.latent, spec.feature_dim))
    noisy = mixed + spec.feature_noise * mixed.std() * generator.normal(size=mixed.shape)
    units = 10.0 ** generator.uniform(-3, 4, size=spec.feature_dim)
    return ((noisy + generator.normal(size=spec.feature_dim)) * units).astype(np.float32)


def _embeddings(spec: ToySpec, latent: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return what a pretrained encoder's vectors are like: of length 1, with less noise than descriptors."""
    mixed = latent @ generator.normal(size=(spec.latent, spec.feature_dim))
    noisy = mixed + 0.7 * spec.feature_noise * mixed.std() * generator.normal(size=mixed.shape)
    return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


def _moods(spec: ToySpec, latent: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return what tags are like: a few ones in a row of zeros."""
    scores = latent @ generator.normal(size=(spec.latent, _MOODS))
    scores += 0.6 * spec.feature_noise * scores.std() * generator.normal(size=scores.shape)
    threshold = np.sort(scores, axis=1)[:, -6]
    return (scores >= threshold[:, None]).astype(np.float32)


def _vocabulary(spec: ToySpec, generator: np.random.Generator) -> list[list[str]]:
    """Return words for each community: some of its own, some of everybody."""
    common = [_word(generator) for _ in range(3 * _WORDS_EACH)]
    own = [[_word(generator) for _ in range(_WORDS_EACH)] for _ in range(spec.communities)]
    return [[*words, *generator.choice(common, size=2 * _WORDS_EACH)] for words in own]


def _word(generator: np.random.Generator) -> str:
    return "".join(generator.choice(list(_CONSONANTS)) + generator.choice(list(_VOWELS)) for _ in range(3))


def _name(number: int) -> str:
    return f"Artist {number}"
