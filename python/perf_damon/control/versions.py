# SPDX-License-Identifier: GPL-2.0
"""Which Linux has what first: for what a kernel lacks, to say which one has it.

No decision is made by a version: distributions take features back. What a kernel has is told by
its files, and by what they take.
"""

from __future__ import annotations

FIRST = "5.18"
"""The first one with the sysfs tree."""
OPERATIONS = {"vaddr": FIRST, "paddr": FIRST, "fvaddr": "5.19"}
COMMIT = "5.19"
"""Changes while a kdamond runs; avail_operations came with it, and tells that it is there."""
ACTIONS = {
    "willneed": FIRST,
    "cold": FIRST,
    "pageout": FIRST,
    "hugepage": FIRST,
    "nohugepage": FIRST,
    "stat": FIRST,
    "lru_prio": "6.0",
    "lru_deprio": "6.0",
    "migrate_hot": "6.11",
    "migrate_cold": "6.11",
    "collapse": "7.2",
}
VIRTUAL_MIGRATION = "6.17"
"""migrate_hot and migrate_cold for vaddr and fvaddr."""
FILTERS = {
    "anon": "6.3",
    "memcg": "6.3",
    "addr": "6.6",
    "target": "6.6",
    "young": "6.10",
    "active": "6.15",
    "unmapped": "6.15",
    "hugepage_size": "6.15",
}
VIRTUAL_PAGE_FILTERS = "6.18"
"""Filters that look at pages, for vaddr and fvaddr."""
METRICS = {
    "user_input": "6.8",
    "some_mem_psi_us": "6.9",
    "node_mem_used_bp": "6.16",
    "node_mem_free_bp": "6.16",
    "node_memcg_used_bp": "6.19",
    "node_memcg_free_bp": "6.19",
    "active_mem_bp": "7.0",
    "inactive_mem_bp": "7.0",
    "node_eligible_mem_bp": "7.2",
}
FILES = {
    "nr_filters": ("filters", "6.3"),
    "addr_start": ("filter addr", "6.6"),
    "addr_end": ("filter addr", "6.6"),
    "damon_target_idx": ("filter target", "6.6"),
    "apply_interval_us": ("apply", "6.7"),
    "nr_goals": ("goals of quotas", "6.8"),
    "target_metric": ("metrics of goals", "6.9"),
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
    "fail_charge_denom": ("fail_charge", "7.2"),
}
"""Files of schemes that older kernels lack: what needs them, and who has them first."""


def newest(releases: list[str]) -> str:
    """The one that has all of them."""
    return max(releases, key=lambda release: [int(part) for part in release.split(".")])
