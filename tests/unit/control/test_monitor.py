# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from fake_kernel import FakeKernel, FakeModules, process

from perf_damon.control import journal, monitor
from perf_damon.control.nodes import Context, MonitoringAttrs, Range, Region, Target
from perf_damon.control.sysfs import SysfsError
from perf_damon.control.system import System
from perf_damon.errors import Error


def kernel(system: System) -> FakeKernel:
    assert isinstance(system.damon, FakeKernel)
    return system.damon


def context(pid: int = 100) -> Context:
    return Context(operations="vaddr", targets=[Target(pid_target=pid, regions=[])])


def somebody_elses(system: System, slots: int = 1, running: int | None = 0) -> None:
    damon = kernel(system)
    damon.put("kdamonds/nr_kdamonds", str(slots))
    for index in range(slots):
        base = f"kdamonds/{index}/contexts"
        damon.put(f"{base}/nr_contexts", "1")
        damon.put(f"{base}/0/operations", "paddr")
        damon.put(f"{base}/0/monitoring_attrs/intervals/sample_us", "1234")
        damon.put(f"{base}/0/targets/nr_targets", "1")
        damon.put(f"{base}/0/targets/0/regions/nr_regions", "1")
        damon.put(f"{base}/0/targets/0/regions/0/end", "4096")
        damon.put(f"{base}/0/schemes/nr_schemes", "1")
        damon.put(f"{base}/0/schemes/0/action", "pageout")
    if running is not None:
        damon.put(f"kdamonds/{running}/state", "on")


def test_start_and_stop_leave_no_trace(system: System) -> None:
    before = kernel(system).snapshot()
    slot = monitor.start(system, context(), owner=0)
    assert slot.ours and slot.kdamond.pid == 5001 and slot.context.pids == (100,)
    monitor.stop(system, slot)
    assert kernel(system).snapshot() == before
    assert journal.read(system).entries == []


def test_a_second_start_finds_room(system: System) -> None:
    before = kernel(system).snapshot()
    first = monitor.start(system, context(), owner=0)
    second = monitor.start(system, context(101), owner=0)
    assert first.index != second.index
    monitor.stop(system, first)
    assert kernel(system).is_on(kernel(system).kdamond(second.index)), "the other goes on"
    monitor.stop(system, second)
    assert kernel(system).snapshot() == before


def test_no_slot_free(system: System) -> None:
    somebody_elses(system)
    before = kernel(system).snapshot()
    with pytest.raises(Error, match=r"no free slot: kdamond 0 \(thread 5001\) runs for something"):
        monitor.start(system, context(), owner=0)
    assert kernel(system).snapshot() == before
    assert journal.read(system).entries == []


def test_an_empty_slot_beside_somebody_elses(system: System) -> None:
    damon = kernel(system)
    somebody_elses(system, slots=2)
    damon.put("kdamonds/1/contexts/nr_contexts", "0")
    before = damon.snapshot()
    slot = monitor.start(system, context(), owner=0)
    assert slot.index == 1
    monitor.stop(system, slot)
    assert damon.snapshot() == before


def test_a_stopped_slot_is_borrowed_and_put_back(system: System) -> None:
    somebody_elses(system, running=None)
    before = kernel(system).snapshot()
    slot = monitor.start(system, context(), owner=0)
    assert slot.context.operations == "vaddr" and slot.context.schemes == []
    monitor.stop(system, slot)
    assert kernel(system).snapshot() == before


def test_a_stopped_slot_is_not_borrowed_while_its_neighbour_runs(system: System) -> None:
    somebody_elses(system, slots=2)
    with pytest.raises(Error, match="no free slot"):
        monitor.start(system, context(), owner=0)


@pytest.mark.parametrize(
    "path",
    [
        "kdamonds/nr_kdamonds",
        "kdamonds/0/contexts/nr_contexts",
        "kdamonds/0/contexts/0/operations",
        "kdamonds/0/contexts/0/targets/nr_targets",
        "kdamonds/0/state",
    ],
)
def test_every_failing_step_is_undone(
    system: System, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    damon = kernel(system)
    before = damon.snapshot()

    class Once(dict):
        def __contains__(self, key: object) -> bool:
            # An undo may write the same file, and the kernel may allow that.
            return key == path and sum(p == path for p, _ in damon.written) == 1

    once = Once({path: errno.EINVAL})
    object.__setattr__(damon, "fail", once)
    with pytest.raises(Error):
        monitor.start(system, context(), owner=0)
    assert damon.snapshot() == before
    assert journal.read(system).entries == []


def test_a_target_that_ends_meanwhile(system: System) -> None:
    with pytest.raises(Error, match="process 999 ended while"):
        kernel(system).fail["kdamonds/0/state"] = errno.EINVAL
        monitor.start(system, context(999), owner=0)


def test_more_ranges_than_regions(system: System) -> None:
    ranges = [Region(start=start, end=start + 4096) for start in (0, 4096, 16384, 32768)]
    attrs = MonitoringAttrs(nr_regions=Range(min=3, max=3))
    wanted = context()
    wanted.monitoring_attrs = attrs
    wanted.targets = [Target(pid_target=100, regions=ranges)]
    kernel(system).fail["kdamonds/0/state"] = errno.EINVAL
    with pytest.raises(Error) as caught:
        monitor.start(system, wanted, owner=0)
    assert "nr_regions/max" not in str(caught.value), "two that touch are one"
    wanted.targets.append(Target(pid_target=101))
    with pytest.raises(
        Error, match=r"^4 ranges of addresses take at least 4 regions, .*max is 3$"
    ) as caught:
        monitor.start(system, wanted, owner=0)
    assert "--max-regions 4" in caught.value.hint


def test_a_module_in_the_way_is_named(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    before = kernel(system).snapshot()
    assert isinstance(system.modules, FakeModules)
    system.modules.add("damon_reclaim")
    with pytest.raises(Error, match=r"own DAMON_RECLAIM \(thread 5001\) is using DAMON") as caught:
        monitor.start(system, context(), owner=0)
    switch = system.modules.root / "damon_reclaim/parameters/enabled"
    assert f"echo N > {switch}" in caught.value.hint and "--take-over" in caught.value.hint
    assert kernel(system).snapshot() == before and system.modules.on() == ["damon_reclaim"]


def test_operations_that_the_kernel_lacks(system: System) -> None:
    class NoPaddr(FakeKernel):
        def put(self, path: str, text: str) -> None:
            super().put(path, text)
            if path.endswith("nr_contexts") and text == "1":
                (self.root / path).with_name("0").joinpath("avail_operations").chmod(0o600)
                (self.root / path).with_name("0").joinpath("avail_operations").write_text("vaddr\n")

    object.__setattr__(system, "damon", NoPaddr(system.damon.root, proc=system.proc))
    with pytest.raises(Error, match="cannot monitor paddr: it offers vaddr") as caught:
        monitor.start(system, Context(operations="paddr", targets=[Target(regions=[])]), owner=0)
    assert "CONFIG_DAMON_PADDR" in caught.value.hint


def test_stop_leaves_a_slot_that_somebody_took_over(system: System) -> None:
    damon = kernel(system)
    slot = monitor.start(system, context(), owner=0)
    damon.turn(damon.kdamond(0), None)
    somebody_elses(system)
    before = damon.snapshot()
    monitor.stop(system, slot)
    assert damon.snapshot() == before


def test_a_kdamond_that_ended_is_cleaned_up_by_the_next_start(system: System) -> None:
    damon = kernel(system)
    monitor.start(system, context(), owner=0)
    damon.turn(damon.kdamond(0), None)
    slot = monitor.start(system, context(101), owner=0)
    assert [entry.pids for entry in journal.read(system).entries] == [[101]]
    monitor.stop(system, slot)
    assert damon.snapshot() == {"kdamonds/nr_kdamonds": "0\n"}


def test_what_a_killed_owner_left_is_cleaned_up(system: System) -> None:
    damon = kernel(system)
    before = damon.snapshot()
    process(system.proc, 300, "perf-damon", started=55)
    monitor.start(system, context(), owner=300)
    assert monitor.clean_up(system) == [], "the owner lives"
    process(system.proc, 300, "another", started=99)
    left = monitor.clean_up(system)
    assert [entry.tid for entry in left] == [5001]
    assert damon.snapshot() == before


def test_a_start_killed_half_way_is_cleaned_up(system: System, tmp_path: Path) -> None:
    """A journal entry without a kdamond, and room made for it, as kill -9 leaves them."""
    damon = kernel(system)
    before = damon.snapshot()
    with journal.locked(system) as book:
        book.found = 0
        book.entries.append(journal.Entry(slot=0, owner=300, owner_started=1))
        journal.write(system, book)
    damon.put("kdamonds/nr_kdamonds", "4")
    damon.put("kdamonds/0/contexts/nr_contexts", "1")
    monitor.clean_up(system)
    assert damon.snapshot() == before


def test_stopping_twice_is_no_error(system: System) -> None:
    slot = monitor.start(system, context(), owner=os.getpid())
    monitor.stop(system, slot)
    monitor.stop(system, slot)


def test_room_is_kept_when_somebody_began_to_use_it(system: System) -> None:
    damon = kernel(system)
    slot = monitor.start(system, context(), owner=0)
    damon.put("kdamonds/3/contexts/nr_contexts", "1")
    monitor.stop(system, slot)
    assert damon.is_dir("kdamonds/3/contexts/0")


def test_a_journal_of_another_boot_means_nothing(system: System) -> None:
    monitor.start(system, context(), owner=0)
    (system.proc / "sys/kernel/random/boot_id").write_text("next-boot\n")
    assert journal.read(system).entries == []


def test_a_broken_journal_is_named(system: System) -> None:
    system.run.mkdir()
    (system.run / "journal").write_text("{")
    with pytest.raises(Error, match="journal cannot be read"):
        monitor.overview(system)


def test_overview_tells_ours_from_others(system: System) -> None:
    damon = kernel(system)
    somebody_elses(system, slots=2)
    damon.put("kdamonds/1/contexts/nr_contexts", "0")
    monitor.start(system, context(), owner=0)
    slots = monitor.overview(system).slots
    assert [slot.ours for slot in slots] == [False, True]
    assert monitor.overview(system).features == ["vaddr", "fvaddr", "paddr", "schemes"]


def test_a_failing_write_is_reported_as_it_is(system: System) -> None:
    kernel(system).fail["kdamonds/0/state"] = errno.ENOMEM
    wanted = Context(operations="paddr", targets=[Target(regions=[Region(start=0, end=4096)])])
    with pytest.raises(SysfsError, match="out of memory"):
        monitor.start(system, wanted, owner=0)


def test_a_kernel_that_does_not_tell_what_schemes_do(system: System) -> None:
    with pytest.raises(Error, match="no tracepoint damon:damos_before_apply") as caught:
        system.require_apply_event()
    assert "record without --schemes" in caught.value.hint
    (system.tracing[0] / "events/damon/damos_before_apply").mkdir()
    system.require_apply_event()
