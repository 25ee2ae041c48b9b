# SPDX-License-Identifier: GPL-2.0
"""Suspend while kdamonds work: they freeze like all else, and go on when they are thawed."""

from __future__ import annotations

from collections.abc import Callable
from errno import EBUSY, EPERM
from pathlib import Path

import pytest
from acting import (
    HUGE,
    MB,
    MOST,
    STATE,
    Process,
    further_snapshots,
    new,
    only_where_advised,
    slot,
    start,
    stats,
    swap,
    virtual,
    wait_until,
)
from files import C, K, error, ours
from suspending import frozen, meanwhile, needs_suspend, suspend, suspend_often
from tracing import rate, traced

from guest import kdamonds, put

__all__ = ["frozen", "new", "only_where_advised", "slot", "swap"]
pytestmark = [ours, needs_suspend, pytest.mark.usefixtures("log", "frozen")]

OTHER = "kdamonds/1"


def another(process: Process) -> None:
    """A second kdamond, for the whole of a process; slot has made the first."""
    put("kdamonds/nr_kdamonds", 2)
    for kdamond in (K, OTHER):
        put(f"{kdamond}/contexts/nr_contexts", 1)
        context = f"{kdamond}/contexts/0"
        put(f"{context}/monitoring_attrs/intervals/sample_us", 10000)
        put(f"{context}/monitoring_attrs/intervals/aggr_us", 100000)
        put(f"{context}/schemes/nr_schemes", 1)
        for what in ("sz", "nr_accesses", "age"):
            put(f"{context}/schemes/0/access_pattern/{what}/max", MOST)
    context = f"{OTHER}/contexts/0"
    put(f"{context}/operations", "vaddr")
    put(f"{context}/targets/nr_targets", 1)
    put(f"{context}/targets/0/pid_target", process.pid)


def test_nothing_is_monitored_meanwhile(new: Callable[..., Process], swap: None) -> None:
    """And all goes on afterwards; who is thawed is as good to stop as ever."""
    process, reader = new(), new()
    idle, hot = process.anonymous(), reader.anonymous(2 * HUGE)
    reader.begin(f"keep_reading({hot.start}, {len(hot)})")
    another(reader)
    virtual(process, idle)
    put(f"{OTHER}/state", "on")
    start("pageout")
    with traced("power/suspend_resume", "damon/damon_aggregated") as trace:
        wait_until(lambda: process.present(idle) < MB, "it is paged out")
        wait_until(lambda: trace.snapshots(0), "it is monitored")
        trace.clear()
        suspend(seconds=1)
        assert meanwhile(trace) == []
        trace.clear()
        assert process.is_whole(idle)
        further_snapshots()
        wait_until(lambda: process.present(idle) < MB, "it is paged out again")
        wait_until(
            lambda: any((rate(each, hot) or 0) > 5 for each in trace.snapshots(0)),
            "what is read is found accessed",
        )
    suspend()
    put(STATE, "off")
    put(f"{OTHER}/state", "off")
    assert kdamonds() == []


def test_while_much_is_asked_of_kdamonds(new: Callable[..., Process]) -> None:
    """Those who wait for a kdamond, or stop it, do not keep the system from sleeping."""
    process = new()
    memory = process.anonymous()
    another(process)
    virtual(process, memory)
    start("stat")
    seen: dict[str, set[int]] = {"call": set(), "off": set()}

    def call() -> None:
        for what in ("commit", "update_schemes_stats", "update_schemes_tried_regions"):
            seen["call"].add(error(STATE, what))

    def turn() -> None:
        for what in ("on", "off"):
            seen["off"].add(error(f"{OTHER}/state", what))

    suspend_often(10, call, turn)
    assert 0 in seen["call"] and seen["call"] <= {0, EBUSY}
    assert 0 in seen["off"] and seen["off"] <= {0, EBUSY, EPERM}
    further_snapshots()


def test_in_the_midst_of_a_schemes_work(new: Callable[..., Process], swap: None) -> None:
    """The rest is done afterwards."""
    process = new()
    memory = process.anonymous(96 * MB)
    put(f"{C}/monitoring_attrs/intervals/sample_us", 10000)
    virtual(process, memory)
    start("pageout")
    for _ in range(5):
        before = process.present(memory)
        suspend()
        wait_until(lambda: process.present(memory) < max(before, MB), "it goes on")  # noqa: B023
    wait_until(lambda: process.present(memory) < MB, "it is paged out")
    assert stats()["sz_applied"] >= len(memory) - MB
    put(STATE, "off")
    assert process.is_whole(memory)
    assert Path("/sys/power/pm_test").read_text().count("[freezer]") == 1
