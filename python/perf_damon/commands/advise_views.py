# SPDX-License-Identifier: GPL-2.0
"""What `perf damon advise` shows, and starts."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from perf_damon.analysis.advice import ACTIONS, Advice, advise
from perf_damon.analysis.select import Selected, select
from perf_damon.commands import monitoring, start
from perf_damon.commands.selection import percentage
from perf_damon.control.system import System
from perf_damon.errors import EXIT_OK, Error, UsageError
from perf_damon.recording import Recording
from perf_damon.render.advice import advice_data, advice_text, reasons, scheme_text
from perf_damon.render.summary import loss_lines
from perf_damon.render.text import Canvas
from perf_damon.schemes.text import parse_scheme
from perf_damon.terminal import say, screen

_ALL_ACTIONS = tuple(dict.fromkeys(a for actions in ACTIONS.values() for a in actions))


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, checked."""

    format: str = "text"
    actions: tuple[str, ...] | None = None
    risk: float = 0.05
    apply: bool = False
    target: str | None = None
    time: str | None = None
    address: str | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Options:
        """Check what argparse cannot. Raises UsageError."""
        actions = None
        if args.action is not None:
            actions = tuple(word.strip() for word in args.action.split(","))
            for action in actions:
                if action not in _ALL_ACTIONS:
                    raise UsageError(
                        f"--action {action}: nothing is known of that",
                        f"{', '.join(_ALL_ACTIONS)} can be proposed",
                    )
        return cls(
            format=args.format,
            actions=actions,
            risk=percentage("--risk", args.risk) / 100,
            apply=args.apply,
            target=args.target,
            time=args.time,
            address=args.address,
        )


def show(recording: Recording, options: Options) -> int:
    """Write what a recording speaks for to standard output, and start it if asked. Raises Error."""
    selected = select(recording, options.target, options.time, options.address)
    operations = _operations(selected)
    if options.actions and not set(options.actions) & set(ACTIONS[operations]):
        given = ",".join(options.actions)
        raise UsageError(
            f"--action {given}: {operations or 'what the recording is of'} cannot do that",
            f"it can do {', '.join(ACTIONS[operations])}",
        )
    views = [one.view for one in selected]
    found = advise(views, recording.mappings, operations, options.risk, options.actions)
    for line in loss_lines(recording, Canvas(width=200)):
        say(line)
    with screen() as out:
        if options.format == "json":
            whole = advice_data(recording, selected, found, options.risk)
            out.stream.write(json.dumps(whole, separators=(",", ":")) + "\n")
        else:
            text = advice_text(recording, selected, found, options.risk)
            out.stream.write(text if out.unicode else Canvas(unicode=False).plain(text))
    if not found.proposals:
        say(" ".join(reasons(found, options.risk)))
    if options.apply:
        return apply(System(), selected, found, options.risk)
    return EXIT_OK


def _operations(selected: Sequence[Selected]) -> str | None:
    kinds = {one.view.target.operations for one in selected}
    if len(kinds) > 1:
        names = ", ".join(sorted(kind or "not known" for kind in kinds))
        raise UsageError(
            f"the recording has targets of several kinds ({names})",
            "schemes are for one kind: choose with --target 1 (perf damon report counts them)",
        )
    return kinds.pop()


def apply(system: System, selected: Sequence[Selected], advice: Advice, risk: float) -> int:
    """Start the proposed schemes on the targets that still run; raises Error."""
    if not advice.proposals:
        raise Error("there is nothing to apply", " ".join(reasons(advice, risk)))
    wanted = request(system, selected)
    schemes = [parse_scheme(scheme_text(one), wanted.attributes) for one in advice.proposals]
    return start.start(system, replace(wanted, schemes=tuple(schemes)))


def request(system: System, selected: Sequence[Selected]) -> monitoring.Request:
    """The monitoring of the recording, of the targets that still run; raises Error."""
    first = selected[0].view.target
    if first.operations not in ("vaddr", "paddr"):
        kind = first.operations or "of what is not known"
        raise Error(
            f"--apply is for vaddr and paddr, and the recording is {kind}",
            "perf damon advise > my.schemes; perf damon start --schemes my.schemes …",
        )
    pids: list[int] = []
    for one in selected if first.operations == "vaddr" else ():
        target = one.view.target
        if target.pid is None or target.pid_inferred:
            raise Error(
                "the recording does not tell the process", "start --schemes does with a pid"
            )
        comm = system.comm(target.pid)
        if comm is None or not system.has_memory(target.pid):
            say(f"process {target.pid} ({target.comm}) has ended")
        elif target.comm is not None and comm != target.comm:
            say(f"process {target.pid} is {comm} now, and was {target.comm}")
        else:
            pids.append(target.pid)
    if first.operations == "vaddr" and not pids:
        raise Error(
            "none of the recording's processes still runs",
            "perf damon advise > my.schemes; perf damon start --schemes my.schemes PID",
        )
    known = first.attributes
    attributes = monitoring.Attributes(
        sample_us=known.sample_us or monitoring.SAMPLE_US,
        aggr_us=known.aggr_us or monitoring.AGGR_US,
        update_us=known.update_us or monitoring.UPDATE_US,
        min_nr_regions=known.min_nr_regions or monitoring.MIN_REGIONS,
        max_nr_regions=known.max_nr_regions or monitoring.MAX_REGIONS,
    )
    return monitoring.Request(
        operations=first.operations,
        pids=tuple(dict.fromkeys(pids)),
        command=(),
        attributes=attributes,
        regions=(),
    )
