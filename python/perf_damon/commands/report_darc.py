# SPDX-License-Identifier: GPL-2.0
"""`perf damon report darc`: what DARC did, of a recording."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from perf_damon.analysis import darc as analysis
from perf_damon.analysis.select import parse_times
from perf_damon.errors import EXIT_OK, DataError
from perf_damon.recording import Recording
from perf_damon.render import reclaims, summary
from perf_damon.render.data import recording_data
from perf_damon.render.text import Canvas
from perf_damon.terminal import say, screen

if TYPE_CHECKING:
    from perf_damon.commands.report_views import Options

_CELLS = 80
"""Times in JSON."""


def show(recording: Recording, options: Options) -> int:
    """Write it to standard output. Raises DataError, UsageError."""
    darc = recording.darc
    if darc is None:
        raise DataError(
            f"{recording.path}: {reclaims.NOT_RECORDED}",
            "perf damon record --darc records that",
        )
    span = analysis.span(recording)
    if options.time:
        first, last = parse_times(options.time, *span)
        darc = analysis.part(darc, first, last)
        chosen = max(first, span[0]), min(last, span[1])
    else:
        chosen = span
    with screen(pager=options.format == "text") as out:
        if options.format == "text":
            width = options.width or out.width
            canvas = Canvas(width, out.height, out.colors, out.unicode)
            lines = [
                *summary.loss_lines(recording, canvas),
                *reclaims.reclaim_lines(darc, chosen, span[0], canvas),
            ]
            text = "".join(line + "\n" for line in lines)
            out.stream.write(text if canvas.unicode else canvas.plain(text))
            return EXIT_OK
        for line in summary.loss_lines(recording, Canvas(width=200)):
            say(line)
        if options.format == "csv":
            for text in reclaims.reclaims_csv(darc, span[0]):
                out.stream.write(text)
        else:
            whole = {
                "recording": recording_data(recording),
                "darc": reclaims.reclaims_data(darc, chosen, span[0], options.width or _CELLS),
            }
            out.stream.write(json.dumps(whole, separators=(",", ":")) + "\n")
    return EXIT_OK
