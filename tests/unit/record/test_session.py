# SPDX-License-Identifier: GPL-2.0
"""perf damon record against a fake kernel and a fake perf: it ends, and leaves nothing behind."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fake_kernel import FakeKernel, FakeModules, make
from perfdata.writer import Writer, darc_events, dummy_event

from perf_damon import open as open_recording
from perf_damon import signals
from perf_damon.commands.monitoring import Request
from perf_damon.control import journal, monitor, tree
from perf_damon.control.features import tracepoints
from perf_damon.control.nodes import Context, Scheme
from perf_damon.control.sysfs import Sysfs
from perf_damon.control.system import System
from perf_damon.errors import Error, UsageError
from perf_damon.parameters import Attributes, Parameters
from perf_damon.record import session as session_module
from perf_damon.record.session import Session
from perf_damon.schemes.text import parse_scheme

PERF = """\
#!/bin/sh
# Records nothing, but keeps perf's order of things.
echo "$@" >"$0.words"
printf '%s\\n' "$@" >"$0.lines"
[ -z "$FAKE_PERF_FAILS" ] || { echo "no such event" >&2; exit 129; }
while [ "$1" != -- ]; do
	[ "$1" != -o ] || out=$2
	shift
done
shift
: >"$out"
if [ -z "$FAKE_PERF_ENDS_BY_ITSELF" ]; then
	"$@"
else
	exec 3<&0
	"$@" <&3 &
	sleep 0.3
	kill -TERM $!
	wait $!
fi
code=$?
cp "$0.data" "$out"
[ $code -lt 128 ] || kill -TERM $$
"""
DATA = Writer(cmdline=("perf", "record", "sh", *Parameters().to_words()))
EMPTY = Writer()
DATA.regions(time=10**9, regions=[(0x1000, 0x2000, 3, 7)])
EMPTY.comm(77, "app")
DARC = Writer(events=[*darc_events().values(), dummy_event()])
DARC.comm(77, "app")
ATTRIBUTES = Attributes(5000, 100000, 1000000, 10, 1000)


@pytest.fixture
def machine(tmp_path: Path) -> System:
    make(tmp_path / "damon", {"kdamonds/nr_kdamonds": "0"})
    kernel = FakeKernel(tmp_path / "damon", modules=tmp_path / "modules")
    return System(
        damon=kernel,
        run=tmp_path / "run",
        modules=FakeModules(tmp_path / "modules", kernel=kernel),
        tracing=(tmp_path / "tracing",),
        uid=0,
    )


@pytest.fixture
def perf(tmp_path: Path) -> str:
    program = tmp_path / "perf"
    program.write_text(PERF)
    program.chmod(0o755)
    (tmp_path / "perf.data").write_bytes(DATA.content())
    return str(program)


@pytest.fixture
def target() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def session(system: System, perf: str, tmp_path: Path, **how: object) -> Session:
    values = {"operations": "vaddr", "pids": (), "command": (), "regions": ()}
    for name in list(values):
        values[name] = how.pop(name, values[name])
    wanted = Request(attributes=ATTRIBUTES, take_over=bool(how.pop("take_over", False)), **values)
    return Session(system, wanted, perf, str(tmp_path / "out.data"), **how)


def in_child(work: Callable[[], int]) -> int:
    """The exit status of a process that does the work as perf-damon does; negative for signals."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            sys.stderr = io.StringIO()
            signals.catch_all()
            code = work()
        except signals.Signalled as signalled:
            code = signalled.exit_code
        except Error as error:
            code = error.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def untouched(system: System) -> bool:
    assert isinstance(system.damon, FakeKernel)
    book = journal.read(system)
    try:
        clean = system.damon.snapshot() == {"kdamonds/nr_kdamonds": "0\n"}
    except FileNotFoundError:
        # The guard is at it.
        return False
    return clean and not book.changed


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_time_limit(machine: System, perf: str, tmp_path: Path, target: int) -> None:
    record = session(machine, perf, tmp_path, pids=(target,), timeout_s=0.3)
    assert in_child(record.run) == 0
    assert (tmp_path / "out.data").read_bytes() == DATA.content()
    assert untouched(machine)


def test_perf_is_told_whom_and_carries_the_parameters(
    machine: System, perf: str, tmp_path: Path, target: int
) -> None:
    options = ("-m", "4M")
    record = session(
        machine, perf, tmp_path, pids=(target,), timeout_s=0.1, options=options, quiet=True
    )
    assert in_child(record.run) == 0
    words = Path(f"{perf}.words").read_text().split()
    parameters = Parameters.from_words(words)
    assert parameters is not None
    (kdamond,) = parameters.kdamonds
    assert kdamond.pids == (target,) and kdamond.operations == "vaddr"
    assert kdamond.attributes == ATTRIBUTES
    assert words[words.index("-p") + 1] == f"{kdamond.tid},{target}"
    assert words[words.index("-m") + 1] == "4M"
    assert parameters.comms == {target: "sleep"}


def test_the_target_ends(machine: System, perf: str, tmp_path: Path) -> None:
    process = subprocess.Popen(["sleep", "0.5"])
    waiter = os.fork()
    if waiter == 0:
        os._exit(0)
    os.waitpid(waiter, 0)
    assert in_child(session(machine, perf, tmp_path, pids=(process.pid,)).run) == 0
    process.wait()
    assert untouched(machine)


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 7", 7), ("exit 0", 0), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_the_commands_own_status(
    machine: System, perf: str, tmp_path: Path, command: str, status: int
) -> None:
    record = session(machine, perf, tmp_path, command=("sh", "-c", command))
    assert in_child(record.run) == status
    assert untouched(machine)


def test_a_command_is_ended_at_the_time_limit(machine: System, perf: str, tmp_path: Path) -> None:
    record = session(machine, perf, tmp_path, command=("sleep", "60"), timeout_s=0.3)
    assert in_child(record.run) == 143
    assert untouched(machine)


def test_a_command_that_cannot_be_run(machine: System, perf: str, tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"cannot run '/no/such': No such file"):
        session(machine, perf, tmp_path, command=("/no/such",)).run()
    assert untouched(machine)
    assert not (tmp_path / "out.data").exists()


def test_perf_that_fails(
    machine: System, perf: str, tmp_path: Path, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PERF_FAILS", "1")
    with pytest.raises(Error, match=r"exit status 129\): no such event"):
        session(machine, perf, tmp_path, pids=(target,)).run()
    assert untouched(machine)


def test_perf_that_ends_when_all_threads_have(
    machine: System, perf: str, tmp_path: Path, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """perf may notice the end of target and kdamond before we do."""
    monkeypatch.setenv("FAKE_PERF_ENDS_BY_ITSELF", "1")
    assert in_child(session(machine, perf, tmp_path, pids=(target,)).run) == 0
    assert (tmp_path / "out.data").read_bytes() == DATA.content()
    assert untouched(machine)


def test_a_kdamond_that_is_stopped_by_somebody(
    machine: System, perf: str, tmp_path: Path, target: int
) -> None:
    damon = machine.damon
    assert isinstance(damon, FakeKernel)
    child = os.fork()
    if child == 0:
        wait_until(lambda: (tmp_path / "out.data").exists())
        os.kill(int((damon.kdamond(0) / "pid").read_text()), signal.SIGKILL)
        os._exit(0)
    assert in_child(session(machine, perf, tmp_path, pids=(target,)).run) == 0
    os.waitpid(child, 0)


def test_what_runs_already_is_used_and_goes_on(
    machine: System, perf: str, tmp_path: Path, target: int
) -> None:
    from perf_damon.commands.monitoring import context

    wanted = Request("vaddr", (target,), (), ATTRIBUTES, ())
    slot = monitor.start(machine, context(machine, wanted, (target,)), owner=0)
    record = session(machine, perf, tmp_path, pids=(target,), timeout_s=0.2)
    assert in_child(record.run) == 0
    assert f"-p {slot.kdamond.pid},{target}" in Path(f"{perf}.words").read_text()
    after = monitor.overview(machine).slots[slot.index]
    assert after.ours
    monitor.stop(machine, slot)
    assert untouched(machine)


def test_what_schemes_act_on_is_recorded_with_their_names(
    machine: System, perf: str, tmp_path: Path, target: int
) -> None:
    from perf_damon.commands.monitoring import context

    wanted = Request("vaddr", (target,), (), ATTRIBUTES, ())
    monitored = context(machine, wanted, (target,))
    cold = "action=pageout size=4K-max accesses=0%-0% age=5s-max"
    monitored.schemes = [parse_scheme(cold), Scheme(action="hugepage")]
    slot = monitor.start(machine, monitored, owner=0)
    record = session(machine, perf, tmp_path, pids=(target,), timeout_s=0.1, schemes=True)
    assert in_child(record.run) == 0
    words = Path(f"{perf}.lines").read_text().splitlines()
    assert words[words.index("-e") + 3] == "damon:damos_before_apply"
    parameters = Parameters.from_words(words)
    assert parameters is not None
    assert [scheme.action for scheme in parameters.kdamonds[0].schemes] == ["pageout", "hugepage"]
    assert parameters.kdamonds[0].schemes[0].text == cold
    record = session(machine, perf, tmp_path, pids=(target,), timeout_s=0.1)
    assert in_child(record.run) == 0
    assert "damos_before_apply" not in Path(f"{perf}.words").read_text()
    monitor.stop(machine, slot)


def test_darc_is_recorded_of_all_threads_and_the_rest_of_ours(
    machine: System, perf: str, tmp_path: Path, target: int
) -> None:
    record = session(machine, perf, tmp_path, pids=(target,), timeout_s=0.1, darc=True)
    assert in_child(record.run) == 0
    words = Path(f"{perf}.lines").read_text().splitlines()
    assert "-a" in words and "-p" not in words
    parameters = Parameters.from_words(words)
    assert parameters is not None
    at = words.index("damon:damon_aggregated")
    assert words[at + 1 : at + 3] == ["--filter", f"common_pid == {parameters.kdamonds[0].tid}"]
    events = [words[i + 1] for i, word in enumerate(words) if word == "-e"]
    assert events[1:] == ["darc:darc_start", "darc:darc_stop", "darc:darc_reclaim"]
    assert untouched(machine)


@pytest.mark.parametrize(
    "names",
    [
        ["damon_aggregated"],
        ["damon_region_aggregated"],
        ["damon_aggregated", "damon_region_aggregated"],
    ],
)
def test_what_tells_of_regions_is_recorded_as_the_kernel_has_it(
    machine: System, perf: str, tmp_path: Path, target: int, names: list[str]
) -> None:
    """Also on a later kernel that has the new event alone."""
    for name in names:
        (tmp_path / "tracefs/events/damon" / name).mkdir(parents=True)
    machine = replace(machine, tracing=(tmp_path / "tracefs",))
    machine.require_event()
    assert tracepoints(machine) == names
    record = session(machine, perf, tmp_path, pids=(target,), timeout_s=0.1)
    assert in_child(record.run) == 0
    words = Path(f"{perf}.lines").read_text().splitlines()
    events = [words[i + 1] for i, word in enumerate(words) if word == "-e"]
    assert events == [f"damon:{name}" for name in names]
    assert untouched(machine)


def test_darc_alone_changes_nothing(
    machine: System, perf: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "darc", {"enabled": "N"})
    machine = replace(machine, darc=Sysfs(tmp_path / "darc"))
    (tmp_path / "perf.data").write_bytes(DARC.content())
    record = session(machine, perf, tmp_path, darc=True, monitor=False, timeout_s=0.1)
    assert in_child(record.run) == 0
    words = Path(f"{perf}.lines").read_text().splitlines()
    assert "-a" in words and "--filter" not in words and "damon:damon_aggregated" not in words
    assert untouched(machine)
    record._say_hello()
    assert "DARC is disabled: it tells nothing until perf damon darc enable" in (
        capsys.readouterr().err
    )


class FakeCount:
    """Events that come one at each look, so long as there are any."""

    def __init__(self, looks: Path, needed: int) -> None:
        self.looks, self.needed = looks, needed

    def read(self) -> int:
        with self.looks.open("a") as file:
            file.write(".")
        return self.looks.stat().st_size

    def whole(self) -> bool:
        return self.read() > self.needed

    def close(self) -> None:
        pass


@pytest.fixture
def stat(machine: System) -> Iterator[int]:
    """DAMON_STAT runs: its thread."""
    assert isinstance(machine.modules, FakeModules)
    machine.modules.add("damon_stat", aggr_interval_us=3_174_080)
    file = machine.modules.root / "damon_stat/parameters/kdamond_pid"
    yield int(file.read_text())
    if (tid := int(file.read_text())) > 0:
        os.kill(tid, signal.SIGKILL)


def unchanged(machine: System, stat: int) -> bool:
    assert isinstance(machine.damon, FakeKernel)
    file = machine.modules.root / "damon_stat/parameters/kdamond_pid"
    return untouched(machine) and not machine.damon.written and int(file.read_text()) == stat


@pytest.mark.parametrize("how", [{"listen": True, "operations": ""}, {"operations": "paddr"}])
def test_listening_to_the_kernels_own(
    machine: System, perf: str, tmp_path: Path, stat: int, how: dict
) -> None:
    record = session(machine, perf, tmp_path, timeout_s=0.1, lenient=True, **how)
    assert in_child(record.run) == 0
    words = Path(f"{perf}.lines").read_text().splitlines()
    assert words[words.index("-p") + 1] == str(stat)
    (kdamond,) = Parameters.from_words(words).kdamonds
    assert (kdamond.tid, kdamond.operations, kdamond.pids) == (stat, "paddr", ())
    assert kdamond.attributes == Attributes(aggr_us=3_174_080, tuned=True)
    assert unchanged(machine, stat)


@pytest.mark.parametrize(
    "how",
    [
        {"operations": "paddr"},
        {"operations": "vaddr", "lenient": True, "pids": (1,)},
    ],
)
def test_it_does_not_serve_who_wants_more(
    machine: System, perf: str, tmp_path: Path, stat: int, how: dict
) -> None:
    with pytest.raises(Error, match=r"own DAMON_STAT \(thread .*lets nobody else"):
        session(machine, perf, tmp_path, timeout_s=0.1, regions=((0, 4096),), **how).run()
    assert untouched(machine) and machine.modules.on() == ["damon_stat"]


@pytest.mark.parametrize("event", ["damon_aggregated", "damon_region_aggregated"])
@pytest.mark.parametrize("quiet", [False, True])
def test_the_time_limit_waits_for_a_whole_snapshot(
    machine: System,
    perf: str,
    tmp_path: Path,
    stat: int,
    quiet: bool,
    event: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(tmp_path / "tracing/events/damon" / event, {"id": "77"})
    looks = tmp_path / "looks"
    asked = []

    def count(event: Path, tid: int) -> FakeCount:
        asked.append((event.name, tid))
        return FakeCount(looks, needed=3)

    monkeypatch.setattr(session_module, "count", count)
    monkeypatch.setattr(session_module, "_LOOK_S", 0.01)

    def work() -> int:
        how = {"listen": True, "timeout_s": 0.01, "quiet": quiet}
        code = session(machine, perf, tmp_path, **how).run()
        (tmp_path / "said").write_text(sys.stderr.getvalue())
        return code if asked == [(event, stat)] else 98

    assert in_child(work) == 0
    assert len(looks.read_text()) == 4
    said = (tmp_path / "said").read_text()
    if quiet:
        assert said == ""
    else:
        assert f"listening to DAMON_STAT (thread {stat}), which monitors physical memory" in said
        assert "a snapshot comes about every 3.174 s" in said
        waiting = "waiting for a first whole snapshot (about every 3.174 s) of DAMON_STAT"
        assert said.count(waiting) == 1
    assert unchanged(machine, stat)


def test_ctrl_c_ends_listening_at_once(
    machine: System, perf: str, tmp_path: Path, stat: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it waits for a snapshot; that there is none is said, with how long one takes."""
    (tmp_path / "perf.data").write_bytes(EMPTY.content())
    make(tmp_path / "tracing/events/damon/damon_aggregated", {"id": "77"})
    looks = tmp_path / "looks"
    endless = FakeCount(looks, needed=1 << 40)
    monkeypatch.setattr(session_module, "count", lambda *_: endless)
    monkeypatch.setattr(session_module, "_LOOK_S", 0.01)

    def work() -> int:
        if os.fork() == 0:
            wait_until(lambda: looks.exists() and looks.stat().st_size > 3)
            os.kill(os.getppid(), signal.SIGINT)
            os._exit(0)
        try:
            return session(machine, perf, tmp_path, listen=True, timeout_s=0.01).run()
        finally:
            (tmp_path / "said").write_text(sys.stderr.getvalue())

    assert in_child(work) == 130
    assert "aggregation interval of 3.174 s" in (tmp_path / "said").read_text()
    assert unchanged(machine, stat)


def test_listening_to_what_a_killed_one_left_off(
    machine: System, perf: str, tmp_path: Path, stat: int
) -> None:
    """It is turned on again first, and then listened to."""
    assert isinstance(machine.modules, FakeModules)
    machine.modules.put("damon_stat/parameters/enabled", "N")
    with journal.locked(machine) as book:
        book.taken.append("damon_stat")
        journal.write(machine, book)
    record = session(machine, perf, tmp_path, listen=True, timeout_s=0.1)
    assert in_child(record.run) == 0
    assert machine.modules.on() == ["damon_stat"] and untouched(machine)
    tid = (machine.modules.root / "damon_stat/parameters/kdamond_pid").read_text().strip()
    words = Path(f"{perf}.lines").read_text().splitlines()
    assert words[words.index("-p") + 1] == tid


def test_listening_ends_when_it_is_turned_off(
    machine: System, perf: str, tmp_path: Path, stat: int
) -> None:
    if (child := os.fork()) == 0:
        wait_until(lambda: (tmp_path / "out.data").exists())
        machine.modules.put("damon_stat/parameters/enabled", "N")
        os._exit(0)
    assert in_child(session(machine, perf, tmp_path, listen=True).run) == 0
    os.waitpid(child, 0)
    assert untouched(machine) and machine.modules.on() == []


def test_listening_to_what_runs_in_the_tree(
    machine: System, perf: str, tmp_path: Path, target: int
) -> None:
    from perf_damon.commands.monitoring import context

    with pytest.raises(UsageError, match="no target, and nothing is monitored"):
        session(machine, perf, tmp_path, listen=True).run()
    wanted = Request("vaddr", (target,), (), ATTRIBUTES, ())
    slot = monitor.start(machine, context(machine, wanted, (target,)), owner=0)
    assert in_child(session(machine, perf, tmp_path, listen=True, timeout_s=0.1).run) == 0
    assert f"-p {slot.kdamond.pid},{target}" in Path(f"{perf}.words").read_text()
    assert monitor.overview(machine).slots[slot.index].ours
    monitor.stop(machine, slot)
    assert untouched(machine)


def test_taken_over_while_it_records(
    machine: System, perf: str, tmp_path: Path, stat: int, target: int
) -> None:
    record = session(machine, perf, tmp_path, pids=(target,), timeout_s=0.1, take_over=True)
    assert in_child(record.run) == 0
    assert untouched(machine) and machine.modules.on() == ["damon_stat"]
    path = "modules/damon_stat/parameters/kdamond_pid"
    assert int((tmp_path / path).read_text()) != stat, "it began anew"


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_cannot_be_turned_on_again(
    machine: System, perf: str, tmp_path: Path, stat: int, target: int, interrupted: bool
) -> None:
    """The recording is whole nevertheless, and said to be."""
    damon = machine.damon
    assert isinstance(damon, FakeKernel)

    def work() -> int:
        # What is written to it while it is off is to turn it on.
        refused = {"modules/damon_stat/parameters/enabled": errno.EIO}
        damon.before_write.append(lambda: machine.modules.on() or damon.fail.update(refused))
        if interrupted and os.fork() == 0:
            wait_until(lambda: (tmp_path / "out.data").exists())
            os.kill(os.getppid(), signal.SIGINT)
            os._exit(0)
        how = {"pids": (target,), "take_over": True}
        record = session(machine, perf, tmp_path, timeout_s=None if interrupted else 0.1, **how)
        try:
            return record.run()
        finally:
            (tmp_path / "said").write_text(sys.stderr.getvalue())

    assert in_child(work) == 255
    assert "captured 1 snapshots" in (tmp_path / "said").read_text()
    assert machine.modules.on() == [] and journal.read(machine).taken == ["damon_stat"]
    monitor.clean_up(machine)
    assert machine.modules.on() == ["damon_stat"] and untouched(machine)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_records(
    machine: System, perf: str, tmp_path: Path, target: int, number: int
) -> None:
    def work() -> int:
        if os.fork() == 0:
            wait_until(lambda: (tmp_path / "out.data").exists())
            os.kill(os.getppid(), number)
            os._exit(0)
        return session(machine, perf, tmp_path, pids=(target,)).run()

    assert in_child(work) == 128 + number
    assert (tmp_path / "out.data").read_bytes() == DATA.content(), "perf has finished the file"
    assert untouched(machine)


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("command", [(), ("true",), ("sh", "-c", "exit 7")])
def test_a_recording_that_captured_nothing(
    machine: System, perf: str, tmp_path: Path, target: int, quiet: bool, command: tuple[str, ...]
) -> None:
    """It says so, and ends with an error, or with the command's own."""
    (tmp_path / "perf.data").write_bytes(EMPTY.content())
    how = {"command": command} if command else {"pids": (target,), "timeout_s": 0.1}

    def work() -> int:
        code = session(machine, perf, tmp_path, quiet=quiet, **how).run()
        (tmp_path / "said").write_text(sys.stderr.getvalue())
        return code

    assert in_child(work) == (7 if len(command) > 1 else 255)
    said = (tmp_path / "said").read_text()
    assert "Error: nothing was captured: " in said
    assert "aggregation interval of 100 ms" in said
    assert "next: " not in said
    assert untouched(machine)


def test_a_recording_that_cannot_be_read_back(
    machine: System, perf: str, tmp_path: Path, target: int
) -> None:
    (tmp_path / "perf.data").write_bytes(b"nonsense")
    assert in_child(session(machine, perf, tmp_path, pids=(target,), timeout_s=0.1).run) == 255
    assert untouched(machine)


def test_a_perf_that_forgets_its_command_line(
    machine: System, perf: str, tmp_path: Path, target: int
) -> None:
    """As 7.2 does: the parameters are in the file all the same."""
    forgetful = replace(DATA, cmdline=("/usr/bin/perf",))
    (tmp_path / "perf.data").write_bytes(forgetful.content())
    assert in_child(session(machine, perf, tmp_path, pids=(target,), timeout_s=0.1).run) == 0
    words = Path(f"{perf}.lines").read_text().splitlines()
    recording = open_recording(str(tmp_path / "out.data"))
    assert recording.header.cmdline == (perf, *words)
    told = Parameters.from_words(words)
    assert told is not None and told.kdamonds[0].pids == (target,)


def writes_of_a_run(machine: System, perf: str, tmp_path: Path, how: dict) -> int:
    assert in_child(session(machine, perf, tmp_path, **how).run) == 0
    damon = machine.damon
    assert isinstance(damon, FakeKernel)
    counter = tmp_path / "count"
    damon.before_write.append(lambda: counter.open("a").write(".") and None)
    assert in_child(session(machine, perf, tmp_path, **how).run) == 0
    damon.before_write.clear()
    return len(counter.read_text())


@pytest.mark.parametrize("take_over", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_before_every_single_write(
    machine: System, perf: str, tmp_path: Path, target: int, number: int, take_over: bool
) -> None:
    """Whatever the moment: the tree is as it was, by ourselves or, when killed, by the guard."""
    damon = machine.damon
    assert isinstance(damon, FakeKernel) and isinstance(machine.modules, FakeModules)
    how = {"pids": (target,), "timeout_s": 0.01, "take_over": take_over}
    if take_over:
        machine.modules.add("damon_stat")
    on = machine.modules.on()
    writes = writes_of_a_run(machine, perf, tmp_path, how)
    assert writes > 10
    for moment in range(writes):
        seen = [0]

        def strike(moment: int = moment, seen: list[int] = seen) -> None:
            if seen[0] == moment:
                os.kill(os.getpid(), number)
            seen[0] += 1

        def work(strike: Callable[[], None] = strike) -> int:
            damon.before_write.append(strike)
            # Not in the guard, which undoes by the same writes.
            os.register_at_fork(after_in_child=damon.before_write.clear)
            return session(machine, perf, tmp_path, **how).run()

        code = in_child(work)
        if number == signal.SIGKILL:
            assert code == -signal.SIGKILL
            wait_until(lambda: untouched(machine) and machine.modules.on() == on)
        else:
            assert code == 128 + number
            assert untouched(machine) and machine.modules.on() == on, f"write {moment}"


@pytest.mark.parametrize(
    ("goal", "tuned"), [({}, False), ({"access_bp": "0"}, False), ({"access_bp": "400"}, True)]
)
def test_a_recording_tells_that_intervals_are_tuned(
    tmp_path: Path, goal: dict[str, str], tuned: bool
) -> None:
    folder = "monitoring_attrs/intervals"
    make(tmp_path / "tree/c", {f"{folder}/sample_us": "5000", f"{folder}/aggr_us": "100000"})
    make(tmp_path / "tree/c", {f"{folder}/intervals_goal/{name}": goal[name] for name in goal})
    context = tree.load(Context, Sysfs(tmp_path / "tree"), "c")
    told = Parameters((session_module._kdamond(77, context),))
    (kdamond,) = Parameters.from_words(told.to_words()).kdamonds
    assert kdamond.attributes.tuned is tuned
