"""DropoutNet: towers that read WMF preferences and content, taught to do without the preferences.

Volkovs, Yu & Poutanen 2017, "DropoutNet: addressing cold start in recommender systems", with the sizes of LARP
(appendix B.2): inputs are z || e, z of 64 numbers; hidden layers of 512, 256, 256; an output of 256.

* The target is the WMF score of a pair, x_u . y_i, as in equation 2 of the DropoutNet paper; LARP's code regresses the
  labels 1 and 0 instead. With labels the preferences would teach nothing but what the labels say; the score also ranks
  the tracks that nobody has put in the list yet.
* Equation 2 sums over all pairs. A batch is a block: B observed entries, every playlist of them with every track of
  them; its loss is half the mean over observed pairs and half the mean over the others, since nearly all are others.
* Dropout zeroes exactly floor(p B) playlist rows and, drawn apart, floor(p B) track rows of each batch. In LARP's code
  it does nothing: it zeroes a copy.
* Preferences are standardised on train: the mean row, which stands in for the unknown preference of cold playlists and
  tracks (LARP, equation 27), is then the zero row of dropout. Each side gets its own mean; LARP's code swaps them.
* BatchNorm's running averages (momentum 0.01) need hundreds of steps to forget how they began: before each validation
  they are taken anew from a sample of train rows. Training itself never reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, linear

from larpbench.datasets.schema import Interactions
from larpbench.recommenders.base import SearchSpace, TrainData, ValidData, fitted
from larpbench.recommenders.training import (
    EntrySeconds,
    GradientRecommender,
    entries_of,
    forward_all,
    on_device,
    seeded,
)
from larpbench.recommenders.vectors import playlist_means
from larpbench.recommenders.wmf import FACTORS, WMF_SPACE, Factors, factor_seconds, train_factors
from larpbench.training.loop import Validation, spread_of
from larpbench.vectors import Standardiser, unit_rows

HIDDEN = (512, 256, 256)
OUTPUT = 256
MOMENTUM = 0.9
BATCH_NORM_MOMENTUM = 0.01
BATCH_NORM_EPS = 0.001
LARGEST = 5.0  # standardised inputs are cut here, as in the DropoutNet code
_INITIAL_SPREAD = 0.01
_STATISTICS_ROWS = 1_024


class Block(nn.Module):
    """Linear, BatchNorm and tanh; as functions, since calls of modules cost a good part of a small step.

    Args:
        inputs: Length of the rows.
        outputs: Length of what comes out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = _linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)

    def forward(self, rows: Tensor) -> Tensor:
        """Return (n, outputs) of (n, inputs)."""
        norm, rows = self.norm, linear(rows, self.linear.weight, self.linear.bias)
        where = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return batch_norm(rows, *where, self.training, norm.momentum or 0.0, norm.eps).tanh_()


class Tower(nn.Module):
    """One side's network: three blocks of Linear, BatchNorm and tanh, then Linear.

    Args:
        content: Length of the content vectors.
        preference: Length of the preference vectors.
    """

    def __init__(self, content: int, preference: int = FACTORS) -> None:
        super().__init__()
        widths = (preference + content, *HIDDEN)
        self.layers = nn.Sequential(*(Block(*each) for each in pairwise(widths)), _linear(widths[-1], OUTPUT))

    def forward(self, preference: Tensor, content: Tensor) -> Tensor:
        """Return (n, 256).

        Args:
            preference: (n, 64), or (64,) if it is the same for all.
            content: (n, dim).
        """
        return self.layers(torch.cat([preference.expand(len(content), -1), content], dim=1))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a layer that begins as in the DropoutNet code; with torch's larger weights the first steps diverge."""
    layer = nn.Linear(inputs, outputs)
    nn.init.trunc_normal_(layer.weight, std=_INITIAL_SPREAD)
    nn.init.zeros_(layer.bias)
    return layer


def drop_rows(rows: Tensor, share: float, generator: np.random.Generator) -> Tensor:
    """Return the rows with exactly floor(share * n) of them, chosen at random, set to 0."""
    kept = np.ones((len(rows), 1), dtype=np.float32)
    kept[generator.permutation(len(rows))[: int(share * len(rows))]] = 0
    return rows * torch.from_numpy(kept).to(rows.device)


def balanced_loss(scores: Tensor, targets: Tensor, observed: Tensor) -> Tensor:
    """Return half the mean squared error of the observed pairs, and half that of the others.

    Args:
        scores: Predicted scores of pairs, of any shape.
        targets: What they should be.
        observed: bool, which pairs are train entries.
    """
    errors = (scores - targets) ** 2
    known, count = errors[observed].sum(), observed.sum()
    return (known / count + (errors.sum() - known) / (observed.numel() - count).clamp(min=1)) / 2


def cold_preference(preferences: Tensor) -> Tensor:
    """Return the (k,) mean row of one side, which stands in for what is unknown of it (LARP, equation 27)."""
    return preferences.mean(dim=0)


@dataclass(frozen=True, eq=False)
class Content:
    """The content of one side's train rows, as its tower reads it.

    Attributes:
        scale: Taken of the rows.
        rows: (n, dim), scaled.
    """

    scale: Standardiser
    rows: Tensor

    @classmethod
    def of(cls, rows: np.ndarray) -> Self:
        """Return the content of (n, dim) float32 rows."""
        scale = Standardiser(rows, LARGEST)
        return cls(scale, on_device(scale.apply(rows)))


def contents(train: TrainData) -> tuple[Content, Content]:
    """Return the content of the train playlists, the means of their tracks, and of the tracks."""
    vectors = unit_rows(train.embeddings)
    return Content.of(playlist_means(train.interactions, vectors)), Content.of(vectors)


def unit_tracks(valid: ValidData) -> np.ndarray:
    """Return the unit-length tracks of valid, (n, dim) float32."""
    return unit_rows(valid.embeddings)


def unit_means(valid: ValidData) -> np.ndarray:
    """Return the means of the unit-length tracks that are known of each playlist of valid, (p, dim) float32."""
    return playlist_means(valid.queries.seeds, unit_rows(valid.known))


class Side:
    """Playlists or tracks: their tower, and how its inputs are scaled.

    Args:
        factors: (n, 64) WMF factors of this side's train rows.
        content: Their content; only its scale is kept.
        dropout: Share of the rows of a batch that lose their preferences.
    """

    def __init__(self, factors: np.ndarray, content: Content, dropout: float) -> None:
        self._scale, self._dropout = content.scale, dropout
        self.tower = on_device(Tower(content.rows.shape[1]))
        self._factors = on_device(factors)
        self._preferences = on_device(Standardiser(factors, LARGEST).apply(factors))
        self._cold = cold_preference(self._preferences)

    def factors(self, numbers: np.ndarray) -> Tensor:
        """Return (b, 64), the factors of train rows, unscaled."""
        return self._factors[on_device(numbers)]

    def warm(self, content: Content, numbers: np.ndarray, generator: np.random.Generator) -> Tensor:
        """Return (b, 256) of train rows, some of them without their preferences."""
        chosen = on_device(numbers)
        return self.tower(drop_rows(self._preferences[chosen], self._dropout, generator), content.rows[chosen])

    def cold(self, content: np.ndarray) -> np.ndarray:
        """Return (n, 256) float32 of rows of which only the content is known."""
        return forward_all(lambda rows: self.tower(self._cold, rows), self._scale.apply(content))

    def forget_preferences(self) -> None:
        """Let rows of which only the content is known be those that training has seen: no preferences at all."""
        self._cold = torch.zeros_like(self._cold)

    def known(self, preferences: np.ndarray, content: np.ndarray) -> np.ndarray:
        """Return (n, 256) float32 of rows whose (n, 64) standardised preferences are known, too."""
        both = np.concatenate([preferences, self._scale.apply(content)], axis=1)
        return forward_all(lambda rows: self.tower(rows[:, :FACTORS], rows[:, FACTORS:]), both)

    def renew_statistics(self, content: Content, numbers: np.ndarray, seed: int) -> None:
        """Take BatchNorm's averages from these train rows alone."""
        norms = [layer for layer in self.tower.modules() if isinstance(layer, nn.BatchNorm1d)]
        self.tower.train()
        for norm in norms:
            norm.momentum = 1.0
        self.warm(content, numbers, np.random.default_rng(seed))
        for norm in norms:
            norm.momentum = BATCH_NORM_MOMENTUM
        self.tower.eval()

    def forget_train(self) -> None:
        """Give back the memory of the train rows."""
        del self._factors, self._preferences


class DropoutNet(GradientRecommender):
    """Two towers over WMF preferences and content, with dropout of whole preference rows."""

    name = "dropoutnet"
    version = 1
    citation = ("volkovs2017dropoutnet", "hu2008implicit")
    summary = "two towers over WMF preferences and content, trained with dropped preferences"
    search_space: ClassVar[SearchSpace] = {
        "learning_rate": (0.005, 0.002, 0.001),
        "l2": (0.1, 0.03, 0.3),
        "dropout": (0.2, 0.5, 0.8),
        **WMF_SPACE,
    }
    fits_in_threads = True
    shares_factors = True
    usual_epochs = 4.5
    entry_seconds = EntrySeconds(alone=5e-5, number=5e-8, pair=1.6e-8, step=5e-4)
    _sides: tuple[Side, Side] | None = None
    _generator: np.random.Generator
    _sampled: tuple[np.ndarray, np.ndarray]

    @property
    def dropout(self) -> float:
        """Share of the rows of a batch that lose their preferences."""
        return self.params["dropout"]

    def fit_seconds(self, entries: int, rows: int, dim: int) -> float:
        """Return the time of the factorisation and of the usual epochs."""
        return factor_seconds(entries, rows) + super().fit_seconds(entries, rows, dim)

    def _begin(self, train: TrainData) -> tuple[nn.Module, Sequence[torch.optim.Optimizer]]:
        """Factorise, and make both towers and their optimiser, SGD with momentum 0.9."""
        factors = train_factors(train, self.params, self.seed)
        self._sides = self._sides_of(train, factors)
        towers = nn.ModuleList([side.tower for side in self._sides])
        optimiser = torch.optim.SGD(
            towers.parameters(),
            lr=self.params["learning_rate"],
            momentum=MOMENTUM,
            weight_decay=self.params["l2"],
            fused=True,
        )
        self._generator = np.random.default_rng(self.seed)
        self._sampled = train.once(entries_of).sample(_STATISTICS_ROWS, self._generator)
        return towers, [optimiser]

    def _losses(self, train: TrainData) -> Iterator[Tensor]:
        entries, generator = train.once(entries_of), self._generator
        (playlists, tracks), (lists, songs) = fitted(self._sides, self.name), train.once(contents)
        for rows, columns in entries.batches(generator):
            scores = playlists.warm(lists, rows, generator) @ tracks.warm(songs, columns, generator).T
            targets = playlists.factors(rows) @ tracks.factors(columns).T
            yield balanced_loss(scores, targets, on_device(entries.observed(rows, columns)))

    def _validate(self, train: TrainData, valid: ValidData) -> Validation:
        for side, content, numbers in zip(
            fitted(self._sides, self.name), train.once(contents), self._sampled, strict=True
        ):
            side.renew_statistics(content, numbers, self.seed)
        items = fitted(self._sides, self.name)[1].cold(valid.once(unit_tracks))
        queries = self._queries(valid.queries.seeds, valid.once(unit_means))
        return Validation(valid.recall_of(queries, items), spread_of(items))

    def finish(self) -> None:
        """Take the towers of the best epoch, and give back the factors of train."""
        if self._training:
            for side in self._sides or ():
                side.forget_train()
        super().finish()

    def _sides_of(self, train: TrainData, factors: Factors) -> tuple[Side, Side]:
        """Return both sides as they are before training."""
        playlists, tracks = train.once(contents)
        with seeded(self.seed):
            return Side(factors.playlists, playlists, self.dropout), Side(factors.tracks, tracks, self.dropout)

    def query_vectors(self, seeds: Interactions, embeddings: np.ndarray) -> np.ndarray:
        """Return (p, 256) float32: the playlists' tower on the means of unit-length seeds (equation 28)."""
        return self._queries(seeds, playlist_means(seeds, unit_rows(embeddings)))

    def _queries(self, seeds: Interactions, means: np.ndarray) -> np.ndarray:
        """Return the vectors of playlists, given the means of their unit-length seeds."""
        return fitted(self._sides, self.name)[0].cold(means)

    def item_vectors(self, embeddings: np.ndarray) -> np.ndarray:
        """Return (n, 256) float32: the tracks' tower on unit-length tracks (equation 28)."""
        return fitted(self._sides, self.name)[1].cold(unit_rows(embeddings))


class ContentTowers(DropoutNet):
    """DropoutNet with dropout 1: no row ever has preferences, as is always so at test time. A control."""

    name = "dropoutnet-content"
    summary = "DropoutNet's towers over content alone (dropout 1): what the preferences add"
    search_space: ClassVar[SearchSpace] = {
        name: values for name, values in DropoutNet.search_space.items() if name != "dropout"
    }

    @property
    def dropout(self) -> float:
        """All rows lose their preferences."""
        return 1.0


DROPOUTNET = DropoutNet()
DROPOUTNET_CONTENT = ContentTowers()
