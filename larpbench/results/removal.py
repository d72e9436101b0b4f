"""What protocol rule 13 removed, in records, plans and tables."""

from __future__ import annotations

from dataclasses import asdict

from larpbench.results.record import RemovalPart, SeenPart
from larpbench.tasks.overlap import Removal


def removal_part(removal: Removal | None) -> RemovalPart | None:
    """Return what a record keeps of a removal."""
    if removal is None:
        return None
    return RemovalPart(
        key=removal.key,
        tracks=removal.tracks,
        of=len(removal.kept),
        seeds=removal.seeds,
        heldout=removal.heldout,
        playlists=removal.playlists,
        sources=tuple(SeenPart(**asdict(each)) for each in removal.sources),
    )


def in_short(part: RemovalPart) -> str:
    """Return a removal as part of a title, such as ``40 tracks of mpd``."""
    return f"{part.tracks} tracks of {', '.join(each.dataset for each in part.sources)}"


def as_sentence(part: RemovalPart) -> str:
    """Return a removal in words."""
    why = " and ".join(
        f"that on {each.dataset} ({each.by_id} by id, {each.by_song} more by artist and title)" for each in part.sources
    )
    return (
        f"Protocol rule 13: {part.tracks} of {part.of} test tracks are left out for every encoder, because a training "
        f"has seen them: {why}. {part.seeds} seed and {part.heldout} held-out entries are removed with them; "
        f"{part.playlists} playlists are left without either and are not counted."
    )
