# SPDX-License-Identifier: GPL-2.0
"""What DARC did, of its events: sums by zone, its turns, and bytes over time. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from perf_damon.recording import STARTED, WHYS, Column, Darc, Recording


@dataclass(frozen=True, slots=True)
class ZoneSum:
    """All that was done about a zone. Sizes in bytes."""

    zone: str
    starts: int
    stops: dict[str, int]
    """How often for each of WHYS."""
    tried: int
    passed: int
    """Of it, what nobody had accessed at the last look."""
    reclaimed: int


@dataclass(frozen=True, slots=True)
class Turn:
    """From where DARC began to reclaim a zone's memory to where it ended. Times in nanoseconds."""

    zone: str
    begin: int | None
    """None: before the recording, or its event was lost."""
    end: int | None
    """None: after the recording, or its event was lost."""
    why: str | None
    """One of WHYS, None without an end, "other" for what only a newer kernel knows."""
    free_before: int | None
    free_after: int | None
    tried: int
    reclaimed: int
    """Bytes, as the end tells it; without an end, of what was recorded."""


def span(recording: Recording) -> tuple[int, int]:
    """First and last time stamp of a recording's events, DARC's among them; 0, 0 without any."""
    times = [
        column
        for column in (
            *(target.regions.time for target in recording.targets),
            *(() if recording.darc is None else _times(recording.darc)),
        )
        if len(column)
    ]
    if not times:
        return 0, 0
    return min(int(column[0]) for column in times), max(int(column[-1]) for column in times)


def part(darc: Darc, first: int, last: int) -> Darc:
    """What lies between two time stamps, both included."""
    turns, reclaims = (
        type(table)(
            **{
                name: getattr(table, name)[(table.time >= first) & (table.time <= last)]
                for name in type(table).__dataclass_fields__
            }
        )
        for table in (darc.turns, darc.reclaims)
    )
    return replace(darc, turns=turns, reclaims=reclaims)


def sums(darc: Darc) -> list[ZoneSum]:
    """Of each zone that has events, by name."""
    turns, reclaims = darc.turns, darc.reclaims
    count = len(darc.zones)
    starts = np.bincount(turns.zone[turns.why == STARTED], minlength=count)
    stops = {
        name: np.bincount(turns.zone[turns.why == number], minlength=count)
        for number, name in enumerate((*WHYS, "other"))
    }
    sizes = [
        _added(reclaims.zone, size, count)
        for size in (reclaims.end - reclaims.start, reclaims.passed, reclaims.reclaimed)
    ]
    found = [
        ZoneSum(
            zone=zone,
            starts=int(starts[i]),
            stops={name: int(column[i]) for name, column in stops.items()},
            tried=int(sizes[0][i]),
            passed=int(sizes[1][i]),
            reclaimed=int(sizes[2][i]),
        )
        for i, zone in enumerate(darc.zones)
    ]
    return sorted(
        (one for one in found if one.starts or any(one.stops.values()) or one.tried),
        key=lambda one: zone_order(one.zone),
    )


def turns(darc: Darc) -> list[Turn]:
    """All turns, by their first known time."""
    rows, found = darc.turns, []
    for number, zone in enumerate(darc.zones):
        mine = np.flatnonzero(rows.zone == number)
        open_: int | None = None
        for row in mine.tolist():
            if int(rows.why[row]) == STARTED:
                if open_ is not None:
                    found.append((zone, number, open_, None))
                open_ = row
            else:
                found.append((zone, number, open_, row))
                open_ = None
        if open_ is not None:
            found.append((zone, number, open_, None))
    made = [_turn(darc, *one) for one in found]
    return sorted(made, key=lambda turn: turn.begin if turn.begin is not None else turn.end or 0)


def over_time(darc: Darc, edges: Column) -> dict[str, Column]:
    """Bytes reclaimed of each zone between the edges (uint64 (T + 1,)): uint64 (T,).

    The last cell has its end, too. Zones that nothing was reclaimed of are left out.
    """
    rows, cells = darc.reclaims, len(edges) - 1
    at = np.searchsorted(edges, rows.time, "right") - 1
    at[rows.time == edges[-1]] = cells - 1
    inside = (at >= 0) & (at < cells)
    found = {}
    for number, zone in enumerate(darc.zones):
        mine = inside & (rows.zone == number)
        total = _added(at[mine], rows.reclaimed[mine], cells)
        if total.any():
            found[zone] = total
    return dict(sorted(found.items(), key=lambda item: zone_order(item[0])))


def zone_order(zone: str) -> tuple[int, str]:
    """Sorts zones by node, and then by name."""
    node, _, name = zone.partition("-")
    return (int(node) if node.isdigit() else -1), name


def why_name(number: int) -> str:
    """A stop's reason."""
    return WHYS[number] if 0 <= number < len(WHYS) else "other"


def _turn(darc: Darc, zone: str, number: int, begin: int | None, end: int | None) -> Turn:
    rows, taken = darc.turns, darc.reclaims
    within = taken.zone == number
    if begin is not None:
        within &= taken.time >= rows.time[begin]
    if end is not None:
        within &= taken.time <= rows.time[end]
    elif begin is not None:
        # Another start may follow, where the end was lost.
        later = rows.time[(rows.zone == number) & (rows.time > rows.time[begin])]
        if len(later):
            within &= taken.time < later[0]
    reclaimed = taken.reclaimed[within].sum() if end is None else rows.reclaimed[end]
    return Turn(
        zone=zone,
        begin=None if begin is None else int(rows.time[begin]),
        end=None if end is None else int(rows.time[end]),
        why=None if end is None else why_name(int(rows.why[end])),
        free_before=None if begin is None else int(rows.free[begin]),
        free_after=None if end is None else int(rows.free[end]),
        tried=int((taken.end[within] - taken.start[within]).sum()),
        reclaimed=int(reclaimed),
    )


def _added(index: Column, sizes: Column, count: int) -> Column:
    """uint64 (count,): the sizes of each index, added up exactly."""
    total = np.zeros(count, np.uint64)
    np.add.at(total, index, sizes)
    return total


def _times(darc: Darc) -> tuple[Column, Column]:
    return darc.turns.time, darc.reclaims.time
