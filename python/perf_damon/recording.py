# SPDX-License-Identifier: GPL-2.0
"""The model of a recording: columns of regions, the targets they belong to, the mappings.

A row is one `damon:damon_aggregated` event: one region at the end of one aggregation interval.
Where the kernel also tells it by `damon:damon_region_aggregated`, with probes' hits, a row is both.
Rows are numpy columns, never objects: an hour's recording has tens of millions of them.
The rows of a Recording are grouped by target and ordered by time within it, so that a
target's columns are slices of the whole, not copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from perf_damon.parameters import Attributes, Parameters, Scheme

if TYPE_CHECKING:
    import pandas

Column = np.ndarray
Rows = slice | int | Column | Sequence[int]
"""Which rows: one, a slice, a mask, or their numbers."""


class Table:
    """Columns of equal length. Equal is only what is the same object: == compares no columns."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_count(len(self), 'row')})"

    def __getitem__(self, rows: Rows) -> Self:
        """The same columns for some of the rows; for a slice, or one row, without a copy."""
        if isinstance(rows, int | np.integer):
            rows = _one(int(rows), len(self), "row")
        columns = (getattr(self, name) for name in self.__dataclass_fields__)
        return type(self)(*(None if column is None else column[rows] for column in columns))

    def __len__(self) -> int:
        return len(self.time)


def _one(index: int, count: int, what: str) -> slice:
    """The slice of one item; raises IndexError."""
    if not -count <= index < count:
        raise IndexError(f"{what} {index} of {count}")
    return slice(index % count, index % count + 1)


def _count(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Regions(Table):
    """Columns of equal length n; row i is one region of one snapshot."""

    time: Column
    """uint64 (n,): nanoseconds of the recording's clock, when the event was emitted."""
    start: Column
    """uint64 (n,): first byte's address."""
    end: Column
    """uint64 (n,): address after the last byte."""
    nr_accesses: Column
    """uint32 (n,): samples that saw an access, 0 … Attributes.max_nr_accesses."""
    age: Column | None
    """uint32 (n,): aggregation intervals since the access pattern last changed; None where the
    recorded kernel does not tell."""
    nr_regions: Column
    """uint32 (n,): how many regions the target had in this snapshot, as the kernel says."""
    probe_hits: Column | None = None
    """int16 (n, probes): samples that found what a probe of the context asks for, say anonymous
    memory; UNTOLD where the context had no such probe then, or the event that tells it was lost.
    None where there are no probes, or the recorded kernel does not tell."""

    @property
    def nr_probes(self) -> int:
        """How many probes there are hits of."""
        return 0 if self.probe_hits is None else self.probe_hits.shape[1]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Applied(Table):
    """What schemes acted on: columns of equal length n, by time.

    A row is one `damon:damos_before_apply` event: a scheme is about to act on one region.
    """

    time: Column
    """uint64 (n,): nanoseconds of the recording's clock."""
    kdamond: Column
    """int32 (n,): thread id of the kdamond."""
    context: Column
    """uint32 (n,): index of the kdamond's context."""
    scheme: Column
    """uint32 (n,): index of the context's scheme."""
    target: Column
    """uint64 (n,): the target's index, as Target.id."""
    start: Column
    """uint64 (n,): first byte's address."""
    end: Column
    """uint64 (n,): address after the last byte."""
    nr_accesses: Column
    """uint32 (n,): as in Regions, of the region when it was acted on."""
    age: Column
    """uint32 (n,): as in Regions."""


UNTOLD = -1
"""In Regions.probe_hits: not known."""
WHYS = ("above_high", "below_low", "disabled")
"""Why DARC has stopped, as the tracepoint numbers it."""
STARTED = -1
_LONG = 80
"""Characters of a path that a repr shows at most."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DarcTurns(Table):
    """When DARC began to reclaim a zone's memory, and when that ended: columns (n,), by time.

    A row is one `darc:darc_start` or `darc:darc_stop` event.
    """

    time: Column
    """uint64: nanoseconds of the recording's clock."""
    zone: Column
    """int32: index into Darc.zones."""
    why: Column
    """int8: STARTED, or index into WHYS; len(WHYS) for what only a newer kernel knows."""
    reclaimed: Column
    """uint64: bytes that were reclaimed since it had begun; 0 at the start."""
    free: Column
    """uint64: bytes of the zone that were free; then its watermarks."""
    high: Column
    mid: Column
    low: Column


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DarcReclaims(Table):
    """What DARC has tried to reclaim: columns (n,), by time.

    A row is one `darc:darc_reclaim` event: a range of physical memory.
    """

    time: Column
    """uint64: nanoseconds of the recording's clock."""
    zone: Column
    """int32: index into Darc.zones."""
    start: Column
    """uint64: first byte's address."""
    end: Column
    """uint64: address after the last byte."""
    passed: Column
    """uint64: bytes that nobody had accessed at the last look."""
    reclaimed: Column
    """uint64: bytes that were reclaimed of these."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Darc:
    """What DARC did."""

    zones: tuple[str, ...]
    """Names of the zones that events are of, as in 0-Normal."""
    turns: DarcTurns
    reclaims: DarcReclaims

    def __repr__(self) -> str:
        zones, turns = _count(len(self.zones), "zone"), _count(len(self.turns), "turn")
        return f"Darc({zones}, {turns}, {_count(len(self.reclaims), 'reclaim')})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mappings:
    """What was mapped where: columns of equal length n, in the order of the file.

    Source: perf's MMAP and MMAP2 records. A later row replaces what it covers of earlier ones
    of the same pid; a fork's child starts with its parent's rows.
    """

    time: Column
    """uint64 (n,): nanoseconds; 0 for what perf found in /proc when it started."""
    pid: Column
    """int32 (n,)."""
    start: Column
    """uint64 (n,)."""
    end: Column
    """uint64 (n,)."""
    offset: Column
    """uint64 (n,): file offset in bytes."""
    name: Column
    """int32 (n,): index into names."""
    names: tuple[str, ...]
    """File names as perf writes them, and [heap], [stack], //anon, [vdso] …"""

    def __repr__(self) -> str:
        return f"Mappings({_count(len(self), 'row')}, {_count(len(self.names), 'name')})"

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, eq=False, repr=False)
class Target:
    """One monitored address space: the events of one (kdamond, target id).

    sysfs numbers the targets of each kdamond from 0, so the id alone does not tell them apart.
    """

    kdamond: int
    """Thread id of the kdamond."""
    id: int
    """The event's target_id."""
    rows: slice
    """Rows of the recording that belong to this target."""
    regions: Regions
    """Their columns."""
    offsets: Column
    """int64 (snapshots + 1,): snapshot i is rows offsets[i]:offsets[i + 1] of `regions`."""
    attributes: Attributes = field(default_factory=Attributes)
    """Known from the recording, or inferred from time stamps: see attributes_inferred."""
    attributes_inferred: bool = False
    operations: str | None = None
    """vaddr, fvaddr, paddr, or None when the recording does not say."""
    pid: int | None = None
    """The monitored process; None for physical memory or when the recording does not say."""
    pid_inferred: bool = False
    """pid was concluded from the mappings that cover the regions, not told."""
    comm: str | None = None
    """The process's name."""
    sample_guessed: bool = False
    """The sampling interval is a guess: that there are 20 samples in an interval, as by default."""
    intervals_tuned: bool = False
    """The intervals changed while it was recorded: DAMON tuned them, or somebody else did."""
    age_unit: Column | None = None
    """float64 (snapshots,): nanoseconds that a count of age stands for, as measured; None: the
    aggregation interval."""
    largest: int = 0
    """The largest nr_accesses of all the recording; 0 where nobody looked."""

    def __repr__(self) -> str:
        who = ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name in ("kdamond", "id", "pid", "comm", "operations")
        )
        snapshots, regions = _count(self.nr_snapshots, "snapshot"), len(self.regions)
        return f"Target({who}: {snapshots}, {_count(regions, 'region')})"

    def __getitem__(self, snapshots: slice | int) -> Target:
        """The same target with some of its snapshots, without a copy."""
        if isinstance(snapshots, int | np.integer):
            snapshots = _one(int(snapshots), self.nr_snapshots, "snapshot")
        first, last, step = snapshots.indices(self.nr_snapshots)
        if step != 1:
            raise ValueError("snapshots are taken one after the other: the step must be 1")
        offsets = self.offsets[first : max(first, last) + 1]
        rows = slice(int(offsets[0]), int(offsets[-1]))
        return replace(
            self,
            rows=slice(self.rows.start + rows.start, self.rows.start + rows.stop),
            regions=self.regions[rows],
            offsets=offsets - rows.start,
            age_unit=None if self.age_unit is None else self.age_unit[first : max(first, last)],
        )

    def __iter__(self) -> Iterator[Target]:
        """Its snapshots, one by one."""
        return (self[i] for i in range(self.nr_snapshots))

    @property
    def nr_snapshots(self) -> int:
        """How many snapshots (aggregations) there are."""
        return len(self.offsets) - 1

    @cached_property
    def snapshot_time(self) -> Column:
        """uint64 (snapshots,): nanoseconds when each snapshot's first event was emitted."""
        return self.regions.time[self.offsets[:-1]]

    @property
    def max_nr_accesses(self) -> int:
        """The nr_accesses of memory that every sample found accessed: at least 1."""
        known = self.attributes.max_nr_accesses
        if known:
            # Somebody may have changed the intervals, and a guess may be wrong.
            return max(known, self.largest)
        return max(1, self.largest or int(self.regions.nr_accesses.max(initial=1)))

    def age_ns(self, age: Column, snapshot: Column) -> Column:
        """float64 (n,): nanoseconds of ages, each of a snapshot; NaN where that is not known."""
        if self.age_unit is not None and len(self.age_unit):
            return age * self.age_unit[snapshot]
        return age * (self.attributes.aggr_us * 1e3 if self.attributes.aggr_us else np.nan)


@dataclass(frozen=True, slots=True)
class Losses:
    """What did not reach the recording, and what could not be read of it."""

    events: int = 0
    """Events that the kernel dropped because perf's buffer was full (LOST, LOST_SAMPLES)."""
    truncated_bytes: int = 0
    """Bytes at the file's end that hold no whole record, or that the header announces and the
    file does not have."""
    skipped_records: int = 0
    """Records that make no sense and were passed over."""

    def __bool__(self) -> bool:
        return bool(self.events or self.truncated_bytes or self.skipped_records)


@dataclass(frozen=True, slots=True)
class Header:
    """What perf says of the machine and the run; None or empty where it does not."""

    hostname: str | None = None
    os_release: str | None = None
    """The kernel's release, as uname -r prints it."""
    perf_version: str | None = None
    arch: str | None = None
    cmdline: tuple[str, ...] = field(default=(), repr=False)
    clockid: int | None = None
    """The clock of the time stamps (CLOCK_MONOTONIC is 1); None is perf's own clock."""
    captured: float | None = None
    """Unix time of the file (its modification)."""


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """All of one perf.data file that concerns DAMON."""

    path: str
    regions: Regions
    """Every row, grouped by target."""
    targets: tuple[Target, ...]
    mappings: Mappings
    comms: dict[int, str]
    """Names of processes by pid (kdamonds too), the last name each had."""
    header: Header
    parameters: Parameters | None
    """What `perf damon record` wrote about the monitoring; None in a plain perf recording."""
    losses: Losses
    size: int
    """Bytes of the file."""
    applied: Applied | None = None
    """What schemes acted on, of all targets; None where that was not recorded."""
    darc: Darc | None = None
    """What DARC did; None where that was not recorded."""
    acted: tuple[Target, ...] = ()
    """Where there are no targets: those of which only is known what schemes acted on."""

    def __repr__(self) -> str:
        path = self.path if len(self.path) <= _LONG else f"…{self.path[-_LONG:]}"
        snapshots = sum(target.nr_snapshots for target in self.targets)
        counts = (
            _count(len(self.targets), "target"),
            _count(snapshots, "snapshot"),
            _count(sum(len(target.regions) for target in self.targets), "region"),
        )
        seconds = (self.end_time - self.start_time) / 1e9
        return f"Recording({path!r}: {', '.join(counts)}, {seconds:.1f} s)"

    @property
    def start_time(self) -> int:
        """Nanoseconds of the first event (0 without events)."""
        known = self.targets or self.acted
        return min((int(t.regions.time[0]) for t in known if len(t.regions)), default=0)

    @property
    def end_time(self) -> int:
        """Nanoseconds of the last event (0 without events)."""
        known = self.targets or self.acted
        return max((int(t.regions.time[-1]) for t in known if len(t.regions)), default=0)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a region and snapshot, as a pandas DataFrame.

        Columns: kdamond, target (id), pid (nullable), comm (the process's name, or None), snapshot
        (index within the target), time (seconds since the first event), start, end, size (bytes),
        nr_accesses, rate (0…1), age (seconds; NaN where unknown), mapping (what the region's first
        byte is mapped to, or the first mapping inside of it, or None). For each of the recording's
        probes, probe_0, probe_1 …: the samples that it hit (nullable, where there was none).
        """
        import pandas

        start_time = self.start_time
        frames = [_frame(target, start_time, self.mappings) for target in self.targets]
        if not frames:
            nothing = np.empty(0)
            empty = Regions(*(nothing.astype(np.uint64) for _ in range(6)))
            none = Target(0, 0, slice(0, 0), empty, np.zeros(1, dtype=np.int64))
            frames = [_frame(none, 0, self.mappings)]
        return pandas.concat(frames, ignore_index=True)

    def action_of(self, kdamond: int, scheme: int) -> str | None:
        """The action of a kdamond's scheme; None where the recording does not tell."""
        schemes = self.schemes_of(kdamond)
        return schemes[scheme].action if scheme < len(schemes) else None

    def schemes_of(self, kdamond: int) -> tuple[Scheme, ...]:
        """A kdamond's schemes by index, as far as the recording tells: of its first context."""
        for known in self.parameters.kdamonds if self.parameters else ():
            if known.tid == kdamond:
                return known.schemes
        return ()

    def applied_to_pandas(self) -> pandas.DataFrame:
        """One row a region that a scheme acted on, as a pandas DataFrame; by time.

        Columns: kdamond, context, scheme, action (None where not known), target (id), pid
        (nullable), comm (or None), time (seconds since the first damon_aggregated event, so it may
        be below 0), start, end, size (bytes), nr_accesses, age (seconds; NaN where unknown),
        mapping (as to_pandas()). No rows where schemes were not recorded.
        """
        import pandas

        applied = self.applied
        if applied is None:
            applied = Applied(*(np.empty(0, kind) for kind in _APPLIED_TYPES))
        count = len(applied)
        pid = pandas.array([pandas.NA], dtype="Int32").repeat(count)
        age = np.full(count, np.nan)
        comm, mapping = np.full((2, count), None, object)
        for target in self.targets:
            mine = (applied.kdamond == target.kdamond) & (applied.target == target.id)
            if target.pid is not None:
                pid[mine] = target.pid
            comm[mine] = target.comm
            mapping[mine] = _mapping_names(target, self.mappings, applied[mine])
            if target.nr_snapshots:
                after = np.searchsorted(target.snapshot_time, applied.time[mine])
                snapshot = np.minimum(after, target.nr_snapshots - 1)
                age[mine] = target.age_ns(applied.age[mine], snapshot) / 1e9
        keys, which = np.unique(
            np.column_stack((applied.kdamond, applied.scheme)), axis=0, return_inverse=True
        )
        actions = np.array([self.action_of(*key) for key in keys.tolist()], object)
        return pandas.DataFrame(
            {
                "kdamond": applied.kdamond,
                "context": applied.context,
                "scheme": applied.scheme,
                "action": actions[which.reshape(-1)],
                "target": applied.target,
                "pid": pid,
                "comm": comm,
                "time": (applied.time.astype(np.int64) - self.start_time) / 1e9,
                "start": applied.start,
                "end": applied.end,
                "size": applied.end - applied.start,
                "nr_accesses": applied.nr_accesses,
                "age": age,
                "mapping": mapping,
            }
        )


_APPLIED_TYPES = (
    *(np.uint64, np.int32, np.uint32, np.uint32, np.uint64),
    *(np.uint64, np.uint64, np.uint32, np.uint32),
)
"""Of the columns of Applied, in their order."""


def _mapping_names(target: Target, mappings: Mappings, rows: Regions | Applied) -> Column:
    """object (n,): the name of the mapping that each row belongs to, None for none."""
    # It knows this module.
    from perf_damon.analysis.mappings import atlas

    until = int(target.snapshot_time[-1]) if target.nr_snapshots else None
    return atlas(mappings, target.pid, until).names_of(rows.start, rows.end)


def _frame(target: Target, start_time: int, mappings: Mappings) -> pandas.DataFrame:
    import pandas

    regions = target.regions
    count = len(regions)
    snapshot = np.repeat(np.arange(target.nr_snapshots), np.diff(target.offsets))
    age = np.full(count, np.nan)
    if regions.age is not None:
        age = target.age_ns(regions.age, snapshot) / 1e9
    probes = {}
    for probe in range(regions.nr_probes):
        hits = regions.probe_hits[:, probe]
        probes[f"probe_{probe}"] = pandas.array(hits, dtype="Int16")
        probes[f"probe_{probe}"][hits == UNTOLD] = pandas.NA
    return pandas.DataFrame(
        {
            "kdamond": np.full(count, target.kdamond, dtype=np.int32),
            "target": np.full(count, target.id, dtype=np.uint64),
            "pid": pandas.array([target.pid], dtype="Int32").repeat(count),
            "comm": np.full(count, target.comm, object),
            "snapshot": snapshot,
            "time": (regions.time - np.uint64(start_time)) / 1e9,
            "start": regions.start,
            "end": regions.end,
            "size": regions.end - regions.start,
            "nr_accesses": regions.nr_accesses,
            "rate": np.minimum(regions.nr_accesses / target.max_nr_accesses, 1.0),
            "age": age,
            "mapping": _mapping_names(target, mappings, regions),
            **probes,
        }
    )
