# SPDX-License-Identifier: GPL-2.0
"""From columns of events to targets and their snapshots."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from perf_damon.distances import age_units, changed
from perf_damon.parameters import Attributes, Kdamond, Parameters
from perf_damon.perfdata.events import MAX_TARGETS, Events
from perf_damon.recording import Applied, Mappings, Regions, Target

OPERATIONS = ("vaddr", "fvaddr", "paddr")
USER_END = 1 << 63
"""Addresses from here on are the kernel's on every 64-bit machine."""
_MIN_COVERED = 0.5
_SAMPLES = 20
"""Samples in an aggregation by default (100 ms of 5 ms)."""
_AGGR_US = 100_000
"""The aggregation interval by default."""
_STRETCH = 1 << 16
_SAMPLED_ROWS = 4096
_MAX_PAIRS = 1 << 17
"""Targets times processes: with more, no process is concluded from mappings, for it takes long."""


def assemble(
    events: Events, mappings: Mappings, comms: dict[int, str], parameters: Parameters | None
) -> tuple[Regions, tuple[Target, ...]]:
    """Group the events by target, in order of time, and find each target's snapshots."""
    columns, target = events.columns, events.target
    keys = sorted(range(len(events.keys)), key=lambda index: events.keys[index])
    bounds = np.array([0, len(target)])
    order = None
    if len(keys) > 1:
        # Positions within the sorted keys: small integers, which are sorted by radix.
        rank = np.empty(len(keys), dtype=np.uint8 if len(keys) < 256 else np.uint16)
        rank[keys] = np.arange(len(keys))
        target = rank[target]
        order = np.argsort(target, kind="stable")
        bounds = np.append(0, np.cumsum(np.bincount(target, minlength=len(keys))))
    if not events.ordered:
        order = _by_time(columns["time"], order, bounds)
    if order is not None:
        for name in columns:
            columns[name] = columns[name][order]  # one by one, so that the old ones go
    regions = Regions(
        time=columns["time"],
        start=columns["start"],
        end=columns["end"],
        nr_accesses=columns["nr_accesses"],
        age=columns.get("age"),
        nr_regions=columns["nr_regions"],
        probe_hits=columns.get("probe_hits"),
    )
    searched = mappings if _few_enough(len(keys), mappings) else None
    kdamonds = {k.tid: k for k in parameters.kdamonds} if parameters else {}
    targets = []
    for position, index in enumerate(keys):
        rows = slice(int(bounds[position]), int(bounds[position + 1]))
        tid, id_ = events.keys[index]
        target_ = _target(tid, id_, rows, regions[rows], kdamonds.get(tid))
        targets.append(_with_process(target_, searched, comms, parameters))
    return regions, tuple(targets)


def _by_time(time: np.ndarray, order: np.ndarray | None, bounds: np.ndarray) -> np.ndarray:
    """int64 (n,): rows in the given order, and within each of the groups by time.

    perf writes the buffers of several processors one after the other. Each is in order, so what
    is to be sorted are long runs, which a merge sort makes quick work of.
    """
    if order is None:
        return np.argsort(time, kind="stable")
    for first, last in pairwise(bounds.tolist()):
        group = order[first:last]
        times = time[group]
        if (times[1:] < times[:-1]).any():
            order[first:last] = group[np.argsort(times, kind="stable")]
    return order


def _target(tid: int, id_: int, rows: slice, regions: Regions, kdamond: Kdamond | None) -> Target:
    """A target with its snapshots and attributes, as far as parameters or times tell."""
    starts = _snapshot_starts(regions)
    attributes = kdamond.attributes if kdamond else Attributes()
    inferred = guessed = False
    if attributes.aggr_us is None:
        inferred = True
        attributes = replace(attributes, aggr_us=infer_aggr_us(regions.time[starts]))
    if attributes.sample_us is None:
        guess = infer_sample_us(attributes.aggr_us, regions.nr_accesses)
        guessed = guess is not None
        attributes = replace(attributes, sample_us=guess)
    offsets = _split_at_gaps(regions.time, starts, attributes.aggr_us)
    distances = np.diff(regions.time[offsets[:-1]].astype(np.int64))
    tuned = attributes.tuned or changed(distances)
    return Target(
        kdamond=tid,
        id=id_,
        rows=rows,
        regions=regions,
        offsets=offsets,
        attributes=attributes,
        attributes_inferred=inferred,
        sample_guessed=guessed,
        intervals_tuned=tuned,
        age_unit=age_units(distances, (attributes.aggr_us or 0) * 1000, tuned),
        largest=_largest(regions.nr_accesses, attributes.aggr_us),
        operations=kdamond.operations if kdamond and kdamond.operations in OPERATIONS else None,
        pid=kdamond.pids[id_] if kdamond and id_ < len(kdamond.pids) else None,
    )


def _largest(nr_accesses: np.ndarray, aggr_us: int | None) -> int:
    """The largest count that can be: there is no sample each microsecond."""
    largest = int(nr_accesses.max(initial=0))
    if aggr_us and largest > aggr_us:
        largest = int(nr_accesses[nr_accesses <= aggr_us].max(initial=0))
    return largest


def _snapshot_starts(regions: Regions) -> np.ndarray:
    """int64: rows where a new snapshot certainly begins, by addresses and counts alone.

    The kernel emits a snapshot's regions in order of address. So a new one begins where a
    region lies below the end of the one before, or where the count of regions changes, or
    after a single region that was all there is.
    """
    count = len(regions)
    found = [np.zeros(1, dtype=np.int64)]
    # By stretches that stay in the cache; each looks back one row.
    for first in range(1, count, _STRETCH):
        last = min(first + _STRETCH, count)
        nr_regions = regions.nr_regions[first:last]
        begins = regions.start[first:last] < regions.end[first - 1 : last - 1]
        begins |= nr_regions != regions.nr_regions[first - 1 : last - 1]
        begins |= nr_regions == 1
        found.append(np.flatnonzero(begins) + first)
    return np.concatenate(found)


def _split_at_gaps(time: np.ndarray, starts: np.ndarray, aggr_us: int | None) -> np.ndarray:
    """int64 (snapshots + 1,): offsets, with further snapshots where time says that there are.

    Where the events between were lost, the tail of one snapshot may look like it went on with
    the head of a later one, but not for as long as half an aggregation interval.
    """
    ends = np.append(starts[1:], len(time))
    offsets = np.append(starts, len(time))
    if not aggr_us or not len(time):
        return offsets
    gap = np.uint64(aggr_us * 1000 // 2)
    # Only a snapshot that took that long from first to last can have such a gap inside.
    if not (time[ends - 1] - time[starts] > gap).any():
        return offsets
    found = [offsets]
    for first in range(1, len(time), _STRETCH):
        last = min(first + _STRETCH, len(time))
        found.append(np.flatnonzero(time[first:last] - time[first - 1 : last - 1] > gap) + first)
    return np.unique(np.concatenate(found))


def acted_on(
    applied: Applied, mappings: Mappings, comms: dict[int, str], parameters: Parameters | None
) -> tuple[Target, ...]:
    """The targets of which only is known what schemes acted on.

    Their regions are these, and a snapshot is what was done in one go; its time is the end of that.
    """
    keys, which = np.unique(
        np.column_stack((applied.kdamond.astype(np.uint32), applied.target)),
        axis=0,
        return_inverse=True,
    )
    if len(keys) > MAX_TARGETS:
        return ()
    searched = mappings if _few_enough(len(keys), mappings) else None
    kdamonds = {k.tid: k for k in parameters.kdamonds} if parameters else {}
    order = np.argsort(which.reshape(-1), kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(which.reshape(-1)))[:-1])
    targets = []
    for (tid, id_), group in zip(keys.tolist(), groups, strict=True):
        known, rows = kdamonds.get(tid), applied[group]
        attributes = known.attributes if known else Attributes()
        gap = np.uint64((attributes.aggr_us or _AGGR_US) * 1000 // 2)
        ends = np.append(np.flatnonzero(np.diff(rows.time) > gap) + 1, len(rows))
        offsets = np.append(0, ends)
        regions = Regions(
            time=np.repeat(rows.time[ends - 1], np.diff(offsets)),
            start=rows.start,
            end=rows.end,
            nr_accesses=rows.nr_accesses,
            age=rows.age,
            nr_regions=np.repeat(np.diff(offsets), np.diff(offsets)).astype(np.uint32),
        )
        target = Target(
            kdamond=tid,
            id=id_,
            rows=slice(0, len(rows)),
            regions=regions,
            offsets=offsets,
            attributes=attributes,
            operations=known.operations if known and known.operations in OPERATIONS else None,
            pid=known.pids[id_] if known and id_ < len(known.pids) else None,
        )
        targets.append(_with_process(target, searched, comms, parameters))
    return tuple(targets)


def infer_aggr_us(snapshot_time: np.ndarray) -> int | None:
    """The aggregation interval, from the median distance of snapshots; None without any.

    Rounded to two significant digits, as people choose intervals, and never below 1 us.
    """
    if len(snapshot_time) < 2:
        return None
    us = float(np.median(np.diff(snapshot_time))) / 1000
    if us < 1:
        return None
    digits = len(str(int(us))) - 2
    return int(round(us, -digits)) if digits > 0 else round(us)


def infer_sample_us(aggr_us: int | None, nr_accesses: np.ndarray) -> int | None:
    """The sampling interval, if the default ratio of 20 samples an aggregation fits."""
    if not aggr_us or aggr_us < _SAMPLES or int(nr_accesses.max(initial=0)) > _SAMPLES:
        return None
    return aggr_us // _SAMPLES


def _with_process(
    target: Target, mappings: Mappings | None, comms: dict[int, str], parameters: Parameters | None
) -> Target:
    """The target with its process, concluded from the mappings where nothing tells it."""
    pid, inferred, operations = target.pid, False, target.operations
    if pid is None and operations != "paddr" and mappings is not None:
        pid = infer_pid(target.regions, mappings)
        inferred = pid is not None
        if inferred and operations is None:
            operations = "vaddr"
    comm = None
    if pid is not None:
        comm = (parameters.comms.get(pid) if parameters else None) or comms.get(pid)
    return replace(target, pid=pid, pid_inferred=inferred, operations=operations, comm=comm)


def _few_enough(targets: int, mappings: Mappings) -> bool:
    """Whether each target may be compared with each process that has mappings."""
    return targets * len(np.unique(mappings.pid)) <= _MAX_PAIRS


def infer_pid(regions: Regions, mappings: Mappings) -> int | None:
    """The process whose mappings cover most of what was accessed, if that is half of it.

    Regions reach over gaps of hundreds of megabytes, say between a program and its heap, so
    bytes count by their accesses, which only mapped memory has; without any accesses all count
    alike. Looks at some of the rows, spread over all; None for the kernel's addresses. Of a
    process and its fork, which have the same mappings, it is the one with the lower number.
    """
    if not len(regions) or not len(mappings):
        return None
    some = regions[:: max(1, len(regions) // _SAMPLED_ROWS)]
    if int(some.end.max()) > USER_END:
        return None
    start, end = some.start.astype(np.float64), some.end.astype(np.float64)
    weight = some.nr_accesses.astype(np.float64)
    if not weight.any():
        weight += 1
    best, best_covered = None, _MIN_COVERED * float(weight @ (end - start))
    order = np.argsort(mappings.pid, kind="stable")
    pids, first = np.unique(mappings.pid[order], return_index=True)
    for pid, rows in zip(pids.tolist(), np.split(order, first[1:]), strict=True):
        covered = _covered(mappings.start[rows], mappings.end[rows], start, end, weight)
        if covered > best_covered or (best is None and covered >= best_covered):
            best, best_covered = pid, covered
    return best


def _covered(
    map_start: np.ndarray,
    map_end: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    weight: np.ndarray,
) -> float:
    """Weighted bytes of all [start, end) that lie in the union of the mappings."""
    order = np.argsort(map_start, kind="stable")
    low = map_start[order].astype(np.float64)
    high = np.maximum.accumulate(map_end[order].astype(np.float64))
    # Bytes below an address that are mapped, as a function that is linear between these points.
    begins = np.ones(len(low), dtype=bool)
    begins[1:] = low[1:] > high[:-1]
    low, high = low[begins], high[np.append(np.flatnonzero(begins)[1:] - 1, len(high) - 1)]
    points = np.column_stack([low, high]).ravel()
    below = np.cumsum(np.column_stack([np.zeros(len(low)), high - low]), axis=None)
    return float(weight @ (np.interp(end, points, below) - np.interp(start, points, below)))
