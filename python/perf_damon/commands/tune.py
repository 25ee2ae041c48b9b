# SPDX-License-Identifier: GPL-2.0
"""perf damon tune: change what perf damon start started, while it runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from perf_damon.commands import monitoring, scheme_options
from perf_damon.control import monitor
from perf_damon.control import tune as tuning
from perf_damon.control.nodes import Context, Region, Scheme, Target
from perf_damon.control.system import System
from perf_damon.errors import EXIT_OK, Error, UsageError
from perf_damon.options import Parser, argument
from perf_damon.parameters import Attributes
from perf_damon.schemes.check import check_schemes
from perf_damon.schemes.pattern import rescale
from perf_damon.schemes.text import parse_quota
from perf_damon.terminal import say

USAGE = "perf damon tune [<options>] [TARGET]"
DESCRIPTION = """\
Change what 'perf damon start' started, while it runs: all that the options say, or, when any of it
is wrong, nothing. What no option names stays as it is.

TARGET (pids, or -p) replaces the processes that are monitored. Schemes that stay keep their
access rates in percent and their ages in seconds when the intervals change."""
EPILOG = """\
examples:
  perf damon tune --aggr 200ms --max-regions 500
  perf damon tune --schemes my.schemes
  perf damon tune --quota 50M/1s
  perf damon tune --schemes /dev/null          # no schemes, only monitoring"""


def configure(parser: Parser) -> None:
    """Add this command's options."""
    parser.add_argument("target", nargs="*", metavar="TARGET", help=argparse.SUPPRESS)
    which = parser.add_argument_group("which, and whom to monitor")
    which.add_argument(
        "-k",
        "--kdamond",
        type=int,
        metavar="N",
        help="this kdamond, as perf damon status counts them (needed where several are ours)",
    )
    which.add_argument("-p", "--pid", action="append", default=[], help="monitor these processes")
    which.add_argument(
        "--regions",
        type=argument(monitoring.parse_regions),
        metavar="START-END[,START-END...]",
        help="monitor these addresses",
    )
    monitoring.add_attribute_options(parser, defaults=False)
    schemes = scheme_options.add_options(parser)
    schemes.add_argument(
        "--quota",
        dest="quotas",
        action="append",
        default=[],
        metavar="[N:]QUOTA",
        help="the quota of scheme N (without N: of each), as in 50M/1s, 10ms,50M/1s, or none",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; raises Error."""
    return tune(System(), args)


def tune(system: System, args: argparse.Namespace) -> int:
    """Change what the options name; raises Error."""
    system.require_root("perf damon tune")
    system.require_damon()
    slot = _choose(system, args.kdamond)
    assert slot.context is not None
    change = plan(system, slot.context, args)
    for line in monitoring.describe_slot(system, tuning.tune(system, slot, change)):
        say(line)
    return EXIT_OK


def _choose(system: System, number: int | None) -> monitor.Slot:
    slots = monitor.overview(system).slots
    ours = [slot for slot in slots if slot.ours]
    if number is None:
        if len(ours) > 1:
            numbers = ", ".join(str(slot.index) for slot in ours)
            raise UsageError(f"kdamonds {numbers} are ours: which one?", "--kdamond N")
        if not ours:
            raise Error(
                "there is nothing to tune: perf damon start has nothing running",
                "what something else started is changed with the tool that started it"
                if any(slot.kdamond.running for slot in slots)
                else "perf damon start begins",
            )
        (slot,) = ours
    else:
        if not 0 <= number < len(slots) or not slots[number].kdamond.running:
            raise Error(f"no kdamond {number} runs", "see: perf damon status")
        slot = slots[number]
    if not slot.ours:
        raise Error(
            f"kdamond {slot.index} was started by something else: perf damon leaves it alone",
            "change it with the tool that started it",
        )
    assert slot.entry is not None
    if slot.entry.owner:
        raise Error(
            f"kdamond {slot.index} belongs to a perf damon record (pid {slot.entry.owner}), "
            "whose recording says how it was monitored",
            "to tune while recording: perf damon start, then perf damon record, then tune",
        )
    return slot


def plan(system: System, running: Context, args: argparse.Namespace) -> Context:
    """What has to be written: None where nothing changes. Raises Error."""
    before = monitoring.attributes_of(running)
    after = monitoring.attributes(args, before)
    targets = _targets(system, running, args)
    given = scheme_options.read(args.schemes, after)
    schemes = list(running.schemes or ()) if given is None else given
    if given is None and schemes and after != before:
        schemes = _rescaled(schemes, before, after)
    if args.quotas:
        schemes = _with_quotas(schemes, args.quotas)
    change = Context(targets=targets)
    if after != before:
        change.monitoring_attrs = monitoring.attrs_of(after)
    if given is not None or schemes != (running.schemes or []):
        change.schemes = schemes
    if change == Context():
        if _asks_for_something(args):
            return change
        raise UsageError("there is nothing to change", "perf damon tune -h lists what can be")
    operations = running.operations or ""
    check_schemes(system, schemes, operations, len(targets or running.targets or ()))
    return change


def _asks_for_something(args: argparse.Namespace) -> bool:
    """Whether any option is there, be it one that asks for what is so already."""
    names = ("sample", "aggr", "update", "min_regions", "max_regions", "schemes", "regions")
    return bool(args.quotas or args.pid or args.target) or any(
        getattr(args, name) is not None for name in names
    )


def _targets(system: System, running: Context, args: argparse.Namespace) -> list[Target] | None:
    words = monitoring.target_words(args)
    if not words and args.regions is None:
        return None
    known = {target.pid_target: target for target in running.targets or ()}
    regions = None
    if args.regions is not None:
        regions = [Region(start=start, end=end) for start, end in args.regions]
    if running.operations == "paddr":
        if words and words != ["paddr"]:
            raise Error(
                "this kdamond monitors physical memory, and no processes",
                "perf damon stop, then perf damon start with the pids",
            )
        return None if regions is None else [Target(regions=regions)]
    if "paddr" in words:
        raise Error(
            f"this kdamond monitors {running.operations}, and not physical memory",
            "perf damon stop, then perf damon start paddr",
        )
    pids = monitoring.parse_pids(words) if words else running.pids
    pids = monitoring.find_processes(system, pids)
    new = [pid for pid in pids if pid not in known]
    if new and running.operations == "fvaddr" and regions is None:
        raise UsageError("fvaddr needs the addresses to monitor", "--regions START-END")
    return [
        Target(pid_target=pid, regions=regions or [])
        if regions is not None or pid in new
        else known[pid]
        for pid in pids
    ]


def _rescaled(schemes: Sequence[Scheme], before: Attributes, after: Attributes) -> list[Scheme]:
    result = []
    for index, scheme in enumerate(schemes):
        try:
            access = rescale(scheme.access_pattern, before, after)
        except ValueError as error:
            raise Error(
                f"scheme {index} ({scheme.action}) cannot stay with these intervals: {error}",
                "give the schemes anew, with --scheme or --schemes",
            ) from None
        result.append(replace(scheme, access_pattern=access))
    return result


def _with_quotas(schemes: Sequence[Scheme], given: Sequence[str]) -> list[Scheme]:
    result = list(schemes)
    for text in given:
        number, colon, words = text.partition(":")
        if not colon:
            number, words = "", text
        new = parse_quota(words, "--quota")
        if number and not (number.isdigit() and int(number) < len(result)):
            raise UsageError(
                f"--quota {text}: there is no scheme {number}", "see: perf damon schemes"
            )
        if not result:
            raise UsageError(f"--quota {text}: there is no scheme", "see: perf damon schemes")
        for index in [int(number)] if number else range(len(result)):
            quotas = replace(result[index].quotas, ms=new.ms, bytes=new.bytes)
            if new.reset_interval_ms is not None:
                quotas.reset_interval_ms = new.reset_interval_ms
            result[index] = replace(result[index], quotas=quotas)
    return result
