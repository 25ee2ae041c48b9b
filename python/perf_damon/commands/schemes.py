# SPDX-License-Identifier: GPL-2.0
"""perf damon schemes: what schemes are installed, and what they did so far."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from perf_damon.commands import monitoring, watching
from perf_damon.commands.describe import describe_pids
from perf_damon.commands.watching import Picture
from perf_damon.control import monitor, tree
from perf_damon.control.monitor import Slot
from perf_damon.control.nodes import Scheme
from perf_damon.control.schemes import refresh
from perf_damon.control.system import System
from perf_damon.options import Parser
from perf_damon.parameters import Attributes
from perf_damon.render.schemes import Installed, render
from perf_damon.render.text import Canvas
from perf_damon.schemes.text import format_scheme

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


def configure(parser: Parser) -> None:
    """Add this command's options."""
    watching.add_options(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; raises Error."""
    system = System()
    system.require_root("perf damon schemes")
    system.require_damon()
    return watching.show(lambda: look(system), args.watch, args.json)


def look(system: System) -> Picture:
    """What is installed now; watching it ends when what had schemes has ended. Raises Error."""
    slots = installed(system)
    return Picture(
        lines=lambda canvas: to_lines(system, slots, canvas),
        data=lambda: to_json(system, slots),
        empty=not slots,
    )


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
