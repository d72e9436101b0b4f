"""The demo's words: titles and albums that follow a track's text view, and artists that follow nothing.

Words come in families of related meaning. Each has a direction in the text view's space, near its family's,
and a view picks words by a softmax over their inner products: close tracks share words, or at least families.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import product

import numpy as np

from larpbench.datasets.demo.fixed_point import ONE, gumbel, largest_first, matrix_product, normal, root, unit

WORD_SPREAD = 1
"""Expected length of a word's own direction beside its family's, which is 1."""
SHARPNESS = 12
"""How strictly a view picks its words; 0 is chance."""

# A line a family: nouns | adjectives.
_FAMILIES = """
harbour tide wave anchor sailor lagoon island | salt blue drifting tidal
mountain valley canyon glacier summit meadow ridge | steep wild granite alpine
rain thunder storm cloud lightning monsoon puddle | grey wet pouring stormy
fire ember candle furnace torch ash matchstick | burning scarlet glowing molten
winter snow frost icicle blizzard sleigh january | frozen white pale arctic
summer sunshine beach lemonade hammock melon picnic | golden warm lazy sunny
night midnight moon star owl shadow dream | sleepless dark starry nocturnal
morning dawn sunrise coffee breakfast rooster café | early bright waking fresh
city street skyline subway taxi neon alley | crowded electric concrete urban
highway engine truck motel gasoline mirror dashboard | dusty fast rolling stolen
dance floor rhythm disco glitter party spotlight | dizzy shining reckless tipsy
heart kiss lover valentine letter sweetheart embrace | tender sweet faithful true
goodbye tear sorrow wound regret farewell ruin | lonely broken bitter empty
king queen crown castle sword throne dragon | royal noble brave ancient
angel heaven prayer gospel church bell choir | holy blessed humble eternal
devil demon coffin skull raven grave vampire | wicked cursed haunted black
robot signal circuit satellite laser pixel machine | digital magnetic chrome plastic
planet comet galaxy orbit rocket nebula astronaut | distant weightless stellar infinite
garden petal orchard honey clover daisy butterfly | green blooming soft fragrant
wolf tiger horse fox sparrow bear falcon | hungry tame feral running
money diamond dollar gambler casino silver jackpot | rich cheap lucky greedy
school childhood bicycle playground teacher notebook kite | young innocent small curious
kitchen sugar whiskey cherry cinnamon wine crème | spicy ripe sour drunken
revolution soldier riot factory freedom hammer prison | angry loud rebel iron
"""

_TITLES = (
    "{a} {n} and {a} {n}",
    "{n} of the {a} {n}",
    "{a} {n} of {n} and {n}",
    "{n}, {n} and {a} {n}",
    "The {a} {n} and the {a} {n}",
    "{a} {n}, {a} {n}",
    "No More {a} {n} and {n}",
    "{n} and {n} for a {a} {n}",
    "{n} in the {a} {n} ({n})",
    "{a} {n} ({a} {n})",
)
_ALBUMS = ("{n}", "{a} {n}", "The {n}")

# Short names, so that they do not drown the words that tell something.
_NAME_BEGINNINGS = """
Alm Bel Björ Bran Cal Dal Eck Fen Gal Hal Jor Kal Lin Mor Nor Os Per Quil Ros Sjö Tam Ul Vel Zan
"""
_NAME_ENDINGS = """
by dine ette gard heim ka land lark lo mar mond na né phine ra ris stra tide tov vale va wick wyn zeth
"""


@dataclass(frozen=True)
class Lexicon:
    """Words with their directions in the space of the text view.

    Attributes:
        nouns: The nouns.
        adjectives: The adjectives.
        noun_directions: int64, (len(nouns), dim), rows of length ONE.
        adjective_directions: int64, (len(adjectives), dim), rows of length ONE.
    """

    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    noun_directions: np.ndarray
    adjective_directions: np.ndarray

    @classmethod
    def draw(cls, dim: int, rng: np.random.Generator) -> Lexicon:
        """Give every word its direction.

        Args:
            dim: Values of a text view.
            rng: Source of randomness.

        Returns:
            The lexicon.
        """
        families = [[half.split() for half in line.split("|")] for line in _FAMILIES.strip().splitlines()]
        centres = unit(normal(rng, len(families), dim))

        def directions(kind: int) -> np.ndarray:
            near = np.repeat(centres, [len(family[kind]) for family in families], axis=0)
            return unit(near + WORD_SPREAD * ONE * normal(rng, *near.shape) // root(dim * ONE))

        nouns, adjectives = (tuple(word for family in families for word in family[kind]) for kind in (0, 1))
        return cls(nouns, adjectives, directions(0), directions(1))

    def title(self, view: np.ndarray, taken: Collection[str], rng: np.random.Generator) -> str:
        """Name a track.

        Args:
            view: int64, (dim,), the track's text view.
            taken: Titles that its artist has already used.
            rng: Source of randomness.

        Returns:
            A title that is not in `taken`.
        """
        return self._name(_TITLES, view, taken, rng)

    def album(self, view: np.ndarray, taken: Collection[str], rng: np.random.Generator) -> str:
        """Name an album.

        Args:
            view: int64, (dim,), the mean text view of its tracks.
            taken: Albums that its artist has already made.
            rng: Source of randomness.

        Returns:
            A name that is not in `taken`.
        """
        return self._name(_ALBUMS, view, taken, rng)

    def _name(
        self, templates: tuple[str, ...], view: np.ndarray, taken: Collection[str], rng: np.random.Generator
    ) -> str:
        while True:
            name = template = templates[rng.integers(len(templates))]
            for slot, words, directions in (
                ("{n}", self.nouns, self.noun_directions),
                ("{a}", self.adjectives, self.adjective_directions),
            ):
                # The largest score plus Gumbel noise is a draw from the softmax; the k largest all differ.
                scores = SHARPNESS * matrix_product(directions, view) + gumbel(rng, len(words))
                for word in largest_first(scores)[: template.count(slot)].tolist():
                    name = name.replace(slot, words[word].capitalize(), 1)
            if name not in taken:
                return name


def artist_names(n: int, rng: np.random.Generator) -> list[str]:
    """Invent artists, whose names tell nothing.

    Args:
        n: How many.
        rng: Source of randomness.

    Returns:
        Different names.
    """
    parts = product(_NAME_BEGINNINGS.split(), _NAME_ENDINGS.split())
    names = [beginning + ending for beginning, ending in parts]
    if n > len(names):
        raise ValueError(f"at most {len(names)} artists can be named, {n} were asked for")
    return [names[i] for i in rng.permutation(len(names))[:n]]
