# SPDX-License-Identifier: GPL-2.0
"""DAMON's events while they happen, as columns: perf_damon.live.listen(tids) -> Reader.

    with listen([kdamond]) as reader:
        while not reader.ended:
            if reader.wait(1.0):
                events = reader.read()

They come from perf's Python module (of perf 6.1 to 6.12, for some), and where that cannot
be used from a `perf record` that writes into a pipe. The columns are those of a file's
(perfdata.events.Events), in order of time. Where the kernel has both damon_aggregated and
damon_region_aggregated, they are joined: a region is one row, with the hits of probes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from perf_damon.errors import Error
from perf_damon.live.module import ModuleReader, NoModuleError, perf_module, tells_fields
from perf_damon.live.pipe import PipeReader
from perf_damon.perfdata.events import Events


class Reader(Protocol):
    """Where events come from. Both kinds are context managers that close at the end."""

    source: str
    """What is listened through, for people."""
    lost: int
    """Events that were lost so far, because nobody read them in time."""
    ended: bool
    """No more will come: the kdamonds have ended, and what they told has been read."""

    def __enter__(self) -> Reader: ...

    def __exit__(self, *_: object) -> None: ...

    def wait(self, seconds: float | None) -> bool:
        """Wait until there is something to read, or for as long; None is for ever."""

    def read(self) -> Events:
        """What has come since the last call, in order of time; may be empty.

        Each CPU has a buffer of its own: where a kdamond has just gone to another one, an event may
        be older than the last of the call before.

        Where a context has probes, a row may come a call later, with their hits.

        time: uint64 nanoseconds of perf's clock. target: uint16, index into keys, which are
        those of this call. Raises Error where the events are not as they should be.
        """

    def close(self) -> None:
        """Stop listening. May be called twice."""


def listen(tids: Sequence[int] = ()) -> Reader:
    """Listen to what the kdamonds `tids` tell of regions; to all kdamonds where none is named.

    Raises Error: the kernel has no such event, a kdamond is gone, this user may not, or neither
    perf's module nor perf itself can be used (the hint names the package).
    """
    try:
        module = perf_module()
        if not tells_fields(module):
            return PipeReader(tids)
    except NoModuleError as why:
        try:
            return PipeReader(tids)
        except Error as error:
            hint = "; ".join(part for part in (error.hint, f"also {why.message}: {why.hint}"))
            raise Error(error.message, hint.removeprefix("; ")) from None
    return ModuleReader(module, tids)


def lost_line(lost: int) -> str:
    """What is said of lost events; empty if there are none."""
    if not lost:
        return ""
    return f"{lost} event{'s were' if lost != 1 else ' was'} lost: they were not read in time"
