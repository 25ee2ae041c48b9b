# SPDX-License-Identifier: GPL-2.0
"""What DARC spares programs when memory gets short, against the kernel's own reclaim alone.

A program has 64 MB that are hot, 16 MB that are warm (used every 2.5 s), and fills memory with what
it never uses again, until 16 MB are left above DARC's high watermark. A hundred times in a second
it does an operation: a pass over 8 MB of what is hot and over some of what is warm. Then:

slow   it grows by 2 MB/s, 200 MB in all
burst  it grows by 200 MB at once
scan   it reads a file of 360 MB, 3 MB/s
half   half of all memory is hot, and it grows by 2 MB/s, 160 MB in all
nodes  two nodes: what is filled, and what grows by 2 MB/s, 160 MB in all, is of the second one

Settings: calm is the same without growing and reading; none, the kernel's own reclaim; darc, DARC
with its defaults; scheme, upstream's kernel with a scheme that pages out what is idle for 5 s below
DARC's high watermark; reclaim, DAMON_RECLAIM of a 7.x kernel likewise, where its source can be had.

Stalls: how often a program had to reclaim memory itself. kswapd: pages it has scanned, and taken.
Operation: how long one took. Taken: what was reclaimed, by whomever, and back: how much of it was
brought back later. Growing: how long it took for growing, in all. When a kernel complains in its
log that is an error; ours-debug is the kernel that looks for mistakes, and does only darc.

Time is the instruction clock's, so that other work on the machine does not matter. Swap space is
compressed memory. It takes ten minutes a shape.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from lab import kernels
from lab.benchmarks import guests
from lab.benchmarks.darc_score import MB, Pressed, pressed
from lab.benchmarks.guests import Side
from lab.benchmarks.tables import Parser, positive, run, verdict, written
from lab.common import BUILD, LabError, progress
from lab.workloads.build import build

IN_GUEST = Path(__file__).with_name("darc_guest.py")
FOLDER = BUILD / "bench" / "darc"
TABLES = BUILD / "bench" / "darc.txt"
SHAPES = ("slow", "burst", "scan", "half", "nodes")
SETTINGS = {
    "ours": ("calm", "none", "darc"),
    "upstream": ("none", "scheme"),
    "newest": ("none", "reclaim"),
    "ours-debug": ("darc",),
}
"""Of each kernel."""
USUAL = tuple(name for name in SETTINGS if name != "ours-debug")
MEMORY = "1G"
LIMIT_S = 3600

STALLS_GOAL = 0.05
SCANNED_GOAL = 0.20
"""Both of what they are without DARC."""
LATENCY_GOAL = 1.05
"""The 99th percentile, of that without pressure."""
BACK_GOAL = 0.03
COST_GOAL = 0.05
BURST_GOAL = 1.02
"""The time that growing takes, of that without DARC."""


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    sides: tuple[Side, ...]
    runs: int


def measure(plan: Plan, shape: str) -> None:
    """Do a shape on every side; raises LabError."""

    def command(side: Side, out: Path) -> list[object]:
        settings = SETTINGS[kernel_of(side)]
        return ["/usr/bin/python3", IN_GUEST, shape, side.name, out, plan.runs, *settings]

    nodes = 2 if shape == "nodes" else 1
    guests.run(
        guests.Job(command, shape, True, MEMORY, LIMIT_S * plan.runs, nodes=nodes), plan.sides
    )


def kernel_of(side: Side) -> str:
    """The kernel's name, without the number that tells it from another of the same."""
    return re.sub(r"-\d+$", "", side.name)


Runs = dict[tuple[Side, str], list[Pressed]]


def results(plan: Plan, shape: str) -> Runs:
    """What was measured, by side and setting."""
    return {
        (side, setting): [
            pressed(side.folder / shape / f"{setting}.{number + 1}") for number in range(plan.runs)
        ]
        for side in plan.sides
        for setting in SETTINGS[kernel_of(side)]
    }


def middle(runs: list[Pressed], figure: str) -> float:
    return median(getattr(run, figure) for run in runs)


def percentile(runs: list[Pressed], percent: float) -> float:
    return median(run.operation(percent) for run in runs)


COLUMNS = (
    f"{'kernel':10} {'setting':8} {'stalls':>6} {'kswapd: scanned':>15} {'took':>7}  "
    f"{'operation: p50':>14} {'p99':>7} {'max ms':>7} {'major':>6}  "
    f"{'free: mean':>10} {'least':>6}  "
    f"{'taken':>6} {'back':>6} {'kdamond':>8} {'growing':>8}"
)


def line(side: Side, setting: str, runs: list[Pressed]) -> str:
    p50, p99, most = (percentile(runs, percent) / 1000 for percent in (50, 99, 100))
    free, least, taken = (
        f"{middle(runs, name) / MB:.0f}M" for name in ("free", "least_free", "taken")
    )
    return (
        f"{side.name:10} {setting:8} {middle(runs, 'stalls'):6.0f} {middle(runs, 'scanned'):15.0f} "
        f"{middle(runs, 'stolen'):7.0f}  {p50:14.3f} {p99:7.3f} {most:7.2f} "
        f"{middle(runs, 'major_faults'):6.0f}  {free:>10} {least:>6}  {taken:>6} "
        f"{middle(runs, 'back'):6.1%} {middle(runs, 'cost'):8.2%} "
        f"{middle(runs, 'growing_s'):7.2f}s"
    )


def goals(shape: str, found: dict[str, list[Pressed]]) -> Iterator[str]:
    """What was asked of DARC in a shape, by the settings of its kernel."""
    calm, none, darc = (found[name] for name in ("calm", "none", "darc"))
    if shape == "slow":
        stalls = STALLS_GOAL * middle(none, "stalls")
        yield verdict(f"stalls {stalls:.1f}", middle(darc, "stalls") <= stalls)
        scanned = SCANNED_GOAL * middle(none, "scanned")
        yield verdict(f"scanned {scanned:.0f}", middle(darc, "scanned") <= scanned)
        slow = LATENCY_GOAL * percentile(calm, 99)
        yield verdict(f"p99 {slow / 1000:.3f} ms", percentile(darc, 99) <= slow)
        yield verdict(f"back {BACK_GOAL:.0%}", middle(darc, "back") <= BACK_GOAL)
    if shape == "burst":
        slow = BURST_GOAL * middle(none, "growing_s")
        yield verdict(f"growing {slow:.2f} s", middle(darc, "growing_s") <= slow)
    least = middle(none, "back")
    if least:
        yield verdict(f"back {least:.1%}", middle(darc, "back") < least)
    yield verdict(f"kdamond {COST_GOAL:.0%}", middle(darc, "cost") <= COST_GOAL)


def table(plan: Plan, shape: str) -> list[str]:
    """Tell of a shape."""
    found = results(plan, shape)
    lines = [f"{shape}; {plan.runs} run{'s' if plan.runs > 1 else ''}", f"  {COLUMNS}"]
    lines += [f"  {line(side, setting, runs)}" for (side, setting), runs in found.items()]
    for side in plan.sides:
        of_side = {setting: runs for (each, setting), runs in found.items() if each == side}
        if {"calm", "none", "darc"} <= of_side.keys():
            lines += [f"    {side.name}: {goal}" for goal in goals(shape, of_side)]
    return lines


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("darc", __doc__)
    parser.add_names("--kernel", SETTINGS, USUAL)
    parser.add_names("--shape", SHAPES, SHAPES)
    add = parser.add_argument
    add("--runs", type=positive, default=1, metavar="N", help="of each; medians (default: 1)")
    add("--tell", action="store_true", help="only make the tables of what was measured last")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """lab/bench darc."""
    options = _parse(argv)
    return run(FOLDER, lambda: _tables(options))


def _tables(options: argparse.Namespace) -> str:
    """Do what is wanted; returns the tables."""
    build("pressure")
    names, told = options.kernel, []
    if not names:
        names, told = _kernels()
    plan = Plan(guests.sides(names, FOLDER), options.runs)

    def tell(shape: str) -> list[str]:
        if not options.tell:
            measure(plan, shape)
        return table(plan, shape)

    shapes = [name for name in SHAPES if name in (options.shape or SHAPES)]
    parts = [partial(tell, shape) for shape in shapes]
    return written(TABLES, plan.sides, [*([lambda: told] if told else []), *parts])


def _kernels() -> tuple[list[str], list[str]]:
    """Those that can be had, and what to say of others."""
    names = list(USUAL)
    try:
        kernels.image("newest")
    except LabError as error:
        names.remove("newest")
        told = f"Without DAMON_RECLAIM of a 7.x kernel, which cannot be had here: {error}"
        progress(told)
        return names, [told]
    return names, []
