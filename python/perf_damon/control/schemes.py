# SPDX-License-Identifier: GPL-2.0
"""Schemes in the tree: whether this kernel has what they need, and what they have done so far."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from perf_damon.control import versions
from perf_damon.control.nodes import Scheme
from perf_damon.control.state import Command, command
from perf_damon.control.sysfs import Sysfs, SysfsError
from perf_damon.errors import Error

PAGE_FILTERS = ("anon", "memcg", "young", "active", "hugepage_size", "unmapped")
"""Filters that look at pages: before 6.18 only paddr does, and vaddr takes no notice of them."""
_WORDS = {
    "action": ("action", versions.ACTIONS),
    "type": ("filter", versions.FILTERS),
    "target_metric": ("goal metric", versions.METRICS),
}
"""Files that take words: what they are, and who has each first."""


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
                f"{name}: this kernel has no {scheme.action} for {operations}",
                f"{_since(versions.VIRTUAL_MIGRATION, scheme, operations)}; "
                f"paddr since {versions.ACTIONS[scheme.action]}",
            )
        for item in scheme.filters or ():
            if item.type in PAGE_FILTERS and not can_filter:
                raise Error(
                    f"{name}: this kernel has no filter {item.type} for {operations}",
                    f"{_since(versions.VIRTUAL_PAGE_FILTERS, scheme, operations)}; "
                    f"paddr since {versions.FILTERS[item.type]}; addr and target are for all",
                )


def explain(error: SysfsError, schemes: Sequence[Scheme], operations: str) -> Error:
    """What an error in writing schemes means; the error itself where it is about something else."""
    folder, _, file = error.path.rpartition("/")
    where, _, below = folder.partition("/schemes")
    if not where or "/contexts/" not in where:
        return error
    if not below and error.errno in (errno.EINVAL, errno.ENOENT):
        return Error("this kernel's DAMON has no schemes (DAMOS), or not so many")
    number = below.split("/")[1] if "/" in below else ""
    scheme = schemes[int(number)] if number.isdigit() and int(number) < len(schemes) else None
    name = f"scheme {number} ({scheme.action if scheme else ''})"
    if error.errno == errno.ENOENT and file in versions.FILES:
        what, since = versions.FILES[file]
        return Error(f"{name}: this kernel has no {what}", _since(since, scheme, operations))
    if error.errno == errno.EINVAL and file in _WORDS:
        what, known = _WORDS[file]
        hint = _since(known[error.text], scheme, operations) if error.text in known else ""
        return Error(f"{name}: this kernel does not know the {what} '{error.text}'", hint)
    return error


def _since(release: str, scheme: Scheme | None, operations: str) -> str:
    """The hint for what came with this release, where the scheme may need a newer one."""
    hint = f"since Linux {release}"
    whole = release if scheme is None else first_release(scheme, operations)
    return hint if whole == release else f"{hint}; all of the scheme: since Linux {whole}"


def first_release(scheme: Scheme, operations: str) -> str:
    """The first Linux that has all that a scheme needs."""
    quotas = scheme.quotas
    needs = [versions.ACTIONS.get(scheme.action or "", "")]
    if operations != "paddr" and scheme.action in ("migrate_hot", "migrate_cold"):
        needs.append(versions.VIRTUAL_MIGRATION)
    for item in scheme.filters or ():
        needs.append(versions.FILTERS.get(item.type or "", ""))
        if operations != "paddr" and item.type in PAGE_FILTERS:
            needs.append(versions.VIRTUAL_PAGE_FILTERS)
    needs += [versions.METRICS.get(goal.target_metric or "", "") for goal in quotas.goals or ()]
    files = {
        "apply_interval_us": scheme.apply_interval_us,
        "allow": any(item.allow for item in scheme.filters or ()),
        "nr_dests": scheme.dests,
        "max_nr_snapshots": scheme.stats.max_nr_snapshots,
        "goal_tuner": quotas.goal_tuner not in (None, "consist"),
        "fail_charge_num": quotas.fail_charge_denom,
    }
    needs += [versions.FILES[file][1] for file, needed in files.items() if needed]
    return versions.newest([release for release in needs if release] or [versions.FIRST])


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
