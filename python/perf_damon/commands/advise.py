# SPDX-License-Identifier: GPL-2.0
"""perf damon advise: schemes that a recording speaks for."""

from __future__ import annotations

import argparse

from perf_damon.commands import selection
from perf_damon.errors import UsageError
from perf_damon.options import Parser

USAGE = "perf damon advise [<options>]"
DESCRIPTION = """\
Propose schemes for the memory that a recording shows: what to page out once it has been idle for
how long, what should have huge pages, and what should not. Each comes with what it would have done
during the recording, and how much of it would have been wrong.

What is printed is a file of schemes, the figures its comments."""
EPILOG = """\
examples:
  perf damon record --timeout 2m $(pidof app)
  perf damon advise > my.schemes
  perf damon start --schemes my.schemes $(pidof app)
  perf damon advise --action pageout --risk 1%
  perf damon advise --apply                       start them at once"""
FORMATS = ("text", "json")


def configure(parser: Parser) -> None:
    """Add this command's options."""
    selection.add_input(parser)
    parser.add_argument("--format", choices=FORMATS, default="text", help="text or json")
    parser.add_argument(
        "--action",
        metavar="ACTION[,ACTION...]",
        help="propose only these: pageout, hugepage, nohugepage, lru_prio, lru_deprio",
    )
    parser.add_argument(
        "--risk",
        metavar="PERCENT",
        default="5%",
        help="how much of the memory that a scheme acts on may be accessed again within 10 s (of "
        "hot memory: may be cold) (default 5%%)",
    )
    parser.add_argument(
        "--apply",
        action="store_true",
        help="start the schemes on the recording's targets, where these still run",
    )
    selection.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Read the recording and say what it speaks for; raises Error."""
    if args.apply and args.address:
        raise UsageError("--apply is for whole targets: a scheme acts on all of their addresses")
    # numpy is behind these: -h must not wait for it.
    from perf_damon.commands import advise_views

    options = advise_views.Options.of(args)
    recording = selection.read(args)
    return advise_views.show(recording, options)
