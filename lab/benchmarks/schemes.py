# SPDX-License-Identifier: GPL-2.0
"""What schemes gain and what they cost, on several kernels, against the same without schemes.

prcl   Proactive reclamation: memory that nothing has touched for 5 s is paged out, to compressed
       memory. The workload has 64 MB that are cold, 16 MB that are warm (touched every 2 s) and
       48 MB that are hot. Cold: how much of it was given back within twice those 5 s.
redis  The same with redis-server: 80 MB of values, of which redis-benchmark reads 4 MB.
ethp   Access-aware huge pages: wanted for what is accessed, not wanted for what is not. The
       workload has a heap of 320 MB with 32 MB that are dense, and always new, and else one page
       in 2 MB. It gains from huge pages by page faults alone: the emulated CPU has next to no gain
       by its TLB. Removed: which share of the memory that huge pages cost everywhere (the system's
       setting always) the scheme did not cost. Kept: which share of what they gained.
size   A quota of 10 MB in each second. What was tried in windows of a second, in percent of it.
time   A quota of 100 ms in each second. The kdamond's CPU time in windows of a second, without what
       monitoring takes, in percent of it; as long as there was memory to page out.

Saved is memory in the mean of the run, less what compressed memory took. Speed is the program's, of
that without schemes; it runs all of the time, on the one CPU that the kdamond wants as well.
Wrongly paged out is what came back from swap within 10 s.

Time is the instruction clock's, so that other work on the machine does not matter. The last kernel
is the measure for the others. It takes ten minutes a part, prcl and ethp more.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from lab import debian, kernels
from lab.benchmarks import guests
from lab.benchmarks.guests import Side
from lab.benchmarks.schemes_score import (
    SECOND,
    Watched,
    size_windows,
    time_windows,
    watched,
)
from lab.benchmarks.tables import Parser, positive, run, verdict, written
from lab.common import BUILD

IN_GUEST = Path(__file__).with_name("schemes_guest.py")
FOLDER = BUILD / "bench" / "schemes"
TABLES = BUILD / "bench" / "schemes.txt"
KERNELS = ("ours", "upstream")
PARTS = ("prcl", "redis", "ethp", "size", "time")
PACKAGES = ["redis-server", "redis-tools"]

AGE_S = 5
SIZE_QUOTA = 10 << 20
TIME_QUOTA = SECOND // 10
COLD_GOAL = 0.90
SLOWER_GOAL = 0.02
"""Of the speed without schemes, beyond what the measure's is slower."""
WRONG_GOAL = 0.5
REMOVED_GOAL = 0.76
KEPT_GOAL = 0.51
SIZE_GOAL = 0.01
TIME_GOAL = 0.10

SECONDS = 30
QUICK_SECONDS = 12
"""Enough for twice the age."""
MEMORY = "1G"
BOOT_S = 600
SLOWNESS = 30
"""A second by the instruction clock takes less than so many on a busy machine."""
SETTINGS = ("none", "always", "scheme")
"""Of ethp; others have fewer."""


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    sides: tuple[Side, ...]
    runs: int
    seconds: int
    redis: str = ""
    """Where redis-server was unpacked to."""

    @property
    def measure(self) -> Side:
        return self.sides[-1]

    @property
    def limit_s(self) -> int:
        return BOOT_S + self.runs * len(SETTINGS) * (self.seconds + 15) * SLOWNESS


@dataclass(frozen=True)
class Outcome:
    """A run of a part on a side: the same program without schemes and with them."""

    none: Watched
    scheme: Watched
    always: Watched | None = None
    """Huge pages everywhere."""

    @property
    def saved(self) -> float:
        with_scheme = self.scheme.mean("present") + self.scheme.mean("zram")
        return 1 - with_scheme / self.none.mean("present")

    @property
    def speed(self) -> float:
        return self.scheme.speed / self.none.speed

    @property
    def cold(self) -> float:
        return self.scheme.given_back("cold", 2 * AGE_S)

    @property
    def removed(self) -> float:
        assert self.always
        none, always, scheme = (
            each.mean("present") for each in (self.none, self.always, self.scheme)
        )
        return (always - scheme) / (always - none)

    @property
    def kept(self) -> float:
        assert self.always
        return (self.scheme.speed - self.none.speed) / (self.always.speed - self.none.speed)


def measure(plan: Plan, part: str) -> None:
    """Do a part on every side; raises LabError."""

    def command(side: Side, out: Path) -> list[object]:
        words = (part, side.name, out, plan.seconds, plan.runs, plan.redis)
        return ["/usr/bin/python3", IN_GUEST, *words]

    guests.run(guests.Job(command, part, True, MEMORY, plan.limit_s), plan.sides)


def outcomes(plan: Plan, part: str) -> dict[Side, list[Outcome]]:
    """What was measured, by side and run."""
    names = ("none", "scheme", "always") if part == "ethp" else ("none", "scheme")
    return {
        side: [
            Outcome(*(watched(side.folder / part / f"{name}.{number + 1}.json") for name in names))
            for number in range(plan.runs)
        ]
        for side in plan.sides
    }


# Telling it


def table(plan: Plan, head: str, line: Callable[[Side], str]) -> list[str]:
    """A line for each side."""
    return [
        f"  {'kernel':10} {head}",
        *(f"  {side.name:10} {line(side)}".rstrip() for side in plan.sides),
    ]


def middle(runs: Sequence[Outcome], figure: Callable[[Outcome], float]) -> float:
    return median(figure(run) for run in runs)


def megabytes(count: float) -> str:
    return f"{count / (1 << 20):.1f} MB"


def reclaim_part(plan: Plan, part: str, what: str) -> list[str]:
    """Tell of a part that pages out."""
    results = outcomes(plan, part)
    has_truth = part == "prcl"

    def figures(side: Side) -> dict[str, float]:
        runs = results[side]
        told = {
            "saved": middle(runs, lambda run: run.saved),
            "speed": middle(runs, lambda run: run.speed),
            "kdamond": middle(runs, lambda run: run.scheme.kdamond_share),
            "out": middle(runs, lambda run: run.scheme.paged_out),
            "wrong": middle(runs, lambda run: run.scheme.wrong),
        }
        if has_truth:
            told["cold"] = middle(runs, lambda run: run.cold)
        return told

    all_figures = {side: figures(side) for side in plan.sides}

    def line(side: Side) -> str:
        f = all_figures[side]
        cold = f"{f['cold']:6.1%} " if has_truth else ""
        words = (
            f"{f['saved']:6.1%} {cold}{f['speed']:6.1%} {f['kdamond']:8.2%} "
            f"{megabytes(f['out']):>10} {megabytes(f['wrong']):>12}"
        )
        return "  ".join([words, *goals(side)])

    def goals(side: Side) -> Iterator[str]:
        f, least = all_figures[side], all_figures[plan.measure]
        told = []
        if side is plan.measure:
            return
        if has_truth:
            told.append(verdict(f"cold {COLD_GOAL:.0%}", f["cold"] >= COLD_GOAL))
        slow = least["speed"] - SLOWER_GOAL
        told.append(verdict(f"speed {slow:.1%}", f["speed"] >= slow))
        most = WRONG_GOAL * least["wrong"]
        told.append(verdict(f"wrong {megabytes(most)}", f["wrong"] <= most))
        yield "; ".join(told)

    cold = "  cold " if has_truth else ""
    head = f" saved {cold} speed  kdamond   paged out      wrongly"
    return [f"{part}: {what}; {plan.runs} of {plan.seconds} s", *table(plan, head, line)]


def prcl_part(plan: Plan) -> list[str]:
    """Proactive reclamation of a workload."""
    return reclaim_part(plan, "prcl", "memory that is idle for 5 s is paged out, half is cold")


def redis_part(plan: Plan) -> list[str]:
    """Proactive reclamation of a real program."""
    return reclaim_part(plan, "redis", "memory of redis-server that is idle for 5 s is paged out")


def _memory_and_speed(runs: Sequence[Watched]) -> str:
    memory = median(run.mean("present") for run in runs)
    return f"{megabytes(memory):>9} {median(run.speed for run in runs):6.1f}"


def ethp_part(plan: Plan) -> list[str]:
    """Access-aware huge pages."""
    results = outcomes(plan, "ethp")

    def shares(side: Side) -> tuple[float, float]:
        runs = results[side]
        return middle(runs, lambda run: run.removed), middle(runs, lambda run: run.kept)

    def line(side: Side) -> str:
        runs = results[side]
        removed, kept = shares(side)
        settings = [_memory_and_speed([getattr(run, name) for run in runs]) for name in SETTINGS]
        kdamond = middle(runs, lambda run: run.scheme.kdamond_share)
        words = f"{'  '.join(settings)} {removed:8.1%} {kept:7.1%} {kdamond:8.2%}"
        return "  ".join([words, *goals(side)])

    def goals(side: Side) -> Iterator[str]:
        if side is plan.measure:
            return
        (removed, kept), least = shares(side), shares(plan.measure)
        told = [
            verdict(f"removed {REMOVED_GOAL:.0%}", removed >= REMOVED_GOAL),
            verdict(f"kept {KEPT_GOAL:.0%}", kept >= KEPT_GOAL),
            verdict(f"{plan.measure.name}'s", removed >= least[0] and kept >= least[1]),
        ]
        yield "; ".join(told)

    columns = "  ".join(f"{name:>9} {'pass/s':>6}" for name in SETTINGS)
    return [
        f"ethp: memory, and passes in a second, by setting; {plan.runs} of {plan.seconds} s",
        *table(plan, f"{columns}  removed    kept  kdamond", line),
    ]


def quota_part(plan: Plan, part: str, what: str, quota: int, goal: float) -> list[str]:
    """Tell how a quota was kept."""
    shares = {}
    for side in plan.sides:
        folder = side.folder / part
        found: list[float] = []
        for number in range(1, plan.runs + 1):
            if part == "size":
                sums = size_windows(folder / f"scheme.{number}.trace", SECOND)
            else:
                none, scheme = (folder / f"{name}.{number}.json" for name in ("none", "scheme"))
                sums = time_windows(none, scheme, SECOND)
            found += [each / quota for each in sums]
        shares[side] = found

    def line(side: Side) -> str:
        found = shares[side]
        words = f"{len(found):7} {min(found):8.1%} {median(found):8.1%} {max(found):8.1%}"
        if side is plan.measure:
            return words
        return f"{words}  {verdict(f'within {goal:.0%}', abs(max(found) - 1) <= goal)}"

    head = f"windows {'least':>8} {'median':>8} {'most':>8}"
    return [f"{part}: {what}; {plan.runs} of {plan.seconds} s", *table(plan, head, line)]


def size_part(plan: Plan) -> list[str]:
    """A quota of bytes."""
    return quota_part(
        plan, "size", "a quota of 10 MB in 1 s, what was tried in windows", SIZE_QUOTA, SIZE_GOAL
    )


def time_part(plan: Plan) -> list[str]:
    """A quota of time."""
    what = "a quota of 100 ms in 1 s, what the action took in windows"
    return quota_part(plan, "time", what, TIME_QUOTA, TIME_GOAL)


TELL = {
    "prcl": prcl_part,
    "redis": redis_part,
    "ethp": ethp_part,
    "size": size_part,
    "time": time_part,
}


# The command line


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("schemes", __doc__)
    parser.add_names("--kernel", kernels.KERNELS, KERNELS, "repeatable, the last is the measure")
    parser.add_names("--part", PARTS, PARTS)
    add = parser.add_argument
    add("--runs", type=positive, default=1, metavar="N", help="of each; medians (default: 1)")
    add("--quick", action="store_true", help=f"{QUICK_SECONDS} s instead of {SECONDS}")
    add("--tell", action="store_true", help="only make the tables of what was measured last")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """lab/bench schemes."""
    options = _parse(argv)
    return run(FOLDER, lambda: _tables(options))


def _tables(options: argparse.Namespace) -> str:
    """Do what is wanted; returns the tables."""
    parts = [name for name in PARTS if name in (options.part or PARTS)]
    plan = Plan(
        guests.sides(options.kernel or KERNELS, FOLDER),
        options.runs,
        QUICK_SECONDS if options.quick else SECONDS,
        str(debian.fetch_with_dependencies(PACKAGES)) if "redis" in parts else "",
    )

    def tell(part: str) -> list[str]:
        if not options.tell:
            measure(plan, part)
        return TELL[part](plan)

    return written(TABLES, plan.sides, [partial(tell, part) for part in parts])
