# SPDX-License-Identifier: GPL-2.0
"""Suspend, up to where everything is frozen and no further: a guest has nobody to wake it up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from lab.benchmarks.kernel_log import Log
from tracing import Trace

from guest import wait_until, write_once

POWER = Path("/sys/power")
SECONDS = Path("/sys/module/suspend/parameters/pm_test_delay")
needs_suspend = pytest.mark.skipif(
    not (POWER / "pm_test").exists(), reason="a kernel without CONFIG_PM_DEBUG"
)


@pytest.fixture
def frozen() -> Iterator[None]:
    """What suspends goes back once all is frozen."""
    before = {path: path.read_text() for path in (SECONDS, POWER / "sync_on_suspend")}
    (POWER / "pm_test").write_text("freezer")
    # Files are the host's.
    (POWER / "sync_on_suspend").write_text("0")
    try:
        yield
    finally:
        (POWER / "pm_test").write_text("none")
        for path, text in before.items():
            path.write_text(text)


def suspend(seconds: int = 0) -> None:
    """Have everything freeze, for so long. The kernel gives up where something does not."""
    SECONDS.write_text(str(seconds))
    with closing(Log()) as log:
        number = write_once(POWER / "state", "freeze")
        said = log.said()
    assert number == 0, said
    assert not [record for record in said if "failed" in record], said
    assert [record for record in said if "Freezing remaining" in record], said


def meanwhile(trace: Trace) -> list[str]:
    """Events from when everything was frozen until it was to be thawed."""
    events = trace.events()
    begin = events.index("suspend_resume: freeze_processes[0] end")
    end = events.index("suspend_resume: thaw_processes[0] begin")
    assert begin < end
    return [event for event in events[begin + 1 : end] if not event.startswith("suspend_resume")]


def suspend_often(number: int, *loops: Callable[[], object]) -> None:
    """So many times while all of the loops go round, each in a thread of its own."""
    rounds = [0] * len(loops)
    over = threading.Event()

    def go_round(which: int) -> None:
        while not over.is_set():
            loops[which]()
            rounds[which] += 1

    with ThreadPoolExecutor(len(loops) or 1) as pool:
        going = [pool.submit(go_round, which) for which in range(len(loops))]
        try:
            for _ in range(number):
                before = list(rounds)

                def all_went_on(before: list[int] = before) -> bool:
                    for each in going:
                        assert not each.done(), each.exception()
                    return all(now > then for now, then in zip(rounds, before, strict=True))

                wait_until(all_went_on, "they go round")
                suspend()
        finally:
            over.set()
    for each in going:
        each.result()
