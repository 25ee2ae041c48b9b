# SPDX-License-Identifier: GPL-2.0
"""perf damon version: what runs here, with what, on which kernel; for reports of faults.

Nothing is changed, and nothing that is missing is an error: that is what it is asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib import metadata, util
from pathlib import Path
from typing import Any

import perf_damon
from perf_damon import perfs
from perf_damon.control import modules
from perf_damon.control.features import available_operations, context_features, tracepoints
from perf_damon.control.system import System, find_perf
from perf_damon.errors import EXIT_OK, Error
from perf_damon.options import Parser
from perf_damon.terminal import show
from perf_damon.units import format_time_us
from perf_damon.version import __version__

USAGE = "perf damon version [--json]"
DESCRIPTION = """\
Show what runs: perf damon, from where, with which perf, Python and packages; the kernel, and what
its DAMON offers. Put it into reports of faults. Nothing is changed."""
EPILOG = ""

PACKAGES = ("numpy", "pandas", "rich", "matplotlib", "textual", "pyarrow")
"""The first is needed, the others are for some of its uses."""
LIBRARIES = ("libtraceevent", "libpython", "libelf", "zstd")
"""Of perf: without the first it has no tracepoints, without the second no scripts in Python."""


def configure(parser: Parser) -> None:
    """Add this command's options."""
    parser.add_argument("--json", action="store_true", help="for programs: one object")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    found = collect(System(), sys.argv[0])
    show(json.dumps(found, indent=2) if args.json else render(found))
    return EXIT_OK


def collect(system: System, program: str) -> dict[str, Any]:
    """What there is as plain data: the keys of --json. None where it cannot be told."""
    return {
        "perf_damon": {
            "version": __version__,
            "package": str(Path(perf_damon.__file__).parent),
            "program": program if program.endswith("perf-damon") else None,
            "others": perfs.others(program),
            "of_perf": perfs.of_perf(),
            "other_packages": perfs.other_packages(),
        },
        "perf": _perf(),
        "python": {
            "version": platform.python_version(),
            "program": sys.executable,
            "perf_module": _perf_module(),
            "packages": {name: _package(name) for name in PACKAGES},
        },
        "kernel": {"release": platform.release(), "machine": platform.machine()},
        "damon": _damon(system),
    }


def _perf() -> dict[str, Any] | None:
    try:
        path = find_perf()
    except Error:
        return None
    return {
        "program": path,
        "version": perfs.version(path),
        "libraries": perfs.libraries(path, LIBRARIES),
    }


def _perf_module() -> str | None:
    """Where `import perf` would find perf's own module, without importing it."""
    try:
        spec = util.find_spec("perf")
    except (ImportError, ValueError):
        return None
    # A package of another's is not an extension.
    return spec.origin if spec and spec.origin and spec.origin.endswith(".so") else None


def _package(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _damon(system: System) -> dict[str, Any] | None:
    """What DAMON offers; None where the kernel has none, or does not let us see it."""
    try:
        if not system.damon.is_dir("kdamonds"):
            return None
        context = "kdamonds/0/contexts/0"
        seen = system.damon.is_dir(context)
        return {
            "operations": available_operations(system.damon, context) if seen else None,
            "features": context_features(system.damon, context) if seen else None,
            "tracepoints": tracepoints(system),
            "modules": [
                {"name": each.name, "tid": each.tid, "aggr_us": each.attributes.aggr_us}
                for each in modules.running(system)
            ],
            "darc": system.darc.is_dir("zones"),
        }
    except (OSError, Error):
        return None


def render(found: dict[str, Any]) -> str:
    """The same for people."""
    itself, perf, python, damon = (found[k] for k in ("perf_damon", "perf", "python", "damon"))
    program = itself["program"] or "python -m perf_damon"
    lines = [
        f"perf damon {itself['version']}",
        f"  program   {program}",
        f"  package   {itself['package']}",
    ]
    for path in itself["others"]:
        of_perf = ", but what 'perf damon' runs" if path == itself["of_perf"] else ""
        lines.append(f"  another   {path}: not what runs here{of_perf}")
    for path in itself["other_packages"]:
        lines.append(f"  another   package {path}: not what runs here")
    if perf is None:
        lines.append("perf        none on PATH (Debian: apt install linux-perf)")
    else:
        lines.append(f"perf        {perf['version'] or 'of unknown version'}, {perf['program']}")
        lines += _words("with", [name for name, has in perf["libraries"].items() if has])
        lines += _words("without", [n for n, has in perf["libraries"].items() if has is False])
    lines.append(f"Python      {python['version']}, {python['program']}")
    packages = python["packages"].items()
    lines += _words("packages", [f"{name} {number}" for name, number in packages if number])
    lines += _words("none of", [name for name, number in packages if not number])
    lines.append(f"  perf's    {python['perf_module'] or 'no module perf for this Python'}")
    lines.append(f"kernel      Linux {found['kernel']['release']}, {found['kernel']['machine']}")
    if damon is None:
        why = "" if os.geteuid() == 0 else " (or not for us to see: try as root)"
        lines.append(f"DAMON       none{why}")
    else:
        lines.append("DAMON       on sysfs" + (", and DARC" if damon["darc"] else ""))
        features = damon["features"]
        lines += _words("features", features or ["seen once something is monitored, as root"])
        lines += _words(
            "events", damon["tracepoints"] or ["none to be seen: as root, with tracefs"]
        )
        lines += _words("in use by", [_module(module) for module in damon["modules"]])
    return "\n".join(lines)


def _module(module: dict[str, Any]) -> str:
    words = []
    if module["tid"] is not None:
        words.append(f"thread {module['tid']}")
    if module["aggr_us"] is not None:
        words.append(f"aggregates over {format_time_us(module['aggr_us'])}")
    told = f" ({', '.join(words)})" if words else ""
    return f"{module['name'].upper()}{told}, which lets nobody else"


def _words(head: str, words: list[str]) -> list[str]:
    return [f"  {head:<9} {', '.join(words)}"] if words else []
