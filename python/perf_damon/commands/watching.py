# SPDX-License-Identifier: GPL-2.0
"""-w: show something again and again, in place on a terminal that can, else a block each time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from perf_damon import signals
from perf_damon.errors import EXIT_OK, UsageError
from perf_damon.options import Parser, argument
from perf_damon.render.text import Canvas
from perf_damon.terminal import flush, harmless, screen
from perf_damon.units import format_time_us, parse_time_us

_EVERY_US = 1_000_000
_LEAST_US = 100_000
_HOME, _REST_OF_LINE, _BELOW, _CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


@dataclass(frozen=True, slots=True)
class Picture:
    """One look at what is shown."""

    lines: Callable[[Canvas], list[str]]
    """For people."""
    data: Callable[[], dict[str, Any]]
    """For programs."""
    empty: bool = False
    """There is nothing: after something was there, watching ends."""


def add_options(parser: Parser) -> None:
    """-w and --json."""
    parser.add_argument(
        "-w",
        "--watch",
        nargs="?",
        type=argument(_parse_interval),
        const=_EVERY_US,
        metavar="INTERVAL",
        help=f"again and again, until Ctrl-C (default every {format_time_us(_EVERY_US)})",
    )
    parser.add_argument(
        "--json", action="store_true", help="for programs: exact, one object (with -w one a line)"
    )


def show(look: Callable[[], Picture], every_us: int | None, as_json: bool) -> int:
    """Show it once, or each interval; raises Error."""
    if every_us is not None:
        return watch(look, every_us, as_json)
    picture = look()
    _out(json.dumps(picture.data(), indent=2) if as_json else "\n".join(picture.lines(canvas())))
    return EXIT_OK


def _out(text: str) -> None:
    with screen(pager=False) as on:
        on.stream.write(text + "\n")


def watch(look: Callable[[], Picture], every_us: int, as_json: bool) -> int:
    """Until Ctrl-C, or until what was there has ended; raises Error."""
    dumb = os.environ.get("TERM", "dumb") in ("", "dumb")
    live = sys.stdout.isatty() and not dumb and not as_json
    begin = time.monotonic()
    turn, seen = 0, False
    try:
        if live:
            sys.stdout.write(_CLEAR)
        while True:
            picture = look()
            if as_json:
                _out(json.dumps(picture.data(), separators=(",", ":")))
            else:
                lines = [
                    time.strftime("%H:%M:%S") + f", every {format_time_us(every_us)}",
                    *picture.lines(canvas()),
                ]
                _show(lines, live, first=turn == 0)
            if seen and picture.empty:
                return EXIT_OK
            seen = seen or not picture.empty
            # Not later and later by what showing takes; what was missed is not made up for.
            turn = max(turn + 1, int((time.monotonic() - begin) * 1e6 // every_us))
            time.sleep(max(0.0, begin + turn * every_us / 1e6 - time.monotonic()))
    except signals.Signalled as signalled:
        # Ctrl-C is how it is meant to end.
        if signalled.exit_code != signals.INTERRUPTED:
            raise
        signals.rearm()
        if live:
            sys.stdout.write("\n")
        return EXIT_OK


def canvas() -> Canvas:
    """What is drawn on: standard output without a pager."""
    with screen(pager=False) as on:
        return Canvas(on.width, on.height, on.colors, on.unicode)


def _show(lines: list[str], live: bool, first: bool) -> None:
    if live:
        # What does not fit would scroll, and leave its upper part behind.
        lines = lines[: max(1, canvas().height - 1)]
        lines = [harmless(line, styled=True) for line in lines]
        sys.stdout.write(_HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines) + _BELOW)
        flush()
    else:
        _out(("" if first else "\n") + "\n".join(lines))


def _parse_interval(text: str) -> int:
    value = parse_time_us(text)
    if value < _LEAST_US:
        raise UsageError(f"'{text}' is too often", f"at least {format_time_us(_LEAST_US)}")
    return value
