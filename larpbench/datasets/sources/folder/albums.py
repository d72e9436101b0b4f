"""Groups of a music library without playlists: albums, or artists where no album has two tracks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

from larpbench.datasets.audio_files.tags import Tags

_DISC = re.compile(r"(?:cd|dis[ck]|dvd|lp)[\s._-]*\d{1,2}\b.*", re.IGNORECASE)
_SEVERAL = 3


def album_groups(tags: Mapping[str, Tags]) -> dict[str, str]:
    """Return track id -> name of its album, for tracks that have one.

    An album is its title and the album's artist, or else the track's first artist without guests. A compilation is its
    title and folder (that of all its discs): one that its tags call so, and one without an album's artist in whose
    folder at least three artists have more than half as many names as it has tracks.

    Args:
        tags: Track id (a path with slashes) -> tags.
    """
    unsigned: dict[tuple[str, str], list[str]] = defaultdict(list)
    albums: dict[str, tuple[str, str]] = {}
    compilations: dict[str, tuple[str, str]] = {}
    for track_id, found in tags.items():
        place = (found.album, _folder(track_id))
        if not found.album:
            continue
        if found.album_artist:
            albums[track_id] = (found.album_artist, found.album)
        elif found.compilation:
            compilations[track_id] = place
        else:
            unsigned[place].append(track_id)
    for place, members in unsigned.items():
        artists = {tags[track_id].main_artist.casefold() for track_id in members}
        if len(artists) >= _SEVERAL and 2 * len(artists) > len(members):
            compilations |= dict.fromkeys(members, place)
        else:
            albums |= {track_id: (tags[track_id].main_artist, place[0]) for track_id in members}
    folders = Counter(album for album, _ in set(compilations.values()))
    return {track_id: ": ".join(filter(None, names)) for track_id, names in albums.items()} | {
        track_id: f"Various Artists: {album}" + (f" ({folder})" if folders[album] > 1 else "")
        for track_id, (album, folder) in compilations.items()
    }


def artist_groups(tags: Mapping[str, Tags]) -> dict[str, str]:
    """Return track id -> its first artist without guests, for tracks that have one."""
    return {track_id: found.main_artist for track_id, found in tags.items() if found.main_artist}


def _folder(track_id: str) -> str:
    folder = PurePosixPath(track_id).parent
    return str(folder.parent if _DISC.fullmatch(folder.name) else folder)
