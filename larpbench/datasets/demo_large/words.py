"""Words of `demo-large`: titles, albums and names of artists in invented languages.

A word has a frequency and, unless it is neutral, a direction near that of its genre. A niche takes words by their
frequency times the exponential of the inner product of the directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import numpy as np

from larpbench.datasets.demo.fixed_point import ONE, exp, matrix_product, normal, table, times, unit
from larpbench.datasets.demo.latents import stream
from larpbench.datasets.demo_large.tracks import THEME_DIM, Purpose, Themes, genre_weights, pick_one

LANGUAGES = 10
"""Genre g speaks language g modulo this; neutral words are of any."""
WORDS = 16_000
_SYLLABLES = 45
_FUNCTION_WORDS = 60
_FUNCTION_BONUS = ONE * 11 // 10
_WORD_SPREAD = ONE * 8 // 10
_SHARPNESS = 8
_TITLE_LENGTHS = (24, 29, 19, 11, 7, 4, 3, 3)
_NAME_LENGTHS = (35, 40, 17, 8)
_SUFFIXED = ONE * 176 // 1000
_NAMED_AFTER_TRACK = ONE * 15 // 100
_KNOWN_WORD = ONE // 4
_SUFFIXES = (
    "({} remix)", "(remix)", "(feat. {})", "(feat. {} {})", "(live)", "- live", "- remastered", "- remastered 2009",
    "- radio edit", "(acoustic)", "- single version", "(from {} {})",
)  # fmt: skip
_ONSETS = "b br ch d dr f fl g gr h j k kl l m n p pr r s sh sk st t tr v w y z"
_VOWELS = "a e i o u ai au ea ie oa"
_CODAS = ("", "l", "m", "n", "r", "s", "t", "x")


@dataclass(frozen=True)
class Lexicon:
    """The words, with what they are about.

    Attributes:
        syllables: One tuple a language.
        words: Different, the most frequent first.
        logs: int64, (words,), natural logarithm of the frequency, plus a constant.
        directions: int64, (words, THEME_DIM), rows of length ONE, or 0 if neutral.
    """

    syllables: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    logs: np.ndarray
    directions: np.ndarray

    @classmethod
    def draw(cls, seed: int, themes: Themes) -> Lexicon:
        """Invent languages and their words.

        Args:
            seed: The world's seed.
            themes: What words may be about.

        Returns:
            The lexicon.
        """
        rng = stream(seed, Purpose.LEXICON)
        every = [onset + vowel + coda for onset in _ONSETS.split() for vowel in _VOWELS.split() for coda in _CODAS]
        syllables = tuple(tuple(every[i] for i in rng.permutation(len(every))[:_SYLLABLES]) for _ in range(LANGUAGES))
        genre = pick_one(rng, genre_weights(), WORDS)
        neutral = rng.integers(0, 2, size=WORDS) == 0
        neutral[:_FUNCTION_WORDS] = True
        own = unit(normal(rng, WORDS, THEME_DIM))
        directions = unit(themes.genres[genre] + times(_WORD_SPREAD, own))
        directions[neutral] = 0
        language = np.where(neutral, rng.integers(0, LANGUAGES, size=WORDS), genre % LANGUAGES)
        words: dict[str, None] = {}
        for place, spoken in enumerate(language.tolist()):
            shortest = 1 if place < 20 * _FUNCTION_WORDS else 2
            while len(words) == place:
                words[_word(syllables[spoken], int(rng.integers(shortest, 4)), rng)] = None
        logs = _logs().copy()
        logs[:_FUNCTION_WORDS] += _FUNCTION_BONUS
        return cls(syllables, tuple(words), logs, directions)

    def weights(self, direction: np.ndarray) -> np.ndarray:
        """Return (words,) int64 weights with which a (THEME_DIM,) direction takes its words."""
        return exp(self.logs + _SHARPNESS * matrix_product(self.directions, direction))


def name_tracks(seed: int, lexicon: Lexicon, themes: Themes, niche: np.ndarray, artist: np.ndarray) -> list[str]:
    """Invent titles; no artist has one twice.

    Args:
        seed: The world's seed.
        lexicon: The words.
        themes: What niches are about.
        niche: int64, (n,), the niche of each track.
        artist: int64, (n,), the artist of each track.

    Returns:
        Titles, in the order of the tracks.
    """
    rng = stream(seed, Purpose.TITLE)
    lists = _phrases(lexicon, themes, niche, _TITLE_LENGTHS, rng)
    suffixed = rng.integers(0, ONE, size=len(niche)) < _SUFFIXED
    kinds = rng.integers(0, len(_SUFFIXES), size=len(niche)).tolist()
    more = pick_one(rng, exp(lexicon.logs), 4 * len(niche)).reshape(len(niche), 4).tolist()
    taken: set[tuple[int, str]] = set()
    titles = []
    for row, (words, of) in enumerate(zip(lists, artist.tolist(), strict=True)):
        extra = [lexicon.words[word] for word in more[row]]
        suffix = " " + _SUFFIXES[kinds[row]].format(extra[0], extra[1]) if suffixed[row] else ""
        while (of, title := _capitals(words) + suffix) in taken:
            words = [*words, extra[2] if len(words) % 2 else extra[3]]
        taken.add((of, title))
        titles.append(title)
    return titles


def name_albums(seed: int, lexicon: Lexicon, themes: Themes, niche: np.ndarray, titles: list[list[str]]) -> list[str]:
    """Invent names of albums, of which some are those of a track.

    Args:
        seed: The world's seed.
        lexicon: The words.
        themes: What niches are about.
        niche: int64, (albums,), the niche of each.
        titles: The titles on each.

    Returns:
        Names, in the order of the albums.
    """
    rng = stream(seed, Purpose.ALBUM_NAME)
    lists = _phrases(lexicon, themes, niche, _TITLE_LENGTHS, rng)
    after = rng.integers(0, ONE, size=len(niche)) < _NAMED_AFTER_TRACK
    return [
        on[int(rng.integers(0, len(on)))] if named else _capitals(words)
        for on, named, words in zip(titles, after.tolist(), lists, strict=True)
    ]


def name_artists(seed: int, lexicon: Lexicon, themes: Themes, niche: np.ndarray) -> list[str]:
    """Invent different names, of words of the lexicon and of names that are no words.

    Args:
        seed: The world's seed.
        lexicon: The words.
        themes: What niches are about.
        niche: int64, (artists,), the niche of each.

    Returns:
        Names, in the order of the artists.
    """
    rng = stream(seed, Purpose.ARTIST_NAME)
    names: dict[str, None] = {}
    languages = (themes.genre_of[niche] % LANGUAGES).tolist()
    lists = _phrases(lexicon, themes, niche, _NAME_LENGTHS, rng)
    for words, language in zip(lists, languages, strict=True):
        before = len(names)
        while len(names) == before:
            known = rng.integers(0, ONE, size=len(words)) < _KNOWN_WORD
            syllables = lexicon.syllables[language]
            parts = [
                word if is_known else _word(syllables, int(rng.integers(2, 4)), rng)
                for word, is_known in zip(words, known.tolist(), strict=True)
            ]
            names[_capitals(parts)] = None
    return list(names)


def _phrases(
    lexicon: Lexicon, themes: Themes, niche: np.ndarray, lengths: tuple[int, ...], rng: np.random.Generator
) -> list[list[str]]:
    """Draw the words of each thing out of those of its niche."""
    counts = pick_one(rng, np.array(lengths, dtype=np.int64), len(niche)) + 1
    phrases: list[list[str]] = [[] for _ in range(len(niche))]
    for each in range(len(themes.niches)):
        rows = np.flatnonzero(niche == each)
        if len(rows):
            drawn = iter(pick_one(rng, lexicon.weights(themes.niches[each]), int(counts[rows].sum())).tolist())
            for row in rows.tolist():
                phrases[row] = [lexicon.words[next(drawn)] for _ in range(int(counts[row]))]
    return phrases


@cache
def _logs() -> np.ndarray:
    """Return the logarithms of frequencies that fall as those of a language: a power law that bends at rank 1500."""
    ln = cache(Decimal.ln)  # most numbers are met twice, and one at every rank

    def log(rank: Decimal) -> Decimal:
        return 2 - ln(rank + 3) - (ln(rank + 1500) - ln(Decimal(1500))) * Decimal("0.25")

    return table(log, range(WORDS))


def _word(syllables: tuple[str, ...], n: int, rng: np.random.Generator) -> str:
    return "".join(syllables[i] for i in rng.integers(0, len(syllables), size=n).tolist())


def _capitals(words: list[str]) -> str:
    return " ".join(word.capitalize() for word in words)
