"""A part of the work, ``I/N``: every N-th shard of a split, for N processes that each take one part."""

from __future__ import annotations

import re
import sys

from larpbench.errors import UsageError, clipped


def shards_of_part(part: str) -> range:
    """Return the numbers of the shards, from 0, that belong to a part such as ``3/16``: those that are 2 modulo 16.

    Raises:
        UsageError: If it is no part.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", part.strip(), re.ASCII)
    number, parts = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= parts:
        zero_based = found is not None and number == 0
        raise UsageError(
            f"{clipped(part, 40)!r} is no part",
            allowed="I/N, whole numbers with 1 <= I <= N, such as 1/16 to 16/16",
            next_step="add 1 to an index that counts from 0: --part $((JOB_COMPLETION_INDEX + 1))/N"
            if zero_based
            else None,
        )
    return range(number - 1, sys.maxsize, parts)
