# SPDX-License-Identifier: GPL-2.0
"""Reading through `perf script`, for the files that the columnar reader does not know.

perf script prints a line an event; of DAMON's lines the numbers are taken, block by block. It
decompresses, swaps bytes and sorts by time by itself, at about a microsecond an event.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from perf_damon import perfs
from perf_damon.errors import DataError
from perf_damon.perfdata import times
from perf_damon.perfdata.applied import in_order
from perf_damon.perfdata.darc import EVENTS, ZoneNames, build
from perf_damon.perfdata.events import MAX_TARGETS, Events, join, no_events
from perf_damon.perfdata.layout import HITS
from perf_damon.perfdata.probes import table, wider
from perf_damon.perfdata.sideband import COMM_MAX, MappingTable
from perf_damon.recording import WHYS, Applied, Darc, Mappings

_EVENT = b" damon:damon_aggregated: "
_REGION_EVENT = b" damon:damon_region_aggregated: "
_HITS = b" probe_hits="
_APPLY_EVENT = b" damon:damos_before_apply: "
_LINE = re.compile(
    rb"\s*\d+\s+\d+\.\d{9}: +damon:damon_(?:region_)?aggregated:"
    rb"\s+target_id=\d+ nr_regions=\d+ \d+-\d+: \d+(?P<age> \d+)?\s*"
)
_APPLY_LINE = re.compile(
    rb"\s*\d+\s+\d+\.\d{9}: +damon:damos_before_apply:"
    rb"\s+ctx_idx=\d+ scheme_idx=\d+ target_idx=\d+ nr_regions=\d+ \d+-\d+: \d+ \d+\s*"
)
_DARC_EVENT = re.compile(rb" darc:darc_(?:start|stop|reclaim): ")
_DARC_LINE = re.compile(
    rb"\s*\d+\s+(?P<s>\d+)\.(?P<ns>\d{9}): +darc:(?P<event>\w+):\s+nid=(?P<nid>-?\d+)"
    rb" zone=(?P<zone>\S*)(?: why=(?P<why>\w+))?(?: (?P<start>\d+)-(?P<end>\d+):)?"
    rb"(?P<rest>(?: \w+=\d+)*)\s*"
)
_NUMBERS = bytes(c if chr(c).isdigit() else ord(" ") for c in range(256))
_COLUMNS = ("tid", "s", "ns", "target_id", "nr_regions", "start", "end", "nr_accesses", "age")
_APPLY_COLUMNS = (
    *("tid", "s", "ns", "context_idx", "scheme_idx", "target_idx"),
    *("nr_regions", "start", "end", "nr_accesses", "age"),
)
_NEVER = "0.000000001,0.000000002"
"""A time that no clock shows any more when something is recorded."""
_BLOCK = 4 << 20
_PATIENCE_S = 120
_MAX_ERROR_TEXT = 1 << 16
_OTHER_EVENT = re.compile(rb"\d+\.\d{9}: +(\S+):(?: |$)")
_SIDEBAND = re.compile(
    rb"\s*-?\d+\s+(?P<s>\d+)\.(?P<ns>\d{9}): PERF_RECORD_(?P<kind>\w+)(?P<rest>.*)"
)
_MMAP = re.compile(
    rb" (?P<pid>-?\d+)/-?\d+: \[(?P<start>0x[0-9a-f]+|0)\((?P<size>0x[0-9a-f]+|0)\)"
    rb" @ (?P<offset>0x[0-9a-f]+|0)[^]]*\]: \S+ (?P<name>.*)"
)
_COMM = re.compile(rb"(?P<exec> exec)?: (?P<comm>.*):(?P<pid>-?\d+)/(?P<tid>-?\d+)")
_TASK = re.compile(rb"\((?P<pid>-?\d+):(?P<tid>-?\d+)\):\((?P<parent>-?\d+):-?\d+\)")
_LOST = re.compile(rb" lost (?P<count>\d+)")


_THROUGH_PERF = (
    "this kind of file (compressed, piped, foreign or of several threads)"
    " is read through perf script"
)


class ScriptReader:
    """What perf script tells of a file, once read() has been called."""

    def __init__(self, path: str, force: bool = False) -> None:
        """With force perf script reads files of other users too."""
        self._path = path
        self._force = force
        self._table = MappingTable()
        self._parts: list[np.ndarray] = []
        self._told: list[tuple[np.ndarray, np.ndarray]] = []
        """Of damon_region_aggregated: the numbers, and int16 (n, probes) hits."""
        self._acted: list[np.ndarray] = []
        self._zones = ZoneNames()
        self._darc: dict[str, list[list[int]]] = {}
        self._others: set[str] = set()
        self.comms: dict[int, str] = {}
        """As in recording.Recording."""
        self.lost_events = 0
        """Events that the kernel dropped."""
        self.skipped_records = 0
        """Samples whose time stamps cannot be."""
        self.failed = False
        """perf script gave up before the end."""

    def read(self, recorded: bool = False) -> Events:
        """Run perf script and read all it says; `recorded` events may have none in the file.

        Raises DataError.
        """
        words = self._words("-F", "tid,time,event,trace")
        with _Perf(self._path, words) as perf:
            try:
                for block in perf.blocks():
                    self._take(block)
            except DataError:
                perf.require_tracepoints()
                raise
            complaint = perf.complaint()
        some = self._parts or self._told or self._acted or self._darc
        if not some:
            perf.require_tracepoints()
        if complaint and not some:
            if "not owned by current user" in complaint:
                raise DataError(
                    f"{self._path}: perf does not read it, because it is another user's",
                    "--force has it read all the same",
                )
            raise DataError(
                f"{self._path}: perf script cannot read it: {complaint}",
                "a newer perf may; or record again: perf damon record PID",
            )
        self.failed = bool(complaint)
        self._drop_wrong_times()
        if not some and not recorded:
            raise DataError(
                f"{self._path}: no damon:damon_aggregated events; it has "
                + (", ".join(sorted(self._others)) or "none"),
                "record one: perf damon record PID",
            )
        told = [numbers for numbers, _ in self._told]
        hits = [found for _, found in self._told]
        self._told = []
        parts, self._parts = self._parts, []
        return join(self._events(parts, []), self._events(told, hits))

    def read_beside(self) -> None:
        """Read only what stands beside the samples: mappings, names, what was lost.

        Raises DataError where there is no perf, or it says nothing.
        """
        # perf leaves out the samples that were not taken then, and tells all other records.
        with _Perf(self._path, self._words("-F", "tid,time,event", "--time", _NEVER)) as perf:
            for block in perf.blocks():
                for line in block.splitlines():
                    self._take_other(line)
            self.failed = bool(perf.complaint())

    def _words(self, *more: str) -> list[str]:
        options = ["--ns", "--show-mmap-events", "--show-task-events", "--show-lost-events"]
        return ["script", "-i", self._path, *more, *options, *["--force"] * self._force]

    def mappings(self) -> Mappings:
        """All mappings."""
        return self._table.mappings()

    def applied(self, recorded: bool) -> Applied | None:
        """What schemes acted on; None without any, unless that was `recorded`."""
        if not self._acted and not recorded:
            return None
        width = len(_APPLY_COLUMNS)
        numbers = np.concatenate([np.empty((0, width), dtype=np.uint64), *self._acted])
        self._acted = []
        rows = dict(zip(_APPLY_COLUMNS, numbers.T, strict=True))
        columns = {"time": rows["s"] * np.uint64(10**9) + rows["ns"]}
        for name in ("target_idx", "start", "end"):
            columns[name] = rows[name].copy()
        for name in ("context_idx", "scheme_idx", "nr_accesses", "age"):
            columns[name] = rows[name].astype(np.uint32)
        return in_order(columns, rows["tid"].astype(np.int32))

    def darc(self, recorded: bool) -> Darc | None:
        """What DARC did; None without any, unless that was `recorded`."""
        if not self._darc and not recorded:
            return None
        columns = {}
        for event, lines in self._darc.items():
            names = ("time", "zone", *EVENTS[event])
            whole = np.array(lines, dtype=np.uint64).reshape(-1, len(names))
            columns[event] = dict(zip(names, whole.T, strict=True))
            columns[event]["zone"] = columns[event]["zone"].astype(np.int32)
        return build(columns, self._zones)

    def _take(self, block: bytes) -> None:
        lines = block.splitlines()
        ours, told, acted = lines, [], []
        if block.count(_EVENT) != len(lines):
            ours = [line for line in lines if _EVENT in line]
            told = [line for line in lines if _REGION_EVENT in line and _EVENT not in line]
            acted = [line for line in lines if _APPLY_EVENT in line and _EVENT not in line]
            for line in lines:
                if _EVENT in line or _REGION_EVENT in line or _APPLY_EVENT in line:
                    continue
                if _DARC_EVENT.search(line):
                    self._take_darc(line)
                else:
                    self._take_other(line)
        if ours:
            self._parts.append(self._regions(ours))
        if told:
            halves = [line.partition(_HITS) for line in told]
            numbers = self._regions([half for half, _, _ in halves])
            self._told.append((numbers, self._hits([half for _, _, half in halves])))
        if acted:
            self._match(_APPLY_LINE, acted[0])
            self._acted.append(self._numbers(acted, len(_APPLY_COLUMNS)))

    def _regions(self, lines: list[bytes]) -> np.ndarray:
        """uint64 (lines, _COLUMNS): the numbers in the lines; without the age if there is none."""
        match = self._match(_LINE, lines[0])
        return self._numbers(lines, len(_COLUMNS) if match["age"] else len(_COLUMNS) - 1)

    def _hits(self, texts: list[bytes]) -> np.ndarray:
        """int16 (texts, probes): what stands behind the fields, as in `00 1f`."""
        try:
            return table([bytes.fromhex(text.decode()) for text in texts])
        except ValueError:
            raise DataError(
                f"{self._path}: perf script prints probes' hits in a form that is not known", ""
            ) from None

    def _match(self, form: re.Pattern[bytes], line: bytes) -> re.Match[bytes]:
        match = form.fullmatch(line)
        if not match:
            raise DataError(
                f"{self._path}: perf script prints events in a form that is not known: "
                + line.decode(errors="replace").strip(),
                "record without -z, -o - and --threads: then perf is not needed for reading",
            )
        return match

    def _numbers(self, lines: list[bytes], count: int) -> np.ndarray:
        """uint64 (lines, count): the numbers in the lines. Raises DataError for other counts."""
        numbers = np.fromstring(b" ".join(lines).translate(_NUMBERS), dtype=np.uint64, sep=" ")
        if len(numbers) != count * len(lines):
            raise DataError(f"{self._path}: perf script prints events in more than one form", "")
        return numbers.reshape(-1, count)

    def _take_darc(self, line: bytes) -> None:
        match = self._match(_DARC_LINE, line)
        values = dict(word.split(b"=") for word in match["rest"].split())
        event, why = match["event"].decode(), (match["why"] or b"").decode()
        values |= {name.encode(): match[name] for name in ("start", "end") if match[name]}
        number = WHYS.index(why) if why in WHYS else int(why) if why.isdigit() else len(WHYS)
        values[b"why"] = b"%d" % number
        zone = self._zones.index(int(match["nid"]), match["zone"].decode(errors="replace"))
        row = [int(match["s"]) * 10**9 + int(match["ns"]), zone]
        try:
            row += [int(values[name.encode()]) for name in EVENTS[event]]
        except KeyError as missing:
            name = missing.args[0].decode()
            raise DataError(f"{self._path}: darc:{event} does not tell {name}", "") from None
        self._darc.setdefault(event, []).append(row)

    def _take_other(self, line: bytes) -> None:
        match = _SIDEBAND.fullmatch(line)
        if not match:
            if len(self._others) < 10 and (other := _OTHER_EVENT.search(line)):
                self._others.add(other[1].decode(errors="replace"))
            return
        kind, rest = match["kind"], match["rest"]
        time = int(match["s"]) * 10**9 + int(match["ns"])
        if kind in (b"MMAP", b"MMAP2") and (m := _MMAP.fullmatch(rest)):
            start, size, offset = (int(m[name], 16) for name in ("start", "size", "offset"))
            name = m["name"].decode(errors="replace")
            self._table.add(time, int(m["pid"]), start, start + size, offset, name)
        elif kind == b"COMM" and (m := _COMM.fullmatch(rest)):
            pid, comm = int(m["pid"]), m["comm"].decode(errors="replace")[:COMM_MAX]
            if m["pid"] == m["tid"]:
                self.comms[pid] = comm
                if m["exec"]:
                    self._table.forget(pid)
            else:
                self.comms.setdefault(pid, comm)
        elif kind in (b"FORK", b"EXIT") and (m := _TASK.fullmatch(rest)):
            if kind == b"FORK":
                self._table.fork(time, int(m["parent"]), int(m["pid"]))
            elif m["pid"] == m["tid"]:
                self._table.forget(int(m["pid"]))
        elif kind.startswith(b"LOST") and (m := _LOST.match(rest)):
            self.lost_events += int(m["count"])

    def _drop_wrong_times(self) -> None:
        told = [part for part, _ in self._told]
        columns = [_stamps(part) for part in (*self._parts, *told, *self._acted)]
        columns += [np.array([row[0] for row in rows], np.uint64) for rows in self._darc.values()]
        if not times.doubtful(columns):
            return
        # perf has sorted them: nothing tells in which buffer they were.
        found = iter(times.wrong(columns))
        self._parts = [part[~next(found)] for part in self._parts]
        kept = [~next(found) for _ in self._told]
        self._told = [(n[k], hits[k]) for (n, hits), k in zip(self._told, kept, strict=True)]
        self._acted = [part[~next(found)] for part in self._acted]
        for event, rows in self._darc.items():
            kept = ~next(found)
            self._darc[event] = [row for row, keep in zip(rows, kept, strict=True) if keep]
        told = [part for part, _ in self._told]
        after = sum(map(len, (*self._parts, *told, *self._acted, *self._darc.values())))
        self.skipped_records = sum(map(len, columns)) - after

    def _events(self, parts: list[np.ndarray], hits: list[np.ndarray]) -> Events:
        """The events of these numbers, with the hits where there are any."""
        if not parts:
            return no_events()
        # A patched kernel may stop telling the age, but not within one recording.
        width = min(part.shape[1] for part in parts)
        numbers = np.concatenate([part[:, :width] for part in parts])
        rows = dict(zip(_COLUMNS, numbers.T, strict=False))
        keys, target = np.unique(
            np.column_stack([rows["tid"], rows["target_id"]]), axis=0, return_inverse=True
        )
        if len(keys) > MAX_TARGETS:
            raise DataError(f"{self._path}: names more than {MAX_TARGETS} targets", "")
        columns = {
            "time": rows["s"] * np.uint64(10**9) + rows["ns"],
            "start": rows["start"].copy(),
            "end": rows["end"].copy(),
        }
        for name in ("nr_accesses", "age", "nr_regions"):
            if name in rows:
                columns[name] = rows[name].astype(np.uint32)
        if probes := max((part.shape[1] for part in hits), default=0):
            columns[HITS] = np.concatenate([wider(part, len(part), probes) for part in hits])
        time = columns["time"]
        return Events(
            columns=columns,
            target=target.reshape(-1).astype(np.uint16),
            keys=[(int(tid), int(id_)) for tid, id_ in keys],
            ordered=bool((time[1:] >= time[:-1]).all()),
        )


def _stamps(numbers: np.ndarray) -> np.ndarray:
    return numbers[:, _COLUMNS.index("s")] * np.uint64(10**9) + numbers[:, _COLUMNS.index("ns")]


class _Perf:
    """A running perf whose output is read; it ends with the block, whatever happens."""

    def __init__(self, path: str, words: list[str]) -> None:
        perf = shutil.which("perf")
        if perf is None:
            raise DataError(
                f"{path}: {_THROUGH_PERF}, and perf is not installed",
                "install perf (Debian: linux-perf)",
            )
        self.program = perf
        self._path = path
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (see __exit__)
        self._process = subprocess.Popen(
            [perf, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "LC_ALL": "C", "PERF_CONFIG": os.devnull},
        )

    def __enter__(self) -> _Perf:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def blocks(self) -> Iterator[bytes]:
        """The output, as blocks of whole lines. Raises DataError if none comes for long."""
        fd = self._process.stdout.fileno()
        parts: list[bytes] = []
        held = 0
        while True:
            if not select.select([fd], [], [], _PATIENCE_S)[0]:
                raise DataError(
                    f"{self._path}: perf script says nothing for {_PATIENCE_S} seconds",
                    f"try it yourself: perf script -i {self._path}",
                )
            part = os.read(fd, 1 << 20)
            parts.append(part)
            held += len(part)
            if held < _BLOCK and part:
                continue
            whole, newline, rest = b"".join(parts).rpartition(b"\n")
            if newline or (whole := rest):
                yield whole
            parts, held = [rest], len(rest)
            if not part:
                return

    def require_tracepoints(self) -> None:
        """Raise DataError for a perf that cannot read them."""
        if perfs.lacks(self.program, "libtraceevent"):
            raise DataError(
                f"{self._path}: {_THROUGH_PERF}, and {self.program} is built without libtraceevent",
                perfs.NO_LIBTRACEEVENT,
            )

    def complaint(self) -> str:
        """Why perf failed, empty if it did not."""
        if self._process.wait() == 0:
            return ""
        self._errors.seek(0)
        text = self._errors.read(_MAX_ERROR_TEXT).decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if "Ignoring" not in line]
        lines = [line.removeprefix("Error:").lstrip() for line in lines]
        return next((line for line in reversed(lines) if line), "it fails without a word")
