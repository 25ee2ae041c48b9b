# SPDX-License-Identifier: GPL-2.0
"""perf damon schemes: what schemes are installed, and what they did so far."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

from perf_damon import signals
from perf_damon.commands import monitoring
from perf_damon.commands.describe import describe_pids
from perf_damon.control import monitor, tree
from perf_damon.control.monitor import Slot
from perf_damon.control.nodes import Scheme
from perf_damon.control.schemes import refresh
from perf_damon.control.system import System
from perf_damon.errors import EXIT_OK, UsageError
from perf_damon.options import Parser, argument
from perf_damon.parameters import Attributes
from perf_damon.render.schemes import Installed, render
from perf_damon.render.text import Canvas
from perf_damon.schemes.text import format_scheme
from perf_damon.terminal import screen
from perf_damon.units import format_time_us, parse_time_us

USAGE = "perf damon schemes [<options>]"
DESCRIPTION = """\
Show the schemes of every kdamond that runs, and what they did: regions that were tried and that
the action was applied to, how often the quota held it back, and what the quota is at present.

Where perf damon started the kdamond, the kernel is asked for the newest numbers. Those of others
are shown as their files have them, which may be old: nothing of theirs is touched."""
EPILOG = """\
examples:
  perf damon start --schemes prcl $(pidof redis-server)
  perf damon schemes -w                # once a second, until Ctrl-C
  perf damon schemes --json | jq '.kdamonds[].schemes[].stats.sz_applied'"""

_EVERY_US = 1_000_000
_LEAST_US = 100_000
_HOME, _REST_OF_LINE, _BELOW, _CLEAR = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


def configure(parser: Parser) -> None:
    """Add this command's options."""
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


def run(args: argparse.Namespace) -> int:
    """Run the command; raises Error."""
    system = System()
    system.require_root("perf damon schemes")
    system.require_damon()
    if args.watch is None:
        slots = installed(system)
        if args.json:
            print(json.dumps(to_json(system, slots), indent=2))
        else:
            print("\n".join(to_lines(system, slots, _canvas())))
        return EXIT_OK
    return watch(system, args.watch, args.json)


def watch(system: System, every_us: int, as_json: bool) -> int:
    """Show it again and again: in place on a terminal that can, else a block each time.

    Ends with Ctrl-C, and when what had schemes has ended. Raises Error.
    """
    dumb = os.environ.get("TERM", "dumb") in ("", "dumb")
    live = sys.stdout.isatty() and not dumb and not as_json
    begin = time.monotonic()
    turn, seen = 0, False
    try:
        if live:
            sys.stdout.write(_CLEAR)
        while True:
            slots = installed(system)
            if as_json:
                print(json.dumps(to_json(system, slots), separators=(",", ":")))
            else:
                lines = [
                    time.strftime("%H:%M:%S") + f", every {format_time_us(every_us)}",
                    *to_lines(system, slots, _canvas()),
                ]
                _show(lines, live, first=turn == 0)
            sys.stdout.flush()
            if seen and not slots:
                return EXIT_OK
            seen = seen or bool(slots)
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


def _show(lines: list[str], live: bool, first: bool) -> None:
    if live:
        # What does not fit would scroll, and leave its upper part behind.
        lines = lines[: max(1, _canvas().height - 1)]
        sys.stdout.write(_HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines) + _BELOW)
    else:
        sys.stdout.write(("" if first else "\n") + "\n".join(lines) + "\n")


def installed(system: System) -> list[Slot]:
    """The kdamonds that run and have schemes, ours with the newest numbers; raises Error."""
    overview = monitor.overview(system)
    ours = [slot for slot in overview.slots if slot.ours and _schemes(slot)]
    for slot in ours:
        refresh(system.damon, slot.index)
    slots = monitor.overview(system).slots if ours else overview.slots
    return [slot for slot in slots if slot.kdamond.running and _schemes(slot)]


def to_lines(system: System, slots: list[Slot], canvas: Canvas) -> list[str]:
    """For people."""
    if not slots:
        return ["no schemes are installed"]
    free_permil = system.free_permil()
    blocks = []
    for slot in slots:
        assert slot.context is not None
        whom = describe_pids(system, slot.context.pids)
        notes = () if slot.ours else ("started by something else: as its files say, maybe old",)
        blocks.append(
            Installed(
                title=f"kdamond {slot.index} (thread {slot.kdamond.pid}): {whom}",
                notes=notes,
                schemes=_schemes(slot),
                attributes=_units(slot),
                free_permil=free_permil,
            )
        )
    return render(blocks, canvas)


def to_json(system: System, slots: list[Slot]) -> dict[str, Any]:
    """For programs: these are the keys of --json."""
    return {"kdamonds": [_kdamond(system, slot) for slot in slots]}


def _kdamond(system: System, slot: Slot) -> dict[str, Any]:
    assert slot.context is not None
    attributes = _units(slot)
    return {
        "index": slot.index,
        "tid": slot.kdamond.pid,
        "owner": "perf damon" if slot.ours else "other",
        "operations": slot.context.operations,
        "targets": [{"pid": pid, "comm": system.comm(pid)} for pid in slot.context.pids],
        "attributes": asdict(monitoring.attributes_of(slot.context)),
        "schemes": [_scheme(scheme, attributes) for scheme in _schemes(slot)],
    }


def _scheme(scheme: Scheme, attributes: Attributes) -> dict[str, Any]:
    stats = asdict(scheme.stats)
    del stats["extra"]
    return {
        "scheme": format_scheme(scheme, attributes),
        "files": tree.to_dict(scheme),
        "stats": stats,
        "effective_bytes": scheme.quotas.effective_bytes,
    }


def _schemes(slot: Slot) -> list[Scheme]:
    return list(slot.context.schemes or ()) if slot.context is not None else []


def _units(slot: Slot) -> Attributes:
    assert slot.context is not None
    return monitoring.attributes_of(slot.context)


def _canvas() -> Canvas:
    with screen(pager=False) as on:
        return Canvas(on.width, on.height, on.colors, on.unicode)


def _parse_interval(text: str) -> int:
    value = parse_time_us(text)
    if value < _LEAST_US:
        raise UsageError(f"'{text}' is too often", f"at least {format_time_us(_LEAST_US)}")
    return value
