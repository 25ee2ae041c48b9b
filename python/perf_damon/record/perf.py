# SPDX-License-Identifier: GPL-2.0
"""Run `perf record` on DAMON's tracepoint until told to stop.

perf record's workload is a waiting shell: it says when perf has begun, ends when its input does,
and carries the monitoring's parameters in its arguments, which perf keeps in the file's header.
Should we be killed, its input ends too, and perf finishes the file by itself.
"""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from perf_damon import perfs
from perf_damon.control.system import DARC_EVENTS
from perf_damon.errors import Error
from perf_damon.parameters import Parameters
from perf_damon.tracepoints import APPLY_EVENT, EVENT

_WAITER = "trap 'exit 0' TERM; echo ready; exec >/dev/null; read -r _ || :"
"""Once all threads that perf listens to have ended, it ends by itself: it sends its workload
SIGTERM, and dies of the same signal should the workload do so."""
_PATIENCE_S = 300
"""How long perf may take to end its file, before it is told to more firmly."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to record into which file."""

    perf: str
    output: str
    tids: tuple[int, ...]
    """kdamonds, whose events are wanted, and processes, whose mappings are; empty for all."""
    options: tuple[str, ...]
    """More options of perf record."""
    parameters: Parameters
    schemes: bool = False
    """Also what schemes act on."""
    events: tuple[str, ...] = (EVENT,)
    """Those that tell of regions: which of them the kernel has."""
    darc: bool = False
    """Also what DARC does, which all of the system's threads tell: of the other events those of
    the parameters' kdamonds are picked out, unless `tids` is empty."""

    def words(self) -> list[str]:
        """The command line."""
        whom = ["-p", ",".join(map(str, self.tids))] if self.tids and not self.darc else ["-a"]
        return [
            *(self.perf, "record", "-d", "-k", "CLOCK_MONOTONIC", "-o", self.output),
            # Nobody looks up code by its build id here, and collecting them takes perf long.
            *("--no-buildid", "--no-buildid-cache"),
            *self._events(),
            *(*whom, *self.options),
            *("--", "sh", "-c", _WAITER, *self.parameters.to_words()),
        ]

    def _events(self) -> list[str]:
        wanted: list[str] = []
        if self.parameters.kdamonds or not self.darc:
            wanted = [*self.events, *([APPLY_EVENT] if self.schemes else ())]
        words: list[str] = []
        for name in wanted:
            words += ["-e", f"damon:{name}"]
            if self.darc and self.tids:
                ours = (f"common_pid == {k.tid}" for k in self.parameters.kdamonds)
                words += ["--filter", " || ".join(ours)]
        if self.darc:
            for name in DARC_EVENTS:
                words += ["-e", f"darc:{name}"]
        return words


class PerfRecord:
    """A running perf record. Call with signals held, so that it is never lost."""

    def __init__(self, plan: Plan) -> None:
        self.perf = plan.perf
        self.words = plan.words()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        try:
            # In a session of its own, the terminal's Ctrl-C is for us alone.
            self.process = subprocess.Popen(
                self.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                start_new_session=True,
            )
        except OSError as error:
            self.errors.close()
            raise Error(f"cannot run {plan.perf}: {error.strerror}") from None
        self.pidfd = os.pidfd_open(self.process.pid)

    def wait_until_recording(self, until: Sequence[int] = ()) -> bool:
        """Wait until perf records; False if one of the descriptors in `until` came first.

        Raises Error with perf's own words if it ends instead.
        """
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout, *until], [], [])
        if self.process.stdout not in ready:
            return False
        if not self.process.stdout.readline():
            raise self.failure()
        return True

    def finish(self) -> int:
        """Let perf end the file; returns its exit status. May be called twice."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        for end in (self.process.terminate, self.process.kill):
            try:
                self.process.wait(_PATIENCE_S)
                break
            except subprocess.TimeoutExpired:
                end()
        return self.process.wait()

    def said(self) -> str:
        """What perf wrote on stderr so far."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def failure(self) -> Error:
        """The error to raise when perf has failed."""
        return perfs.record_failure(self.perf, self.finish(), self.said())

    def close(self) -> None:
        """Finish, and let go of the descriptors."""
        self.finish()
        os.close(self.pidfd)
        self.errors.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
