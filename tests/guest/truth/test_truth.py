# SPDX-License-Identifier: GPL-2.0
"""What is recorded is what really happened."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lab.workloads import truth as truths

import perf_damon
from guest import CHECKOUT, damon, ok, run, wait_until


def test_stairs(here: Path, workload: Callable[..., subprocess.Popen]) -> None:
    """Ten steps: hot memory of the recording against the workload's own account.

    Bytes times seconds, hot where at least half of the samples say so. Upstream's kernel reaches
    an F1 of 0.97 on a machine that does nothing else; half of that would still show the steps, so
    this asks for more than any mistake in addresses or times would leave.
    """
    process = workload("stairs", "--duration", "60s")
    assert damon("record", process.pid).returncode == 0
    (target,) = perf_damon.open().targets
    (process_truth,) = truths.read(here / "0.truth").values()
    assert target.pid == process_truth.pid
    assert {phase.number for phase in process_truth.phases} == set(range(10))

    regions, half = target.regions, target.max_nr_accesses / 2
    ends = target.snapshot_time
    both = recorded = real = 0
    seen = set()
    for i, end in enumerate(ends):
        rows = slice(target.offsets[i], target.offsets[i + 1])
        # A snapshot tells of the aggregation interval before it.
        phase = process_truth.phase_at(int(end) - 50_000_000)
        if phase is None:
            continue
        is_hot = regions.nr_accesses[rows] >= half
        starts, stops = regions.start[rows][is_hot], regions.end[rows][is_hot]
        for begin, stop in phase.hot():
            low, high = np.maximum(starts, begin), np.minimum(stops, stop)
            shared = int((np.maximum(high, low) - low).sum())
            both += shared
            real += stop - begin
            if shared > (stop - begin) / 2:
                seen.add(phase.number)
        recorded += int((stops - starts).sum())
    assert real and recorded
    f1 = 2 * both / (real + recorded)
    print(f"stairs: F1 {f1:.3f}, steps seen {sorted(seen)}")
    assert len(seen) == 10
    assert f1 > 0.7


@pytest.mark.skipif("REDIS" not in os.environ, reason="make test-guest tells where redis is")
def test_a_program_that_nobody_here_wrote(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(os.environ["REDIS"])
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{root}/usr/lib/x86_64-linux-gnu")
    monkeypatch.setenv("PATH", f"{root}/usr/bin:{os.environ['PATH']}")
    with subprocess.Popen(
        ["redis-server", "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
    ) as server:
        wait_until(lambda: run("redis-cli", "ping").returncode == 0, "redis answers")
        run("redis-benchmark", "-q", "-r", "5000", "-n", "5000", "-d", "2000", "-t", "set")
        with subprocess.Popen(
            ["redis-benchmark", "-q", "-r", "5000", "-n", "100000000", "-d", "2000", "-t", "get"],
            stdout=subprocess.DEVNULL,
        ) as load:
            result = damon("record", server.pid, "--timeout", "8s")
            load.terminate()
        server.terminate()
    assert result.returncode == 0, result.stderr
    report = json.loads(ok("report", "--format", "json"))
    (target,) = report["targets"]
    assert target["comm"] == "redis-server"
    names = {area["mapping"] for area in target["areas"]}
    # Its program file is a link to redis-check-rdb in Debian.
    assert any("redis-" in name for name in names if name)
    assert "anonymous" in names
    assert any(name.endswith((".so.2", ".so.6", ".so.3")) for name in names if name)


def test_damo_reads_what_we_record(here: Path, target: int) -> None:
    assert damon("record", target, "--timeout", "3s", "-o", "ours.data").returncode == 0
    damo = CHECKOUT / "build/venv/bin/damo"
    result = run(damo, "report", "heatmap", "--input", "ours.data", timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "access_frequency" in result.stdout


def test_we_read_what_damo_monitors(here: Path, target: int) -> None:
    damo = CHECKOUT / "build/venv/bin/damo"
    started = run(damo, "start", str(target), timeout=600)
    assert started.returncode == 0, started.stdout + started.stderr
    try:
        assert "started by something else" in ok("status")
        run("perf", "record", "-o", "plain.data", "-d", "-a", "-e", "damon:damon_aggregated",
            "--", "sleep", "3")  # fmt: skip
    finally:
        run(damo, "stop", timeout=600)
        Path("/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds").write_text("0")
    report = json.loads(ok("report", "-i", "plain.data", "--format", "json"))
    (seen,) = report["targets"]
    assert seen["pid"] == target and seen["attributes_inferred"]
    assert any("small.pages" in (area["mapping"] or "") for area in seen["areas"])


def test_perf_script(here: Path, target: int) -> None:
    assert damon("record", target, "--timeout", "3s").returncode == 0
    exec_path = str(CHECKOUT / "tools/perf")
    how = {**os.environ, "PERF_EXEC_PATH": exec_path}
    for words in (("-s", "damon_heatmap.py", "-i", "perf.data"), ("report", "damon-heatmap")):
        result = run("perf", "script", *words, env=how)
        assert result.returncode == 0, result.stderr
        assert "Access rate" in result.stdout


def test_perf_test(here: Path) -> None:
    """tools/perf/tests/shell/damon.sh, as perf test runs it."""
    result = run("sh", CHECKOUT / "tools/perf/tests/shell/damon.sh", timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Failed" not in result.stdout
