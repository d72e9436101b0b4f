"""Options of the artist-similarity task: what may be chosen of its protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from larpbench.tasks.artist_similarity.features import Scaling
from larpbench.tasks.artist_similarity.queries import VisibleEdges
from larpbench.tasks.artist_similarity.settings import ProtocolName
from larpbench.tasks.base import TaskOptions

_LARGEST = 2**31 - 1


def _parts(value: object) -> object:
    """Split text at its commas, as the command line has it."""
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class ArtistOptions(TaskOptions):
    """What may be chosen of the protocol, and which graph networks are run."""

    layers: Annotated[tuple[Annotated[int, Field(ge=0, le=99)], ...] | None, BeforeValidator(_parts)] = Field(
        default=None,
        description="graph layers, such as 0,2: short for the recommenders gnn-sage-0,gnn-sage-2",
    )
    protocol: ProtocolName = Field(
        default="fixed", description="fixed, or paper: one-way edges, last epoch, scaling on all artists, every triplet"
    )
    visible_edges: VisibleEdges = Field(
        default="all",
        description="edges of a test artist to train and valid artists that are visible: all or none",
    )
    songs: Annotated[int, Field(ge=1)] | Literal["all"] = Field(
        default=1, description="songs pooled for each artist: a number, or all"
    )
    scaling: Scaling | None = Field(
        default=None,
        description="artists on whom features are standardised: train or all (default: as the protocol says)",
    )
    epochs: int | None = Field(
        default=None, ge=1, le=_LARGEST, description="epochs at most (default: as the protocol says)"
    )
    triplets: int | None = Field(
        default=None, ge=0, le=_LARGEST, description="triplets of an update; 0: all (default: as the protocol says)"
    )

    @property
    def variant(self) -> str:
        """As of any task, but for the protocol, which is named by its value, and the networks, which are rows."""
        others = super(ArtistOptions, self.model_copy(update={"protocol": "fixed", "layers": None})).variant
        return ",".join(part for part in (self.protocol if self.protocol != "fixed" else "", others) if part)
