# SPDX-License-Identifier: GPL-2.0
"""DARC's events as columns: darc:darc_start, darc:darc_stop and darc:darc_reclaim.

They name the zone by a text behind their fields (__data_loc): gathered from where it lies, and
looked up once for each distinct zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from perf_damon.perfdata.container import Attr
from perf_damon.perfdata.layout import raw_fields
from perf_damon.perfdata.samples import SampleCollector
from perf_damon.perfdata.tracing import EventFormat
from perf_damon.perfdata.walk import Block
from perf_damon.recording import STARTED, WHYS, Darc, DarcReclaims, DarcTurns

SYSTEM = "darc"
START, STOP, RECLAIM = "darc_start", "darc_stop", "darc_reclaim"
EVENTS: Mapping[str, tuple[str, ...]] = {
    START: ("free", "high", "mid", "low"),
    STOP: ("why", "reclaimed", "free", "high", "mid", "low"),
    RECLAIM: ("start", "end", "passed", "reclaimed"),
}
"""Fields of each event, beside nid and zone."""
_TEXT_BYTES = 16
"""More than zones' names have."""


class ZoneNames:
    """Zones by the number that rows have them by."""

    def __init__(self) -> None:
        self._index: dict[tuple[int, str], int] = {}

    def index(self, nid: int, zone: str) -> int:
        """The number of a zone."""
        return self._index.setdefault((nid, zone), len(self._index))

    def names(self) -> tuple[str, ...]:
        """As DARC's folders are named: 0-Normal."""
        return tuple(f"{nid}-{zone}" for nid, zone in self._index)


class DarcCollector(SampleCollector):
    """Takes blocks, picks one event's samples out of them, and keeps its fields."""

    def __init__(
        self,
        attr: Attr,
        event: EventFormat,
        zones: ZoneNames,
        *,
        data_size: int,
        path: str,
        streams: bool = False,
    ) -> None:
        """Raises DataError where the event's samples lack what is needed."""
        names = ("nid", "zone", *EVENTS[event.name])
        hint = "record without --darc; perf damon reads " + ", ".join(names)
        fields = raw_fields(event, path, hint, names)
        super().__init__(
            attr, fields, {}, others=True, data_size=data_size, path=path, streams=streams
        )
        self._zones = zones
        self._names = EVENTS[event.name]
        self._parts: list[dict[str, np.ndarray]] = []

    def take(self, block: Block) -> None:
        """Keep the block's samples of the event."""
        self._take_places(block.words, *self._samples(block))

    def _take_places(self, words: np.ndarray, at: np.ndarray, sizes: np.ndarray) -> None:
        layout = self._layout
        shift = layout.shifts(words, at) if layout.variable else np.zeros(len(at), np.int64)
        fits = sizes >= self._need + shift
        self._skip(~fits)
        at, sizes, shift = at[fits], sizes[fits], shift[fits]
        if not len(at):
            return
        head, raw = self._overlay(words, at, shift)
        ours = raw["common_type"] == self._type
        self._skip(~ours)
        zone = raw["zone"].astype(np.int64)
        offset, length = zone & 0xFFFF, zone >> 16 & 0xFFFF
        before = layout.raw + 4 + shift
        good = ours & (length > 0) & (length <= _TEXT_BYTES)
        good &= (offset + length <= raw["raw_size"]) & (before + offset + length <= sizes)
        if EVENTS[RECLAIM] == self._names:
            good &= raw["start"] < raw["end"]
        self.skipped_records += int((ours & ~good).sum())
        rows = np.flatnonzero(good)
        if not len(rows):
            return
        places = at[rows] * 8 + before[rows] + offset[rows]
        part = {name: raw[name][rows].astype(np.uint64) for name in self._names}
        part["time"] = head["time"][rows].astype(np.uint64)
        nid = raw["nid"][rows].astype(np.uint32).view(np.int32)
        if self._with_streams:
            part["stream"] = head["stream"][rows].copy()
        part["zone"] = self._zone_of(nid, _texts(words, places, length[rows]))
        self._parts.append(part)

    def _zone_of(self, nid: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """int32 (n,): the zones' numbers."""
        both = np.empty(len(nid), dtype=[("nid", np.int32), ("zone", texts.dtype)])
        both["nid"], both["zone"] = nid, texts
        distinct, which = np.unique(both, return_inverse=True)
        numbers = [
            self._zones.index(int(one["nid"]), one["zone"].decode(errors="replace"))
            for one in distinct
        ]
        return np.array(numbers, np.int32)[which.reshape(-1)]

    def _kept(self, head: np.ndarray, raw: np.ndarray, first: int) -> None:
        raise AssertionError("rows are kept by _take_places()")

    def columns(self) -> dict[str, np.ndarray]:
        """All that was kept, in the order of the file."""
        return joined(self._parts, self._names)

    def times(self) -> np.ndarray:
        """uint64 (n,): the stamp of each sample that was kept."""
        return joined(self._parts, ())["time"]

    def streams(self) -> np.ndarray | None:
        """uint32 (n,): which buffer each was in; None where nothing tells, or nobody asked."""
        if not self._with_streams:
            return None
        return np.concatenate([np.empty(0, np.uint32), *(part["stream"] for part in self._parts)])

    def _drop(self, kept: np.ndarray) -> None:
        whole = joined(self._parts, self._names)
        self._parts = [{name: column[kept] for name, column in whole.items()}]


def joined(parts: Sequence[dict[str, np.ndarray]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """The parts as one, with time and zone; nothing where there are none."""
    kinds = {"zone": np.int32}
    return {
        name: np.concatenate(
            [np.empty(0, kinds.get(name, np.uint64)), *(part[name] for part in parts)]
        )
        for name in ("time", "zone", *names)
    }


def build(columns: Mapping[str, Mapping[str, np.ndarray]], zones: ZoneNames) -> Darc:
    """The table of all events' columns, in order of time; events that are not there are empty."""
    found = {name: columns.get(name) or joined([], EVENTS[name]) for name in EVENTS}
    started, stopped, taken = found[START], found[STOP], found[RECLAIM]
    nr_started, nr_stopped = len(started["time"]), len(stopped["time"])
    # What a newer kernel stops for is not known here, but that it has stopped.
    why = np.minimum(stopped["why"], len(WHYS)).astype(np.int8)
    turns = {
        name: np.concatenate((started[name], stopped[name]))
        for name in ("time", "zone", "free", "high", "mid", "low")
    }
    turns["why"] = np.concatenate((np.full(nr_started, STARTED, np.int8), why))
    nothing = np.zeros(nr_started, np.uint64)
    turns["reclaimed"] = np.concatenate((nothing, stopped["reclaimed"]))
    assert len(turns["time"]) == nr_started + nr_stopped
    by_time = np.argsort(turns["time"], kind="stable")
    order = np.argsort(taken["time"], kind="stable")
    return Darc(
        zones=zones.names(),
        turns=DarcTurns(**{name: column[by_time] for name, column in turns.items()}),
        reclaims=DarcReclaims(
            **{name: taken[name][order] for name in DarcReclaims.__dataclass_fields__}
        ),
    )


def _texts(words: np.ndarray, places: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """S16 (n,): the texts that begin at these bytes and are so long, without what ends them."""
    data = words.view(np.uint8)
    step = np.arange(_TEXT_BYTES)
    index = np.minimum(places[:, None] + step, len(data) - 1)
    window = np.where(step < lengths[:, None], data[index], 0).astype(np.uint8)
    return np.ascontiguousarray(window).view(f"S{_TEXT_BYTES}")[:, 0]
