# SPDX-License-Identifier: GPL-2.0
"""The kernel's own users of DAMON: who is in the way, taken over and given back, in every order."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading

import pytest
from fake_kernel import FakeKernel, FakeModules, process

from perf_damon.commands import status
from perf_damon.commands.stop import stop
from perf_damon.control import journal, modules, monitor
from perf_damon.control.nodes import Context, Target
from perf_damon.control.system import System
from perf_damon.errors import Error
from perf_damon.parameters import Attributes

STAT = "modules/damon_stat/parameters/enabled"
ALL_ON = ["damon_stat"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.fixture
def fakes(system: System) -> FakeModules:
    """DAMON_STAT runs, as on a machine that has just booted."""
    assert isinstance(system.modules, FakeModules)
    system.modules.add("damon_stat", aggr_interval_us=3174080)
    return system.modules


def context(pid: int = 100) -> Context:
    return Context(operations="vaddr", targets=[Target(pid_target=pid, regions=[])])


def start(system: System, owner: int = 0, pid: int = 100, take_over: bool = True) -> monitor.Slot:
    return monitor.start(system, context(pid), owner, take_over=take_over)


def somebody_elses(kernel: FakeKernel, slot: int) -> None:
    kernel.put(f"kdamonds/{slot}/contexts/nr_contexts", "1")
    kernel.put(f"kdamonds/{slot}/state", "on")


def untouched(system: System) -> bool:
    assert isinstance(system.damon, FakeKernel)
    return (
        system.damon.snapshot() == {"kdamonds/nr_kdamonds": "0\n"}
        and not journal.read(system).changed
    )


def test_what_runs_and_how(system: System, fakes: FakeModules) -> None:
    (stat,) = modules.running(system)
    assert stat == modules.Module("damon_stat", 5001, Attributes(aggr_us=3174080, tuned=True))
    shutil.rmtree(fakes.root / "damon_stat")
    values = {
        **{"sample_interval": 5000, "aggr_interval": 100000},
        **{"min_nr_regions": 10, "max_nr_regions": 1000},
    }
    fakes.add("damon_lru_sort", **values)
    (sort,) = modules.running(system)
    attributes = Attributes(5000, 100000, None, 10, 1000)
    assert (sort.title, sort.attributes) == ("DAMON_LRU_SORT", attributes)
    (fakes.root / "damon_lru_sort/parameters/autotune_monitoring_intervals").write_text("Y\n")
    assert modules.running(system)[0].attributes.tuned
    (fakes.root / "damon_lru_sort/parameters/enabled").write_text("N\n")
    assert modules.running(system) == []


def test_a_kernel_that_does_not_tell_the_kdamond(system: System, fakes: FakeModules) -> None:
    """DAMON_STAT of Linux 6.17 to 7.1: the only kdamond there is, is its."""
    (fakes.root / "damon_stat/parameters/kdamond_pid").unlink()
    process(system.proc, 900, "kdamond.impostor", pages=5)
    assert modules.running(system)[0].tid == 5001
    process(system.proc, 901, "kdamond.7", pages=0)
    assert modules.running(system)[0].tid is None


def test_before_its_first_interval(system: System, fakes: FakeModules) -> None:
    (fakes.root / "damon_stat/parameters/aggr_interval_us").write_text("0\n")
    assert modules.running(system)[0].attributes.aggr_us is None


def test_nobody_is_taken_over_who_does_not_say_so(system: System, fakes: FakeModules) -> None:
    with pytest.raises(Error, match=r"own DAMON_STAT \(thread 5001\) is using DAMON") as caught:
        start(system, take_over=False)
    assert "--take-over" in caught.value.hint and "'perf damon record' without" in caught.value.hint
    assert fakes.on() == ALL_ON and untouched(system)
    assert not [path for path, _ in fakes.kernel.written if path.startswith("modules/")]


def test_taken_over_and_given_back(system: System, fakes: FakeModules) -> None:
    slot = start(system)
    assert fakes.on() == [] and journal.read(system).taken == ["damon_stat"]
    monitor.stop(system, slot)
    assert fakes.on() == ALL_ON and untouched(system)


def test_nothing_to_take_over(system: System) -> None:
    monitor.stop(system, start(system))
    assert untouched(system)


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("both", [False, True])
def test_it_comes_back_with_the_last(
    system: System, fakes: FakeModules, order: str, both: bool
) -> None:
    slots = [start(system), start(system, pid=101, take_over=both)]
    if order == "second":
        slots.reverse()
    monitor.stop(system, slots[0])
    assert fakes.on() == [] and journal.read(system).taken == ["damon_stat"]
    monitor.stop(system, slots[1])
    assert fakes.on() == ALL_ON and untouched(system)


def test_two_at_once(system: System, fakes: FakeModules) -> None:
    """Each waits for the other's journal: neither finds the module half taken."""
    done: list[monitor.Slot | BaseException] = []

    def run(pid: int) -> None:
        try:
            done.append(start(system, pid=pid))
        except BaseException as error:
            done.append(error)

    threads = [threading.Thread(target=run, args=(pid,)) for pid in (100, 101)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slots = [slot for slot in done if isinstance(slot, monitor.Slot)]
    assert len(slots) == 2, done
    assert journal.read(system).taken == ["damon_stat"]
    for slot in slots:
        monitor.stop(system, slot)
    assert fakes.on() == ALL_ON and untouched(system)


@pytest.mark.parametrize("which", [(300,), (301,), (300, 301), (301, 300)])
def test_owners_that_are_killed(system: System, fakes: FakeModules, which: tuple[int, ...]) -> None:
    slots = {}
    for owner in (300, 301):
        process(system.proc, owner, "perf-damon", started=55)
        slots[owner] = start(system, owner=owner, pid=owner - 200)
    for number, owner in enumerate(which):
        shutil.rmtree(system.proc / str(owner))
        assert [entry.owner for entry in monitor.clean_up(system)] == [owner]
        assert (fakes.on() == ALL_ON) == (number == 1)
    for owner in {300, 301} - set(which):
        monitor.stop(system, slots[owner])
    assert fakes.on() == ALL_ON and untouched(system)


def killed_before_write(system: System, kernel: FakeKernel, moment: int) -> bool:
    """Start monitoring in a process that is killed before one of its writes; whether it was.

    Or right after one that turns something on or off.
    """

    def strike() -> None:
        nonlocal moment
        moment -= 1
        if moment < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        try:
            kernel.before_write.append(strike)
            put = FakeModules.put
            FakeModules.put = lambda *words: (put(*words), strike())  # type: ignore
            start(system, owner=300, pid=101)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("beside", [False, True])
def test_killed_before_each_write(system: System, fakes: FakeModules, beside: bool) -> None:
    """The next command undoes it, whatever the moment; beside another one of ours, that one."""
    slot = start(system) if beside else None
    moment = 0
    while True:
        process(system.proc, 300, "perf-damon", started=55)
        killed = killed_before_write(system, fakes.kernel, moment)
        shutil.rmtree(system.proc / "300")
        monitor.clean_up(system)
        assert fakes.on() == ([] if beside else ALL_ON), f"write {moment}"
        if not killed:
            break
        moment += 1
    assert moment >= 6, "so many writes there are"
    if slot is not None:
        monitor.stop(system, slot)
    assert fakes.on() == ALL_ON and untouched(system)


@pytest.mark.parametrize("step", [STAT, "kdamonds/0/contexts/0/operations", "kdamonds/0/state"])
def test_a_start_that_fails(system: System, fakes: FakeModules, step: str) -> None:
    class Once(dict):
        def get(self, key: str, default: object = None) -> object:
            return errno.ENOMEM if key in self else default

        def __contains__(self, key: object) -> bool:
            return key == step and sum(path == step for path, _ in fakes.kernel.written) == 1

        def __getitem__(self, key: str) -> int:
            return errno.ENOMEM

    object.__setattr__(fakes.kernel, "fail", Once())
    with pytest.raises(Error, match="out of memory"):
        start(system)
    assert fakes.on() == ALL_ON and untouched(system)


def test_read_only(system: System, fakes: FakeModules) -> None:
    (fakes.root / "damon_stat/parameters/enabled").chmod(0o400)
    with pytest.raises(Error, match=r"DAMON_STAT .* cannot be turned off: .*enabled is read-only"):
        start(system)
    assert fakes.on() == ALL_ON and untouched(system)


def test_a_module_that_goes_meanwhile(system: System, fakes: FakeModules) -> None:
    slot = start(system)
    shutil.rmtree(fakes.root / "damon_stat")
    monitor.stop(system, slot)
    assert untouched(system)


def test_somebody_turned_it_on_before(system: System, fakes: FakeModules) -> None:
    slot = start(system)
    fakes.kernel.turn(fakes.kernel.kdamond(slot.index), None)
    fakes.put("damon_stat/parameters/enabled", "Y")
    written = len(fakes.kernel.written)
    monitor.stop(system, slot)
    assert untouched(system) and (STAT, "Y") not in fakes.kernel.written[written:]


@pytest.mark.parametrize("number", [errno.EIO, errno.EBUSY])
def test_refused_while_somebody_elses_kdamond_runs(
    system: System, fakes: FakeModules, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    kernel, slot = fakes.kernel, start(system)
    somebody_elses(kernel, slot.index + 1)
    kernel.fail[STAT] = number
    with pytest.raises(
        modules.NotTurnedOn, match="DAMON_STAT could not be turned on again"
    ) as said:
        monitor.stop(system, slot)
    assert errno.errorcode[number] in said.value.message and "perf damon stop" in said.value.hint
    assert journal.read(system).entries == [] and journal.read(system).taken == ["damon_stat"]
    text = status.render(system, status.collect(system))
    assert (
        "DAMON_STAT was turned off by perf damon\n    it is turned on again by perf damon stop"
        in (text)
    )
    with pytest.raises(Error, match="DAMON_STAT cannot be turned on again yet"):
        stop(system)
    assert fakes.on() == [], "and other commands do not fail of it:"
    other = start(system, take_over=False)
    kernel.put(f"kdamonds/{slot.index + 1}/state", "off")
    kernel.put(f"kdamonds/{slot.index + 1}/contexts/nr_contexts", "0")
    del kernel.fail[STAT]
    monitor.stop(system, other)
    assert fakes.on() == ALL_ON and journal.read(system).taken == []
    capsys.readouterr()


def test_stop_turns_on_what_was_left(
    system: System, fakes: FakeModules, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that took over and its guard are both gone."""
    process(system.proc, 300, "perf-damon", started=55)
    start(system, owner=300)
    state = status.collect(system)
    assert (state["modules"], state["taken_over"]) == ([], ["damon_stat"])
    assert "turned on again when perf damon's kdamonds have ended" in status.render(system, state)
    fakes.kernel.turn(fakes.kernel.kdamond(0), None)
    assert "turned on again by perf damon stop" in status.render(system, status.collect(system))
    shutil.rmtree(system.proc / "300")
    assert stop(system) == 0
    assert "DAMON_STAT is on again" in capsys.readouterr().err
    assert fakes.on() == ALL_ON and untouched(system)


def test_stop_says_what_it_stopped_where_not_all_comes_back(
    system: System, fakes: FakeModules, capsys: pytest.CaptureFixture[str]
) -> None:
    start(system)
    fakes.kernel.fail[STAT] = errno.EIO
    with pytest.raises(modules.NotTurnedOn):
        stop(system)
    assert "kdamond 0 (thread 5003) stopped: it monitored 100 (app)" in capsys.readouterr().err
    fakes.kernel.fail.clear()
    assert stop(system) == 0
    assert "DAMON_STAT is on again" in capsys.readouterr().err and untouched(system)


def test_taken_over_again_after_a_kill(system: System, fakes: FakeModules) -> None:
    """With --take-over the next start leaves it off; without, it is in the way again."""
    process(system.proc, 300, "perf-damon", started=55)
    start(system, owner=300)
    shutil.rmtree(system.proc / "300")
    written = len(fakes.kernel.written)
    slot = start(system)
    assert (STAT, "Y") not in fakes.kernel.written[written:]
    monitor.stop(system, slot)
    assert fakes.on() == ALL_ON
    start(system, owner=300)
    fakes.kernel.turn(fakes.kernel.kdamond(0), None)
    fakes.put("damon_stat/parameters/enabled", "Y")
    slot = start(system)
    assert journal.read(system).taken == ["damon_stat"], "once"
    monitor.stop(system, slot)
    assert fakes.on() == ALL_ON
    start(system, owner=300)
    with pytest.raises(Error, match="DAMON_STAT"):
        start(system, take_over=False)
    assert fakes.on() == ALL_ON and untouched(system)


def test_status_of_one_that_runs(system: System, fakes: FakeModules) -> None:
    state = status.collect(system)
    (module,) = state["modules"]
    assert (module["name"], module["tid"]) == ("damon_stat", 5001)
    assert (module["attributes"]["aggr_us"], module["attributes"]["tuned"]) == (3174080, True)
    lines = status.render(system, state).splitlines()
    assert lines[1].startswith("  DAMON_STAT runs (thread 5001), a part of the kernel")
    assert lines[2] == "    paddr of physical memory: aggr 3.174 s, tuned by DAMON"
    assert "nothing is monitored" not in "\n".join(lines)
