# SPDX-License-Identifier: GPL-2.0
"""perf damon darc: DARC, which reclaims idle memory before a zone runs short of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from perf_damon.commands import darc_options, watching
from perf_damon.commands.watching import Picture
from perf_damon.control import darc as control
from perf_damon.control.darc import Change, Darc
from perf_damon.control.system import System
from perf_damon.errors import EXIT_OK, UsageError
from perf_damon.options import Parser
from perf_damon.render.darc import darc_lines, limits
from perf_damon.terminal import say
from perf_damon.units import format_size

USAGE = (
    "perf damon darc [status] [-w [<interval>]] [--json]\n"
    "       perf damon darc (set | enable) [<options>]\n"
    "       perf damon darc disable"
)
DESCRIPTION = """\
DARC gives back memory that has hardly been accessed for a while before a zone of memory runs short
of it, so that programs need not wait for the kernel's own reclaim. Each zone has three watermarks
of free memory: below mid it begins, above high it stops, and below low too, where it would be too
late.

  status    each zone's free memory against its watermarks, what was taken, what it costs (default)
  set       change what the options say: all of it, or, when any of it is wrong, nothing
  enable    the same, then enable it; it works until it is disabled, or the machine reboots
  disable   end it; what was set stays"""
EPILOG = """\
examples:
  perf damon darc enable
  perf damon darc -w                   # once a second, until Ctrl-C
  perf damon darc set --zone 0-Normal --low 64M --mid 96M --high 128M
  perf damon darc set --quota 100M/1s --time 10ms/1s --goal 10ms --min-age 5s
  perf damon darc set --zone all --low default --mid default --high default
  perf damon record --darc --timeout 1m; perf damon report darc"""
WORDS = ("status", "set", "enable", "disable")


def configure(parser: Parser) -> None:
    """Add this command's options."""
    parser.add_argument(
        "word", nargs="?", choices=WORDS, default="status", metavar=" | ".join(WORDS)
    )
    watching.add_options(parser)
    darc_options.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; raises Error."""
    return darc(System(), args)


def darc(system: System, args: argparse.Namespace) -> int:
    """Show or change it; raises Error."""
    wanted = darc_options.read(args)
    if args.word not in ("set", "enable") and not wanted.is_empty:
        raise UsageError(
            f"{wanted.option} changes DARC, {args.word} does not", "perf damon darc set …"
        )
    if args.word != "status" and (args.json or args.watch is not None):
        raise UsageError("--json and -w are for perf damon darc status")
    if args.word == "set" and wanted.is_empty:
        raise UsageError("there is nothing to set", "perf damon darc -h lists what can be")
    system.require_root(f"perf damon darc {args.word}")
    system.require_darc()
    if args.word == "status":
        return watching.show(lambda: look(system), args.watch, args.json)
    before = control.load(system)
    change = wanted.change(before, {"enable": True, "disable": False}.get(args.word))
    after = control.apply(system, change)
    for line in tell(system, before, after, change):
        say(line)
    return EXIT_OK


def look(system: System) -> Picture:
    """What it does now; raises Error."""
    found = control.load(system)
    return Picture(lines=lambda canvas: darc_lines(found, canvas), data=lambda: to_json(found))


def to_json(found: Darc) -> dict[str, Any]:
    """For programs: these are the keys of --json, as the files of sysfs are named."""
    whole = asdict(found)
    for zone in whole["zones"]:
        node, _, name = zone["name"].partition("-")
        zone.update(node=int(node) if node.isdigit() else None, zone=name)
    return whole


def tell(system: System, before: Darc, after: Darc, change: Change) -> Sequence[str]:
    """What was done, for people."""
    if change.enabled is False:
        return ["DARC is disabled" if before.enabled else "DARC is disabled, as it was before"]
    state = "enabled" if after.enabled else "disabled: perf damon darc enable begins"
    lines = [f"DARC is {state}"]
    if change.enabled and before.enabled:
        lines[0] += ", as it was before"
    if change.files or (change.enabled and not before.enabled):
        lines.append(f"  takes {limits(after)}")
    for zone in after.zones:
        if zone.name in change.marks:
            marks = ", ".join(
                f"{mark} {format_size(getattr(zone, mark))}" for mark in control.MARKS
            )
            lines.append(f"  zone {zone.name}: {marks}")
    if change.enabled:
        if not _has_swap(system):
            lines.append("  there is no swap space: nothing but clean pages of files can be taken")
        if not before.enabled:
            lines.append("  look at it:  perf damon darc -w")
            lines.append("  end it:      perf damon darc disable")
    return lines


def _has_swap(system: System) -> bool:
    try:
        return len((system.proc / "swaps").read_text(encoding="utf-8").splitlines()) > 1
    except OSError:
        # A kernel without CONFIG_SWAP.
        return False
