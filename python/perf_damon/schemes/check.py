# SPDX-License-Identifier: GPL-2.0
"""What a scheme asks of the monitoring that it is for, and of the machine."""

from __future__ import annotations

from collections.abc import Sequence

from perf_damon.control.nodes import Scheme
from perf_damon.control.schemes import PAGE_FILTERS
from perf_damon.control.system import System
from perf_damon.errors import Error

_VIRTUAL = ("willneed", "cold", "pageout", "hugepage", "nohugepage", "stat")
_VIRTUAL_LATER = ("migrate_hot", "migrate_cold", "collapse")
_PHYSICAL = ("pageout", "lru_prio", "lru_deprio", "migrate_hot", "migrate_cold", "stat")
_ACTIONS = {
    "vaddr": _VIRTUAL + _VIRTUAL_LATER,
    "fvaddr": _VIRTUAL + _VIRTUAL_LATER,
    "paddr": _PHYSICAL,
}
"""What a kernel does at most; it may be older: control/schemes.py finds that out."""
_FOR_MAPPINGS = ("willneed", "cold", "hugepage", "nohugepage", "collapse")
"""Advice for mappings, which is not given for some of their pages."""


def check_schemes(
    system: System, schemes: Sequence[Scheme], operations: str, nr_targets: int
) -> None:
    """Raise Error for what these operations cannot do, and what this machine has not.

    The kernel would take some of it, and then do nothing.
    """
    for index, scheme in enumerate(schemes):
        name = f"scheme {index} ({scheme.action})"
        if scheme.action not in _ACTIONS[operations]:
            raise Error(
                f"{name}: {operations} cannot do {scheme.action}",
                f"it can do {', '.join(_ACTIONS[operations])}",
            )
        for kind in (item.type for item in scheme.filters or ()):
            if kind in PAGE_FILTERS and scheme.action in _FOR_MAPPINGS:
                raise Error(
                    f"{name}: filter {kind} is for pages, and {scheme.action} for mappings",
                    "filters addr and target are for all actions",
                )
        for target in (item.damon_target_idx for item in scheme.filters or ()):
            if target is not None and target >= nr_targets:
                raise Error(
                    f"{name}: filter target:{target} is of a target that is not monitored",
                    f"targets are counted from 0, and there {_are(nr_targets)}",
                )
        _check_cgroups(system, name, scheme)
        _check_nodes(system, name, scheme)


def _are(number: int) -> str:
    return "is 1" if number == 1 else f"are {number}"


def _check_cgroups(system: System, name: str, scheme: Scheme) -> None:
    paths = [item.memcg_path for item in scheme.filters or ()]
    paths += [goal.path for goal in scheme.quotas.goals or ()]
    # Version 1 has a hierarchy for each controller.
    roots = [root for root in (system.cgroup, system.cgroup / "memory") if root.is_dir()]
    for path in paths:
        if path and roots and not any((root / path.lstrip("/")).is_dir() for root in roots):
            raise Error(
                f"{name}: there is no memory cgroup {path}",
                f"its path is the one below {roots[-1]}, beginning with /",
            )


def _check_nodes(system: System, name: str, scheme: Scheme) -> None:
    if not system.nodes.is_dir():
        return
    nodes = [dest.id for dest in scheme.dests or ()]
    nodes += [goal.nid for goal in scheme.quotas.goals or ()]
    nodes += [scheme.target_nid]
    for node in nodes:
        # -1 is "none", as the kernel's default has it.
        if node is not None and node >= 0 and not (system.nodes / f"node{node}").is_dir():
            known = sorted(path.name for path in system.nodes.glob("node[0-9]*"))
            raise Error(f"{name}: there is no memory node {node}", f"there is {', '.join(known)}")
