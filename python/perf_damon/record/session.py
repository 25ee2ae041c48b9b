# SPDX-License-Identifier: GPL-2.0
"""One run of perf damon record, from nothing changed to all put back.

Whatever is begun is undone in reverse by an ExitStack; each step that begins something, and
each that undoes it, holds signals back, so that Ctrl-C finds it either done or not done.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from perf_damon import jobcontrol, signals
from perf_damon.commands import monitoring
from perf_damon.commands.describe import describe_attributes, describe_pids
from perf_damon.control import modules, monitor
from perf_damon.control.modules import Module
from perf_damon.control.monitor import Slot
from perf_damon.control.nodes import Context
from perf_damon.control.system import System
from perf_damon.errors import EXIT_ERROR, EXIT_OK, DataError, Error, UsageError
from perf_damon.installed import Installed
from perf_damon.parameters import Kdamond, Parameters, Scheme
from perf_damon.record.count import Count, count
from perf_damon.record.guard import Guard
from perf_damon.record.launch import Launched, launch
from perf_damon.record.perf import PerfRecord, Plan
from perf_damon.schemes.text import format_scheme
from perf_damon.terminal import has_ticks, say, tick, working
from perf_damon.tracepoints import EVENT
from perf_damon.units import format_size, format_time_us

_COMMAND_PATIENCE_S = 5
_TICK_S = 1
_LOOK_S = 0.2

if TYPE_CHECKING:
    from perf_damon.recording import Recording


@dataclass
class Session:
    """What to record, and how it went."""

    system: System
    wanted: monitoring.Request
    perf: str
    output: str
    everything: bool = False
    """perf's -a: events of all kdamonds."""
    timeout_s: float | None = None
    options: tuple[str, ...] = ()
    schemes: bool = False
    """Also what schemes act on."""
    darc: bool = False
    """Also what DARC does."""
    monitor: bool = True
    """Monitor what is wanted; else there is only DARC."""
    listen: bool = False
    """Only listen to what runs already, whatever it monitors: nothing is changed."""
    lenient: bool = False
    """Nobody said how to monitor: one of the kernel's own users of DAMON serves as well."""
    quiet: bool = False
    perf_said: str = field(default="", init=False)
    """perf record's own words on stderr."""
    _module: Module | None = field(default=None, init=False)
    """The kernel's own user of DAMON that is listened to."""
    _kdamonds: list[Kdamond] = field(default_factory=list, init=False)
    """Those that are listened to."""
    _installed: Installed = field(default_factory=Installed, init=False)
    _recorded: bool = field(default=False, init=False)
    """perf record has finished the file."""
    _words: list[str] = field(default_factory=list, init=False)
    """perf record's command line."""

    def run(self) -> int:
        """Record; returns the exit status: the command's own where there is one. Raises Error."""
        code = EXIT_OK
        interrupted: signals.Signalled | modules.NotTurnedOn | None = None
        try:
            with ExitStack() as undo:
                code = self._run(undo)
        except (signals.Signalled, modules.NotTurnedOn) as ended:
            interrupted = ended
            signals.rearm()
        captured = self._report() if self._recorded else True
        if interrupted is not None:
            raise interrupted
        return code if captured or code != EXIT_OK else EXIT_ERROR

    def _run(self, undo: ExitStack) -> int:
        with signals.held():
            guard = Guard(self.system)
            undo.callback(_held, guard.dismiss)
        command = self._launch(undo)
        pids = (command.pid,) if command else self.wanted.pids
        if self.monitor:
            self._kdamonds = self._find_kdamonds(undo, pids)
        if self.listen:
            # Their mappings are wanted; their ends are for the kdamonds to notice.
            mapped = tuple(dict.fromkeys(pid for k in self._kdamonds for pid in k.pids))
            mapped = tuple(pid for pid in mapped if self.system.started(pid) is not None)
        else:
            mapped = pids
        with signals.held():
            perf = PerfRecord(self._plan(mapped))
            undo.callback(_held, self._end_perf, perf)
        begun = time.monotonic()
        parent = jobcontrol.perf_pidfd()
        until = [] if parent is None else [parent]
        try:
            if not perf.wait_until_recording(until):
                raise signals.Signalled(signal.SIGTERM)
        except Error:
            # A clearer word than perf's, where this is why.
            monitoring.check_pids(self.system, pids)
            raise
        if command:
            command.go()
        self._say_hello()
        with self._counted() as counted:
            reason = self._wait(perf, command, pids, begun, counted)
        if command is None:
            return EXIT_OK
        if reason != "target":
            with signals.held():
                _end_command(command)
        return command.wait() if command.poll() else 128 + signal.SIGTERM

    def _launch(self, undo: ExitStack) -> Launched | None:
        if not self.wanted.command:
            return None
        with signals.held():
            command = launch(self.wanted.command)
            undo.callback(_held, _end_command, command)
            return command

    def _find_kdamonds(self, undo: ExitStack, pids: tuple[int, ...]) -> list[Kdamond]:
        """The kdamonds to listen to; started if none serves yet."""
        if self.listen:
            # Nothing is changed, except for what somebody who was killed has left.
            monitor.clean_up(self.system)
        running = [slot for slot in monitor.overview(self.system).slots if slot.kdamond.running]
        if self.listen or (self.lenient and self.wanted.operations == "paddr"):
            for module in modules.running(self.system):
                if module.tid is not None:
                    self._module = module
                    return [Kdamond(module.tid, "paddr", module.attributes)]
        if self.listen:
            found = [_kdamond_of(slot) for slot in running]
            if not found:
                raise UsageError(
                    "no target, and nothing is monitored that could be listened to",
                    "give pids, paddr, or -- COMMAND...",
                )
            return found
        serving = [slot for slot in running if monitoring.serves(slot, self.wanted)]
        if not serving:
            with signals.held():
                context = monitoring.context(self.system, self.wanted, pids)
                slot = monitor.start(
                    self.system, context, owner=os.getpid(), take_over=self.wanted.take_over
                )
                undo.callback(_held, monitor.stop, self.system, slot)
            serving = [slot]
        elif not self.quiet:
            for slot in serving:
                whose = "" if slot.ours else " (started by something else)"
                say(f"kdamond {slot.index}{whose} monitors this already: its attributes hold")
        if not self.everything:
            serving = serving[:1]
        else:
            serving = running + [slot for slot in serving if slot not in running]
        return [_kdamond_of(slot) for slot in serving]

    def _plan(self, pids: tuple[int, ...]) -> Plan:
        kdamonds = tuple(self._kdamonds)
        comms = {pid: self.system.comm(pid) or "" for k in kdamonds for pid in k.pids}
        tids = tuple(kdamond.tid for kdamond in kdamonds) + pids
        return Plan(
            perf=self.perf,
            output=self.output,
            tids=() if self.everything else tids,
            options=self.options,
            parameters=Parameters(kdamonds, self.wanted.command, comms),
            # Where none is to be seen, perf says why.
            events=self.system.region_events() or (EVENT,),
            schemes=self.schemes,
            darc=self.darc,
        )

    def _counted(self) -> AbstractContextManager[Count | None]:
        """Counts the events of a kdamond whose snapshots may be long in coming."""
        events = self.system.region_events()
        event = self.system.tracing_event(events[0]) if events else None
        if self._module is None or event is None:
            return nullcontext()
        counted = count(event, self._kdamonds[0].tid)
        return nullcontext() if counted is None else closing(counted)

    def _say_hello(self) -> None:
        if self.quiet:
            return
        for kdamond in self._kdamonds:
            whom = describe_pids(self.system, kdamond.pids)
            how = describe_attributes(kdamond.attributes)
            if self._module is not None:
                say(
                    f"[ perf damon record: listening to {self._module.title} (thread "
                    f"{kdamond.tid}), which monitors {whom}: {how} ]"
                )
                if aggr_us := kdamond.attributes.aggr_us:
                    often = format_time_us(aggr_us)
                    say(f"[ perf damon record: a snapshot comes about every {often} ]")
            else:
                verb = "listening to the monitoring of" if self.listen else "monitoring"
                say(f"[ perf damon record: {verb} {whom}: {how} ]")
            if self.schemes:
                actions = [scheme.action or "?" for scheme in kdamond.schemes]
                what = ", ".join(actions) or "none yet: nothing acts on this memory"
                say(f"[ perf damon record: schemes: {what} ]")
        if self.darc:
            say(f"[ perf damon record: DARC {self._darc_state()} ]")
        if not self.wanted.command and self.timeout_s is None:
            say("[ perf damon record: Ctrl-C ends it ]")

    def _darc_state(self) -> str:
        try:
            if self.system.darc.read("enabled") == "Y":
                return "is enabled"
        except Error:
            return "cannot be asked whether it is enabled"
        return "is disabled: it tells nothing until perf damon darc enable"

    def _wait(
        self,
        perf: PerfRecord,
        command: Launched | None,
        pids: tuple[int, ...],
        begun: float,
        counted: Count | None,
    ) -> str:
        """Until something ends; returns what: target, kdamond, perf, or timeout.

        Where events are counted, the time limit waits for a whole snapshot.
        """
        deadline = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        ticking = not self.quiet and command is None and has_ticks()
        waiting = False
        with _Ends() as ends:
            ends.add("perf", perf.pidfd)
            if (parent := jobcontrol.perf_pidfd()) is not None:
                ends.add("parent", parent)
            for pid in pids:
                ends.open("target", pid)
            for kdamond in self._kdamonds:
                ends.open("kdamond", kdamond.tid)
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    if counted is None or counted.whole():
                        what = "timeout"
                        break
                    # The next look at it.
                    left = _LOOK_S
                    if not waiting:
                        waiting = True
                        self._say_waiting()
                patience = _TICK_S if ticking else left
                what = ends.wait(patience if left is None else min(patience or left, left))
                if ticking:
                    self._tick(time.monotonic() - begun, counted)
                if what == "parent":
                    raise signals.Signalled(signal.SIGTERM)
                if what is not None:
                    break
        if ticking:
            tick("")
        if perf.process.poll() is not None and perf.process.returncode != 0:
            raise perf.failure()
        return what

    def _say_waiting(self) -> None:
        if not self.quiet:
            module = "it" if self._module is None else self._module.title
            say(
                f"[ perf damon record: waiting for a first whole snapshot{self._often()} of "
                f"{module}; Ctrl-C ends it without ]"
            )

    def _often(self) -> str:
        """How often snapshots come, as far as that is known by now."""
        for module in modules.running(self.system):
            if self._module is not None and module.name == self._module.name:
                aggr_us = module.attributes.aggr_us
                return f" (about every {format_time_us(aggr_us)})" if aggr_us else ""
        return ""

    def _tick(self, seconds: float, counted: Count | None) -> None:
        if counted is not None:
            number = counted.read()
            seen = f"{number:,} regions" if number else f"no snapshot yet{self._often()}"
            tick(f"[ perf damon record: {seconds:.0f} s, {seen} ]")
            return
        try:
            size = format_size(Path(self.output).stat().st_size)
        except OSError:
            size = "nothing yet"
        tick(f"[ perf damon record: {seconds:.0f} s, {size} ]")

    def _end_perf(self, perf: PerfRecord) -> None:
        code = perf.finish()
        self.perf_said = perf.said()
        self._recorded = code == 0
        self._words = perf.words
        perf.close()
        if code != 0 and sys.exc_info()[0] is None:
            raise Error(f"perf record ended with status {code}", self.perf_said.strip())

    def _report(self) -> bool:
        """The last line: what was captured, and what to type next. Whether anything was.

        Only this is imported late, so that a recording that takes long does not hold all of it in
        memory.
        """
        if change := self._installed.change():
            say(
                f"[ perf damon record: {self.output} is recorded; perf damon was {change} while it "
                "recorded, so what was captured is not shown ]"
            )
            return True
        from perf_damon import open as open_recording
        from perf_damon.analysis.darc import span, sums
        from perf_damon.analysis.select import nothing
        from perf_damon.record import command_line

        # What cannot be read is told when it is read back.
        with signals.held(), suppress(DataError, OSError):
            command_line.complete(self.output, self._words)
        try:
            with working(f"reading {self.output}"):
                recording = open_recording(self.output, force=True)
        except (Error, OSError) as error:
            say(f"Error: {self.output} cannot be read back: {error}")
            return False
        if not recording.targets and (self.monitor or recording.darc is None):
            what = nothing(recording)
            say(f"Error: nothing was captured: {what.message}")
            say(f"  {self._why_nothing() if _is_empty(recording) else what.hint}")
            return False
        if self.quiet:
            return True
        snapshots = sum(target.nr_snapshots for target in recording.targets)
        seconds = (recording.end_time - recording.start_time) / 1e9
        captured = f"{snapshots:,} snapshots ({len(recording.regions):,} regions)"
        if not self.monitor:
            darc = recording.darc
            events = len(darc.turns) + len(darc.reclaims) if darc is not None else 0
            captured = f"{events:,} events of DARC"
            first, last = span(recording)
            seconds = (last - first) / 1e9
        say(
            f"[ perf damon record: captured {captured} in {seconds:.1f} s, "
            f"{format_size(recording.size)} in {self.output} ]"
        )
        if recording.applied is not None:
            say(
                "[ perf damon record: schemes acted on "
                f"{len(recording.applied):,} regions: perf damon report schemes ]"
            )
        if recording.darc is not None:
            done = sums(recording.darc)
            starts = sum(zone.starts for zone in done)
            size = format_size(sum(zone.reclaimed for zone in done))
            say(
                f"[ perf damon record: DARC began {starts:,} times, and reclaimed {size}: "
                "perf damon report darc ]"
            )
        if recording.losses.events:
            say(
                f"[ perf damon record: the kernel dropped {recording.losses.events:,} events: "
                "record with a larger buffer, --perf -m 4M ]"
            )
        option = "" if self.output == "perf.data" else f" -i {self.output}"
        view = "" if self.monitor else " darc"
        say(f"[ next: perf damon report{view}{option} ]")
        return True

    def _why_nothing(self) -> str:
        """The usual reason for a recording without snapshots."""
        told = self._kdamonds[0].attributes if self._kdamonds else self.wanted.attributes
        aggr_us = told.aggr_us
        often = f" of {format_time_us(aggr_us)}" if aggr_us else ""
        return (
            f"a snapshot comes at the end of each aggregation interval{often}: record for longer, "
            "with a target that has memory; perf damon status tells whether it is monitored"
        )


class _Ends:
    """Waits for the ends of processes by pidfd; a kind has ended when all of it have."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._left: dict[str, int] = {}
        self._opened: list[int] = []

    def __enter__(self) -> _Ends:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for descriptor in self._opened:
            os.close(descriptor)

    def add(self, kind: str, pidfd: int) -> None:
        self._left[kind] = self._left.get(kind, 0) + 1
        self._selector.register(pidfd, selectors.EVENT_READ, kind)

    def open(self, kind: str, pid: int) -> None:
        """Watch a process; one that has ended already counts as such."""
        self._left.setdefault(kind, 0)
        try:
            pidfd = os.pidfd_open(pid)
        except (ProcessLookupError, ValueError):
            return
        self._opened.append(pidfd)
        self.add(kind, pidfd)

    def wait(self, timeout: float | None) -> str | None:
        """The kind that has ended, None at the timeout."""
        over = self._over()
        if over is None:
            for key, _ in self._selector.select(timeout):
                self._selector.unregister(key.fileobj)
                self._left[key.data] -= 1
            over = self._over()
        return over

    def _over(self) -> str | None:
        return next((kind for kind, left in self._left.items() if left == 0), None)


def _kdamond_of(slot: Slot) -> Kdamond:
    assert slot.context is not None
    return _kdamond(slot.kdamond.pid or 0, slot.context)


def _kdamond(tid: int, context: Context) -> Kdamond:
    """What a recording tells of a kdamond."""
    attributes = monitoring.attributes_of(context)
    goal = context.monitoring_attrs.intervals.extra.get("intervals_goal/access_bp", "0").strip()
    if goal.isdecimal() and int(goal):
        attributes = replace(attributes, tuned=True)
    return Kdamond(
        tid=tid,
        operations=context.operations or "",
        attributes=attributes,
        pids=context.pids,
        schemes=tuple(
            Scheme(scheme.action or "", format_scheme(scheme, attributes))
            for scheme in context.schemes or ()
        ),
    )


def _is_empty(recording: Recording) -> bool:
    """It has no events, and lost none."""
    return not recording.losses and not recording.acted


def _held(undo: object, *args: object) -> None:
    with signals.held():
        undo(*args)  # type: ignore[operator]


def _end_command(command: Launched) -> None:
    command.terminate()
    deadline = time.monotonic() + _COMMAND_PATIENCE_S
    while not command.poll() and time.monotonic() < deadline:
        time.sleep(0.01)
