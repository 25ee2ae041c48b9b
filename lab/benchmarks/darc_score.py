# SPDX-License-Identifier: GPL-2.0
"""What reclaim did and what it cost, of what darc_guest.py wrote down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MB = 1 << 20
PAGE = 4096
US = 1000


@dataclass(frozen=True)
class Pressed:
    """A run of a setting."""

    setting: str
    samples: Sequence[dict]
    times: dict
    """What pressure.c has measured."""

    def grown(self, *names: str) -> int:
        """By how much counts of /proc/vmstat have grown; names may begin several."""
        first, last = (self.samples[at]["vmstat"] for at in (0, -1))
        return sum(
            last[name] - first.get(name, 0)
            for name in last
            if any(name == each or (each.endswith("_") and name.startswith(each)) for each in names)
        )

    @property
    def stalls(self) -> int:
        """How often a program had to reclaim itself."""
        return self.grown("allocstall_")

    @property
    def scanned(self) -> int:
        """Pages that kswapd has scanned."""
        return self.grown("pgscan_kswapd")

    @property
    def stolen(self) -> int:
        """Pages that kswapd has reclaimed."""
        return self.grown("pgsteal_kswapd")

    @property
    def taken(self) -> int:
        """Bytes that were reclaimed, by whomever."""
        by_darc = self.samples[-1]["darc"]["reclaimed"] - self.samples[0]["darc"]["reclaimed"]
        by_kernel = self.grown("pgsteal_kswapd", "pgsteal_direct", "pgsteal_khugepaged") * PAGE
        # A scheme pages out anonymous memory; what that is of what the kernel took is not told.
        return max(by_darc + by_kernel, self.grown("pswpout") * PAGE)

    @property
    def returned(self) -> int:
        """Bytes of what was reclaimed that had to be brought back."""
        return self.grown("workingset_refault_anon", "workingset_refault_file") * PAGE

    @property
    def back(self) -> float:
        return self.returned / self.taken if self.taken else 0.0

    @property
    def major_faults(self) -> int:
        return self.times["majflt"]

    @property
    def least_free(self) -> int:
        return min(sample["free"] for sample in self.samples)

    @property
    def free(self) -> float:
        return float(np.mean([sample["free"] for sample in self.samples]))

    @property
    def cost(self) -> float:
        """CPU time of kdamonds, of all time."""
        first, last = self.samples[0], self.samples[-1]
        return (last["kdamond_ns"] - first["kdamond_ns"]) / (last["time"] - first["time"])

    def operation(self, percent: float) -> float:
        """A percentile of how long an operation took, in µs."""
        return float(np.percentile(self.times["operations_us"], percent))

    @property
    def growing_s(self) -> float:
        """How long it took to grow."""
        return self.times["growing_us"] / US / 1000


def pressed(path: Path) -> Pressed:
    """Read a run's files, by the path of one without its end; raises OSError and ValueError."""
    told = json.loads(Path(f"{path}.json").read_text())
    times = json.loads(Path(f"{path}.times").read_text())
    return Pressed(path.name.partition(".")[0], told["samples"], times)
