# SPDX-License-Identifier: GPL-2.0
"""Tuning what runs: all of it, or nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from fake_kernel import NEWER_ENTRIES, FakeKernel

from perf_damon.control import journal, monitor
from perf_damon.control.nodes import Context, MonitoringAttrs, Range, Target
from perf_damon.control.system import System
from perf_damon.control.tune import tune
from perf_damon.errors import Error
from perf_damon.schemes.text import parse_file, parse_scheme

PRCL = parse_scheme("action=pageout size=4K-max accesses=0% age=5s-max quota=100M/1s weights=0/3/7")


@pytest.fixture
def slot(system: System, monkeypatch: pytest.MonkeyPatch) -> monitor.Slot:
    monkeypatch.setattr("time.sleep", lambda _: None)
    wanted = Context(
        operations="vaddr", targets=[Target(pid_target=100, regions=[])], schemes=[PRCL]
    )
    return monitor.start(system, wanted, owner=0)


def kernel(system: System) -> FakeKernel:
    assert isinstance(system.damon, FakeKernel)
    return system.damon


def change() -> Context:
    """Something of everything."""
    attrs = MonitoringAttrs()
    attrs.intervals.aggr_us = 200_000
    return Context(
        monitoring_attrs=attrs,
        targets=[Target(pid_target=100, regions=[]), Target(pid_target=101, regions=[])],
        schemes=parse_file("action=cold\naction=pageout filter=addr:1G-2G quota=1M/1s", "x"),
    )


def test_all_of_it(system: System, slot: monitor.Slot) -> None:
    tuned = tune(system, slot, change())
    context = tuned.context
    assert context is not None and tuned.ours
    assert context.monitoring_attrs.intervals.aggr_us == 200_000
    assert context.monitoring_attrs.intervals.sample_us == 5_000, "what is not named stays"
    assert context.pids == (100, 101)
    assert [scheme.action for scheme in context.schemes or ()] == ["cold", "pageout"]
    assert context.schemes[0].quotas.bytes == 0, "a new list begins with the kernel's defaults"
    assert ("kdamonds/0/state", "commit") in kernel(system).written
    assert journal.read(system).entries[0].pids == [100, 101]
    monitor.stop(system, tuned)
    assert kernel(system).snapshot() == {"kdamonds/nr_kdamonds": "0\n"}


def test_schemes_can_be_taken_away(system: System, slot: monitor.Slot) -> None:
    tuned = tune(system, slot, Context(schemes=[]))
    assert tuned.context is not None and tuned.context.schemes == []


@pytest.mark.parametrize(
    "path",
    [
        "monitoring_attrs/intervals/aggr_us",
        "targets/nr_targets",
        "targets/1/pid_target",
        "schemes/nr_schemes",
        "schemes/1/action",
        "schemes/1/filters/0/addr_end",
        "state",
    ],
)
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBUSY, errno.ENOMEM])
def test_every_failing_step_is_undone(
    system: System, slot: monitor.Slot, path: str, number: int
) -> None:
    damon = kernel(system)
    folder = "kdamonds/0/" if path == "state" else "kdamonds/0/contexts/0/"
    before, book = damon.snapshot(), journal.read(system)
    failed = []

    class Once(dict):
        def __contains__(self, key: object) -> bool:
            # What undoes it may write the same file. Busy files are tried for half a second.
            if key != folder + path or len(failed) >= (25 if number == errno.EBUSY else 1):
                return False
            failed.append(key)
            return True

    object.__setattr__(damon, "fail", Once({folder + path: number}))
    with pytest.raises(Error):
        tune(system, slot, change())
    assert failed
    assert damon.snapshot() == before
    assert journal.read(system) == book
    commits = [text for where, text in damon.written if where.endswith("state")].count("commit")
    assert commits == (len(failed) + 1 if path == "state" else 1), "the kernel has the old ones too"


def test_a_kernel_that_ends_the_kdamond_over_a_commit(system: System, slot: monitor.Slot) -> None:
    """As Linux 6.12 does: the write succeeds, then the kdamond is gone."""
    damon = kernel(system)
    before = damon.snapshot()
    damon.on_command["commit"] = lambda kdamond: damon.turn(kdamond, None)
    with pytest.raises(Error, match="ended the kdamond instead of taking the change") as caught:
        tune(system, slot, change())
    assert "it runs as it did before, as thread 5002" in caught.value.hint
    after = damon.snapshot()
    assert (before.pop("kdamonds/0/pid"), after.pop("kdamonds/0/pid")) == ("5001\n", "5002\n")
    assert after == before
    (entry,) = journal.read(system).entries
    assert (entry.tid, entry.pids) == (5002, [100])
    assert monitor.overview(system).slots[0].ours, "and it can still be stopped"


def test_one_that_cannot_be_started_again_is_said_to_be(system: System, slot: monitor.Slot) -> None:
    damon = kernel(system)

    def end(kdamond: Path) -> None:
        damon.turn(kdamond, None)
        damon.fail["kdamonds/0/state"] = errno.ENOMEM

    damon.on_command["commit"] = end
    with pytest.raises(Error, match=r"instead of taking .* could not be put back: .*memory"):
        tune(system, slot, change())


def test_a_target_that_ends_meanwhile(system: System, slot: monitor.Slot) -> None:
    damon = kernel(system)
    damon.on_command["commit"] = lambda kdamond: damon.turn(kdamond, None)
    with pytest.raises(Error, match="process 999 ended while its monitoring was being changed"):
        tune(system, slot, Context(targets=[Target(pid_target=999, regions=[])]))


def test_more_processes_than_regions(system: System, slot: monitor.Slot) -> None:
    damon = kernel(system)
    before = damon.snapshot()

    def refuse(kdamond: Path) -> None:
        damon.on_command.clear()
        raise OSError(errno.EINVAL, "Invalid argument")

    damon.on_command["commit"] = refuse
    attrs = MonitoringAttrs(nr_regions=Range(min=3, max=3))
    targets = [Target(pid_target=pid) for pid in (100, 101)] * 2
    with pytest.raises(Error, match=r"^4 processes take at least 4 regions, .*max is 3$"):
        tune(system, slot, Context(monitoring_attrs=attrs, targets=targets))
    assert damon.snapshot() == before


def test_one_that_has_ended(system: System, slot: monitor.Slot) -> None:
    damon = kernel(system)
    damon.turn(damon.kdamond(0), None)
    before = damon.snapshot()
    with pytest.raises(Error, match="has ended meanwhile"):
        tune(system, slot, change())
    assert damon.snapshot() == before


@pytest.mark.parametrize(
    ("scheme", "words", "since"),
    [
        ("action=collapse", "scheme 1 (collapse): this kernel does not know the action", "7.2"),
        ("action=migrate_hot nid=0", "this kernel has no migrate_hot for vaddr", "6.17"),
        ("action=stat filter=young", "this kernel has no filter young for vaddr", "6.18"),
        ("action=stat filter=allow addr:0-4K", "this kernel has no filters that allow", "6.14"),
        ("action=stat goal=node_mem_used_bp:1:nid=0", "has no goals of memory nodes", "6.16"),
        ("action=stat max_snapshots=1", "has no max_snapshots", "7.0"),
        ("action=stat tuner=temporal", "has no tuner", "7.1"),
        ("action=stat fail_charge=1/2", "has no fail_charge", "7.2"),
    ],
)
def test_what_the_kernel_lacks_is_named(
    system: System, slot: monitor.Slot, scheme: str, words: str, since: str
) -> None:
    damon = kernel(system)
    object.__setattr__(damon, "actions", ("stat", "pageout", "migrate_hot"))
    before = damon.snapshot()
    with pytest.raises(Error) as caught:
        tune(system, slot, Context(schemes=parse_file(f"action=stat\n{scheme}", "x")))
    assert words in caught.value.message and since in caught.value.hint
    assert damon.snapshot() == before


def test_start_says_so_too_and_leaves_nothing(system: System) -> None:
    object.__setattr__(kernel(system), "actions", ("stat",))
    before = kernel(system).snapshot()
    wanted = Context(operations="paddr", targets=[Target(regions=[])], schemes=[PRCL])
    with pytest.raises(Error, match=r"scheme 0 \(pageout\).* does not know the action 'pageout'"):
        monitor.start(system, wanted, owner=0)
    assert kernel(system).snapshot() == before


def test_a_kernel_without_schemes(system: System) -> None:
    kernel(system).fail["kdamonds/0/contexts/0/schemes/nr_schemes"] = errno.EINVAL
    wanted = Context(operations="paddr", targets=[Target(regions=[])], schemes=[PRCL])
    with pytest.raises(Error, match="has no schemes"):
        monitor.start(system, wanted, owner=0)


def test_newer_kernels_take_all_of_it(system: System) -> None:
    newer = FakeKernel(system.damon.root, proc=system.proc, entries=NEWER_ENTRIES)
    object.__setattr__(system, "damon", newer)
    wanted = parse_scheme(
        "action=migrate_cold dests=0:1,1:2 quota=1M/1s goal=node_mem_used_bp:50%:nid=1 "
        "tuner=temporal fail_charge=1/9 filter=allow hugepage_size:2M-2M max_snapshots=3"
    )
    target = Target(pid_target=100, regions=[])
    slot = monitor.start(system, Context(operations="vaddr", targets=[target]), owner=0)
    tuned = tune(system, slot, Context(schemes=[wanted]))
    assert tuned.context is not None
    (found,) = tuned.context.schemes or ()
    assert [(dest.id, dest.weight) for dest in found.dests or ()] == [(0, 1), (1, 2)]
    assert found.quotas.goals[0].nid == 1 and found.quotas.goal_tuner == "temporal"
    assert found.filters[0].allow and found.filters[0].max == 2 << 20
    assert found.stats.max_nr_snapshots == 3 and found.quotas.fail_charge_denom == 9
