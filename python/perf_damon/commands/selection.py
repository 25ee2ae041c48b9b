# SPDX-License-Identifier: GPL-2.0
"""What report and advise have in common: which part of a recording, and shares in percent."""

from __future__ import annotations

import argparse
import math

from perf_damon.errors import UsageError


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


def percentage(option: str, text: str) -> float:
    """0 … 100, of `5%` or `5`; raises UsageError."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise UsageError(f"{option} {text}: not a percentage", "0 … 100 is")
    return value
