# SPDX-License-Identifier: GPL-2.0
"""Monitoring in words, as start, stop, status and record say it."""

from __future__ import annotations

from collections.abc import Sequence

from perf_damon.control.system import System
from perf_damon.parameters import Attributes
from perf_damon.units import format_time_us


def describe_pids(system: System, pids: Sequence[int]) -> str:
    """`1234 (redis-server), 1300 (nginx)`, or `physical memory` where there are no pids."""
    if not pids:
        return "physical memory"
    return ", ".join(f"{pid} ({system.comm(pid) or 'ended'})" for pid in pids)


def describe_attributes(attributes: Attributes) -> str:
    """`sample 5 ms, aggr 100 ms, update 1 s, 10 to 1000 regions`; what is not known is left out."""
    times = (
        ("sample", attributes.sample_us),
        ("aggr", attributes.aggr_us),
        ("update", attributes.update_us),
    )
    words = [f"{name} {format_time_us(us)}" for name, us in times if us is not None]
    if attributes.min_nr_regions is not None:
        words.append(f"{attributes.min_nr_regions} to {attributes.max_nr_regions} regions")
    if attributes.tuned:
        words.append("tuned by DAMON")
    return ", ".join(words)
