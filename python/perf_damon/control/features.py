# SPDX-License-Identifier: GPL-2.0
"""Which of DAMON's features a kernel has, told by what files exist.

Most files exist only inside of a context, so the answer is whole only while a kdamond has one.
"""

from __future__ import annotations

from perf_damon.control.sysfs import Sysfs
from perf_damon.control.system import System
from perf_damon.tracepoints import APPLY_EVENT, EVENT, REGION_EVENT

_CONTEXT = {
    "intervals_goal": "monitoring_attrs/intervals/intervals_goal",
    "addr_unit": "addr_unit",
    "pause": "pause",
    "probes": "monitoring_attrs/probes",
    "schemes": "schemes",
}
_TRACEPOINTS = (
    EVENT,
    APPLY_EVENT,
    "damon_monitor_intervals_tune",
    "damos_esz",
    "damos_stat_after_apply_interval",
    REGION_EVENT,
)


def context_features(sysfs: Sysfs, context: str) -> list[str]:
    """Names of what a context at this path offers, its operations first."""
    found = available_operations(sysfs, context) or []
    found += [name for name, path in _CONTEXT.items() if sysfs.exists(f"{context}/{path}")]
    if sysfs.exists(f"{context}/../../refresh_ms"):
        found.append("refresh_ms")
    return found


def available_operations(sysfs: Sysfs, context: str) -> list[str] | None:
    """The operations that a context can have; None before Linux 5.19, which does not tell."""
    if not sysfs.exists(f"{context}/avail_operations"):
        return None
    return sysfs.read(f"{context}/avail_operations").split()


def tracepoints(system: System) -> list[str]:
    """Names of DAMON's tracepoints that the kernel has."""
    return [name for name in _TRACEPOINTS if system.tracing_event(name) is not None]
