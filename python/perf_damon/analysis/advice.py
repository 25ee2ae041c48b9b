# SPDX-License-Identifier: GPL-2.0
"""Schemes that a recording speaks for, each with what it would have done.

Nothing is proposed that the recording is too short for: memory is taken for idle after T only by
recordings of several times T, and what follows has to be seen as well.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from perf_damon.analysis.hot import Hot, hot, matched
from perf_damon.analysis.idle import SOON_NS, Outcome, Watch, gaps, outcome, watch
from perf_damon.analysis.view import View
from perf_damon.recording import Mappings

SECOND = 1_000_000_000
MULTIPLE = 3
"""A recording tells of idle times up to this part of its length."""
LEAST_T_NS = SECOND
HUGE = 2 << 20
"""Bytes of a huge page."""
PAGE = 4096
ACTIONS = {
    "vaddr": ("pageout", "hugepage", "nohugepage"),
    "fvaddr": ("pageout", "hugepage", "nohugepage"),
    "paddr": ("pageout", "lru_prio", "lru_deprio"),
    None: ("pageout",),
}
"""What can be proposed for which operations; None: the recording does not tell them."""
HOT_ACTIONS = ("hugepage", "lru_prio")
RATES = (0.25, 0.5, 0.75)
DEFAULT_RISK = 0.05
_LIGHT_RISK = 0.5
"""For actions that the next access undoes at no cost."""
_LADDER_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_PERCENTS = (50, 75, 90, 95, 99, 100)
_LONGER = 1.1
"""T is so much longer than a gap, for the next one may be a little longer."""
_ALIKE = 1.05
_WORTH = 0.01
"""A scheme should meet so much of what is monitored …"""
_WORTH_BYTES = 1 << 20
"""… and so many bytes."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A scheme, and what it would have done."""

    action: str
    least_size: int
    rate: float | None
    """The least access rate, 0 … 1; None: no access at all."""
    least_ns: int
    """The least age; 0 for any."""
    size: float
    """Bytes that it would have acted on, on average."""
    share: float
    """0 … 1: of what was monitored; with a rate, of all accesses."""
    risk: float
    """0 … 1: the share of these bytes of which the contrary was seen within 10 s."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What a recording, or a part of it, speaks for."""

    length_ns: int
    monitored: float
    """Bytes, on average."""
    outcomes: tuple[Outcome, ...]
    """By idle time: what T is chosen from; none where the recording is too short for any."""
    hot: tuple[Hot, ...]
    """By rate."""
    wanted: tuple[str, ...]
    """Actions that were to be proposed …"""
    proposals: tuple[Proposal, ...]
    """… and those that were, in the same order."""

    @property
    def longest_ns(self) -> int:
        """The longest idle time that the recording can tell of, 0 for none."""
        return longest(self.length_ns)


def longest(length_ns: int) -> int:
    """The longest idle time that a recording of this length can tell of, 0 for none."""
    most = min(length_ns // MULTIPLE, length_ns - SOON_NS)
    return most if most >= LEAST_T_NS else 0


def candidates(watches: Sequence[Watch]) -> list[int]:
    """Idle times (nanoseconds, rising) to choose from: round ones, and some beyond the gaps."""
    most = max((longest(one.length) for one in watches), default=0)
    step = max((one.step for one in watches), default=0)
    found = [float(s * SECOND) for s in _LADDER_S]
    for one in watches:
        found += [_LONGER * (gap + 2 * one.step) for gap in gaps(one, _PERCENTS)]
    chosen: list[int] = []
    for time in sorted(_round_up(time) for time in found):
        if max(LEAST_T_NS, 3 * step) <= time <= most and (not chosen or time > _ALIKE * chosen[-1]):
            chosen.append(time)
    return chosen


def _round_up(ns: float) -> int:
    """To two significant digits, of whole milliseconds."""
    ms = max(1, math.ceil(ns / 1e6 - 1e-6))
    scale = 10 ** max(0, len(str(ms)) - 2)
    return -(-ms // scale) * scale * 1_000_000


def advise(
    views: Sequence[View],
    mappings: Mappings,
    operations: str | None,
    risk: float = DEFAULT_RISK,
    actions: Collection[str] | None = None,
) -> Advice:
    """Look at targets that are monitored alike; `risk` (0 … 1) is the most that a scheme may have.

    `actions` are those to propose (None: all that the operations can do).
    """
    pairs = [(view, one) for view in views if (one := watch(view, mappings)) is not None]
    watches = [one for _, one in pairs]
    wanted = [a for a in ACTIONS[operations] if actions is None or a in actions]
    outcomes = tuple(_sum(outcome(one, t) for one in watches) for t in candidates(watches))
    hots: tuple[Hot, ...] = ()
    least = PAGE if operations == "paddr" else HUGE
    if outcomes and set(HOT_ACTIONS) & set(wanted):
        hots = tuple(
            _sum(hot(view, mappings, one, rate, least) for view, one in pairs) for rate in RATES
        )
    propose = {
        "pageout": lambda: _idle("pageout", outcomes, risk),
        "lru_deprio": lambda: _idle("lru_deprio", outcomes, _LIGHT_RISK),
        "nohugepage": lambda: _no_huge(views, outcomes, risk),
        "hugepage": lambda: _hot("hugepage", hots, risk),
        "lru_prio": lambda: _hot("lru_prio", hots, risk),
    }
    found = [propose[action]() for action in wanted]
    return Advice(
        length_ns=max((one.length for one in watches), default=0),
        monitored=sum(_monitored(one) for one in watches),
        outcomes=outcomes,
        hot=hots,
        wanted=tuple(wanted),
        proposals=tuple(proposal for proposal in found if proposal is not None),
    )


def _sum(parts: Iterable[Outcome | Hot]) -> Outcome | Hot:
    return reduce(add, parts)


def _monitored(watched: Watch) -> float:
    width = np.diff(watched.edges)
    return float(width @ (watched.monitored @ watched.size)) / float(width.sum())


def chosen(outcomes: Sequence[Outcome], risk: float) -> Outcome | None:
    """The shortest idle time, so the most memory, whose risk is low enough and known.

    A quota or the load may delay a scheme, so it has to be low for times of up to 10 s more, too.
    """
    for index, one in enumerate(outcomes):
        later = [o for o in outcomes[index:] if o.least_ns <= one.least_ns + SOON_NS]
        low = all(o.risk is None or o.risk <= risk for o in later)
        if one.risk is not None and low and worth(one.given, one.share):
            return one
    return None


def worth(size: float, share: float) -> bool:
    """Whether so much memory is worth a scheme."""
    return size >= _WORTH_BYTES and share >= _WORTH


def _idle(action: str, outcomes: Sequence[Outcome], risk: float) -> Proposal | None:
    one = chosen(outcomes, risk)
    if one is None or one.risk is None:
        return None
    return Proposal(action, PAGE, None, one.least_ns, one.given, one.share, one.risk)


def _no_huge(views: Sequence[View], outcomes: Sequence[Outcome], risk: float) -> Proposal | None:
    """Of the cold memory that pageout would be proposed for, the regions of huge pages."""
    one = chosen(outcomes, risk)
    if one is None or one.risk is None or any(view.regions.age is None for view in views):
        return None
    # DAMON's own ages meet unmapped memory, too, to which nothing is done.
    size = min(sum(_cold(view, one.least_ns, HUGE) for view in views), one.given)
    share = size / one.monitored if one.monitored else 0.0
    if not worth(size, share):
        return None
    return Proposal("nohugepage", HUGE, None, one.least_ns, size, share, one.risk)


def _cold(view: View, least_ns: int, least_size: int) -> float:
    """Bytes of the regions that a scheme for cold memory meets, on average once it can meet any."""
    regions = view.regions
    assert regions.age is not None
    begin = int(view.time[0] - view.duration[0]) + least_ns
    late = float(view.duration[view.time >= begin].sum())
    fits = (regions.nr_accesses == 0) & (regions.time >= np.uint64(begin))
    fits &= regions.age >= least_ns // view.interval_ns
    fits &= regions.end - regions.start >= np.uint64(least_size)
    size, *_ = matched(view, fits)
    return size * float(view.duration.sum()) / late if late else 0.0


def _hot(action: str, hots: Sequence[Hot], risk: float) -> Proposal | None:
    for one in hots:
        if one.risk is not None and one.risk <= risk and worth(one.size, one.share):
            return Proposal(action, one.least_size, one.rate, 0, one.size, one.share, one.risk)
    return None
