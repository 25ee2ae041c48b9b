# SPDX-License-Identifier: GPL-2.0
"""perf.data to columns: perf_damon.perfdata.read(path) -> Recording."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np

from perf_damon.errors import DataError
from perf_damon.parameters import Parameters
from perf_damon.perfdata import container, times, tracing
from perf_damon.perfdata import darc as darc_events
from perf_damon.perfdata.applied import AppliedCollector
from perf_damon.perfdata.assemble import acted_on, assemble
from perf_damon.perfdata.container import Attr, Container
from perf_damon.perfdata.darc import DarcCollector, ZoneNames
from perf_damon.perfdata.events import (
    EventCollector,
    Events,
    fields_of,
    find_event,
    find_events,
    join,
    names_of,
    no_events,
)
from perf_damon.perfdata.samples import SampleCollector
from perf_damon.perfdata.script import ScriptReader
from perf_damon.perfdata.session import SessionError, SessionWalk, session_module
from perf_damon.perfdata.sideband import SidebandCollector
from perf_damon.perfdata.tracing import EventFormat
from perf_damon.perfdata.walk import Walk
from perf_damon.recording import Applied, Darc, Header, Losses, Recording
from perf_damon.terminal import say
from perf_damon.tracepoints import APPLY_EVENT, REGION_EVENTS, SYSTEM

_KEPT_BYTES = 16 << 20
_MAX_NAMES = 5
RECORD_HINT = "record one: perf damon record PID"


def read(path: str | os.PathLike[str], force: bool = False) -> Recording:
    """Read a perf.data file.

    What the columnar reader does not know (compressed, piped, foreign-endian, with trace
    buffers of the processor, or a directory of `perf record --threads`) is read through perf,
    which is slower and gives the same columns: through the session of its Python module where it
    has one (perf 7.3 and newer), else through `perf script`. With `force` it also reads files of
    other users.

    Raises DataError: not a perf.data file, or one without DAMON's events, or damaged beyond
    reading; OSError: it cannot be opened.
    """
    name = os.fspath(path)
    status = Path(name).stat()
    if stat.S_ISDIR(status.st_mode):
        data = Path(name) / "data"
        if not data.is_file():
            raise DataError(f"{name}: is a directory", "name the file that perf wrote with -i")
        with data.open("rb", buffering=0) as file:
            size = sum(part.stat().st_size for part in Path(name).iterdir())
            return _read_through_perf(file, container.parse(file, name), size, force)
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{name}: not a regular file", "write what comes out of it to a file")
    with Path(name).open("rb", buffering=0) as file:
        head = container.read_at(file, 0, container.PIPE_HEADER_SIZE)
        if container.is_pipe(head):
            parts = container.parse_pipe(file, name)
            return _read_through_perf(file, parts, status.st_size, force)
        parts = container.parse(file, name)
        known = not {container.COMPRESSED, container.AUXTRACE} & parts.features.keys()
        if known and parts.order == "<" and sys.byteorder == "little":
            return _read_columns(file, parts)
        return _read_through_perf(file, parts, status.st_size, force)


def _read_columns(
    file: BinaryIO,
    parts: Container,
    walk: SessionWalk | None = None,
    beside: ScriptReader | None = None,
) -> Recording:
    """Read the records of a plain file, or those of a session and what perf script tells beside."""
    darc = _darc_events(file, parts)
    acted = _event_of(file, parts, APPLY_EVENT)
    regions: list[tuple[Attr, EventFormat]] = []
    try:
        regions = _damon_events(file, parts)
    except DataError:
        if not acted and not darc:
            raise
    _keep_freed_memory()
    found = _collect(file, parts, regions, acted, darc, walk=walk)
    if times.doubtful([one.times() for one in found.collectors]):
        # Once more, with what tells the buffers apart, that few files need.
        found = _collect(file, parts, regions, acted, darc, walk=walk, streams=True)
        found.drop_wrong_times()
    sideband = beside or found.sideband
    losses = Losses(
        events=sideband.lost_events,
        truncated_bytes=found.truncated_bytes + parts.missing,
        skipped_records=found.skipped_records
        + sum(c.skipped_records for c in found.collectors)
        + (beside is not None and beside.failed),
    )
    return _recording(
        parts.path,
        parts.size,
        container.header(file, parts),
        found.regions(),
        None if found.applied is None else found.applied.applied(),
        _darc_of(found.turns, found.zones) if darc else None,
        sideband,
        losses,
    )


@dataclass
class _Found:
    """What one pass over the data collects."""

    sideband: SidebandCollector
    events: list[EventCollector] = field(default_factory=list)
    applied: AppliedCollector | None = None
    turns: dict[str, DarcCollector] = field(default_factory=dict)
    zones: ZoneNames = field(default_factory=ZoneNames)
    truncated_bytes: int = 0
    skipped_records: int = 0

    @property
    def collectors(self) -> list[SampleCollector]:
        """Those of samples."""
        applied = () if self.applied is None else (self.applied,)
        return [*self.events, *applied, *self.turns.values()]

    def regions(self) -> Events:
        """The rows of all events that tell of regions; what was collected for them goes."""
        events = no_events()
        while self.events:
            events = join(events, self.events.pop(0).events())
        return events

    def drop_wrong_times(self) -> None:
        """Take out the samples whose time stamps cannot be."""
        streams = [one.streams() for one in self.collectors]
        known = [one for one in streams if one is not None]
        columns = [one.times() for one in self.collectors]
        found = times.wrong(columns, known if len(known) == len(streams) else None)
        for collector, wrong in zip(self.collectors, found, strict=True):
            if wrong.any():
                collector.drop(wrong)


def _collect(
    file: BinaryIO,
    parts: Container,
    regions: list[tuple[Attr, EventFormat]],
    acted: tuple[Attr, EventFormat] | None,
    darc: list[tuple[Attr, EventFormat]],
    *,
    walk: SessionWalk | None = None,
    streams: bool = False,
) -> _Found:
    size, path = parts.data.size, parts.path
    first = (regions or ([acted] if acted else darc))[0]
    found = _Found(SidebandCollector(first[0]))
    many = len(parts.attrs) > 1
    for one in regions:
        found.events.append(
            EventCollector(*one, others=many, data_size=size, path=path, streams=streams)
        )
    if acted is not None:
        found.applied = AppliedCollector(*acted, data_size=size, path=path, streams=streams)
    for attr_, event_ in darc:
        found.turns[event_.name] = DarcCollector(
            attr_, event_, found.zones, data_size=size, path=path, streams=streams
        )
    collectors = found.collectors
    blocks = walk or Walk(file, parts.data)
    for block in blocks:
        for collector in collectors:
            collector.take(block)
        found.sideband.take(block)
    found.truncated_bytes, found.skipped_records = blocks.truncated_bytes, blocks.skipped_records
    return found


def _darc_of(turns: dict[str, DarcCollector], zones: ZoneNames) -> Darc:
    return darc_events.build({name: one.columns() for name, one in turns.items()}, zones)


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed, for the arrays of the next chunk.

    glibc hands blocks of more than 128 KiB back to the kernel at once, which then clears a new
    page for every page of the next array: that took longer than all the rest of reading. It
    raises this limit (and the one for trimming the heap, to twice as much) to the size of the
    largest block that was freed. Other C libraries do not mind.
    """
    np.empty(_KEPT_BYTES, dtype=np.uint8)


def _read_through_perf(file: BinaryIO, parts: Container, size: int, force: bool) -> Recording:
    header = container.header(file, parts)
    recorded = _recorded(file, parts)
    if recorded is not None and not recorded:
        raise _instead(file, parts)
    if recorded and not force and parts.order == "<" and sys.byteorder == "little":
        module = session_module()
        if module is not None and container.AUXTRACE not in parts.features:
            try:
                return _read_session(module, file, parts, size, recorded)
            except SessionError as why:
                say(f"{parts.path}: perf's Python module cannot read it ({why}); perf script may")
    # Without a line of it, the event's name among perf's words tells that it was recorded.
    recorded = recorded or {name for word in header.cmdline for name in _ours(word)}
    with_darc = bool(recorded & darc_events.EVENTS.keys())
    acted = APPLY_EVENT in recorded
    reader = ScriptReader(parts.path, force)
    events = reader.read(bool(recorded))
    losses = Losses(
        events=reader.lost_events, skipped_records=reader.skipped_records + int(reader.failed)
    )
    applied, darc = reader.applied(acted), reader.darc(with_darc)
    return _recording(parts.path, size, header, events, applied, darc, reader, losses)


def _read_session(
    module: ModuleType, file: BinaryIO, parts: Container, size: int, recorded: set[str]
) -> Recording:
    """Read through the session of perf's module. Raises SessionError where that cannot be."""
    formats = tracing.parse_tracing_data(parts.feature(file, container.TRACING_DATA))
    walk = SessionWalk(module, parts.path, {one.id for one in formats if one.name in recorded})
    beside = ScriptReader(parts.path)
    try:
        beside.read_beside()
    except DataError as error:
        say(f"{error.message}: without it mappings and lost events are not known")
    if not walk.size and beside.failed:
        raise SessionError("it tells of no event")
    return _read_columns(file, replace(walk.of(parts), size=size), walk, beside)


def _recording(
    path: str,
    size: int,
    header: Header,
    events: Events,
    applied: Applied | None,
    darc: Darc | None,
    sideband: SidebandCollector | ScriptReader,
    losses: Losses,
) -> Recording:
    mappings = sideband.mappings()
    parameters = Parameters.from_words(header.cmdline)
    regions, targets = assemble(events, mappings, sideband.comms, parameters)
    acted = ()
    if not targets and applied is not None and len(applied):
        acted = acted_on(applied, mappings, sideband.comms, parameters)
    return Recording(
        path=path,
        regions=regions,
        targets=targets,
        mappings=mappings,
        comms=sideband.comms,
        header=header,
        parameters=parameters,
        losses=losses,
        size=size,
        applied=applied,
        darc=darc,
        acted=acted,
    )


def _darc_events(file: BinaryIO, parts: Container) -> list[tuple[Attr, EventFormat]]:
    """Those of DARC's events that were recorded."""
    found = (_event_of(file, parts, name, darc_events.SYSTEM) for name in darc_events.EVENTS)
    return [one for one in found if one is not None]


def _event_of(
    file: BinaryIO, parts: Container, name: str, system: str = SYSTEM
) -> tuple[Attr, EventFormat] | None:
    """The attribute and the format of another of DAMON's events; None where it is not recorded."""
    formats = tracing.parse_tracing_data(parts.feature(file, container.TRACING_DATA))
    if not formats and (running := tracing.running_kernel_format(name, system)) is not None:
        formats = [running]
    return find_event(parts.attrs, formats, name, system)


def _damon_events(file: BinaryIO, parts: Container) -> list[tuple[Attr, EventFormat]]:
    """The attributes and formats of those that tell of regions. Raises DataError for none."""
    formats = tracing.parse_tracing_data(parts.feature(file, container.TRACING_DATA))
    if found := find_events(parts.attrs, formats):
        return _known(found, parts.path)
    if not formats and any(a.type == container.TYPE_TRACEPOINT for a in parts.attrs):
        # perf writes the formats last. The kernel that recorded may be the one that runs.
        running = [tracing.running_kernel_format(name) for name in REGION_EVENTS]
        if found := find_events(parts.attrs, [one for one in running if one is not None]):
            return _known(found, parts.path)
        what = "perf record did not finish it" if not parts.missing else "the file is cut off"
        if parts.complete:
            what = "the header is damaged"
        raise DataError(
            f"{parts.path}: the event formats are missing: {what}",
            "end perf record with Ctrl-C or SIGTERM, never SIGKILL, and copy the whole file; "
            "root can read this one where it was recorded, until that kernel reboots",
        )
    raise _instead(file, parts)


def _known(events: list[tuple[Attr, EventFormat]], path: str) -> list[tuple[Attr, EventFormat]]:
    """Those that have the fields which are read; all where none has them, which is an error."""
    known, lacking = [], []
    for one in events:
        try:
            fields_of(one[1], path)
        except DataError as error:
            lacking.append(error.message)
        else:
            known.append(one)
    for message in lacking if known else ():
        say(f"{message}; it is left out")
    return known or events


def _recorded(file: BinaryIO, parts: Container) -> set[str] | None:
    """The names of DAMON's and DARC's events that were recorded; None where that is not known."""
    tracepoints = {a.config for a in parts.attrs if a.type == container.TYPE_TRACEPOINT}
    formats = tracing.parse_tracing_data(parts.feature(file, container.TRACING_DATA))
    if not parts.attrs or (tracepoints and not formats):
        return None
    return {
        event.name
        for event in formats
        if event.id in tracepoints and event.name in _ours(f"{event.system}:{event.name}")
    }


def _ours(word: str) -> list[str]:
    """Which of the events that are read a word of perf's command line names."""
    known = dict.fromkeys((*REGION_EVENTS, APPLY_EVENT), SYSTEM)
    known |= dict.fromkeys(darc_events.EVENTS, darc_events.SYSTEM)
    return [name for name, system in known.items() if f"{system}:{name}" in word]


def _instead(file: BinaryIO, parts: Container) -> DataError:
    """The error of a file that has none of the events that are read: it tells what it has."""
    formats = tracing.parse_tracing_data(parts.feature(file, container.TRACING_DATA))
    content = parts.feature(file, container.EVENT_DESC)
    names = names_of(parts.attrs, formats, container.event_names(content, parts.order))
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    what = ", ".join(names[:_MAX_NAMES]) or "none"
    return DataError(
        f"{parts.path}: no damon:damon_aggregated events; it has {what}{more}", RECORD_HINT
    )
