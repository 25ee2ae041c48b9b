# SPDX-License-Identifier: GPL-2.0
"""perf damon start: start monitoring, and return."""

from __future__ import annotations

import argparse
from dataclasses import replace

from perf_damon import signals
from perf_damon.commands import monitoring, scheme_options
from perf_damon.commands.describe import describe_pids
from perf_damon.control import monitor
from perf_damon.control.system import System
from perf_damon.errors import EXIT_OK, Error, UsageError
from perf_damon.options import Parser
from perf_damon.schemes.check import check_schemes
from perf_damon.terminal import say

USAGE = "perf damon start [<options>] TARGET\n       perf damon start [<options>] -- COMMAND [ARGS]"
DESCRIPTION = f"""\
Start monitoring the memory accesses of TARGET, and return at once.

{monitoring.TARGETS}

Monitoring goes on until the target ends, or until 'perf damon stop'."""
EPILOG = """\
examples:
  perf damon start $(pidof redis-server)
  perf record -e damon:damon_aggregated -a -d -- sleep 10
  perf damon report
  perf damon stop
  perf damon start --schemes prcl $(pidof redis-server)
  perf damon schemes"""
TAKES_COMMAND = True


def configure(parser: Parser) -> None:
    """Add this command's options."""
    monitoring.add_options(parser)
    scheme_options.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; raises Error."""
    wanted = monitoring.request(args)
    schemes = scheme_options.read(args.schemes, wanted.attributes)
    if schemes == []:
        raise UsageError("there is no scheme in what --schemes names")
    return start(System(), replace(wanted, schemes=tuple(schemes or ())))


def start(system: System, wanted: monitoring.Request) -> int:
    """Start what is wanted; raises Error."""
    system.require_root("perf damon start")
    system.require_damon()
    wanted = replace(wanted, pids=monitoring.find_processes(system, wanted.pids))
    nr_targets = len(wanted.pids) or 1
    check_schemes(system, wanted.schemes, wanted.operations, nr_targets)
    for slot in monitor.overview(system).slots:
        if wanted.pids and monitoring.serves(slot, wanted):
            raise Error(
                f"{describe_pids(system, wanted.pids)} is monitored already, by kdamond "
                f"{slot.index} (thread {slot.kdamond.pid})",
                "perf damon record uses it; if it is ours, perf damon tune changes it, and "
                "perf damon stop ends it",
            )
    for line in monitoring.describe_slot(system, _start(system, wanted)):
        say(line)
    say("  record it:  perf damon record, or perf record -e damon:damon_aggregated -a -d")
    say("  end it:     perf damon stop")
    return EXIT_OK


def _start(system: System, wanted: monitoring.Request) -> monitor.Slot:
    if not wanted.command:
        context = monitoring.context(system, wanted, wanted.pids)
        return monitor.start(system, context, owner=0, take_over=wanted.take_over)
    from perf_damon.record.launch import launch

    with signals.held():
        launched = launch(wanted.command, detached=True)
        try:
            context = monitoring.context(system, wanted, [launched.pid])
            slot = monitor.start(system, context, owner=0, take_over=wanted.take_over)
        except BaseException:
            launched.terminate()
            raise
        launched.go()
        return slot
