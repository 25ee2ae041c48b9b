# SPDX-License-Identifier: GPL-2.0
"""The commands that a kdamond takes through its file `state`."""

from __future__ import annotations

from enum import StrEnum

from perf_damon.control.sysfs import Sysfs


class Command(StrEnum):
    """What can be written to kdamonds/K/state."""

    ON = "on"
    OFF = "off"
    COMMIT = "commit"
    """Take over all that was written to the other files, while it runs; since Linux 5.19."""
    COMMIT_SCHEMES_QUOTA_GOALS = "commit_schemes_quota_goals"
    """Since Linux 6.8."""
    UPDATE_SCHEMES_STATS = "update_schemes_stats"
    """Bring schemes/S/stats up to date; the next ones likewise for other read-only files."""
    UPDATE_SCHEMES_TRIED_BYTES = "update_schemes_tried_bytes"
    """Since Linux 6.6, of regions since 6.2, effective quotas since 6.9."""
    UPDATE_SCHEMES_TRIED_REGIONS = "update_schemes_tried_regions"
    CLEAR_SCHEMES_TRIED_REGIONS = "clear_schemes_tried_regions"
    UPDATE_SCHEMES_EFFECTIVE_QUOTAS = "update_schemes_effective_quotas"
    UPDATE_TUNED_INTERVALS = "update_tuned_intervals"
    """Since Linux 6.15: the intervals as intervals_goal has tuned them."""


def command(sysfs: Sysfs, kdamond: int, what: Command) -> None:
    """Have kdamonds/KDAMOND do it; returns when it is done. Raises SysfsError.

    EINVAL: the kernel does not know the command, or the kdamond does not run (or, for on, its
    settings contradict themselves); EBUSY: it runs already, another command is under way, or
    something else has DAMON for itself; EPERM for off: it has ended by itself.
    """
    sysfs.write(f"kdamonds/{kdamond}/state", what)
