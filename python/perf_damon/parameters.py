# SPDX-License-Identifier: GPL-2.0
"""DAMON's parameters of a recording, and how they travel inside perf.data.

perf stores its own command line in the header of perf.data. `perf damon record` runs

    perf record … -- WAITER… perf-damon-parameters JSON

so the words after PARAMETERS_WORD carry what the events do not say. No kernel, no numpy here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise

PARAMETERS_WORD = "perf-damon-parameters"
_MOST = 1 << 50
"""Microseconds, or regions: what is more is no attribute."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Monitoring attributes of a context. None is "not known" (a plain perf recording)."""

    sample_us: int | None = None
    aggr_us: int | None = None
    update_us: int | None = None
    min_nr_regions: int | None = None
    max_nr_regions: int | None = None
    tuned: bool = False
    """DAMON changes the intervals by itself (intervals_goal); these are what they were at first."""

    @property
    def max_nr_accesses(self) -> int | None:
        """Samples in an aggregation: what nr_accesses is when every sample saw an access."""
        if not self.sample_us or not self.aggr_us:
            return None
        return max(1, self.aggr_us // self.sample_us)


@dataclass(frozen=True, slots=True)
class Scheme:
    """A scheme of the monitoring that a recording listens to."""

    action: str
    """pageout, hugepage, stat …"""
    text: str = ""
    """All of it, as perf damon start --scheme takes it; empty where it is not known."""


@dataclass(frozen=True, slots=True)
class Kdamond:
    """A kdamond that a recording listens to."""

    tid: int
    """Thread id, as in the events."""
    operations: str
    """vaddr, fvaddr or paddr."""
    attributes: Attributes
    pids: tuple[int, ...] = ()
    """The process of each target, in order of target id; empty for paddr."""
    schemes: tuple[Scheme, ...] = ()
    """Those that were installed when recording began, in order of their index."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """All that a recording is told about its monitoring."""

    kdamonds: tuple[Kdamond, ...] = ()
    command: tuple[str, ...] = ()
    """The user's command (perf damon record -- COMMAND…), empty when attached."""
    comms: dict[int, str] = field(default_factory=dict)
    """Names of the target processes by pid."""

    def to_words(self) -> list[str]:
        """The words that carry these parameters on a command line."""
        return [PARAMETERS_WORD, json.dumps(asdict(self), separators=(",", ":"))]

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Parameters | None:
        """Parameters carried by a command line; None where it carries none that can be read."""
        for word, text in pairwise(words):
            if word == PARAMETERS_WORD:
                try:
                    return cls._from_dict(json.loads(text))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    return None
        return None

    @classmethod
    def _from_dict(cls, data: dict) -> Parameters:
        kdamonds = tuple(
            Kdamond(
                tid=_pid(k["tid"]),
                operations=str(k["operations"]),
                attributes=_attributes(k["attributes"]),
                pids=tuple(_pid(pid) for pid in k["pids"]),
                schemes=tuple(
                    Scheme(str(s["action"]), str(s.get("text", ""))) for s in k.get("schemes", ())
                ),
            )
            for k in data["kdamonds"]
        )
        return cls(
            kdamonds=kdamonds,
            command=tuple(str(word) for word in data["command"]),
            comms={_pid(pid): str(comm) for pid, comm in data["comms"].items()},
        )


def _pid(value: object) -> int:
    number = int(value)  # type: ignore[call-overload]
    if not 0 <= number < 1 << 31:
        raise ValueError(f"{value!r} is no process")
    return number


def _attributes(data: dict) -> Attributes:
    names = ("sample_us", "aggr_us", "update_us", "min_nr_regions", "max_nr_regions")
    values = {name: data.get(name) for name in names}
    for name, value in values.items():
        if value is not None and (not isinstance(value, int) or not 0 <= value <= _MOST):
            raise ValueError(f"{name}: {value!r}")
    return Attributes(**values, tuned=bool(data.get("tuned")))
