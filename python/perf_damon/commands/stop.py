# SPDX-License-Identifier: GPL-2.0
"""perf damon stop: end what perf damon start began."""

from __future__ import annotations

import argparse

from perf_damon.commands.describe import describe_pids
from perf_damon.control import modules, monitor
from perf_damon.control.system import System
from perf_damon.errors import EXIT_OK, Error
from perf_damon.options import Parser
from perf_damon.terminal import say

USAGE = "perf damon stop"
DESCRIPTION = """\
Stop all monitoring that 'perf damon start' started, and leave DAMON as it was before: what
--take-over turned off is on again.

What something else started is left alone, and so is what a running 'perf damon record'
uses: it stops that itself."""
EPILOG = ""


def configure(parser: Parser) -> None:
    """This command has no options."""


def run(args: argparse.Namespace) -> int:
    """Run the command; raises Error."""
    return stop(System())


def stop(system: System) -> int:
    """Stop what is ours and belongs to no command that still runs; raises Error."""
    system.require_root("perf damon stop")
    system.require_damon()
    taken = monitor.overview(system).taken
    for entry in monitor.clean_up(system):
        say(f"kdamond {entry.slot} had ended; its slot is free again")
    slots = monitor.overview(system).slots
    stopped = [slot for slot in slots if slot.entry is not None and not slot.entry.owner]
    failed: Error | None = None
    for slot in stopped:
        try:
            monitor.stop(system, slot)
        except modules.NotTurnedOn as error:
            failed = error
        assert slot.entry is not None
        whom = describe_pids(system, slot.entry.pids)
        say(f"kdamond {slot.index} (thread {slot.entry.tid}) stopped: it monitored {whom}")
    for slot in slots:
        if slot.entry is not None and slot.entry.owner:
            say(
                f"kdamond {slot.index} belongs to a perf damon record (pid {slot.entry.owner}), "
                f"which stops it: kill -INT {slot.entry.owner}"
            )
        elif slot.kdamond.running and slot not in stopped:
            say(f"kdamond {slot.index} was started by something else: left alone")
    if not stopped:
        say("nothing to stop: perf damon start has nothing running")
    still_off = monitor.overview(system).taken
    for name in taken:
        if name not in still_off:
            say(f"{name.upper()} is on again")
    if failed is not None:
        raise failed
    if still_off and not any(slot.entry is not None and slot.entry.owner for slot in slots):
        raise Error(
            f"{', '.join(still_off).upper()} cannot be turned on again yet",
            "the kernel takes it once no kdamond runs: then, perf damon stop again",
        )
    return EXIT_OK
