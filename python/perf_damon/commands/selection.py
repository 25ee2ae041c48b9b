# SPDX-License-Identifier: GPL-2.0
"""What report and advise have in common: which part of a recording, and shares in percent."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from perf_damon.errors import UsageError
from perf_damon.terminal import working

if TYPE_CHECKING:
    from perf_damon.recording import Recording


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that choose a part; analysis/select.py reads them."""
    parser.add_argument(
        "--target",
        metavar="N",
        help="number of a target as the report counts them, a pid, or KDAMOND:ID; several: 1,2",
    )
    parser.add_argument(
        "--time",
        metavar="A,B",
        help="seconds from the start (5,10; 5,; 500ms,2s) or shares (10%%-20%%; 10%%/2)",
    )
    parser.add_argument(
        "--address",
        metavar="A,B",
        help="addresses (7f0000000000-7f0000100000; 0x7f0000000000+16M; 1G,2G)",
    )


def add_input(parser: argparse.ArgumentParser) -> None:
    """The options that read() takes."""
    parser.add_argument("-i", "--input", default="perf.data", metavar="FILE", help="the recording")
    # As perf's -f; only perf script asks whose the file is.
    parser.add_argument(
        "-f", "--force", action="store_true", help="also read a recording of another user"
    )


def read(args: argparse.Namespace) -> Recording:
    """The recording that the options name; raises DataError, OSError."""
    # numpy is behind this: -h must not wait for it.
    from perf_damon import open as open_recording

    with working(f"reading {args.input}"):
        return open_recording(args.input, force=args.force)


def percentage(option: str, text: str) -> float:
    """0 … 100, of `5%` or `5`; raises UsageError."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise UsageError(f"{option} {text}: not a percentage", "0 … 100 is")
    return value
