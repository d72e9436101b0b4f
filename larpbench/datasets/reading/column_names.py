"""Which column of somebody's table is meant: by larpbench's own names, the usual ones, or those that the user gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from larpbench.errors import DataError, UsageError, clipped, named

_USUAL = {
    "track_id": ("trackuri", "spotifyuri", "spotifytrackuri", "spotifyid", "spotifytrackid", "songid"),
    "title": ("trackname", "tracktitle", "songname", "songtitle", "song"),
    "artist": ("artistname", "artistnames", "artists", "trackartist", "trackartists"),
    "album": ("albumname", "albumtitle", "releasename"),
    "playlist_id": ("pid", "playlisturi", "spotifyplaylistid"),
}
_LAST_RESORT = {
    "track_id": ("uri", "trackurl", "url"),
    "title": ("name", "track"),
    "playlist_id": ("playlistname",),
}
_PAIR = re.compile(r"""\s*([^=,]*?)\s*=\s*("[^"]*"|'[^']*'|[^,]*?)\s*(?:,|$)""")


@dataclass(frozen=True)
class ColumnNames:
    """How columns are found.

    Attributes:
        by_user: Our name -> the user's, which counts where a table has that column.
        others: Our name -> further names that are looked for last, in letters and digits only.
        lists: Our name -> further names of columns that have to hold lists, likewise.
        advice: What to do where a column is missing.
    """

    by_user: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    advice: str = "add it, empty if nothing is known"

    def candidates(self, wanted: str, names: list[str]) -> list[int]:
        """Return the columns that may be the wanted one, by their numbers: of the best kind of match, all.

        The user's own name for it comes first, then the exact name, the name in another spelling, the usual names.
        Letter case, spaces, underscores and other marks make no difference in these.
        """
        plain = [_plain(name) for name in names]
        theirs = self.by_user.get(wanted)
        kinds = [
            [name == theirs for name in names],
            [theirs is not None and same_name(name, theirs) for name in names],
            [name == wanted for name in names],
            [name == _plain(wanted) for name in plain],
            *(
                [name in more.get(wanted, ()) for name in plain]
                for more in (_USUAL, _LAST_RESORT, self.others, self.lists)
            ),
        ]
        return next(([number for number, same in enumerate(kind) if same] for kind in kinds if any(kind)), [])

    def means_list(self, wanted: str, name: str) -> bool:
        """Return whether a column has been taken by a name that lists have."""
        return name != self.by_user.get(wanted) and _plain(name) in self.lists.get(wanted, ())

    def find(
        self, names: list[str], required: tuple[str, ...], optional: tuple[str, ...], where: str
    ) -> dict[str, int]:
        """Return our name -> number of the column, for all that are there.

        Args:
            names: The columns of the table.
            required: Columns that must be there.
            optional: Columns that may be there.
            where: The table, for messages.

        Raises:
            DataError: If one is missing, or several columns may be the same one.
        """
        found = {wanted: self.candidates(wanted, names) for wanted in (*required, *optional)}
        missing = [wanted for wanted in required if not found[wanted]]
        if missing:
            raise DataError(
                f"the table lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
                where=f"{where} (has {clipped(', '.join(map(repr, names)))})",
                allowed=",".join(required) + (f"[,{','.join(optional)}]" if optional else ""),
                next_step=None if "track_id" in missing else self.advice,
            )
        for wanted, numbers in found.items():
            if len(numbers) > 1:
                raise DataError(
                    f"{len(numbers)} columns may be {wanted}: {named([names[number] for number in numbers])}",
                    where=where,
                    allowed=f"one column {wanted}",
                    next_step=f"delete or rename the others, or, for build csv, name it: --columns {wanted}=NAME",
                )
        return {wanted: numbers[0] for wanted, numbers in found.items() if numbers}


def parse_columns(text: str, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the pairs of ``ours=theirs,ours="the others' name"``.

    Raises:
        UsageError: If the text holds something else, or a name that is not allowed on the left side.
    """
    pairs: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        ours, theirs = (match[1], match[2]) if match else ("", "")
        theirs = theirs[1:-1] if theirs[:1] in ("'", '"') and theirs[-1:] == theirs[:1] != theirs else theirs
        if match is None or ours not in allowed or not theirs or ours in pairs:
            raise UsageError(
                f"--columns does not name one column for each of its own: {clipped(text[at:], 80)!r}",
                allowed=f'OURS=THEIRS with commas between, such as track_id=track_uri,title="Track Name"; '
                f"OURS is one of {', '.join(allowed)}",
            )
        pairs[ours] = theirs
        at = match.end()
    return pairs


def same_name(one: str, other: str) -> bool:
    """Return whether two names differ in letter case, spaces, underscores and other marks at most."""
    return one == other or _plain(one) == _plain(other) != ""


def _plain(name: str) -> str:
    """Return the letters and digits of a name, in lower case."""
    return re.sub(r"[\W_]+", "", name.casefold())
