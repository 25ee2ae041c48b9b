# SPDX-License-Identifier: GPL-2.0
"""How well a recording tells what really happened: pure functions of a target and its truth.

Counted is hot memory, in bytes times seconds. Recorded as hot is a region where at least half of
an aggregation's samples saw an access. Really hot during an aggregation is what the workload
touched for at least half of it; its phases being longer than that, it is what the phase in the
aggregation's middle touched.

Only the workload's own mappings count. Program text, stack and libc may well be hot, and the truth
does not tell: what is recorded of them is neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from lab.workloads.truth import Process
    from perf_damon.recording import Target

NSEC_PER_SEC = 1_000_000_000
NSEC_PER_USEC = 1_000
DEFAULT_AGGR_US = 100_000
TOO_WIDE = 2
"""A spot within hot memory of more than so many times its size is not told from its neighbours."""

Ranges = np.ndarray
"""int64 (n, 2): starts and ends of address ranges, in order, none meeting the next."""


@dataclass(frozen=True, slots=True)
class Score:
    """Hot memory in bytes times seconds, and over how much it was counted."""

    real: float
    """What was hot."""
    recorded: float
    """What was recorded as hot."""
    both: float
    """What was hot and recorded as hot."""
    seconds: float
    """Length of the aggregations that were compared."""
    aggregations: int
    """How many these were."""
    regions: float
    """Mean number of regions."""

    @property
    def precision(self) -> float:
        """How much of what was recorded as hot was hot."""
        return self.both / self.recorded if self.recorded else 0.0

    @property
    def recall(self) -> float:
        """How much of what was hot was recorded as hot."""
        return self.both / self.real if self.real else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.both / (self.real + self.recorded) if self.real + self.recorded else 0.0

    @property
    def aggregation_ms(self) -> float:
        """Mean length of an aggregation: longer than asked for where the kdamond had to wait."""
        return self.seconds / self.aggregations * 1000 if self.aggregations else 0.0


class Snapshot(NamedTuple):
    """One aggregation of a target, beside what really was hot."""

    end: int
    """Nanoseconds of CLOCK_MONOTONIC."""
    seconds: float
    real: Ranges
    recorded: Ranges


def snapshots(target: Target, process: Process) -> Iterator[Snapshot]:
    """The aggregations during which the workload ran its pattern."""
    mapped = joined(np.array([(r.start, r.end) for r in process.regions.values()], dtype=np.int64))
    regions, half = target.regions, target.max_nr_accesses / 2
    ends = target.snapshot_time.astype(np.int64)
    begins = np.concatenate([ends[:1] - _aggregation_ns(target), ends[:-1]])
    for i, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        phase = process.phase_at((begin + end) // 2)
        if phase is None:
            continue
        rows = slice(target.offsets[i], target.offsets[i + 1])
        is_hot = regions.nr_accesses[rows] >= half
        recorded = np.stack([regions.start[rows][is_hot], regions.end[rows][is_hot]], axis=1)
        yield Snapshot(
            end,
            (end - begin) / NSEC_PER_SEC,
            np.array(phase.hot(), dtype=np.int64).reshape(-1, 2),
            shared(joined(recorded.astype(np.int64)), mapped),
        )


def score(target: Target, process: Process) -> Score:
    """Compare a target of a recording with what its process did."""
    real = recorded = both = seconds = 0.0
    aggregations = 0
    for snapshot in snapshots(target, process):
        real += size(snapshot.real) * snapshot.seconds
        recorded += size(snapshot.recorded) * snapshot.seconds
        both += size(shared(snapshot.recorded, snapshot.real)) * snapshot.seconds
        seconds += snapshot.seconds
        aggregations += 1
    nr_snapshots = target.nr_snapshots
    regions = len(target.regions) / nr_snapshots if nr_snapshots else 0.0
    return Score(real, recorded, both, seconds, aggregations, regions)


def found_after(target: Target, process: Process) -> float | None:
    """Seconds from the begin of the recording until all hot spots are seen at once; None: never.

    A spot is seen where at least half of it is recorded as hot, in hot memory that is not much
    wider than the spot.
    """
    begin = int(target.snapshot_time[0]) - _aggregation_ns(target) if target.nr_snapshots else 0
    for snapshot in snapshots(target, process):
        if len(snapshot.real) and all(_is_seen(spot, snapshot.recorded) for spot in snapshot.real):
            return (snapshot.end - begin) / NSEC_PER_SEC
    return None


def _is_seen(spot: np.ndarray, recorded: Ranges) -> bool:
    start, end = spot
    around = recorded[(recorded[:, 0] < end) & (recorded[:, 1] > start)]
    covered = size(shared(around, spot.reshape(1, 2)))
    return covered >= (end - start) / 2 and size(around) <= TOO_WIDE * (end - start)


def _aggregation_ns(target: Target) -> int:
    return (target.attributes.aggr_us or DEFAULT_AGGR_US) * NSEC_PER_USEC


def size(ranges: Ranges) -> int:
    """Bytes in address ranges."""
    return int((ranges[:, 1] - ranges[:, 0]).sum())


def joined(ranges: np.ndarray) -> Ranges:
    """Address ranges in order, those that meet joined."""
    ranges = ranges.reshape(-1, 2)
    if not len(ranges):
        return ranges
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ranges[:, 1])
    is_first = np.concatenate([[True], ranges[1:, 0] > reach[:-1]])
    is_last = np.concatenate([is_first[1:], [True]])
    return np.stack([ranges[is_first, 0], reach[is_last]], axis=1)


def shared(some: Ranges, others: Ranges) -> Ranges:
    """The addresses that are in both."""
    starts = np.maximum(some[:, None, 0], others[None, :, 0]).ravel()
    ends = np.minimum(some[:, None, 1], others[None, :, 1]).ravel()
    is_range = starts < ends
    return np.stack([starts[is_range], ends[is_range]], axis=1)
