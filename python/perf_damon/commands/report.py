# SPDX-License-Identifier: GPL-2.0
"""`perf damon report`: show a recording."""

from __future__ import annotations

import argparse

from perf_damon.commands import selection

USAGE = "perf damon report [<options>] [heatmap | wss | regions | schemes | applied | darc]"
DESCRIPTION = """\
Show what perf damon record, or perf record -e damon:damon_aggregated, has recorded.
Without a word: a summary, a heatmap, and the hottest memory by mapping.

  heatmap   access rates over time and addresses
  wss       working set size: percentiles, and over time
  regions   one line a region and snapshot, for grep and awk
  schemes   what DAMON's schemes acted on, and when (of record --schemes)
  applied   one line a region that a scheme acted on
  darc      what DARC reclaimed, when it began and why it stopped (of record --darc)
"""
EPILOG = """\
examples:
  perf damon report                              the summary of ./perf.data
  perf damon report heatmap --time 10,20         ten seconds of the heatmap
  perf damon report --address 0x7f0000000000+16M
  perf damon report wss --format json
  perf damon report regions | awk '$6 > 50'      regions accessed in half of the samples
"""
VIEWS = ("summary", "heatmap", "wss", "regions", "schemes", "applied", "darc")
FORMATS = ("text", "json", "csv")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "view",
        nargs="?",
        choices=VIEWS,
        default="summary",
        metavar="heatmap | wss | regions | schemes | applied | darc",
    )
    selection.add_input(parser)
    parser.add_argument("--format", choices=FORMATS, default="text", help="text, json or csv")
    selection.add_options(parser)
    parser.add_argument("--width", type=int, metavar="N", help="columns to draw on")
    parser.add_argument("--height", type=int, metavar="N", help="lines of the heatmap")
    parser.add_argument(
        "--cell",
        choices=("hottest", "mean"),
        help="what a cell of the heatmap shows: its hottest region, so that small hot spots "
        "stay visible (default), or the mean over all of its bytes",
    )
    parser.add_argument(
        "--min-rate",
        metavar="PERCENT",
        help="wss: memory counts as used from this access rate on (default: any access)",
    )
    parser.add_argument(
        "--percentiles", metavar="P,P…", help="wss: which to show (default 0,25,50,75,100)"
    )


def run(args: argparse.Namespace) -> int:
    """Read the recording and show it."""
    # numpy is behind these: -h must not wait for it.
    from perf_damon.commands import report_views

    options = report_views.Options.of(args)
    recording = selection.read(args)
    return report_views.show(recording, options)
