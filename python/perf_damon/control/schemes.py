# SPDX-License-Identifier: GPL-2.0
"""Schemes in the tree: whether this kernel has what they need, and what they have done so far."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from perf_damon.control.nodes import Scheme
from perf_damon.control.state import Command, command
from perf_damon.control.sysfs import Sysfs, SysfsError
from perf_damon.errors import Error

_SINCE = {
    "apply_interval_us": ("apply", "6.7"),
    "nr_goals": ("goals of quotas", "6.8"),
    "target_nid": ("migration", "6.11"),
    "allow": ("filters that allow", "6.14"),
    "min": ("filter hugepage_size", "6.15"),
    "max": ("filter hugepage_size", "6.15"),
    "nid": ("goals of memory nodes", "6.16"),
    "nr_dests": ("dests", "6.17"),
    "path": ("goals of memory cgroups", "6.19"),
    "max_nr_snapshots": ("max_snapshots", "7.0"),
    "goal_tuner": ("tuner", "7.1"),
    "fail_charge_num": ("fail_charge", "7.2"),
}
"""Files that older kernels lack: what needs them, and the first release that has them."""
PAGE_FILTERS = ("anon", "memcg", "young", "active", "hugepage_size", "unmapped")
"""Filters that look at pages: before 6.18 only paddr does, and vaddr takes no notice of them."""


def check_kernel(sysfs: Sysfs, context: str, schemes: Sequence[Scheme], operations: str) -> None:
    """Raise Error for what the kernel would take without doing it.

    The context at this path has to have its schemes' folders already.
    """
    if operations == "paddr":
        return
    # The folder came with migration of virtual addresses, the file with their pages' filters.
    can_migrate = sysfs.exists(f"{context}/schemes/0/dests")
    can_filter = sysfs.exists(f"{context}/addr_unit")
    for index, scheme in enumerate(schemes):
        name = f"scheme {index} ({scheme.action})"
        if scheme.action in ("migrate_hot", "migrate_cold") and not can_migrate:
            raise Error(
                f"{name}: this kernel migrates only for paddr", f"{operations} since Linux 6.17"
            )
        for item in scheme.filters or ():
            if item.type in PAGE_FILTERS and not can_filter:
                raise Error(
                    f"{name}: this kernel has filter {item.type} only for paddr",
                    f"{operations} since Linux 6.18; addr and target are for all",
                )


def explain(error: SysfsError, schemes: Sequence[Scheme]) -> Error:
    """What an error in writing schemes means; the error itself where it is about something else."""
    folder, _, file = error.path.rpartition("/")
    where, _, below = folder.partition("/schemes")
    if not where or "/contexts/" not in where:
        return error
    if not below and error.errno in (errno.EINVAL, errno.ENOENT):
        return Error("this kernel's DAMON has no schemes (DAMOS), or not so many")
    number = below.split("/")[1] if "/" in below else ""
    action = schemes[int(number)].action if number.isdigit() else ""
    name = f"scheme {number} ({action})"
    if error.errno == errno.ENOENT and file in _SINCE:
        what, since = _SINCE[file]
        return Error(f"{name}: this kernel has no {what}", f"since Linux {since}")
    if error.errno == errno.EINVAL and file in ("action", "type", "target_metric"):
        what = {"type": "filter", "target_metric": "goal metric"}.get(file, file)
        return Error(f"{name}: this kernel does not know the {what} '{error.text}'")
    return error


def refresh(sysfs: Sysfs, kdamond: int) -> None:
    """Have the kernel bring statistics and effective quotas of a kdamond of ours up to date.

    One that has just ended, or a kernel without the command, leaves them as they are.
    Raises SysfsError.
    """
    for what in (Command.UPDATE_SCHEMES_STATS, Command.UPDATE_SCHEMES_EFFECTIVE_QUOTAS):
        try:
            command(sysfs, kdamond, what)
        except SysfsError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
