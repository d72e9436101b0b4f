"""A few queries of each table as they are: what was visible, what was hidden, what each encoder listed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from larpbench.datasets.catalogue import load_dataset
from larpbench.datasets.schema import Dataset
from larpbench.errors import DataError
from larpbench.report.entries import Entry, Section
from larpbench.results.store import playlists_path
from larpbench.table_files import TABLE_ERRORS, parquet_schema, scan_parquet

MOST_ROWS = 20
"""Rows of a table whose lists are shown, from the top."""
SHOWN = 40
"""Places of each list."""


@dataclass(frozen=True)
class QueryFacts:
    """What the data set holds of the sampled queries.

    Attributes:
        names: Id -> artist and title.
        seed_tracks: Query -> visible ids.
        heldout: Query -> hidden ids.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    seed_tracks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    heldout: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class RankedList:
    """The list of one row: its ids by rank, and which of them were hidden."""

    entry: Entry
    ids: tuple[str, ...]
    hits: tuple[bool, ...]


@dataclass(frozen=True)
class Query:
    """One playlist, or artist, and its answers.

    Attributes:
        id: Its id.
        page: Name of its page.
        seed_tracks: Visible ids; empty if the data set is not available.
        heldout: Hidden ids; empty if the data set is not available.
        answers: One list a row.
    """

    id: str
    page: str
    seed_tracks: tuple[str, ...]
    heldout: tuple[str, ...]
    answers: tuple[RankedList, ...]


@dataclass(frozen=True)
class Browser:
    """The sampled queries of one table.

    Attributes:
        section: The table.
        queries: The queries, by id.
        names: Id -> artist and title; ids that are not in it are shown as they are.
        with_hits: Whether the data set is at hand, so that hits can be marked.
        why: What is missing, if it is not.
        left_out: Rows whose lists are not shown.
        of: How many queries the table has.
    """

    section: Section
    queries: tuple[Query, ...]
    names: Mapping[str, str]
    with_hits: bool
    why: str
    left_out: int
    of: int


def read_browsers(sections: Sequence[Section], loaded: Sequence[Dataset], count: int) -> list[Browser]:
    """Return the sampled queries of all tables that have scores.

    Args:
        sections: The tables.
        loaded: Data sets beside those that the records name.
        count: Queries of each table. They are those whose ids have the smallest digests: a draw that nobody picked.
    """
    return [_browser(section, loaded, count) for section in sections if section.scored and count]


def _browser(section: Section, loaded: Sequence[Dataset], count: int) -> Browser:
    shown = section.scored[:MOST_ROWS]
    all_ids = _read(shown[0].row.files[0], pl.col("query"))["query"].to_list()
    sampled = sorted(sorted(all_ids, key=lambda name: hashlib.sha256(name.encode()).digest())[:count])
    lists = {entry.page: _read_lists(entry.row.files[0], sampled) for entry in shown}
    dataset, why = _dataset(section, loaded)
    facts = _query_facts(dataset, sampled, lists.values()) if dataset else QueryFacts()
    if dataset and not facts.heldout:
        why = "the data set does not say as playlists what was hidden"
    shown_queries = []
    for number, query in enumerate(sampled, start=1):
        hidden = set(facts.heldout.get(query, ()))
        answers = []
        for entry in shown:
            found = lists[entry.page].filter(pl.col("query") == query)
            ids = tuple(found["ranked"][0]) if found.height else ()
            answers.append(RankedList(entry, ids, tuple(each in hidden for each in ids)))
        page = f"{section.number}-{number}.html"
        parts = facts.seed_tracks.get(query, ()), facts.heldout.get(query, ())
        shown_queries.append(Query(query, page, *parts, tuple(answers)))
    left_out = len(section.scored) - len(shown)
    return Browser(section, tuple(shown_queries), facts.names, bool(facts.heldout), why, left_out, len(all_ids))


def _read_lists(record: Path, queries: Sequence[str]) -> pl.DataFrame:
    """Return query and the first ranked ids of the sampled queries."""
    return _read(record, pl.col("query"), pl.col("ranked").list.head(SHOWN), queries=queries)


def _read(record: Path, *columns: pl.Expr, queries: Sequence[str] | None = None) -> pl.DataFrame:
    """Return columns of the Parquet file beside a record; what was asked about is called ``query``."""
    path = playlists_path(record)
    try:
        query = next(iter(parquet_schema(path)))  # the first column names what was asked about
        wanted = pl.lit(True) if queries is None else pl.col("query").is_in(list(queries))
        return scan_parquet(path).rename({query: "query"}).filter(wanted).select(*columns).collect()
    except (OSError, *TABLE_ERRORS) as error:
        raise DataError(
            f"the lists of a result cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            next_step="delete the record beside it and run its cell anew",
        ) from error


def _dataset(section: Section, loaded: Sequence[Dataset]) -> tuple[Dataset | None, str]:
    """Return the data set that was tested, by fingerprint, or why it is not available."""
    part = next(record for record in section.table.records if record.status == "ok").dataset
    for dataset in loaded:
        if dataset.manifest.fingerprint == part.fingerprint:
            return dataset, ""
    try:
        dataset = load_dataset(part.name)
    except Exception:  # a name from a record may be no name at all, and a plug-in may raise anything
        return None, "the data set is not available here (give its folder with --dataset)"
    if dataset.manifest.fingerprint != part.fingerprint:
        return None, "the data set of that name here is another version than the one that was tested"
    return dataset, ""


def _query_facts(dataset: Dataset, queries: Sequence[str], lists: Iterable[pl.DataFrame]) -> QueryFacts:
    entries = dataset.split("test").entries.filter(pl.col("playlist_id").is_in(list(queries)))
    parts = {
        role: {
            str(name[0]): tuple(rows["track_id"])
            for name, rows in entries.filter(pl.col("role") == role).group_by("playlist_id", maintain_order=True)
        }
        for role in ("seed", "heldout")
    }
    wanted = set(entries["track_id"])
    for frame in lists:
        wanted.update(frame["ranked"].explode().drop_nulls())
    tracks = dataset.tracks.filter(pl.col("track_id").is_in(list(wanted))).select("track_id", "artist", "title")
    names = {
        track: " – ".join(part for part in (artist, title) if part) or track for track, artist, title in tracks.rows()
    }
    return QueryFacts(names, parts["seed"], parts["heldout"])
