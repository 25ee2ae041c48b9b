# SPDX-License-Identifier: GPL-2.0
"""What DARC did, of a recording: for people, and as JSON and CSV.

JSON is {"recording": as of the other reports (see data.py), "darc": {duration_ns, zones: [{zone,
starts, stops: {above_high, below_low, disabled, other}, tried, passed, reclaimed}], turns: [{zone,
begin_ns, end_ns, why, free_before, free_after, tried, reclaimed}], time_edges_ns, reclaimed:
{zone: a size for each time}}}; null is what was not recorded. CSV has a line an event. Sizes are
bytes, times nanoseconds since the recording's first event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from perf_damon.analysis.darc import Turn, ZoneSum, over_time, sums, turns, why_name
from perf_damon.recording import STARTED, Darc
from perf_damon.render.regions import quote_csv
from perf_damon.render.text import Canvas, clean, fitted, pad, shorten, text_width, wrap
from perf_damon.render.wss import sparkline
from perf_damon.units import format_count, format_size, format_time_us

NOT_RECORDED = "does not tell what DARC did"
NOTHING = "DARC reclaimed nothing while it was recorded."
CSV_HEAD = "time_ns,zone,event,why,start,end,passed,reclaimed,free,high,mid,low\n"
_WHY = {
    "above_high": "above high",
    "below_low": "below low",
    "disabled": "disabled",
    "other": "other",
    None: "unknown",
}
_LESS = (("Tried",), ("Disabled",), ("Starts",), ("Below low",))
_MOST_TURNS = 40


def reclaim_lines(darc: Darc, span: tuple[int, int], origin: int, canvas: Canvas) -> Iterator[str]:
    """Sums of each zone, what was reclaimed when, and each turn; of a span of the recording."""
    found = sums(darc)
    length = format_time_us((span[1] - span[0]) / 1e3)
    if not found:
        yield from wrap(NOTHING, canvas.width)
        yield from (
            canvas.dim(line) for line in wrap("perf damon darc status tells why", canvas.width)
        )
        return
    yield from _head(f"What DARC did in {length}, and how often it stopped for what", canvas)
    yield from _sums(found, canvas)
    yield ""
    yield from _course(darc, span, canvas)
    made = turns(darc)
    if made:
        yield ""
        yield from _head("When it began to reclaim, and why it stopped", canvas)
        yield from _turns(made[:_MOST_TURNS], origin, canvas)
        if len(made) > _MOST_TURNS:
            more = f"and {format_count(len(made) - _MOST_TURNS)} more: --time, or --format json"
            yield from wrap(more, canvas.width)


def _head(text: str, canvas: Canvas) -> Iterator[str]:
    return (canvas.bold(line) for line in wrap(text, canvas.width))


def _sums(found: Sequence[ZoneSum], canvas: Canvas) -> list[str]:
    columns = {
        "Zone": [clean(one.zone) for one in found],
        "Starts": [format_count(one.starts) for one in found],
        "Above high": [format_count(one.stops["above_high"]) for one in found],
        "Below low": [format_count(one.stops["below_low"]) for one in found],
        "Disabled": [format_count(one.stops["disabled"]) for one in found],
        "Tried": [format_size(one.tried) for one in found],
        "Reclaimed": [format_size(one.reclaimed) for one in found],
    }
    return fitted(columns, _LESS, ("Zone",), canvas)


def _turns(made: Sequence[Turn], origin: int, canvas: Canvas) -> list[str]:
    columns = {
        "From": [_when(turn.begin, origin) for turn in made],
        "To": [_when(turn.end, origin) for turn in made],
        "Zone": [clean(turn.zone) for turn in made],
        "Free": [_size(turn.free_before) for turn in made],
        "then": [_size(turn.free_after) for turn in made],
        "Reclaimed": [format_size(turn.reclaimed) for turn in made],
        "Stopped": [_WHY[turn.why] for turn in made],
    }
    return fitted(columns, (("then",), ("Free",), ("To",)), ("Zone", "Stopped"), canvas)


def _course(darc: Darc, span: tuple[int, int], canvas: Canvas) -> Iterator[str]:
    zones = {zone: shorten(clean(zone), canvas.width // 2) for zone in darc.zones}
    margin = max(map(text_width, zones.values())) + 2
    cells = max(1, canvas.width - margin)
    edges = time_edges(span, cells)
    course = over_time(darc, edges)
    if not course:
        yield from wrap("Nothing that it tried could be reclaimed.", canvas.width)
        return
    most = max(int(sizes.max()) for sizes in course.values())
    yield from _head("What was reclaimed when", canvas)
    for zone, sizes in course.items():
        shares = np.where(sizes > 0, sizes.astype(np.float64), np.nan)
        line = sparkline(shares, float(most), canvas).rstrip()
        yield pad(zones[zone], margin) + line
    each = format_time_us(float(edges[1] - edges[0]) / 1e3)
    length = format_time_us((span[1] - span[0]) / 1e3)
    words = f"{length} from left to right, up to {format_size(most)} in {each}"
    for line in wrap(words, canvas.width - margin):
        yield " " * margin + canvas.dim(line)


def time_edges(span: tuple[int, int], cells: int) -> np.ndarray:
    """uint64 (T + 1,): even edges from the first to the last time stamp, at most `cells` cells."""
    length = max(1, span[1] - span[0])
    cells = max(1, min(cells, length))
    steps = np.arange(cells + 1, dtype=np.float64) / cells
    return np.uint64(span[0]) + np.rint(steps * length).astype(np.uint64)


def reclaims_data(darc: Darc, span: tuple[int, int], origin: int, cells: int) -> dict[str, Any]:
    """For programs."""
    edges = time_edges(span, cells)
    made = []
    for turn in turns(darc):
        whole = asdict(turn)
        begin, end = whole.pop("begin"), whole.pop("end")
        made.append(
            {
                "zone": whole.pop("zone"),
                "begin_ns": None if begin is None else begin - origin,
                "end_ns": None if end is None else end - origin,
                **whole,
            }
        )
    return {
        "duration_ns": span[1] - span[0],
        "zones": [asdict(one) for one in sums(darc)],
        "turns": made,
        "time_edges_ns": (edges - np.uint64(origin)).tolist(),
        "reclaimed": {zone: sizes.tolist() for zone, sizes in over_time(darc, edges).items()},
    }


def reclaims_csv(darc: Darc, origin: int) -> Iterator[str]:
    """A line an event, by time."""
    yield CSV_HEAD
    starts, taken = darc.turns, darc.reclaims
    zones = [quote_csv(zone) for zone in darc.zones]
    both = np.concatenate((starts.time, taken.time))
    for row in np.argsort(both, kind="stable").tolist():
        if row < len(starts):
            table_, at = starts, row
            began = int(starts.why[at]) == STARTED
            what = "start,," if began else f"stop,{why_name(int(starts.why[at]))},"
            sizes = ["", "", "", "" if began else starts.reclaimed[at]]
            sizes += [column[at] for column in (starts.free, starts.high, starts.mid, starts.low)]
        else:
            table_, at = taken, row - len(starts)
            what = "reclaim,,"
            sizes = [column[at] for column in (taken.passed, taken.reclaimed)]
            sizes = [taken.start[at], taken.end[at], *sizes, "", "", "", ""]
        time = int(table_.time[at]) - origin
        yield f"{time},{zones[table_.zone[at]]},{what}{','.join(map(str, sizes))}\n"


def _when(time: int | None, origin: int) -> str:
    return "-" if time is None else f"{(time - origin) / 1e9:.1f} s"


def _size(size: int | None) -> str:
    return "-" if size is None else format_size(size)
