# SPDX-License-Identifier: GPL-2.0
"""Every command on a real kernel, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guest import ADMIN, damon, kdamonds, ok, run, wait_until
from perf_damon.control.state import Command, command
from perf_damon.control.sysfs import Sysfs


def status() -> dict:
    return json.loads(ok("status", "--json"))


def events(name: str = "perf.data") -> list[dict]:
    """The targets of a recording, as the report has them."""
    return json.loads(ok("report", "-i", name, "--format", "json"))["targets"]


@pytest.mark.feature("status")
def test_status_changes_nothing() -> None:
    text = ok("status")
    assert "nothing is monitored" in text
    assert "damon_aggregated" in text
    state = status()
    assert state["kdamonds"] == [] and "damon_aggregated" in state["tracepoints"]


@pytest.mark.feature("start, stop")
def test_start_status_stop(here: Path, target: int) -> None:
    result = damon("start", target, "--sample", "10ms", "--aggr", "200ms", "--max-regions", "50")
    assert result.returncode == 0
    assert f"monitors {target} (workload): sample 10 ms, aggr 200 ms" in result.stderr
    assert len(kdamonds()) == 1
    (running, *rest) = status()["kdamonds"]
    assert running["owner"] == "perf damon" and running["tid"] == kdamonds()[0]
    assert running["targets"] == [{"pid": target, "comm": "workload"}]
    assert running["attributes"]["aggr_us"] == 200_000
    assert running["attributes"]["max_nr_regions"] == 50
    assert all(slot["owner"] is None for slot in rest)
    assert set(status()["features"]) >= {"vaddr", "fvaddr", "paddr", "schemes"}

    again = damon("start", target)
    assert again.returncode == 255 and "monitored already, by kdamond 0" in again.stderr

    assert damon("record", target, "--timeout", "2s", "-o", "used.data").returncode == 0
    assert len(kdamonds()) == 1, "what ran before goes on"
    (recorded,) = events("used.data")
    assert recorded["attributes"]["aggr_us"] == 200_000

    stopped = damon("stop")
    assert stopped.returncode == 0 and f"it monitored {target} (workload)" in stopped.stderr
    assert kdamonds() == []
    again = damon("stop")
    assert again.returncode == 0 and "nothing to stop" in again.stderr


def test_two_at_once_are_told_apart(
    here: Path, target: int, workload: Callable[..., subprocess.Popen]
) -> None:
    other = workload("zigzag", "--duration", "30m").pid
    ok("start", target)
    ok("start", other)
    assert len(kdamonds()) == 2
    words = ("perf", "record", "-o", "perf.data", "-d", "-a", "-e", "damon:damon_aggregated")
    assert run(*words, "--", "sleep", "3").returncode == 0
    found = {(t["kdamond"], t["pid"], t["pid_inferred"]) for t in events()}
    tids = {slot["targets"][0]["pid"]: slot["tid"] for slot in status()["kdamonds"] if slot["tid"]}
    assert found == {(tids[target], target, True), (tids[other], other, True)}
    assert all(t["attributes_inferred"] for t in events())
    ok("stop")


def test_start_a_command(here: Path) -> None:
    # Not through a pipe: the command has our output as its own, and would keep it open.
    with (here / "said").open("w") as said:
        begin = time.monotonic()
        words = ("perf", "damon", "start", "--", "sleep", "600")
        assert subprocess.run(words, stdout=said, stderr=said).returncode == 0
        assert time.monotonic() < begin + 300, "it returns while the command runs"
    pid = int(re.search(r"monitors (\d+) \(sleep\)", (here / "said").read_text())[1])
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    wait_until(lambda: not kdamonds(), "the kdamond ends with its target")
    stopped = damon("stop")
    assert stopped.returncode == 0 and "had ended" in stopped.stderr


@pytest.mark.feature("record, physical memory")
def test_physical_memory(here: Path) -> None:
    ok("start", "paddr")
    (running, *_) = status()["kdamonds"]
    assert running["operations"] == "paddr" and running["targets"] == []
    ok("stop")
    assert damon("record", "-a", "--timeout", "3s").returncode == 0
    (recorded,) = events()
    assert recorded["operations"] == "paddr" and recorded["pid"] is None
    assert recorded["snapshots"] > 2
    ram = sum(
        int(end, 16) + 1 - int(start, 16)
        for start, end in re.findall(
            r"^(\w+)-(\w+) : System RAM", Path("/proc/iomem").read_text(), re.MULTILINE
        )
    )
    assert abs(recorded["monitored"]["50"] - ram) < 0.01 * ram


@pytest.mark.feature("record, a process")
def test_record_report_and_the_old_file(here: Path, target: int) -> None:
    (here / "perf.data").write_text("an old file\n")
    result = damon("record", target, "--timeout", "3s")
    assert result.returncode == 0, result.stderr
    assert (here / "perf.data.old").read_text() == "an old file\n"
    last = result.stderr.strip().splitlines()
    captured = r"\[ perf damon record: captured [\d,]+ snapshots \([\d,]+ regions\) in"
    assert re.match(captured, last[-2])
    assert last[-1] == "[ next: perf damon report ]"

    (recorded,) = events()
    assert recorded["pid"] == target and recorded["comm"] == "workload"
    assert not recorded["attributes_inferred"] and not recorded["pid_inferred"]
    assert recorded["attributes"]["sample_us"] == 5000
    text = ok("report")
    assert f"Target: workload, pid {target}" in text
    assert "small.pages" in text and "\x1b" not in text
    lines = ok("report", "regions").splitlines()
    assert len(lines) == recorded["regions"] + 1
    assert ok("report", "wss").count("%") >= 5
    assert "time" in ok("report", "heatmap")


@pytest.mark.feature("record, a command")
def test_record_a_command(here: Path) -> None:
    script = "import sys, time; b = bytearray(30 << 20); time.sleep(3); sys.exit(7)"
    result = damon("record", "--", "/usr/bin/python3", "-c", script)
    assert result.returncode == 7, result.stderr
    (recorded,) = events()
    assert recorded["comm"] == "python3"
    assert recorded["attributes"]["update_us"] == 100_000
    report = json.loads(ok("report", "--format", "json"))
    assert report["recording"]["command"] == ["/usr/bin/python3", "-c", script]


def test_record_ends_with_its_target(here: Path, workload: Callable[..., subprocess.Popen]) -> None:
    process = workload("stairs", "--duration", "40s")
    result = damon("record", "-p", process.pid, "-q")
    assert (result.returncode, result.stderr) == (0, "")
    assert process.wait() == 0
    assert events()[0]["pid"] == process.pid


def test_several_targets_of_one_kdamond(
    here: Path, target: int, workload: Callable[..., subprocess.Popen]
) -> None:
    other = workload("zigzag", "--duration", "30m").pid
    result = damon("record", f"{target} {other}", "--timeout", "3s")
    assert result.returncode == 0, result.stderr
    assert [(t["id"], t["pid"]) for t in events()] == [(0, target), (1, other)]
    assert f"pid {other}" in ok("report", "heatmap", "--target", other)
    assert f"pid {target}" not in ok("report", "heatmap", "--target", other)


@pytest.mark.feature("record, fixed addresses")
def test_fixed_addresses(here: Path, target: int) -> None:
    maps = Path(f"/proc/{target}/maps").read_text()
    start, end = (int(x, 16) for x in re.search(r"(\w+)-(\w+) .*small.pages", maps).groups())
    regions = f"{start:#x}-{end:#x}"
    result = damon("record", target, "--ops", "fvaddr", "--regions", regions, "--timeout", "3s")
    assert result.returncode == 0, result.stderr
    (recorded,) = events()
    assert recorded["operations"] == "fvaddr"
    assert recorded["monitored"]["100"] == end - start


def test_options_reach_perf_record(here: Path, target: int) -> None:
    result = damon("record", "-v", target, "--timeout", "2s", "--perf", "-z", "-m", "256K")
    assert result.returncode == 0, result.stderr
    assert "compressed" in run("perf", "report", "--header-only").stdout
    assert events()[0]["snapshots"] > 0


def test_the_kernel_knows_the_state_commands(here: Path, target: int) -> None:
    ok("start", target)
    for what in Command:
        if what not in (Command.ON, Command.OFF, Command.UPDATE_TUNED_INTERVALS):
            command(Sysfs(), 0, what)
    assert len(kdamonds()) == 1
    ok("stop")


def test_damon_is_looked_up_without_writing() -> None:
    nr = ADMIN / "kdamonds/nr_kdamonds"
    before = nr.stat().st_mtime_ns
    ok("status")
    assert nr.stat().st_mtime_ns == before
