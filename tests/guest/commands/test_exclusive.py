# SPDX-License-Identifier: GPL-2.0
"""Beside DAMON_STAT, which lets nobody else use DAMON: on kernels that have it (debian-newest)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from guest import CHECKOUT, damon, kdamonds, ok, run, tree, wait_until

STAT = Path("/sys/module/damon_stat/parameters")
JOURNAL = Path("/run/perf-damon/journal")

pytestmark = pytest.mark.skipif(not STAT.is_dir(), reason="a kernel without DAMON_STAT")


def is_on() -> bool:
    return (STAT / "enabled").read_text() == "Y\n"


def thread() -> int:
    return int((STAT / "kdamond_pid").read_text())


def nothing_to_undo() -> bool:
    if not JOURNAL.exists():
        return True
    book = json.loads(JOURNAL.read_text())
    return not book["entries"] and not book["taken"] and book["found"] is None


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Instead of the others' fixture: DAMON_STAT is on before and after, and alone."""
    was = is_on()
    if not was:
        (STAT / "enabled").write_text("Y")
    before = tree()
    yield
    wait_until(lambda: kdamonds() == [thread()], "only DAMON_STAT's kdamond is there", 60)
    assert is_on() and tree() == before and nothing_to_undo()
    if not was:
        (STAT / "enabled").write_text("N")


@contextmanager
def recording(*words: object) -> Iterator[subprocess.Popen]:
    """A recording that has begun; of perf-damon itself, so that signals are for it."""
    command = [CHECKOUT / "tools/perf/perf-damon", "record", *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Ctrl-C ends it" in line:
                break
        yield process


def recorded(name: str) -> dict:
    (target,) = json.loads(ok("report", "-i", name, "--format", "json"))["targets"]
    return target


def test_who_is_in_the_way_is_said(here: Path, target: int) -> None:
    for words in (["start", target], ["record", target], ["record", "-a", "--sample", "10ms"]):
        refused = damon(*words)
        assert refused.returncode == 255
        assert f"the kernel's own DAMON_STAT (thread {thread()}) is using DAMON" in refused.stderr
        assert "--take-over" in refused.stderr
    (module,) = json.loads(ok("status", "--json"))["modules"]
    assert (module["name"], module["tid"]) == ("damon_stat", thread())
    assert f"DAMON_STAT runs (thread {thread()})" in ok("status")
    assert f"in use by DAMON_STAT (thread {thread()}, aggregates over" in ok("version")
    assert thread() > 0 and is_on()


def test_listened_to(here: Path) -> None:
    """A time limit of nothing still brings a whole snapshot, with the intervals as they are."""
    kdamond = thread()
    result = damon("record", "--timeout", "1ms", timeout=600)
    assert result.returncode == 0, result.stderr
    assert f"listening to DAMON_STAT (thread {kdamond})" in result.stderr
    target = recorded("perf.data")
    assert (target["operations"], target["kdamond"]) == ("paddr", kdamond)
    assert target["snapshots"] >= 1 and target["intervals_tuned"] is True
    aggr_us = target["attributes"]["aggr_us"]
    assert "about every" in result.stderr and aggr_us > 0
    assert target["attributes_inferred"] is False
    text = ok("report")
    assert "intervals tuned by DAMON" in text and "are incomplete" not in text
    assert thread() == kdamond, "it has not been touched"


def test_intervals_are_as_measured(here: Path) -> None:
    """Right after it has been turned on they are short, and become longer."""

    def aggr_us() -> int:
        return int((STAT / "aggr_interval_us").read_text())

    with recording() as process:
        (STAT / "enabled").write_text("N")
        # 255 where no snapshot has come so far.
        assert process.wait(180) in (0, 255), "it ends with DAMON_STAT"
    old = aggr_us()
    (STAT / "enabled").write_text("Y")
    kdamond = thread()
    with recording() as process:
        # It tells the old one until some seconds have passed.
        wait_until(lambda: aggr_us() != old, "it tells its intervals")
        wait_until(lambda: aggr_us() > 3_000_000, "it has tuned them")
        process.send_signal(signal.SIGINT)
        assert process.wait(180) == 130
    target = recorded("perf.data")
    assert target["kdamond"] == kdamond == thread()
    assert target["snapshots"] >= 3 and target["intervals_tuned"] is True
    rows = ok("report", "regions", "--format", "json").splitlines()
    times = sorted({json.loads(row)["time_ns"] for row in rows})
    apart = [later - earlier for earlier, later in pairwise(times)]
    # It doubles them step by step; the first steps may be over before perf records.
    assert len(apart) == target["snapshots"] - 1 and max(apart) > 1.5 * min(apart)


def test_taken_over_and_given_back(here: Path, target: int) -> None:
    kdamond = thread()
    result = damon("record", target, "--take-over", "--timeout", "3s")
    assert result.returncode == 0, result.stderr
    assert recorded("perf.data")["attributes"]["aggr_us"] == 100_000
    assert is_on() and thread() != kdamond
    ok("start", target, "--take-over")
    assert not is_on()
    assert json.loads(ok("status", "--json"))["taken_over"] == ["damon_stat"]
    # A second one shares what the first has taken, and goes first.
    assert damon("record", "paddr", "--timeout", "2s", "-o", "second.data").returncode == 0
    assert not is_on()
    assert "DAMON_STAT is on again" in damon("stop").stderr
    assert is_on()


def test_killed(here: Path, target: int) -> None:
    """The guard turns it on again."""
    with recording(target, "--take-over"):
        (entry,) = json.loads(JOURNAL.read_text())["entries"]
        assert not is_on()
        os.kill(entry["owner"], signal.SIGKILL)
    wait_until(lambda: is_on() and nothing_to_undo(), "the guard has undone it")


def test_killed_with_its_guard(here: Path, target: int) -> None:
    """The next command turns it on again."""
    with recording(target, "--take-over"):
        (entry,) = json.loads(JOURNAL.read_text())["entries"]
        name = Path(f"/proc/{entry['owner']}/comm").read_text().strip()
        (guard,) = run("pgrep", "-P", entry["owner"], "-x", name).stdout.split()
        for pid in (int(guard), entry["owner"]):
            os.kill(pid, signal.SIGKILL)
    assert not is_on() and not nothing_to_undo()
    assert "turned off by perf damon" in ok("status")
    stopped = damon("stop")
    assert stopped.returncode == 0 and "DAMON_STAT is on again" in stopped.stderr


def test_the_others_are_taken_over_as_well(here: Path, target: int) -> None:
    """DAMON_RECLAIM, with what it was set to."""
    other = STAT.parents[1] / "damon_reclaim/parameters"
    (STAT / "enabled").write_text("N")
    values = {path.name: path.read_text() for path in other.iterdir()}
    (other / "min_age").write_text("77000000")
    (other / "enabled").write_text("Y")
    kdamond = int((other / "kdamond_pid").read_text())
    refused = damon("start", target)
    assert refused.returncode == 255 and f"DAMON_RECLAIM (thread {kdamond})" in refused.stderr
    (module,) = json.loads(ok("status", "--json"))["modules"]
    assert (module["name"], module["tid"]) == ("damon_reclaim", kdamond)
    assert module["attributes"]["aggr_us"] == int(values["aggr_interval"])
    assert damon("record", target, "--take-over", "--timeout", "2s").returncode == 0
    assert (other / "enabled").read_text() == "Y\n"
    assert (other / "min_age").read_text() == "77000000\n"
    assert int((other / "kdamond_pid").read_text()) != kdamond
    (other / "enabled").write_text("N")
    (other / "min_age").write_text(values["min_age"])
    (STAT / "enabled").write_text("Y")


def test_somebody_elses_kdamond_runs_when_ours_ends(here: Path, target: int) -> None:
    ok("start", target, "--take-over")
    admin = Path("/sys/kernel/mm/damon/admin/kdamonds")
    for path, text in (
        ("1/contexts/nr_contexts", "1"),
        ("1/contexts/0/operations", "vaddr"),
        ("1/contexts/0/targets/nr_targets", "1"),
        ("1/contexts/0/targets/0/pid_target", str(target)),
        ("1/state", "on"),
    ):
        (admin / path).write_text(text)
    stopped = damon("stop")
    assert stopped.returncode == 255
    assert "DAMON_STAT could not be turned on again" in stopped.stderr and not is_on()
    (admin / "1/state").write_text("off")
    (admin / "1/contexts/nr_contexts").write_text("0")
    (admin / "nr_kdamonds").write_text("0")
    assert "DAMON_STAT is on again" in damon("stop").stderr
