# SPDX-License-Identifier: GPL-2.0
"""Suspend while DARC works: it stands still like all else, and goes on afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from suspending import frozen, meanwhile, needs_suspend, suspend, suspend_often
from tracing import traced
from zones import DARC, MB, Process, Zone, around, eager, put, wait_until

from guest import kdamonds

__all__ = ["frozen"]
pytestmark = [needs_suspend, pytest.mark.usefixtures("log", "frozen")]
ENABLED = DARC / "enabled"


def begin(zone: Zone) -> None:
    """Have it reclaim, more than there is."""
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))


def goes_on(zone: Zone) -> None:
    before = zone.number("reclaimed")
    wait_until(lambda: zone.number("reclaimed") > before + MB, "it reclaims")


def test_nothing_is_reclaimed_meanwhile(zone: Zone, new: Callable[[int], Process], swap: None):
    eager()
    put(DARC / "quotas/bytes", MB)
    memory = new(zone.nid).hold(128 * MB)
    begin(zone)
    put(ENABLED, "Y")
    goes_on(zone)
    with traced("power/suspend_resume", "darc", "damon/damon_aggregated") as trace:
        suspend(seconds=1)
        assert meanwhile(trace) == []
    put(DARC / "quotas/bytes", 0)
    goes_on(zone)
    suspend()
    put(ENABLED, "N")
    assert kdamonds() == [] and len(memory)


def test_while_it_begins_and_ends(zone: Zone, new: Callable[[int], Process], swap: None):
    """Whatever waits for its kdamonds does not keep the system from sleeping."""
    eager()
    new(zone.nid).hold(128 * MB)
    put(ENABLED, "Y")

    def turn() -> None:
        begin(zone)
        wait_until(lambda: zone.number("kdamond_pid") != -1, "it is monitored")
        zone.set_marks(around(zone, below=64 * MB))
        wait_until(lambda: zone.number("kdamond_pid") == -1, "it has ended")

    suspend_often(10, turn)
    begin(zone)
    goes_on(zone)
