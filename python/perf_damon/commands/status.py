# SPDX-License-Identifier: GPL-2.0
"""perf damon status: what runs, for whom, with which attributes, on which kernel."""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict
from typing import Any

from perf_damon.commands import monitoring
from perf_damon.commands.describe import describe_attributes, describe_pids
from perf_damon.control import modules, monitor
from perf_damon.control.features import tracepoints
from perf_damon.control.system import System
from perf_damon.errors import EXIT_OK
from perf_damon.options import Parser
from perf_damon.terminal import show

USAGE = "perf damon status [--json]"
DESCRIPTION = """\
Show every kdamond: whether it runs, who started it, what it monitors and how; and what this
kernel's DAMON offers. Nothing is changed."""
EPILOG = ""


def configure(parser: Parser) -> None:
    """Add this command's options."""
    parser.add_argument("--json", action="store_true", help="for programs: exact, one object")


def run(args: argparse.Namespace) -> int:
    """Run the command; raises Error."""
    system = System()
    system.require_root("perf damon status")
    system.require_damon()
    state = collect(system)
    show(json.dumps(state, indent=2) if args.json else render(system, state))
    return EXIT_OK


def collect(system: System) -> dict[str, Any]:
    """The state as plain data; raises Error. These are the keys of --json."""
    overview = monitor.overview(system)
    return {
        "kernel": platform.release(),
        "features": overview.features,
        "tracepoints": tracepoints(system),
        "modules": [_module(module) for module in modules.running(system)],
        "taken_over": overview.taken,
        "kdamonds": [_kdamond(system, slot) for slot in overview.slots],
    }


def _module(module: modules.Module) -> dict[str, Any]:
    return {
        "name": module.name,
        "tid": module.tid,
        "attributes": asdict(module.attributes),
    }


def _kdamond(system: System, slot: monitor.Slot) -> dict[str, Any]:
    result: dict[str, Any] = {
        "index": slot.index,
        "state": slot.kdamond.state,
        "tid": slot.kdamond.pid if slot.kdamond.running else None,
        "owner": _owner(slot),
        "owner_pid": slot.entry.owner or None if slot.entry else None,
        "operations": None,
        "targets": [],
        "attributes": None,
        "schemes": [],
    }
    if slot.context is not None:
        result["operations"] = slot.context.operations
        result["targets"] = [{"pid": p, "comm": system.comm(p)} for p in slot.context.pids]
        result["attributes"] = asdict(monitoring.attributes_of(slot.context))
        result["schemes"] = [scheme.action for scheme in slot.context.schemes or ()]
    return result


def _owner(slot: monitor.Slot) -> str | None:
    if slot.ours:
        return "perf damon"
    if slot.kdamond.running:
        return "other"
    if slot.entry is not None:
        return "perf damon"
    return "other" if slot.kdamond.contexts else None


def render(system: System, state: dict[str, Any]) -> str:
    """The state for people."""
    lines = [f"DAMON on Linux {state['kernel']}"]
    for kdamond in state["kdamonds"]:
        lines += _render_kdamond(system, kdamond)
    empty = sum(kdamond["owner"] is None for kdamond in state["kdamonds"])
    if not state["kdamonds"] and not state["modules"]:
        lines.append("  nothing is monitored")
    elif empty:
        lines.append(f"  {empty} empty slot{'s' if empty > 1 else ''}")
    for module in state["modules"]:
        lines += _render_module(module)
    for name in state["taken_over"]:
        lines.append(f"  {name.upper()} was turned off by perf damon")
        ours = any(k["owner"] == "perf damon" and k["tid"] for k in state["kdamonds"])
        when = "when perf damon's kdamonds have ended" if ours else "by perf damon stop"
        lines.append(f"    it is turned on again {when}")
    features = ", ".join(state["features"]) or "seen once something is monitored"
    lines.append(f"features     {features}")
    events = ", ".join(state["tracepoints"]) or "none to be seen (is tracefs mounted?)"
    lines.append(f"tracepoints  {events}")
    return "\n".join(lines)


def _render_module(module: dict[str, Any]) -> list[str]:
    title = module["name"].upper()
    tid = "" if module["tid"] is None else f" (thread {module['tid']})"
    how = describe_attributes(monitoring.Attributes(**module["attributes"]))
    return [
        f"  {title} runs{tid}, a part of the kernel: nobody else can use DAMON",
        f"    paddr of physical memory{f': {how}' if how else ''}",
        "    'perf damon record' without a target listens to it; --take-over of start and record"
        "\n    turns it off, and on again afterwards",
    ]


def _render_kdamond(system: System, kdamond: dict[str, Any]) -> list[str]:
    if kdamond["owner"] is None:
        return []
    ours = kdamond["owner"] == "perf damon"
    whose = "perf damon" if ours else "something else"
    if ours and kdamond["owner_pid"]:
        whose = f"perf damon record (pid {kdamond['owner_pid']})"
    if kdamond["state"] == "on":
        head = f"  kdamond {kdamond['index']}: runs (thread {kdamond['tid']}), started by {whose}"
    else:
        head = f"  kdamond {kdamond['index']}: stopped, set up by {whose}"
    lines = [head]
    if kdamond["attributes"] is not None:
        whom = describe_pids(system, [target["pid"] for target in kdamond["targets"]])
        attributes = monitoring.Attributes(**kdamond["attributes"])
        lines += [
            f"    {kdamond['operations']} of {whom}",
            f"    {describe_attributes(attributes)}",
        ]
    if kdamond["schemes"]:
        lines.append(f"    schemes: {', '.join(kdamond['schemes'])}")
    if not ours and kdamond["state"] == "on":
        lines.append(
            "    perf damon leaves it alone; 'perf damon record' of the same target listens to it."
            "\n    To end it use the tool that started it (damo stop, for example)."
        )
    elif ours and not kdamond["owner_pid"]:
        lines.append("    to end it: perf damon stop")
    return lines
