# SPDX-License-Identifier: GPL-2.0
"""What schemes did, of what schemes_guest.py wrote down: memory, speed, harm, and quotas kept."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from lab.workloads import truth

HUGE = 2 << 20
SECOND = 10**9
PHASES = 100
"""Windows are laid at each hundredth of their length."""
USED_UP = 0.9
"""Windows are looked at until so much of what was paged out was paged out."""
EVENT = re.compile(
    r" (?P<time>\d+\.\d+): damos_before_apply: .*?(?P<start>\d+)-(?P<end>\d+): "
    r"(?P<nr_accesses>\d+) (?P<age>\d+)"
)


@dataclass(frozen=True)
class Watched:
    """A process that was watched with a setting."""

    begin: int
    """When the measure begins, in ns: perf damon start has ended."""
    kdamond: int | None
    """When there was a kdamond first."""
    samples: Sequence[dict]
    process: truth.Process | None
    """None of a real program."""
    stats: Sequence[dict]
    """Of each scheme."""

    @property
    def end(self) -> int:
        return self.samples[-1]["time"]

    @property
    def measured(self) -> list[dict]:
        """The samples since the measure began."""
        return [sample for sample in self.samples if sample["time"] >= self.begin]

    @property
    def seconds(self) -> float:
        return (self.end - self.begin) / SECOND

    def mean(self, name: str) -> float:
        """The mean of a figure of the samples."""
        return float(np.mean([sample[name] for sample in self.measured]))

    def present(self, prefix: str, sample: dict) -> int:
        """Bytes that were in memory, of regions whose name begins so."""
        assert self.process
        return sum(
            sample["regions"].get(str(at), 0)
            for region in self.process.regions.values()
            if region.name.startswith(prefix)
            for at in range(region.start, region.end, HUGE)
        )

    def size(self, prefix: str) -> int:
        """Bytes of regions whose name begins so."""
        assert self.process
        return sum(
            region.end - region.start
            for region in self.process.regions.values()
            if region.name.startswith(prefix)
        )

    def given_back(self, prefix: str, within_s: float) -> float:
        """The share of such regions that was not in memory so long after monitoring began."""
        assert self.kdamond
        at = self.kdamond + within_s * SECOND
        then = min(self.samples, key=lambda sample: abs(sample["time"] - at))
        return 1 - self.present(prefix, then) / self.size(prefix)

    @property
    def wrong(self) -> int:
        """Bytes that came back from swap sooner than in 10 s, since monitoring began."""
        begin = self.kdamond or self.begin
        total = 0
        for before, after in pairwise(self.samples):
            if after["time"] > begin:
                came = after["swapped_in"] - before["swapped_in"]
                total += max(0, came - after["back_late"])
        return total

    @property
    def paged_out(self) -> int:
        """Bytes that were written to swap, since monitoring began."""
        begin = self.kdamond or self.begin
        before = [sample for sample in self.samples if sample["time"] <= begin]
        first = before[-1] if before else self.samples[0]
        return self.samples[-1]["swapped_out"] - first["swapped_out"]

    @property
    def kdamond_share(self) -> float:
        """CPU time of the kdamond, of the time measured."""
        measured = self.measured
        used = measured[-1]["kdamond_ns"] - measured[0]["kdamond_ns"]
        return used / (self.end - self.begin)

    @property
    def speed(self) -> float:
        """What the program did in a second: operations, or passes over what is hot."""
        if not self.process:
            measured = self.measured
            done = measured[-1]["operations"] - measured[0]["operations"]
            return done / (measured[-1]["time"] - measured[0]["time"]) * SECOND
        whole = [
            phase
            for phase in self.process.phases
            if self.begin <= phase.begin and phase.end <= self.end
        ]
        passes = sum(phase.touches[0].passes for phase in whole)
        return passes / sum(phase.end - phase.begin for phase in whole) * SECOND


def watched(path: Path) -> Watched:
    """Read a setting's files; raises ValueError for others."""
    told = json.loads(path.read_text())
    truth_path = path.with_suffix(".truth")
    process = None
    if truth_path.exists():
        [process] = truth.read(truth_path).values()
    return Watched(told["begin"], told["kdamond"], told["samples"], process, stats(told))


def stats(told: dict) -> list[dict]:
    """The statistics of each scheme, as perf damon schemes --json has them."""
    kdamonds = told.get("schemes", {"kdamonds": []})["kdamonds"]
    return [scheme["stats"] for kdamond in kdamonds for scheme in kdamond["schemes"]]


# Quotas


def tried(path: Path) -> np.ndarray:
    """Rows of time (ns) and bytes: what damos_before_apply told, in a trace's text."""
    rows = [
        (round(float(match["time"]) * SECOND), int(match["end"]) - int(match["start"]))
        for match in EVENT.finditer(path.read_text())
    ]
    return np.array(rows, np.int64).reshape(-1, 2)


def windows(times: np.ndarray, total: np.ndarray, length: int) -> np.ndarray:
    """How much a total has grown in each window; they follow each other without gaps.

    Nobody tells when windows begin: they are laid such that the largest growth is least. `times`
    and `total` are of samples, or of what happened, each with what there was of it so far. The
    first window and the last need not be whole, and count only where they are the largest. Raises
    ValueError where there are no others.
    """
    best: np.ndarray | None = None
    for step in range(PHASES):
        begin = times[0] - length * step // PHASES
        edges = np.arange(begin, times[-1] + length + 1, length)
        grown = np.diff(_before(edges, times, total))
        if len(grown) > 2 and (best is None or grown.max() < best.max()):
            best = grown
    if best is None:
        raise ValueError("too short for a window")
    return np.concatenate([best[1:-1], [each for each in best[[0, -1]] if each > best[1:-1].max()]])


def _before(edges: np.ndarray, times: np.ndarray, total: np.ndarray) -> np.ndarray:
    """What a total was just before some times."""
    at = np.searchsorted(times, edges)
    return np.concatenate([[0], total])[at]


def size_windows(path: Path, length: int) -> np.ndarray:
    """The bytes that were tried in each window, by a trace."""
    rows = tried(path)
    return windows(rows[:, 0], rows[:, 1].cumsum(), length)


def time_windows(none: Path, scheme: Path, length: int) -> np.ndarray:
    """The CPU time (ns) in each window beyond what it is without the action.

    As long as there is something to page out.
    """
    idle = np.array(json.loads(none.read_text())["samples"])
    rate = (idle[-1, 1] - idle[0, 1]) / (idle[-1, 0] - idle[0, 0])
    rows = np.array(json.loads(scheme.read_text())["samples"])
    out = rows[:, 2] - rows[0, 2]
    rows = rows[: np.searchsorted(out, out[-1] * USED_UP) + 1]
    times = rows[:, 0]
    used = rows[:, 1] - rows[0, 1]
    return windows(times, used - rate * (times - times[0]), length)
