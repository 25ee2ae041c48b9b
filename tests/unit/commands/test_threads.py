# SPDX-License-Identifier: GPL-2.0
"""Threads as targets: their process is meant, and said to be, before anything is started."""

from __future__ import annotations

import os
import threading

import pytest
from fake_kernel import FakeKernel, process

from perf_damon.commands import monitoring, record, start, tune
from perf_damon.control import monitor
from perf_damon.control.system import System
from perf_damon.errors import Error
from perf_damon.options import Parser


@pytest.fixture
def threads(system: System, monkeypatch: pytest.MonkeyPatch) -> System:
    """200 is a thread of 100; 300, whose main thread has ended, has the thread 301."""
    process(system.proc, 200, "worker", of=100)
    process(system.proc, 300, "ended", state="Z")
    process(system.proc, 301, "goes on", of=300)
    process(system.proc, 400, "perf damon's", of=os.getpid())
    for module in (start, record, tune):
        monkeypatch.setattr(module, "System", lambda: system)
    return system


def run(module: object, *words: str) -> int:
    parser = Parser("perf damon x", "")
    module.configure(parser)  # type: ignore[attr-defined]
    args = parser.parse_args(list(words))
    args.command = None
    return module.run(args)  # type: ignore[attr-defined]


def pids(system: System) -> tuple[int, ...]:
    context = monitor.overview(system).slots[0].context
    assert context is not None
    return context.pids


def test_start(threads: System, capsys: pytest.CaptureFixture[str]) -> None:
    run(start, "200,101,100")
    assert pids(threads) == (100, 101)
    said = capsys.readouterr().err
    assert "200 is a thread of process 100 (app): all of the process is monitored\n" in said
    with pytest.raises(Error, match="is monitored already, by kdamond 0"):
        run(start, "200")


def test_tune(threads: System, capsys: pytest.CaptureFixture[str]) -> None:
    run(start, "101")
    run(tune, "200")
    assert pids(threads) == (100,)
    assert "200 is a thread of process 100 (app)" in capsys.readouterr().err


def test_record(threads: System, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def session(**how: object) -> object:
        wanted = how["wanted"]
        assert isinstance(wanted, monitoring.Request)
        seen.append(wanted.pids)
        raise Error("enough")

    monkeypatch.setattr("perf_damon.record.session.Session", session)
    monkeypatch.setattr(record, "find_perf", lambda: "perf")
    with pytest.raises(Error, match="enough"):
        run(record, "-o", str(threads.run.parent / "perf.data"), "200", "100")
    assert seen == [(100,)]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("301", "301 is a thread of process 300, whose main thread has ended"),
        ("400", f"process {os.getpid()} is perf damon itself"),
        ("300", "no process with pid 300"),
    ],
)
def test_what_cannot_be_monitored(threads: System, target: str, words: str) -> None:
    damon = threads.damon
    assert isinstance(damon, FakeKernel)
    with pytest.raises(Error, match=words):
        run(start, "100", target)
    assert damon.written == []


def test_a_real_thread() -> None:
    told: list[int] = []
    thread = threading.Thread(
        target=lambda: told.append(System().process_of(threading.get_native_id()))
    )
    thread.start()
    thread.join()
    assert told == [os.getpid()] and System().process_of(os.getpid()) == os.getpid()
    assert System().process_of(2**30) == 2**30, "one that is not there"
