# SPDX-License-Identifier: GPL-2.0
"""Accuracy and cost of monitoring, of several kernels on the same workloads with known truth.

accuracy  Each workload is recorded by perf damon record, with default attributes, in a guest with
          two virtual CPUs in real time. The recording's hot memory (regions where at least half of
          the samples saw an access) is compared with what the workload touched, in bytes times
          seconds. Nothing is left out for warming up; but monitoring has run for as long as perf
          takes to begin, one or two seconds. Only the workload's own mappings count: program text,
          stack and libc may be hot as well, so hot regions there are not taken for errors. Other
          work on the machine spoils this: aggregations take longer than their 100 ms then. With
          --instruction-clock it does not matter (one CPU, slower).
cost      CPU time of the kdamond in 10 s, after 2 s of warming up, with nobody recording, by the
          instruction clock; and the workload's speed, in percent of what it is unmonitored. That
          clock is exact, but where DAMON splits is random: one kernel's runs differ by a quarter.
scale     Cost against the size of a mapping with three hot spots and else no memory; and after how
          many seconds of monitoring all three are seen at once.

Kernels are measured in the same way, one after the other in real time, side by side by the
instruction clock. The last one is the measure for the others.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from lab import kernels
from lab.benchmarks import guests
from lab.benchmarks.guests import Side
from lab.benchmarks.score import Score, found_after, score
from lab.benchmarks.tables import Parser, positive, run, spread, verdict, written
from lab.common import BUILD, CHECKOUT, LabError
from lab.workloads import truth

sys.path.insert(0, str(CHECKOUT / "python"))

import perf_damon
from perf_damon.parameters import Attributes
from perf_damon.recording import Target

IN_GUEST = Path(__file__).with_name("accuracy_guest.py")
FOLDER = BUILD / "bench" / "accuracy"
TABLES = BUILD / "bench" / "accuracy.txt"
PATTERNS = ("stairs", "zigzag", "needle", "scatter", "hopper")
SCALE = ("sparse-100m", "sparse-1g", "sparse-4g", "sparse-16g")
KERNELS = ("ours", "upstream")
DEFAULT = Attributes(5_000, 100_000, 1_000_000, 10, 1000)

F1_GOALS = {"scatter": 0.90, "hopper": 0.80}
COST_GOAL = 0.5
"""At most so much of the measure's cost."""

COST_S = 10
MEMORY = "3G"
SHORT = 0.9
"""A recording of less than so much of the time that was asked for is a failure."""
BOOT_S = 300
RUN_S = 300
"""What a run may take beyond its seconds: populating memory, starting perf, a slow clock."""


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    sides: tuple[Side, ...]
    patterns: tuple[str, ...]
    runs: int
    seconds: int
    exact: bool
    """Record by the instruction clock, too."""

    @property
    def clock(self) -> str:
        return " by the instruction clock" if self.exact else ""

    @property
    def measure(self) -> Side:
        return self.sides[-1]


@dataclass(frozen=True)
class Part:
    """What one guest of each side does."""

    name: str
    what: str
    """For accuracy_guest.py."""
    patterns: tuple[str, ...]
    runs: int
    seconds: int

    @property
    def limit_s(self) -> int:
        return BOOT_S + self.runs * len(self.patterns) * (self.seconds + RUN_S)


@dataclass(frozen=True)
class Cost:
    """What monitoring took."""

    ms: float
    """CPU time of the kdamond in COST_S."""
    speed: float
    """The workload's, 1 where it is not slowed."""


def measure(plan: Plan, part: Part) -> None:
    """Do a part on every side; raises LabError."""

    def command(side: Side, out: Path) -> list[object]:
        words = (part.what, side.name, out, part.seconds, part.runs, *part.patterns)
        return ["/usr/bin/python3", IN_GUEST, *words]

    exact = plan.exact or part.what == "cost"
    job = guests.Job(command, part.name, exact, MEMORY, part.limit_s)
    guests.run(job, plan.sides)


# Reading what was measured


def compared(side: Side, part: Part, pattern: str, number: int) -> tuple[Target, truth.Process]:
    """A recording's target and what its process did; raises LabError."""
    path = (side.folder / part.name) / f"{pattern}.{number}.perf.data"
    [process] = truth.read(path.with_name(f"{pattern}.{number}.truth")).values()
    recording = perf_damon.open(path)
    if len(recording.targets) != 1 or recording.losses:
        raise LabError(f"{path}: {len(recording.targets)} targets, {recording.losses}")
    # One that perf alone made does not tell its attributes.
    return replace(recording.targets[0], attributes=DEFAULT), process


def scores(side: Side, part: Part, pattern: str) -> list[Score]:
    """A score for each run; raises LabError."""
    results = []
    for number in range(1, part.runs + 1):
        result = score(*compared(side, part, pattern, number))
        if result.seconds < SHORT * part.seconds:
            raise LabError(
                f"{side.name}, {pattern}, run {number}: only {result.seconds:.1f} s were recorded"
            )
        results.append(result)
    return results


def cost(side: Side, part: Part, pattern: str, number: int) -> Cost:
    """What monitoring took in one run."""
    path = (side.folder / part.name) / f"{pattern}.{number}.json"
    figures = json.loads(path.read_text())
    monitored = _speed(path.with_suffix(".truth"), figures)
    alone = _speed(path.with_suffix(".alone.truth"), figures["alone"])
    ms = figures["kdamond_ns"] / figures["elapsed_ns"] * COST_S * 1000
    return Cost(ms, monitored / alone)


def _speed(path: Path, figures: dict[str, int]) -> float:
    """Pages that a workload accessed in a nanosecond, while it was watched."""
    [process] = truth.read(path).values()
    pages = sum(touch.passes * touch.pages for phase in process.phases for touch in phase.touches)
    share = figures["workload_ns"] / figures["elapsed_ns"]
    return pages / figures["workload_total_ns"] * share


# Telling it


def table(plan: Plan, head: str, patterns: Sequence[str], line: Callable[..., str]) -> list[str]:
    """A line for each pattern and side."""
    rows = [f"  {'pattern':12} {'kernel':10} {head}"]
    for pattern in patterns:
        for side in plan.sides:
            first = pattern if side is plan.sides[0] else ""
            rows.append(f"  {first:12} {side.name:10} {line(pattern, side)}".rstrip())
    return rows


def accuracy_part(plan: Plan) -> list[str]:
    """Measure and tell the accuracy."""
    part = Part("accuracy", "record", plan.patterns, plan.runs, plan.seconds)
    measure(plan, part)
    results = {
        (pattern, side): scores(side, part, pattern)
        for pattern in plan.patterns
        for side in plan.sides
    }
    medians = {key: median(result.f1 for result in runs) for key, runs in results.items()}

    def line(pattern: str, side: Side) -> str:
        runs = results[pattern, side]
        middle = [
            median(getattr(result, name) for result in runs)
            for name in ("precision", "recall", "regions", "aggregation_ms")
        ]
        figures = "{:11.3f} {:8.3f} {:9.0f} {:9.0f} ms".format(*middle)
        f1 = spread([result.f1 for result in runs], 3)
        return "  ".join([f"{f1} {figures}", *goals(pattern, side)])

    def goals(pattern: str, side: Side) -> list[str]:
        if side is plan.measure:
            return []
        f1, least = medians[pattern, side], medians[pattern, plan.measure]
        told = [verdict(f"{plan.measure.name}'s", f1 >= least)]
        if goal := F1_GOALS.get(pattern):
            told.append(verdict(f"{goal:.2f}", f1 >= goal))
        return ["; ".join(told)]

    return [
        f"accuracy: medians of {plan.runs} runs of {plan.seconds} s" + plan.clock,
        *table(plan, f"{'F1':19}   precision   recall   regions aggregation", plan.patterns, line),
    ]


def _costs(plan: Plan, part: Part) -> dict[tuple[str, Side], list[Cost]]:
    return {
        (pattern, side): [cost(side, part, pattern, n + 1) for n in range(part.runs)]
        for pattern in part.patterns
        for side in plan.sides
    }


def _cost_line(plan: Plan, costs: dict[tuple[str, Side], list[Cost]]) -> Callable[..., str]:
    ms = {key: median(run.ms for run in runs) for key, runs in costs.items()}

    def line(pattern: str, side: Side) -> str:
        runs = costs[pattern, side]
        ratio = ms[pattern, side] / ms[pattern, plan.measure]
        share = "" if side is plan.measure else f"{ratio:.2f}"
        speed = median(run.speed for run in runs)
        text = f"{spread([run.ms for run in runs], 0):18} {share:>5} {speed:8.1%}"
        if side is plan.measure:
            return text
        return f"{text}  {verdict(f'{COST_GOAL:g} of {plan.measure.name}', ratio <= COST_GOAL)}"

    return line


FOUND_WIDTH = 24
COST_HEAD = f"{'ms':18} ratio workload"


def cost_part(plan: Plan) -> list[str]:
    """Measure and tell the cost."""
    part = Part("cost", "cost", plan.patterns, plan.runs, COST_S)
    measure(plan, part)
    costs = _costs(plan, part)
    return [
        f"cost: the kdamond's CPU time in {COST_S} s, the workload's speed of that unmonitored; "
        f"medians of {part.runs} runs",
        *table(plan, COST_HEAD, plan.patterns, _cost_line(plan, costs)),
    ]


def scale_part(plan: Plan) -> list[str]:
    """Measure and tell how cost and accuracy change with the size of what is monitored."""
    part = Part("scale-cost", "cost", SCALE, plan.runs, COST_S)
    finding = Part("scale", "find", SCALE, plan.runs, plan.seconds)
    measure(plan, part)
    measure(plan, finding)
    cost_line = _cost_line(plan, _costs(plan, part))

    def line(pattern: str, side: Side) -> str:
        pairs = [compared(side, finding, pattern, n + 1) for n in range(plan.runs)]
        regions = median(score(*pair).regions for pair in pairs)
        found = [seconds for pair in pairs if (seconds := found_after(*pair)) is not None]
        text = spread(found, 1) if found else "never"
        if 0 < len(found) < plan.runs:
            text += f", {len(found)} of {plan.runs}"
        return f"{regions:7.0f}   {text:{FOUND_WIDTH}} {cost_line(pattern, side)}"

    return [
        f"scale: medians of {plan.runs} runs of {plan.seconds} s{plan.clock}: regions, seconds "
        "until all spots are seen at once, cost",
        *table(plan, f"{'regions':7}   {'found after':{FOUND_WIDTH}} {COST_HEAD}", SCALE, line),
    ]


# The command line


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("accuracy", __doc__)
    parser.add_names("--kernel", kernels.KERNELS, KERNELS, "repeatable, the last is the measure")
    parser.add_names("--pattern", PATTERNS, PATTERNS)
    add = parser.add_argument
    switch = argparse.BooleanOptionalAction
    add("--runs", type=positive, default=3, metavar="N", help="of each (default: 3)")
    add(
        "--seconds",
        type=positive,
        default=20,
        metavar="N",
        help="of a recording (default: 20)",
    )
    add("--accuracy", action=switch, default=True, help="measure accuracy (default)")
    add("--cost", action=switch, default=True, help="measure cost (default)")
    add("--scale", action=switch, default=False, help="measure scale")
    add("--instruction-clock", action="store_true", help="for recordings, too")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """lab/bench accuracy."""
    options = _parse(argv)
    return run(FOLDER, lambda: _tables(options))


def _tables(options: argparse.Namespace) -> str:
    """Do what is wanted; returns the tables."""
    plan = Plan(
        guests.sides(options.kernel or KERNELS, FOLDER),
        tuple(options.pattern or PATTERNS),
        options.runs,
        options.seconds,
        options.instruction_clock,
    )
    parts = [
        partial(part, plan)
        for part, is_wanted in (
            (accuracy_part, options.accuracy),
            (cost_part, options.cost),
            (scale_part, options.scale),
        )
        if is_wanted
    ]
    return written(TABLES, plan.sides, parts)
