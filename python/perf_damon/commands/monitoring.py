# SPDX-License-Identifier: GPL-2.0
"""What start and record have in common: whom to monitor, and how."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from perf_damon.commands.describe import describe_attributes, describe_pids
from perf_damon.control.monitor import Slot
from perf_damon.control.nodes import (
    Context,
    Intervals,
    MonitoringAttrs,
    Range,
    Region,
    Scheme,
    Target,
)
from perf_damon.control.system import System
from perf_damon.errors import Error, UsageError
from perf_damon.options import Parser, argument
from perf_damon.parameters import Attributes
from perf_damon.terminal import say
from perf_damon.units import format_time_us, parse_address_range, parse_time_us

OPERATIONS = ("vaddr", "fvaddr", "paddr")
SAMPLE_US, AGGR_US, UPDATE_US = 5_000, 100_000, 1_000_000
COMMAND_UPDATE_US = 100_000
"""A program that has just begun maps most of its memory soon: look more often."""
MIN_REGIONS, MAX_REGIONS = 10, 1000
DEFAULTS = Attributes(SAMPLE_US, AGGR_US, UPDATE_US, MIN_REGIONS, MAX_REGIONS)
COMMAND_DEFAULTS = replace(DEFAULTS, update_us=COMMAND_UPDATE_US)
_LEAST_REGIONS = 3
_LONG_MAX = 2**63 - 1

TARGETS = """\
TARGET is one or more pids, separated by spaces or commas ($(pidof APP) gives several),
`paddr' for all physical memory, or `-- COMMAND...' to run a command and monitor it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks to be monitored."""

    operations: str
    pids: tuple[int, ...]
    command: tuple[str, ...]
    attributes: Attributes
    regions: tuple[tuple[int, int], ...]
    """Initial regions [start, end); empty lets DAMON find them (vaddr), or all System RAM."""
    schemes: tuple[Scheme, ...] = ()
    take_over: bool = False
    """Turn off the kernel's own users of DAMON while this is monitored."""


def add_options(parser: Parser) -> None:
    """Options that say whom to monitor and how."""
    parser.add_argument("target", nargs="*", metavar="TARGET", help=argparse.SUPPRESS)
    whom = parser.add_argument_group("whom to monitor")
    whom.add_argument("-p", "--pid", action="append", default=[], help="these processes")
    whom.add_argument(
        "--ops",
        choices=OPERATIONS,
        help="vaddr: a process's mappings, followed as they change (default); fvaddr: fixed "
        "addresses of a process (with --regions); paddr: physical memory",
    )
    whom.add_argument(
        "--regions",
        type=argument(parse_regions),
        default=(),
        metavar="START-END[,START-END...]",
        help="addresses to begin with (default: vaddr the mapped ones, paddr all System RAM)",
    )
    add_attribute_options(parser)
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="turn off what the kernel itself uses DAMON for (DAMON_STAT, DAMON_RECLAIM, "
        "DAMON_LRU_SORT), which keeps others out, and on again afterwards",
    )


def add_attribute_options(parser: Parser, defaults: bool = True) -> None:
    """Options that say how; without defaults, what is not named stays."""
    how = parser.add_argument_group("how to monitor" if defaults else "how (the rest stays)")
    times = argument(parse_time_us)

    def default(text: str) -> str:
        return f" (default {text})" if defaults else ""

    how.add_argument(
        "--sample",
        type=times,
        metavar="TIME",
        help=f"sampling interval{default(format_time_us(SAMPLE_US))}",
    )
    how.add_argument(
        "--aggr",
        type=times,
        metavar="TIME",
        help=f"aggregation interval: a snapshot each{default(format_time_us(AGGR_US))}",
    )
    updates = f"{format_time_us(UPDATE_US)}; {format_time_us(COMMAND_UPDATE_US)} for a command"
    how.add_argument(
        "--update",
        type=times,
        metavar="TIME",
        help=f"how often changed mappings are looked for{default(updates)}",
    )
    how.add_argument(
        "--min-regions", type=int, metavar="N", help=f"fewest regions{default(str(MIN_REGIONS))}"
    )
    how.add_argument(
        "--max-regions",
        type=int,
        metavar="N",
        help=f"most regions, and so most work{default(str(MAX_REGIONS))}",
    )


def request(args: argparse.Namespace, everything: bool = False) -> Request:
    """The request of parsed options; everything is perf's -a. Raises UsageError."""
    command = args.command
    words = target_words(args)
    physical = "paddr" in words or everything or args.ops == "paddr"
    if command is not None and not command:
        raise UsageError("no command after --")
    asked = [physical, any(word != "paddr" for word in words), command is not None]
    if sum(asked) != 1:
        if not any(asked):
            raise UsageError("no target", "give pids, paddr, or -- COMMAND...")
        raise UsageError("more than one kind of target", "give pids, or paddr, or -- COMMAND...")
    operations = args.ops or ("paddr" if physical else "vaddr")
    if physical and operations != "paddr":
        raise UsageError(f"physical memory cannot be monitored with --ops {operations}")
    if operations == "fvaddr" and not args.regions:
        raise UsageError("--ops fvaddr needs the addresses to monitor", "--regions START-END")
    return Request(
        operations=operations,
        pids=() if physical else parse_pids(words),
        command=tuple(command or ()),
        attributes=attributes(args, DEFAULTS if command is None else COMMAND_DEFAULTS),
        regions=args.regions,
        take_over=args.take_over,
    )


def options_given(args: argparse.Namespace) -> list[str]:
    """The options of how to monitor that the command line has, as it has them."""
    names = ("regions", "sample", "aggr", "update", "min_regions", "max_regions", "take_over")
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name)]


def context(system: System, wanted: Request, pids: Sequence[int]) -> Context:
    """The context to set up for a request, with the processes that it is for by now."""
    attrs = attrs_of(wanted.attributes)
    ranges = wanted.regions
    if wanted.operations == "paddr":
        regions = [Region(start=a, end=b) for a, b in ranges or system.system_ram()]
        targets = [Target(regions=regions)]
    else:
        regions = [Region(start=a, end=b) for a, b in ranges]
        targets = [Target(pid_target=pid, regions=regions) for pid in pids]
    return Context(
        operations=wanted.operations,
        monitoring_attrs=attrs,
        targets=targets,
        schemes=list(wanted.schemes) or None,
    )


def attrs_of(wanted: Attributes) -> MonitoringAttrs:
    """Attributes as the tree has them."""
    return MonitoringAttrs(
        intervals=Intervals(
            sample_us=wanted.sample_us, aggr_us=wanted.aggr_us, update_us=wanted.update_us
        ),
        nr_regions=Range(min=wanted.min_nr_regions, max=wanted.max_nr_regions),
    )


def attributes_of(running: Context) -> Attributes:
    """The attributes of a context as it was read."""
    attrs = running.monitoring_attrs
    return Attributes(
        sample_us=attrs.intervals.sample_us,
        aggr_us=attrs.intervals.aggr_us,
        update_us=attrs.intervals.update_us,
        min_nr_regions=attrs.nr_regions.min,
        max_nr_regions=attrs.nr_regions.max,
    )


def describe_slot(system: System, slot: Slot) -> list[str]:
    """Lines of whom a kdamond monitors, how, and with which schemes."""
    assert slot.context is not None
    lines = [
        f"kdamond {slot.index} (thread {slot.kdamond.pid}) monitors "
        f"{describe_pids(system, slot.context.pids)}: "
        f"{describe_attributes(attributes_of(slot.context))}"
    ]
    if actions := [scheme.action or "" for scheme in slot.context.schemes or ()]:
        lines.append(f"  schemes: {', '.join(actions)}; what they do: perf damon schemes")
    return lines


def find_processes(system: System, pids: Sequence[int]) -> tuple[int, ...]:
    """The processes to monitor, each once; those of threads, with a word. Raises Error.

    Threads of a process share its memory, so DAMON would monitor all of it for each.
    """
    check_pids(system, pids)
    found = [(pid, system.process_of(pid)) for pid in pids]
    for tid, pid in found:
        if tid == pid:
            continue
        if system.started(pid) is None:
            raise Error(
                f"{tid} is a thread of process {pid}, whose main thread has ended",
                "DAMON looks for a process's memory at its main thread",
            )
        whose = describe_pids(system, [pid])
        say(f"{tid} is a thread of process {whose}: all of the process is monitored")
    processes = tuple(dict.fromkeys(pid for _, pid in found))
    check_pids(system, processes)
    return processes


def check_pids(system: System, pids: Sequence[int]) -> None:
    """Raise Error unless each is a living process with memory."""
    for pid in pids:
        if system.started(pid) is None:
            raise Error(f"no process with pid {pid}", "pidof NAME, or pgrep NAME, tells pids")
        if not system.has_memory(pid):
            raise Error(f"process {pid} ({system.comm(pid)}) is a kernel thread: it has no memory")
        if pid == os.getpid():
            raise Error(f"process {pid} is perf damon itself")


def target_words(args: argparse.Namespace) -> list[str]:
    """The words of TARGET and --pid: pids may be separated by blanks and commas."""
    texts = [*args.target, *args.pid]
    return [word for text in texts for word in re.split(r"[\s,]+", text) if word]


def parse_pids(words: Sequence[str]) -> tuple[int, ...]:
    """Pids, each once; raises UsageError."""
    for word in words:
        if not word.isascii() or not word.isdigit() or not 0 < int(word) < 2**31:
            raise UsageError(
                f"'{word}' is not a pid", f"$(pidof {word}) gives pids; -- {word} runs a command"
            )
    return tuple(dict.fromkeys(int(word) for word in words))


def parse_regions(text: str) -> tuple[tuple[int, int], ...]:
    """`START-END,…`, sorted; raises UsageError."""
    ranges = []
    for part in text.split(","):
        start, dash, end = part.partition("-")
        if not dash:
            raise UsageError(f"'{part}' is not START-END")
        ranges.append(parse_address_range(start, end))
    ranges.sort()
    for start, end in ranges:
        if start >= end:
            raise UsageError(f"0x{start:x}-0x{end:x} is empty")
    for (_, end), (start, _) in pairwise(ranges):
        if start < end:
            raise UsageError(f"regions overlap at 0x{start:x}")
    return tuple(ranges)


def attributes(args: argparse.Namespace, base: Attributes) -> Attributes:
    """The attributes of the options, and of `base` where there is no option; raises UsageError."""
    given = {
        "sample_us": args.sample,
        "aggr_us": args.aggr,
        "update_us": args.update,
        "min_nr_regions": args.min_regions,
        "max_nr_regions": args.max_regions,
    }
    values = replace(base, **{name: value for name, value in given.items() if value is not None})
    _check(values)
    return values


def _check(values: Attributes) -> None:
    """What the kernel would refuse without a word of why."""
    assert values.sample_us is not None and values.aggr_us is not None
    assert values.update_us is not None
    assert values.min_nr_regions is not None and values.max_nr_regions is not None
    for name, value in (
        ("--sample", values.sample_us),
        ("--aggr", values.aggr_us),
        ("--update", values.update_us),
    ):
        if not 0 < value <= _LONG_MAX:
            raise UsageError(f"{name} must be longer than 0 and fit the kernel's long")
    if values.sample_us > values.aggr_us:
        raise UsageError(
            f"--sample ({format_time_us(values.sample_us)}) is longer than "
            f"--aggr ({format_time_us(values.aggr_us)})"
        )
    if values.min_nr_regions < _LEAST_REGIONS:
        raise UsageError(f"--min-regions must be at least {_LEAST_REGIONS}")
    if values.min_nr_regions > values.max_nr_regions:
        raise UsageError(
            f"--min-regions ({values.min_nr_regions}) is more than "
            f"--max-regions ({values.max_nr_regions})"
        )
    if values.max_nr_regions > _LONG_MAX:
        raise UsageError("--max-regions does not fit the kernel's long")


def serves(slot: Slot, wanted: Request) -> bool:
    """Whether a running kdamond monitors all that is wanted already."""
    if not slot.kdamond.running or slot.context is None:
        return False
    if wanted.operations == "paddr" or slot.context.operations == "paddr":
        return wanted.operations == slot.context.operations
    return bool(wanted.pids) and set(wanted.pids) <= set(slot.context.pids)
