# SPDX-License-Identifier: GPL-2.0
"""The reports' speed and memory, against perf script and damo on the same large recordings.

The recordings are a real one's samples, repeated with moved time stamps. What counts are medians
of one run of this benchmark, as ratios. The runs of a side follow one another: a virtual machine
gives memory that lay idle for some seconds back to its host, and whatever runs after a slower side
would pay for getting it again, page by page. The median leaves out the first, which does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from lab.benchmarks.grow import grow
from lab.common import BUILD, CHECKOUT, VENV, LabError, progress

SOURCE = CHECKOUT / "tests" / "data" / "stairs.perf.data"
PERF_DAMON = CHECKOUT / "tools" / "perf" / "perf-damon"
FOLDER = BUILD / "bench"
MILLION = 1_000_000
RSS_GOAL = 2.5
GOALS = {MILLION: 4.0, 10 * MILLION: 8.0}
"""How many times faster than perf script each report shall be, by number of events."""
DAMO_GOAL = 25.0
"""How many times faster than damo the heatmap shall be."""

COUNT_HANDLER = """\
count = 0


def damon__damon_aggregated(*_):
    global count
    count += 1


def trace_end():
    print(count)
"""


@dataclass
class Side:
    """A command, and what its runs took."""

    name: str
    words: list[str]
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def run(self) -> None:
        """Run once, output to a file; time and peak memory include all children."""
        begin = time.monotonic()
        with (FOLDER / "output").open("wb") as output, (FOLDER / "errors").open("wb") as errors:
            process = subprocess.Popen(
                self.words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
            )
            _, status, usage = os.wait4(process.pid, 0)
        self.seconds.append(time.monotonic() - begin)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said = (FOLDER / "errors").read_text(errors="replace").strip()
            raise LabError(f"{self.name} failed with {process.returncode}: {said}")
        self.peak_bytes = max(self.peak_bytes, usage.ru_maxrss * 1024)


def sides(path: Path, *, with_damo: bool) -> list[Side]:
    """All that read the recording; the first is the measure."""
    handler = FOLDER / "count.py"
    handler.write_text(COUNT_HANDLER)
    perf = shutil.which("perf")
    if perf is None:
        raise LabError("perf is not installed: lab/setup installs it")
    found = [Side("perf script -s count", [perf, "script", "-i", str(path), "-s", str(handler)])]
    for report in ([], ["wss"], ["heatmap"]):
        words = [str(PERF_DAMON), "report", *report, "-i", str(path)]
        found.append(Side(" ".join(["perf damon report", *report]), words))
    if with_damo:
        damo = VENV / "bin" / "damo"
        if not damo.exists():
            raise LabError("damo is not installed: lab/setup installs it")
        words = [str(damo), "report", "heatmap", "--input", str(path)]
        found.append(Side("damo report heatmap", words))
    return found


def measure(source: Path, events: int, runs: int, *, with_damo: bool) -> list[str]:
    """Lines of the table for one size of recording."""
    path = FOLDER / f"{events}.perf.data"
    progress(f"making {path}")
    count = grow(source, events, path)
    size = path.stat().st_size
    all_sides = sides(path, with_damo=with_damo)
    for side in all_sides:
        for number in range(runs):
            progress(f"{count} events, run {number + 1} of {runs}: {side.name}")
            side.run()
    path.unlink()
    return [f"{count} events, {size / 2**20:.0f} MiB", *table(all_sides, size, GOALS.get(events))]


def table(all_sides: list[Side], size: int, goal: float | None) -> list[str]:
    """One line a side."""
    lines = [f"  {'':26} {'seconds':>8} {'(all runs)':14} {'faster':>7} {'peak':>9} {'of file':>8}"]
    for side in all_sides:
        faster = all_sides[0].median / side.median
        memory = side.peak_bytes / size
        notes = []
        if side.name.startswith("perf damon"):
            if goal:
                notes.append(_verdict(f"{goal:g} times faster", faster >= goal))
            notes.append(_verdict(f"{RSS_GOAL:g} of file", memory < RSS_GOAL))
        spread = f"({min(side.seconds):.2f}…{max(side.seconds):.2f})"
        lines.append(
            f"  {side.name:26} {side.median:8.2f} {spread:14} {faster:6.1f}x"
            f" {side.peak_bytes / 2**20:5.0f} MiB {memory:8.2f}  {'; '.join(notes)}".rstrip()
        )
    named = {side.name: side for side in all_sides}
    if damo := named.get("damo report heatmap"):
        faster = damo.median / named["perf damon report heatmap"].median
        goal_met = _verdict(f"{DAMO_GOAL:g} times faster", faster >= DAMO_GOAL)
        lines.append(
            f"  perf damon report heatmap is {faster:.1f} times faster than damo's; {goal_met}"
        )
    return lines


def _verdict(goal: str, met: bool) -> str:
    return f"goal {goal}: {'met' if met else 'missed'}"


def main(argv: list[str]) -> int:
    """lab/bench report."""
    parser = argparse.ArgumentParser(prog="lab/bench report", description=__doc__)
    parser.add_argument("--source", type=Path, default=SOURCE, help="recording to repeat")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, action="append", help="default: 1 and 10 million")
    args = parser.parse_args(argv)
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = [f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, {args.runs} runs"]
    for events in args.events or GOALS:
        lines += ["", *measure(args.source, events, args.runs, with_damo=events <= MILLION)]
    text = "\n".join(lines) + "\n"
    (FOLDER / "report.txt").write_text(text)
    print(text, end="")
    return 0
