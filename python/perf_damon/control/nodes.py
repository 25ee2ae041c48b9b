# SPDX-License-Identifier: GPL-2.0
"""DAMON's sysfs tree as dataclasses: a class a folder, a field a file, the ABI's names.

None means "not there" when read, and "leave it as it is" when written. What an older kernel has no
file for is not written either, as long as it asks for no more than such a kernel does anyway. What
a newer kernel has and these classes do not know is kept in `extra`, by path below the node, and
written back.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field
from enum import Enum, auto
from itertools import pairwise
from typing import Any


class Kind(Enum):
    """What a field is in the tree."""

    TEXT = auto()
    NUMBER = auto()
    FLAG = auto()
    LINES = auto()
    NODE = auto()
    NODES = auto()


def _file(
    kind: Kind, *, readonly: bool = False, path: str | None = None, neutral: Any = None
) -> Any:
    """`neutral` is the value that says no more than a kernel without the file does."""
    metadata = {"kind": kind, "readonly": readonly, "path": path, "neutral": neutral}
    return field(default=None, metadata=metadata)


def number(**how: Any) -> Any:
    """A file with a number."""
    return _file(Kind.NUMBER, **how)


def text(**how: Any) -> Any:
    """A file with a word."""
    return _file(Kind.TEXT, **how)


def flag(**how: Any) -> Any:
    """A file with Y or N."""
    return _file(Kind.FLAG, **how)


def lines() -> Any:
    """A read-only file with a word a line."""
    return _file(Kind.LINES, readonly=True)


def node(cls: type[Node]) -> Any:
    """A folder. It is empty (all None) where the kernel has none."""
    metadata = {"kind": Kind.NODE, "class": cls, "readonly": False, "path": None, "neutral": None}
    return field(default_factory=cls, metadata=metadata)


def nodes(cls: type[Node], count: str | None) -> Any:
    """A folder of folders 0, 1, …; writing their number to the file `count` makes them.

    Without `count` the kernel makes them itself, and they are only read.
    """
    metadata = {
        "kind": Kind.NODES,
        "class": cls,
        "count": count,
        "readonly": count is None,
        "path": None,
        "neutral": [],
    }
    return field(default=None, metadata=metadata)


def field_path(item: Field) -> str:
    """Where a field's file or folder lies below its node."""
    return item.metadata.get("path") or item.name


@dataclass(kw_only=True)
class Node:
    """A folder of the tree."""

    extra: dict[str, str] = field(default_factory=dict)
    """Files that this class does not know, by their path below the folder."""


@dataclass(kw_only=True)
class Range(Node):
    """min and max."""

    min: int | None = number()
    max: int | None = number()


@dataclass(kw_only=True)
class Intervals(Node):
    """contexts/C/monitoring_attrs/intervals."""

    sample_us: int | None = number()
    aggr_us: int | None = number()
    update_us: int | None = number()


@dataclass(kw_only=True)
class MonitoringAttrs(Node):
    """contexts/C/monitoring_attrs."""

    intervals: Intervals = node(Intervals)
    nr_regions: Range = node(Range)


@dataclass(kw_only=True)
class Region(Node):
    """targets/T/regions/R: an initial monitoring region."""

    start: int | None = number()
    end: int | None = number()


@dataclass(kw_only=True)
class Target(Node):
    """contexts/C/targets/T."""

    pid_target: int | None = number()
    regions: list[Region] | None = nodes(Region, "nr_regions")


@dataclass(kw_only=True)
class AccessPattern(Node):
    """schemes/S/access_pattern."""

    sz: Range = node(Range)
    nr_accesses: Range = node(Range)
    age: Range = node(Range)


@dataclass(kw_only=True)
class Weights(Node):
    """schemes/S/quotas/weights."""

    sz_permil: int | None = number()
    nr_accesses_permil: int | None = number()
    age_permil: int | None = number()


@dataclass(kw_only=True)
class Goal(Node):
    """schemes/S/quotas/goals/G."""

    target_metric: str | None = text(neutral="user_input")
    target_value: int | None = number()
    current_value: int | None = number()
    nid: int | None = number()
    """Since Linux 6.16; path since 6.19."""
    path: str | None = text()


@dataclass(kw_only=True)
class Quotas(Node):
    """schemes/S/quotas."""

    ms: int | None = number()
    bytes: int | None = number()
    reset_interval_ms: int | None = number()
    effective_bytes: int | None = number(readonly=True)
    weights: Weights = node(Weights)
    goals: list[Goal] | None = nodes(Goal, "nr_goals")
    goal_tuner: str | None = text(neutral="consist")
    """Since Linux 7.1; the share of bytes charged that an action failed on since 7.2."""
    fail_charge_num: int | None = number(neutral=0)
    fail_charge_denom: int | None = number(neutral=0)


@dataclass(kw_only=True)
class Watermarks(Node):
    """schemes/S/watermarks."""

    metric: str | None = text()
    interval_us: int | None = number()
    high: int | None = number()
    mid: int | None = number()
    low: int | None = number()


@dataclass(kw_only=True)
class Filter(Node):
    """schemes/S/filters/F."""

    type: str | None = text()
    matching: bool | None = flag()
    allow: bool | None = flag(neutral=False)
    """Since Linux 6.14; min and max since 6.15."""
    memcg_path: str | None = text()
    addr_start: int | None = number()
    addr_end: int | None = number()
    damon_target_idx: int | None = number()
    min: int | None = number()
    max: int | None = number()


@dataclass(kw_only=True)
class Stats(Node):
    """schemes/S/stats."""

    nr_tried: int | None = number(readonly=True)
    sz_tried: int | None = number(readonly=True)
    nr_applied: int | None = number(readonly=True)
    sz_applied: int | None = number(readonly=True)
    qt_exceeds: int | None = number(readonly=True)
    sz_ops_filter_passed: int | None = number(readonly=True)
    """Since Linux 6.14; snapshots since 7.0."""
    nr_snapshots: int | None = number(readonly=True)
    max_nr_snapshots: int | None = number(neutral=0)


@dataclass(kw_only=True)
class TriedRegion(Node):
    """schemes/S/tried_regions/R."""

    start: int | None = number(readonly=True)
    end: int | None = number(readonly=True)
    nr_accesses: int | None = number(readonly=True)
    age: int | None = number(readonly=True)


@dataclass(kw_only=True)
class Dest(Node):
    """schemes/S/dests/D: a memory node to migrate to, and its share (since Linux 6.17)."""

    id: int | None = number()
    weight: int | None = number()


@dataclass(kw_only=True)
class Scheme(Node):
    """contexts/C/schemes/S."""

    action: str | None = text()
    apply_interval_us: int | None = number(neutral=0)
    target_nid: int | None = number(neutral=-1)
    access_pattern: AccessPattern = node(AccessPattern)
    quotas: Quotas = node(Quotas)
    watermarks: Watermarks = node(Watermarks)
    filters: list[Filter] | None = nodes(Filter, "nr_filters")
    core_filters: list[Filter] | None = nodes(Filter, "nr_filters")
    """Since Linux 6.15, as ops_filters: `filters` by who looks at them."""
    ops_filters: list[Filter] | None = nodes(Filter, "nr_filters")
    dests: list[Dest] | None = nodes(Dest, "nr_dests")
    stats: Stats = node(Stats)
    tried_bytes: int | None = number(readonly=True, path="tried_regions/total_bytes")
    tried_regions: list[TriedRegion] | None = nodes(TriedRegion, None)


@dataclass(kw_only=True)
class Context(Node):
    """kdamonds/K/contexts/C."""

    avail_operations: tuple[str, ...] | None = lines()
    operations: str | None = text()
    monitoring_attrs: MonitoringAttrs = node(MonitoringAttrs)
    targets: list[Target] | None = nodes(Target, "nr_targets")
    schemes: list[Scheme] | None = nodes(Scheme, "nr_schemes")

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of the targets, in order of target id; empty for physical memory."""
        if self.operations == "paddr":
            return ()
        return tuple(target.pid_target or 0 for target in self.targets or ())

    @property
    def nr_ranges(self) -> int:
        """How many separate ranges of addresses the targets have: so many regions at least."""
        nr = 0
        for target in self.targets or ():
            edges = sorted((region.start or 0, region.end or 0) for region in target.regions or ())
            nr += 1 + sum(a[1] != b[0] for a, b in pairwise(edges))
        return nr


@dataclass(kw_only=True)
class Kdamond(Node):
    """kdamonds/K."""

    state: str | None = text(readonly=True)
    """on or off; control/state.py has the commands that are written to it."""
    pid: int | None = number(readonly=True)
    max_nr_contexts: int | None = number(path="contexts/max_nr_contexts")
    """More than one context is for who knows of it; before `contexts`, which it bounds."""
    contexts: list[Context] | None = nodes(Context, "nr_contexts")

    @property
    def running(self) -> bool:
        """Whether the kdamond runs."""
        return self.state == "on"
