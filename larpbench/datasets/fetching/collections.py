"""The collections that can be fetched: their parts, and which files these are."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from larpbench.datasets.fetching.listings import Listing, hub_listing, pinned, zenodo_listing
from larpbench.downloads import RemoteFile
from larpbench.errors import MissingPartError, UnknownNameError

_LOG = "userid_trackid_timestamp.tsv.bz2"
_COUNTS = "userid_trackid_count.tsv.bz2"
_TALKPLAY = "talkpl-ai/TalkPlayData-Challenge-"
ONION_RECORDS = (15394646, 6609677)
ALL = "all"


@dataclass(frozen=True)
class FetchableCollection:
    """A collection that can be fetched.

    Attributes:
        name: What it is called in the command.
        source: The builder that reads it: its files are put into a folder of that name.
        listings: Functions that list files; a name of an earlier one hides those of later ones.
        parts: Name -> pattern of the names of its files. Other parts, if `others` says so, are listed by the server.
        default: The parts that are fetched if nobody says which.
        others: A pattern with one ``*``: every other file of it is a part of the name that the star stands for.
        digests: Name of a file -> its digest, as far as it was published elsewhere.
        advice: What a user should know before.
    """

    name: str
    source: str
    listings: tuple[Callable[[], Listing], ...]
    parts: Mapping[str, str]
    default: tuple[str, ...]
    others: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    advice: str = ""


COLLECTIONS = {
    each.name: each
    for each in (
        FetchableCollection(
            "onion",
            "onion",
            tuple(partial(zenodo_listing, record) for record in ONION_RECORDS),
            {"log": _LOG, "counts": _COUNTS},
            ("log", "musicnn", "maest"),
            others="id_*.tsv.bz2",
            digests={_LOG: "md5:dfe82201036765f7463e6f3ce3d0f991", _COUNTS: "md5:314b51196a9c8f333c7fefc0711760a1"},
            advice="titles and artists come only with Music4All's base collection, by a signed agreement",
        ),
        FetchableCollection(
            "yambda-50m",
            "yambda",
            (partial(hub_listing, "yandex/yambda"),),
            {
                "likes": "flat/50m/likes.parquet",
                "listens": "flat/50m/listens.parquet",
                "artists": "artist_item_mapping.parquet",
                "albums": "album_item_mapping.parquet",
                "vectors": "embeddings.parquet",
            },
            ("likes", "artists", "albums", "vectors"),
            advice="the vectors are 13.8 GB; --parts likes,artists,albums fetches the rest alone",
        ),
        FetchableCollection(
            "talkplay",
            "talkplay",
            tuple(
                partial(hub_listing, f"{_TALKPLAY}{part}", f"{part}/")
                for part in ("Dataset", "Track-Metadata", "Track-Embeddings")
            ),
            {
                "sessions": "Dataset/data/*.parquet",
                "tracks": "Track-Metadata/data/all_tracks-*.parquet",
                "vectors": "Track-Embeddings/data/all_tracks-*.parquet",
            },
            ("sessions", "tracks", "vectors"),
            advice="accept the terms on its three pages first, and log in: hf auth login",
        ),
        FetchableCollection(
            "aotm",
            "aotm",
            (partial(hub_listing, "seungheondoh/aotm2011"),),
            {"mixes": "data/*.parquet"},
            ("mixes",),
            advice="ids of songs alone: no titles, no sound",
        ),
    )
}


@dataclass(frozen=True)
class FetchPlan:
    """What would be fetched.

    Attributes:
        collection: Of which collection.
        files: The files of the chosen parts.
        headers: File -> what to send with its requests.
        places: Where they are, for people.
        licences: What the servers state, one text each.
        parts: Name -> bytes of all parts that there are; None if unknown.
    """

    collection: FetchableCollection
    files: tuple[RemoteFile, ...]
    headers: Mapping[str, Mapping[str, str]]
    places: tuple[str, ...]
    licences: tuple[str, ...]
    parts: Mapping[str, int | None]

    @property
    def size(self) -> int:
        """Bytes of the files, as far as they are known."""
        return sum(each.size or 0 for each in self.files)


def fetchable(name: str) -> FetchableCollection:
    """Return a collection by name.

    Raises:
        UnknownNameError: If there is none of that name.
    """
    if name not in COLLECTIONS:
        raise UnknownNameError("collection", name, COLLECTIONS, "larpbench dataset fetch --help")
    return COLLECTIONS[name]


def plan_fetch(collection: FetchableCollection, parts: Sequence[str] | None) -> FetchPlan:
    """Ask the servers what there is, and return what would be fetched.

    Args:
        collection: Of which collection.
        parts: Names of its parts, or ``all``; None: the default ones.

    Raises:
        UnknownNameError: If it has no such part.
        MissingPartError: If a server cannot be reached, or a part of the default is not there.
        DataError: If a server has another file than the published one.
    """
    listings = [ask() for ask in collection.listings]
    files: dict[str, RemoteFile] = {}
    headers: dict[str, Mapping[str, str]] = {}
    for listing in listings:
        pinned(listing.files, collection.digests, listing.place)
        for each in listing.files:
            known = each.digest or collection.digests.get(each.name)
            files.setdefault(each.name, replace(each, digest=known))
            headers.setdefault(each.name, listing.headers)
    by_part = _parts(collection, list(files))
    chosen = list(by_part) if parts is not None and ALL in parts else list(parts or collection.default)
    if unknown := [name for name in chosen if name not in by_part]:
        if parts is None:
            raise MissingPartError(
                f"{', '.join(unknown)} of {collection.name} is not there any more",
                where="; ".join(each.place for each in listings),
                allowed=f"--parts {','.join(by_part)}",
            )
        raise UnknownNameError(f"part of {collection.name}", unknown[0], by_part, "--parts NAME,.. or --parts all")
    wanted = list(dict.fromkeys(name for part in chosen for name in by_part[part]))
    sizes = {part: _total([files[name].size for name in names]) for part, names in by_part.items()}
    return FetchPlan(
        collection,
        tuple(files[name] for name in wanted),
        headers,
        tuple(each.place for each in listings),
        tuple(dict.fromkeys(each.licence for each in listings)),
        sizes,
    )


def _parts(collection: FetchableCollection, names: Sequence[str]) -> dict[str, list[str]]:
    """Return part -> its files, of the parts of which there are any."""
    found = {part: sorted(fnmatch.filter(names, pattern)) for part, pattern in collection.parts.items()}
    if collection.others:
        before, _, after = collection.others.partition("*")
        for name in sorted(fnmatch.filter(names, collection.others)):
            found[name.removeprefix(before).removesuffix(after)] = [name]
    return {part: files for part, files in found.items() if files}


def _total(sizes: Sequence[int | None]) -> int | None:
    return None if None in sizes else sum(size or 0 for size in sizes)
