# SPDX-License-Identifier: GPL-2.0
"""Finding the records of a stretch whose sizes change all the time, many at once.

The stretch is entered at many places, each a word that looks like the header of a common
record, and all these lanes step from record to record together. Then the whole chain is
checked, each record against its successor: so a lane that began inside of a record is found
out, whatever the data are, and the stretch is walked record by record.
"""

from __future__ import annotations

import numpy as np

from perf_damon.perfdata.layout import RECORD_SAMPLE

SIZE_SHIFT = np.uint64(51)
"""A header's upper 16 bits are its size in bytes, so this gives words: sizes are multiples of 8."""
ODD = np.uint64(7 << 48)
"""The bits of a header that are zero in every size that makes sense."""
TYPE = np.uint64(0xFFFFFFFF)

_LANE_WORDS = 256
_SEED_WORDS = 96
"""How far a lane looks for a header to begin with."""
_MAX_STEPS = 2048
_SIZE_AT = 3
"""Index of a header's size among its 16-bit words."""


def find(words: np.ndarray, common: np.uint64 | None) -> np.ndarray | None:
    """Places (int64) of the whole records in `words`, None where the lanes did not meet.

    `words` begins with a record; `common` is a header that many of its records have.
    """
    count = len(words)
    lanes = count // _LANE_WORDS
    if lanes < 4 or common is None:
        return None
    seeds = _seeds(words, lanes, common)
    steps = (words >> SIZE_SHIFT).view(np.int64)
    at, stop = seeds.copy(), np.append(seeds[1:], count)
    marks = np.zeros(count + 1, dtype=bool)
    step = np.empty_like(at)
    for left in range(_MAX_STEPS, 0, -1):
        marks[at] = True
        steps.take(at, out=step, mode="clip")
        at += step
        # A lane waits where the next one began; whether it stepped there shows below.
        np.minimum(at, stop, out=at)
        if left % 4 == 0 and (at == stop).all():
            break
    marks[at] = True
    places = np.flatnonzero(marks[:count])
    headers = words[places]
    nexts = places + steps[places]
    if (nexts[:-1] != places[1:]).any() or (headers & ODD).any() or nexts[-1] < count:
        return None
    return places[:-1] if nexts[-1] > count else places


def _seeds(words: np.ndarray, lanes: int, header: np.uint64) -> np.ndarray:
    """Places that look like that header, at most one for each lane; the first is 0."""
    span = len(words) // lanes
    windows = np.lib.stride_tricks.as_strided(
        words[span:], (lanes - 1, min(span, _SEED_WORDS)), (span * 8, 8), writeable=False
    )
    found = windows == header
    column = found.argmax(axis=1)
    hit = found[np.arange(lanes - 1), column]
    return np.concatenate(([0], (np.arange(1, lanes) * span + column)[hit]))


def serial(words: np.ndarray, limit: int | None = None, until: int | None = None) -> list[int]:
    """Places of the whole records, up to the first that makes no sense or is cut off.

    Also stops after `limit` records, and ahead of a later one whose header is `until`.
    """
    sizes = memoryview(words).cast("B").cast("H")[_SIZE_AT:]
    count = len(words)
    places: list[int] = []
    at = 0
    while at < count and (limit is None or len(places) < limit):
        size = sizes[at * 4]
        if size < 8 or size & 7 or at + (size >> 3) > count:
            break
        if until is not None and places and int(words[at]) == until:
            break
        places.append(at)
        at += size >> 3
    return places


def commonest(words: np.ndarray, otherwise: np.uint64 | None = None) -> np.uint64 | None:
    """The header that most of the first samples have, `otherwise` where there are none."""
    headers = words[np.array(serial(words, limit=64), dtype=np.int64)]
    samples = headers[headers & TYPE == RECORD_SAMPLE]
    if not len(samples):
        return otherwise
    values, counts = np.unique(samples, return_counts=True)
    return values[counts.argmax()]
