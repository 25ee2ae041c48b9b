# SPDX-License-Identifier: GPL-2.0
"""The live readers on a real kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from guest import kdamonds, ok, wait_until
from perf_damon import live
from perf_damon.errors import Error
from perf_damon.live import Reader
from perf_damon.live.module import ModuleReader, perf_module, tells_fields
from perf_damon.live.pipe import PipeReader

COLUMNS = ("start", "end", "nr_accesses", "age", "nr_regions")


def open_files() -> set[str]:
    """The numbers of what this process has open."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


class Heard:
    """All that a reader has told."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.rows: list[tuple[int, ...]] = []
        self.keys: set[tuple[int, int]] = set()
        self.times: list[int] = []

    def take(self) -> None:
        self.reader.wait(0.1)
        events = self.reader.read()
        assert (np.diff(events.columns["time"].astype(np.int64)) >= 0).all()
        self.keys.update(events.keys)
        self.times += events.columns["time"].tolist()
        self.rows += zip(*(events.columns[name].tolist() for name in COLUMNS), strict=True)

    def sort(self) -> None:
        """By time: what was told on a CPU that the kdamond has left may come a call later."""
        order = np.argsort(self.times, kind="stable").tolist()
        self.times = [self.times[number] for number in order]
        self.rows = [self.rows[number] for number in order]


def take_until(heard: Iterable[Heard], condition: Callable[[], bool], what: str) -> None:
    def done() -> bool:
        for one in heard:
            one.take()
        return condition()

    wait_until(done, what)


@pytest.mark.feature("live, perf's Python module")
def test_both_ways_tell_the_same(here: Path, target: int) -> None:
    if not tells_fields(perf_module()):
        pytest.skip("perf 7.2's module does not tell an event's fields; those of 6.1 and 6.12 do")
    ok("start", target)
    (kdamond,) = kdamonds()
    with live.listen([kdamond]) as module, PipeReader([kdamond]) as pipe:
        assert isinstance(module, ModuleReader)
        both = [Heard(module), Heard(pipe)]
        take_until(both, lambda: all(len(one.rows) > 100 for one in both), "a hundred events each")
        assert not module.ended and not pipe.ended
        ok("stop")
        take_until(both, lambda: module.ended and pipe.ended, "both notice that it has ended")
        for one in both:
            one.take()
        assert module.lost == pipe.lost == 0
    for one in both:
        one.sort()
    first, second = both
    # The pipe has begun later; from then on they have heard the same.
    assert len(second.rows) > 100
    assert first.rows[-len(second.rows) :] == second.rows
    assert first.keys == second.keys and {tid for tid, _ in first.keys} == {kdamond}
    # Each has its own stamp of the same moment, by the same clock.
    gap = np.abs(np.array(first.times[-len(second.times) :]) - np.array(second.times))
    assert gap.max() < 10**9
    # Regions of one snapshot follow each other.
    starts = np.array(first.rows)
    assert (starts[:, 0] < starts[:, 1]).all() and (starts[:, 4] >= 1).all()


def test_only_the_kdamonds_that_are_asked_for(here: Path, target: int, workload: Callable) -> None:
    ok("start", target)
    (wanted,) = kdamonds()
    ok("start", workload("zigzag", "--duration", "30m").pid)
    with live.listen([wanted]) as one, live.listen() as all_, PipeReader([wanted]) as pipe:
        heard = [Heard(one), Heard(all_), Heard(pipe)]
        take_until(
            heard,
            lambda: all(x.rows for x in heard) and len(heard[1].keys) == 2,
            "all three have heard of something",
        )
        assert {tid for tid, _ in heard[0].keys} == {wanted}
        assert {tid for tid, _ in heard[1].keys} == set(kdamonds())
        assert {tid for tid, _ in heard[2].keys} == {wanted}
    ok("stop")


def test_what_is_not_read_in_time_is_counted(here: Path, target: int) -> None:
    ok("start", target, "--sample", "1ms", "--aggr", "10ms")
    (kdamond,) = kdamonds()
    with ModuleReader(perf_module(), [kdamond], pages=1) as small, live.listen([kdamond]) as large:
        told = Heard(large)
        take_until([told], lambda: len(told.rows) > 500, "more than a page holds")
        few = Heard(small)
        take_until([few], lambda: small.lost > 0, "it hears that some were lost")
        assert len(few.rows) < len(told.rows)
    ok("stop")


def test_a_reader_leaves_nothing_open(target: int) -> None:
    ok("start", target)
    (kdamond,) = kdamonds()
    live.listen([kdamond]).close()
    before = open_files()
    for how in (live.listen, PipeReader):
        reader = how([kdamond])
        reader.close()
        reader.close()
        assert open_files() == before
    ok("stop")
    with pytest.raises(Error, match=rf"kdamond {kdamond} is gone"):
        live.listen([kdamond])
    with pytest.raises(Error, match="perf record failed"):
        PipeReader([kdamond])
