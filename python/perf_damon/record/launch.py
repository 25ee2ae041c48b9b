# SPDX-License-Identifier: GPL-2.0
"""Start a command so that it stands still with its own memory, before its first instruction.

Monitoring then begins with the program itself, not with the Python process that it was forked
from. ptrace(2) stops it right after execve(2); letting it go ends the tracing.
"""

from __future__ import annotations

import ctypes
import errno
import io
import os
import select
import signal
import time
from collections.abc import Sequence
from typing import NoReturn

from perf_damon import signals
from perf_damon.errors import Error

_TRACEME, _CONT, _DETACH = 0, 7, 17
_NOT_TRACED = b"running"
_PATIENCE_S = 0.001

_libc = ctypes.CDLL(None)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Launched:
    """A command that was started; stopped until go()."""

    def __init__(self, pid: int, stopped: bool) -> None:
        self.pid = pid
        self.status: int | None = None
        """What waitpid() said once it ended."""
        self._stopped = stopped

    def go(self) -> None:
        """Let the command run. It may have been killed meanwhile: wait() tells."""
        if self._stopped:
            self._stopped = False
            _ptrace(_DETACH, self.pid, 0)

    def terminate(self) -> None:
        """End the command: nothing if it has ended. One that never ran is killed."""
        if not self.poll():
            os.kill(self.pid, signal.SIGKILL if self._stopped else signal.SIGTERM)
            self.go()

    def poll(self) -> bool:
        """Whether it has ended."""
        return self.status is not None or self._wait(os.WNOHANG)

    def wait(self) -> int:
        """Wait for its end; the exit status as a shell counts, 128 + N for signal N."""
        while self.status is None:
            self._wait(0)
        code = os.waitstatus_to_exitcode(self.status)
        return code if code >= 0 else 128 - code

    def _wait(self, flags: int) -> bool:
        pid, status = os.waitpid(self.pid, flags)
        if pid and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
            self.status = status
        return self.status is not None


def launch(command: Sequence[str], detached: bool = False) -> Launched:
    """Start a command; detached gives it a session of its own and no input.

    Raises Error if it cannot be started. Call with signals held, so that it is never lost.
    """
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        _become(command, send, detached)
    os.close(send)
    with os.fdopen(receive, "rb", buffering=0) as pipe:
        return _wait_for_exec(pid, pipe, command[0])


def _become(command: Sequence[str], say: int, detached: bool) -> NoReturn:
    try:
        if detached:
            os.setsid()
            nowhere = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nowhere, 0)
        signals.restore_defaults()
        if _ptrace(_TRACEME, 0, 0) != 0:
            os.write(say, _NOT_TRACED)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(say, str(error.errno or errno.EINVAL).encode())
    finally:
        os._exit(1)


def _wait_for_exec(pid: int, pipe: io.FileIO, name: str) -> Launched:
    # The pipe closes at the exec; but a child that a signal stops before it keeps it open.
    said = b""
    while True:
        done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if done and not os.WIFSTOPPED(status):
            said += pipe.read()
            if said == _NOT_TRACED:
                launched = Launched(pid, stopped=False)
                launched.status = status
                return launched
            number = said.removeprefix(_NOT_TRACED)
            why = os.strerror(int(number)) if number else "it ended before it began"
            raise Error(f"cannot run '{name}': {why}")
        if done and os.WSTOPSIG(status) == signal.SIGTRAP:
            return Launched(pid, stopped=True)
        if done:
            _ptrace(_CONT, pid, os.WSTOPSIG(status))
        readable, _, _ = select.select([pipe], [], [], _PATIENCE_S)
        if not readable:
            continue
        if more := pipe.read():
            said += more
        elif said == _NOT_TRACED:
            return Launched(pid, stopped=False)
        else:
            time.sleep(_PATIENCE_S)


def _ptrace(request: int, pid: int, data: int) -> int:
    return _libc.ptrace(request, pid, None, data)
