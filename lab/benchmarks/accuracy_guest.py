#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The half of lab/bench accuracy that runs in a guest, as root.

    accuracy_guest.py record|find|cost NAME OUT SECONDS RUNS PATTERN…

What was measured goes to files in OUT; lab/benchmarks/accuracy.py makes figures of them. NAME is
the kernel's, for telling how far it is.

record   perf damon record of each workload: PATTERN.RUN.perf.data and PATTERN.RUN.truth
find     the same, but recorded from the first moment of monitoring on
cost     the CPU time of the kdamond, and the workload's progress with it and without:
         PATTERN.RUN.json, PATTERN.RUN.truth and PATTERN.RUN.alone.truth
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POPULATION_S = 600
"""Patience until a workload has populated its memory: much of it, under emulation."""
WARM_UP_S = 2
ALONE_S = 5
POLL_S = 0.01


def run(*words: object) -> str:
    """Run to the end; what it wrote on stdout. What it says beside that is for failures."""
    command = [str(word) for word in words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
    return done.stdout


@contextmanager
def workload(pattern: str, truth: Path) -> Iterator[subprocess.Popen]:
    """A workload that has populated its memory. It ends, and has written its truth, at the end."""
    # As long as it takes: what ends it is a signal.
    words = ["workload", "--duration", "60m", "--truth", str(truth), pattern]
    process = subprocess.Popen(words)
    try:
        deadline = time.monotonic() + POPULATION_S
        while not (truth.exists() and '"type": "start"' in truth.read_text()):
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(words)}: status {process.returncode}")
            if time.monotonic() > deadline:
                raise SystemExit(f"{pattern}: not populated after {POPULATION_S} s")
            time.sleep(POLL_S)
        yield process
    finally:
        process.terminate()
        if process.wait():
            raise SystemExit(f"{' '.join(words)}: status {process.returncode}")


def record(pattern: str, out: str, seconds: int) -> None:
    """Record as a user does."""
    with workload(pattern, Path(f"{out}.truth")) as process:
        recording = Path(f"{out}.perf.data")
        timeout = f"{seconds}s"
        run("perf", "damon", "record", "-q", "--timeout", timeout, "-o", recording, process.pid)


def find(pattern: str, out: str, seconds: int) -> None:
    """Record from the first moment on: perf listens already when monitoring starts.

    perf damon record needs the kdamond's thread first, and perf takes a second to begin.
    """
    with workload(pattern, Path(f"{out}.truth")) as process:
        script = f"perf damon start {process.pid} && sleep {seconds} && perf damon stop"
        recording = Path(f"{out}.perf.data")
        run("perf", "record", "-q", "-a", "-d", "-k", "CLOCK_MONOTONIC",
            "-e", "damon:damon_aggregated", "-o", recording, "--", "sh", "-c", script)  # fmt: skip


def cost(pattern: str, out: str, seconds: int) -> None:
    """The kdamond's CPU time while nothing but the workload runs."""
    with workload(pattern, Path(f"{out}.truth")) as process:
        populated = cpu_time(process.pid)
        run("perf", "damon", "start", process.pid)
        [kdamond] = [
            kdamond
            for kdamond in json.loads(run("perf", "damon", "status", "--json"))["kdamonds"]
            if kdamond["tid"] is not None
        ]
        time.sleep(WARM_UP_S)
        used = cpu_time(kdamond["tid"])
        figures = watch(process, populated, seconds)
        figures["kdamond_ns"] = cpu_time(kdamond["tid"]) - used
        process.terminate()
        run("perf", "damon", "stop")
    with workload(pattern, Path(f"{out}.alone.truth")) as process:
        figures["alone"] = watch(process, cpu_time(process.pid), ALONE_S)
    Path(f"{out}.json").write_text(json.dumps(figures))


def watch(process: subprocess.Popen, populated: int, seconds: int) -> dict:
    """Nanoseconds that a workload ran in so many seconds, and since it was populated.

    Passes are told for the whole time only, of which starting to monitor takes a part: there is
    one CPU.
    """
    begin, used = time.monotonic_ns(), cpu_time(process.pid)
    time.sleep(seconds)
    end, used_then = time.monotonic_ns(), cpu_time(process.pid)
    return {
        "elapsed_ns": end - begin,
        "workload_ns": used_then - used,
        "workload_total_ns": used_then - populated,
    }


def cpu_time(pid: int) -> int:
    """Nanoseconds that a thread has run."""
    used = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    if not used:
        raise SystemExit("this kernel does not count CPU time (CONFIG_SCHED_INFO)")
    return used


MEASURES = {"record": record, "find": find, "cost": cost}


def main(what: str, name: str, out: str, seconds: str, runs: str, *patterns: str) -> None:
    """Each run goes through all patterns, so that what disturbs a while spoils one run of each."""
    Path(out, "release").write_text(platform.release())
    for number in range(1, int(runs) + 1):
        for pattern in patterns:
            print(f"lab: {name}: {what} {pattern}, {number} of {runs}", file=sys.stderr, flush=True)
            MEASURES[what](pattern, f"{out}/{pattern}.{number}", int(seconds))


if __name__ == "__main__":
    if not Path("/run/lab/share").is_dir():
        raise SystemExit("it uses DAMON, so it runs in a guest of the lab only: lab/bench accuracy")
    main(*sys.argv[1:])
