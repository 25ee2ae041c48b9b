# SPDX-License-Identifier: GPL-2.0
"""perf damon record: monitor and record in one, and leave DAMON as it was."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from perf_damon.commands import monitoring
from perf_damon.control.system import System, find_perf
from perf_damon.errors import Error, UsageError
from perf_damon.options import Parser, argument
from perf_damon.terminal import say
from perf_damon.units import parse_time_us

USAGE = (
    "perf damon record [<options>] [TARGET] [--perf <perf record options>]\n"
    "       perf damon record [<options>] [--perf <perf record options>] -- COMMAND [ARGS]\n"
    "       perf damon record --darc [<options>] [--perf <perf record options>]"
)
DESCRIPTION = f"""\
Record the memory accesses of TARGET, as DAMON sees them, into perf.data.

{monitoring.TARGETS}

Without a target it only listens to what is monitored already, by DAMON_STAT for one, and
changes nothing.

Ends when the target ends, at --timeout, or at Ctrl-C. Monitoring that was running already is
used, and goes on; what was started here is stopped."""
EPILOG = """\
examples:
  perf damon record $(pidof redis-server)
  perf damon record --timeout 30s -o redis.data $(pidof redis-server)
  perf damon record -- ./app --its-options
  perf damon record --schemes $(pidof app)
  perf damon record --timeout 1m                  # listen to what runs already
  perf damon record --take-over $(pidof app)      # DAMON_STAT off meanwhile
  perf damon record --darc --timeout 1m           # only what DARC does
  perf damon record -a --sample 50ms --aggr 1s --timeout 1m
  perf damon record 1234 --perf -z --max-size 1G"""
TAKES_COMMAND = True


def configure(parser: Parser) -> None:
    """Add this command's options."""
    monitoring.add_options(parser)
    parser.add_argument(
        "-a", "--all-cpus", action="store_true", help="the whole system: all physical memory"
    )
    parser.add_argument(
        "-o", "--output", default="perf.data", metavar="FILE", help="(default perf.data)"
    )
    parser.add_argument(
        "--timeout", type=argument(parse_time_us), metavar="TIME", help="stop after this time"
    )
    parser.add_argument(
        "--schemes",
        action="store_true",
        help="also record which regions DAMON's schemes act on: see perf damon report schemes",
    )
    parser.add_argument(
        "--darc",
        action="store_true",
        help="also record what DARC reclaims; without a target only that: see perf damon report "
        "darc",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what perf record says")
    parser.add_argument(
        "--perf",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="OPTION",
        help="all that follows are options of perf record",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; raises Error."""
    named = _has_target(args)
    alone, listen = args.darc and not named, not args.darc and not named
    wanted = monitoring.request(args, everything=args.all_cpus) if named else _nothing(args)
    if args.timeout == 0:
        raise UsageError("--timeout must be longer than 0")
    system = System()
    system.require_root("perf damon record")
    if args.darc:
        system.require_darc()
        system.require_darc_events()
    if not alone:
        system.require_damon()
        system.require_event()
    if args.schemes:
        system.require_apply_event()
    perf = find_perf()
    check_output(args.output)
    wanted = replace(wanted, pids=monitoring.find_processes(system, wanted.pids))

    from perf_damon.record.session import Session

    session = Session(
        system=system,
        wanted=wanted,
        perf=perf,
        output=args.output,
        everything=args.all_cpus,
        timeout_s=None if args.timeout is None else args.timeout / 1e6,
        options=tuple(args.perf),
        schemes=args.schemes,
        darc=args.darc,
        monitor=not alone,
        listen=listen,
        lenient=not monitoring.options_given(args),
        quiet=args.quiet,
    )
    try:
        return session.run()
    finally:
        if args.verbose:
            say(session.perf_said)


def _has_target(args: argparse.Namespace) -> bool:
    named = args.all_cpus or args.command is not None or args.ops is not None
    return bool(named or monitoring.target_words(args))


def _nothing(args: argparse.Namespace) -> monitoring.Request:
    """The request to monitor nothing; raises UsageError where options say how to."""
    given = monitoring.options_given(args)
    if args.darc and args.schemes:
        given.append("--schemes")
    for option in given:
        without = "--darc records DARC alone" if args.darc else "what runs already is recorded"
        raise UsageError(
            f"{option} is of monitoring, and no target is named",
            f"give pids, paddr, or -- COMMAND...; without, {without}",
        )
    return monitoring.Request("", (), (), monitoring.DEFAULTS, ())


def check_output(name: str) -> None:
    """Raise Error where perf could not write the recording, before anything is started."""
    if name == "-":
        raise UsageError("-o - is not possible: a recording needs a file")
    path = Path(name)
    if path.is_dir():
        raise Error(f"{name} is a folder", "give a file: -o FILE")
    folder = path.parent
    if not folder.is_dir():
        raise Error(f"cannot write {name}: no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise Error(f"cannot write into {folder}", "give another place: -o FILE")
