# SPDX-License-Identifier: GPL-2.0
"""Where things lie inside a record, as the event's attributes say.

Source: the comments of enum perf_event_type in linux/perf_event.h (perf_event_open(2)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perf_damon.errors import DataError
from perf_damon.perfdata.container import Attr
from perf_damon.perfdata.tracing import EventFormat

RECORD_MMAP = 1
RECORD_LOST = 2
RECORD_COMM = 3
RECORD_EXIT = 4
RECORD_FORK = 7
RECORD_SAMPLE = 9
RECORD_MMAP2 = 10
RECORD_LOST_SAMPLES = 13

IP = 1 << 0
TID = 1 << 1
TIME = 1 << 2
ADDR = 1 << 3
READ = 1 << 4
CALLCHAIN = 1 << 5
ID = 1 << 6
CPU = 1 << 7
PERIOD = 1 << 8
STREAM_ID = 1 << 9
RAW = 1 << 10
IDENTIFIER = 1 << 16

_READ_ENABLED = 1 << 0
_READ_RUNNING = 1 << 1
_READ_ID = 1 << 2
_READ_GROUP = 1 << 3
_READ_LOST = 1 << 4

FIELDS = ("target_id", "nr_regions", "start", "end", "nr_accesses", "age")
"""Fields of damon:damon_aggregated; only the last may be missing."""
HITS = "probe_hits"
"""What damon:damon_region_aggregated has beside them: a byte for each probe, behind the fields."""
APPLY_FIELDS = ("context_idx", "scheme_idx", "target_idx", *FIELDS[1:])
"""Fields of damon:damos_before_apply."""


@dataclass(frozen=True, slots=True)
class SampleLayout:
    """Byte offsets within a sample; the raw data's offset varies where variable is True."""

    id: int | None
    cpu: int | None
    tid: int
    time: int
    raw: int
    """Offset of the u32 that holds the raw data's size, as if what varies were empty."""
    read_format: int | None
    """How the counts that stand before the raw data look, where there are any."""
    callchain: bool

    @property
    def stream(self) -> int | None:
        """Offset of what tells which buffer the sample was in: its id is of one processor."""
        return self.cpu if self.id is None else self.id

    @property
    def variable(self) -> bool:
        """Counts of a group or a call chain stand before the raw data."""
        group = self.read_format is not None and bool(self.read_format & _READ_GROUP)
        return group or self.callchain

    @classmethod
    def of(cls, attr: Attr) -> SampleLayout | None:
        """The layout of an event's samples; None where they lack thread, time or raw data."""
        kind = attr.sample_type
        if not (kind & TID and kind & TIME and kind & RAW):
            return None
        at = 8
        offsets: dict[int, int] = {}
        for bit in (IDENTIFIER, IP, TID, TIME, ADDR, ID, STREAM_ID, CPU, PERIOD):
            if kind & bit:
                offsets[bit] = at
                at += 8
        read_format = attr.read_format if kind & READ else None
        if read_format is not None:
            words = read_format & (_READ_ENABLED | _READ_RUNNING)
            at += 8 * (1 + words.bit_count())
            if not read_format & _READ_GROUP:
                at += 8 * (read_format & (_READ_ID | _READ_LOST)).bit_count()
        if kind & CALLCHAIN:
            at += 8
        return cls(
            id=offsets.get(IDENTIFIER, offsets.get(ID)),
            cpu=offsets.get(CPU),
            tid=offsets[TID] + 4,
            time=offsets[TIME],
            raw=at,
            read_format=read_format,
            callchain=bool(kind & CALLCHAIN),
        )

    def shifts(self, words: np.ndarray, at: np.ndarray) -> np.ndarray:
        """int64 (n,): bytes by which each sample's raw data lie behind `raw`.

        `words` is the data as uint64, `at` int64 (n,) the samples' first words. What would lead
        out of `words` is clipped; the caller checks the result against the records' sizes.
        """
        shift = np.zeros(len(at), dtype=np.int64)
        last = len(words) - 1
        limit = np.uint64(1 << 13)  # no record is longer than 2^16 bytes
        tail = 8 if self.callchain else 0
        if self.read_format is not None and self.read_format & _READ_GROUP:
            read_words = (self.read_format & (_READ_ENABLED | _READ_RUNNING)).bit_count()
            per_value = 1 + (self.read_format & (_READ_ID | _READ_LOST)).bit_count()
            first = (self.raw - tail) // 8 - 1 - read_words
            count = np.minimum(words[np.minimum(at + first, last)], limit).astype(np.int64)
            shift += 8 * per_value * count
        if self.callchain:
            first = (self.raw - tail) // 8
            count = words[np.minimum(at + first + shift // 8, last)]
            shift += 8 * np.minimum(count, limit).astype(np.int64)
        return shift


def raw_fields(
    event: EventFormat, path: str, hint: str, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, tuple[int, str]]:
    """Offset and numpy type of each named field in the raw data.

    Also `common_type`, which tells events apart. Raises DataError, of the recording at `path`,
    where one is missing or of a size that no number has.
    """
    fields = {}
    for name in ("common_type", *names):
        field = event.fields.get(name)
        if field is None and name in optional:
            continue
        if field is None or field.size not in (1, 2, 4, 8) or field.end > 1 << 15:
            raise DataError(
                f"{path}: this kernel's {event.system}:{event.name} lacks fields: it has "
                + (", ".join(n for n in event.fields if not n.startswith("common_")) or "none"),
                hint,
            )
        fields[name] = (field.offset, f"<u{field.size}")
    return fields


def sample_dtype(layout: SampleLayout, fields: dict[str, tuple[int, str]], size: int) -> np.dtype:
    """A structured type that overlays samples of `size` bytes of fixed layout.

    Names: header, id and stream (where there are such), tid, time, raw_size and those of `fields`.
    """
    columns = {"header": (0, "<u8"), "tid": (layout.tid, "<u4"), "time": (layout.time, "<u8")}
    if layout.id is not None:
        columns["id"] = (layout.id, "<u8")
    if layout.stream is not None:
        columns["stream"] = (layout.stream, "<u4")
    columns["raw_size"] = (layout.raw, "<u4")
    for name, (offset, kind) in fields.items():
        columns[name] = (layout.raw + 4 + offset, kind)
    return np.dtype(
        {
            "names": list(columns),
            "formats": [kind for _, kind in columns.values()],
            "offsets": [offset for offset, _ in columns.values()],
            "itemsize": size,
        }
    )


def raw_end(fields: dict[str, tuple[int, str]]) -> int:
    """Bytes of raw data that hold all fields."""
    return max(offset + int(kind[2:]) for offset, kind in fields.values())


@dataclass(frozen=True, slots=True)
class Trailer:
    """The sample id at the end of records that are not samples."""

    size: int
    time: int | None
    """Bytes from the time stamp to the record's end."""

    @classmethod
    def of(cls, attr: Attr) -> Trailer:
        """The trailer of the records that belong to an event."""
        if not attr.sample_id_all:
            return cls(0, None)
        bits = [b for b in (TID, TIME, ID, STREAM_ID, CPU, IDENTIFIER) if attr.sample_type & b]
        size = 8 * len(bits)
        return cls(size, size - 8 * bits.index(TIME) if TIME in bits else None)
