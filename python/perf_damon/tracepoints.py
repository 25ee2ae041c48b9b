# SPDX-License-Identifier: GPL-2.0
"""The names of DAMON's tracepoints that are recorded and read."""

from __future__ import annotations

SYSTEM = "damon"
EVENT = "damon_aggregated"
REGION_EVENT = "damon_region_aggregated"
"""Of Linux 7.2 and newer: the same of a context with probes, and what these have hit."""
REGION_EVENTS = (EVENT, REGION_EVENT)
"""Those that tell of a region when an aggregation ends, in the order in which the kernel does."""
APPLY_EVENT = "damos_before_apply"
