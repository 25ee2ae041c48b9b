# SPDX-License-Identifier: GPL-2.0
"""Writes perf.data files of known content, so that tests know what reading them must give.

>>> writer = Writer()
>>> writer.regions(time=1000, tid=500, regions=[(0x1000, 0x2000, 3, 7)])
>>> path.write_bytes(writer.content())
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

IP, TID, TIME, ADDR, READ, CALLCHAIN, ID, CPU, PERIOD, STREAM_ID, RAW = (1 << i for i in range(11))
IDENTIFIER = 1 << 16
PERF_RECORD = IP | TID | TIME | CPU | PERIOD | RAW | IDENTIFIER
"""What `perf record -e damon:damon_aggregated` asks for."""
TRAILER = (TID, TIME, ID, STREAM_ID, CPU, IDENTIFIER)
SAMPLE_ID_ALL = 1 << 18
USE_CLOCKID = 1 << 25

COMMON = (
    ("unsigned short common_type", 0, 2, 0),
    ("unsigned char common_flags", 2, 1, 0),
    ("unsigned char common_preempt_count", 3, 1, 0),
    ("int common_pid", 4, 4, 1),
)
FIELDS = (
    ("unsigned long target_id", 8, 8, 0),
    ("unsigned int nr_regions", 16, 4, 0),
    ("unsigned long start", 24, 8, 0),
    ("unsigned long end", 32, 8, 0),
    ("unsigned int nr_accesses", 40, 4, 0),
    ("unsigned int age", 44, 4, 0),
)
"""The fields of Linux 6.12: declaration, offset, size, signed."""
REGION_FIELDS = (
    ("unsigned long target_id", 8, 8, 0),
    ("unsigned long start", 16, 8, 0),
    ("unsigned long end", 24, 8, 0),
    ("unsigned int nr_regions", 32, 4, 0),
    ("unsigned int nr_accesses", 36, 4, 0),
    ("unsigned int age", 40, 4, 0),
    ("__data_loc unsigned char[] probe_hits", 44, 4, 0),
)
"""Those of Linux 7.2's damon_region_aggregated."""
APPLY_FIELDS = (
    ("unsigned int context_idx", 8, 4, 0),
    ("unsigned int scheme_idx", 12, 4, 0),
    ("unsigned long target_idx", 16, 8, 0),
    ("unsigned long start", 24, 8, 0),
    ("unsigned long end", 32, 8, 0),
    ("unsigned int nr_accesses", 40, 4, 0),
    ("unsigned int age", 44, 4, 0),
    ("unsigned int nr_regions", 48, 4, 0),
)
"""Those of damos_before_apply."""
_ZONE = (("int nid", 8, 4, 1), ("__data_loc char[] zone", 12, 4, 0))
DARC_FIELDS = {
    "darc_start": (
        *_ZONE,
        *((f"unsigned long {n}", 16 + 8 * i, 8, 0) for i, n in enumerate(("free", "high", "mid"))),
        ("unsigned long low", 40, 8, 0),
    ),
    "darc_stop": (
        *_ZONE,
        ("int why", 16, 4, 1),
        *(
            (f"unsigned long {name}", 24 + 8 * i, 8, 0)
            for i, name in enumerate(("reclaimed", "free", "high", "mid", "low"))
        ),
    ),
    "darc_reclaim": (
        *_ZONE,
        *(
            (f"unsigned long {name}", 16 + 8 * i, 8, 0)
            for i, name in enumerate(("start", "end", "passed", "reclaimed"))
        ),
    ),
}
"""Those of DARC's events."""
_WHY = '__print_symbolic(REC->why, { 0, "above_high" }, { 1, "below_low" }, { 2, "disabled" })'
_DARC_PRINTS = {
    "darc_start": "nid=%d zone=%s free=%lu high=%lu mid=%lu low=%lu",
    "darc_stop": "nid=%d zone=%s why=%s reclaimed=%lu free=%lu high=%lu mid=%lu low=%lu",
    "darc_reclaim": "nid=%d zone=%s %lu-%lu: passed=%lu reclaimed=%lu",
}
PATCHED_FIELDS = (
    ("unsigned int context_id", 8, 4, 0),
    ("unsigned long start", 16, 8, 0),
    ("unsigned long end", 24, 8, 0),
    ("unsigned int age", 32, 4, 0),
    ("unsigned char node[3]", 36, 3, 0),
    ("unsigned short nr_accesses", 40, 2, 0),
    ("unsigned int nr_regions", 44, 4, 0),
    ("unsigned int target_id", 48, 4, 0),
    ("unsigned long local", 56, 8, 0),
)
"""Another order, other sizes, and fields that nobody here knows."""

HEADER_PAGE = (
    b"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
    b"\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
    b"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
    b"\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n"
)
FEATURES = {"hostname": 3, "osrelease": 4, "version": 5, "arch": 6}


class _Order:
    name = "little"


_order = _Order()


@contextmanager
def big_endian() -> Iterator[None]:
    """Within it all is written as a machine of the other byte order writes it."""
    _order.name = "big"
    try:
        yield
    finally:
        _order.name = "little"


def _pack(form: str, *values: object) -> bytes:
    return struct.pack(form.replace("<", ">") if _order.name == "big" else form, *values)


def _pack_into(form: str, *values: object) -> None:
    struct.pack_into(form.replace("<", ">") if _order.name == "big" else form, *values)


def _magic() -> bytes:
    return b"PERFILE2" if _order.name == "little" else b"2ELIFREP"


def format_text(name: str, id_: int, fields: Sequence[tuple[str, int, int, int]]) -> str:
    lines = [f"name: {name}", f"ID: {id_}", "format:"]
    for group in (COMMON, fields):
        for declaration, offset, size, signed in group:
            lines.append(
                f"\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:{signed};"
            )
        lines.append("")
    values = "target_id=%lu nr_regions=%u %lu-%lu: %u"
    arguments = "REC->target_id, REC->nr_regions, REC->start, REC->end, REC->nr_accesses"
    if name == "damos_before_apply":
        values = "ctx_idx=%u scheme_idx=%u target_idx=%lu nr_regions=%u %lu-%lu: %u"
        arguments = arguments.replace("REC->target_id", "REC->target_idx")
        arguments = f"REC->context_idx, REC->scheme_idx, {arguments}"
    if name in _DARC_PRINTS:
        own = {"zone": "__get_str(zone)", "why": _WHY}
        names = [declaration.split()[-1] for declaration, *_ in DARC_FIELDS[name]]
        values, arguments = _DARC_PRINTS[name], ", ".join(own.get(n, f"REC->{n}") for n in names)
    if any(declaration.endswith(" age") for declaration, *_ in fields):
        values, arguments = f"{values} %u", f"{arguments}, REC->age"
    if any(declaration.endswith(" probe_hits") for declaration, *_ in fields):
        where = "__get_dynamic_array(probe_hits), __get_dynamic_array_len(probe_hits)"
        values, arguments = f"{values} probe_hits=%s", f"{arguments}, __print_hex({where})"
    return "\n".join([*lines, f'print fmt: "{values}", {arguments}', ""])


@dataclass
class Event:
    """An event of the file: attribute, ids, and its format if it is a tracepoint."""

    config: int
    ids: tuple[int, ...]
    sample_type: int = PERF_RECORD
    type: int = 2
    name: str = "damon_aggregated"
    system: str = "damon"
    fields: Sequence[tuple[str, int, int, int]] = FIELDS
    flags: int = SAMPLE_ID_ALL
    read_format: int = 0
    clockid: int = 0

    def raw(self, tid: int, values: dict[str, int]) -> bytes:
        """Raw data with the given fields; the others are filled with ones."""
        size = max(offset + size for _, offset, size, _ in self.fields)
        data = bytearray(b"\xff" * size)
        _pack_into("<HBBi", data, 0, self.config, 0, 0, tid)
        for declaration, offset, size, _ in self.fields:
            value = values.get(declaration.split()[-1])
            if value is not None:
                data[offset : offset + size] = value.to_bytes(size, _order.name)
        return bytes(data)


def damon_event(**kwargs: object) -> Event:
    return Event(**{"config": 500, "ids": (32, 33), **kwargs})


def region_event(**kwargs: object) -> Event:
    fixed = {"config": 502, "ids": (70, 71), "fields": REGION_FIELDS}
    return Event(**{**fixed, "name": "damon_region_aggregated", **kwargs})


def apply_event(**kwargs: object) -> Event:
    fixed = {"config": 501, "ids": (50, 51), "name": "damos_before_apply", "fields": APPLY_FIELDS}
    return Event(**{**fixed, **kwargs})


def darc_events(**kwargs: object) -> dict[str, Event]:
    """DARC's three events by name."""
    return {
        name: Event(
            **{
                "config": 510 + i,
                "ids": (60 + 2 * i, 61 + 2 * i),
                "name": name,
                "system": "darc",
                "fields": fields,
                **kwargs,
            }
        )
        for i, (name, fields) in enumerate(DARC_FIELDS.items())
    }


def dummy_event() -> Event:
    """The event that perf adds for mappings and names (software, dummy)."""
    return Event(config=9, ids=(34, 35), type=1, sample_type=PERF_RECORD & ~RAW, name="dummy")


@dataclass
class Writer:
    """Collects records; content() makes the file of them."""

    events: list[Event] = field(default_factory=lambda: [damon_event(), dummy_event()])
    cmdline: Sequence[str] = ("perf", "record", "-e", "damon:damon_aggregated")
    features: dict[str, str] = field(
        default_factory=lambda: {
            "hostname": "box",
            "osrelease": "6.12.0",
            "version": "6.1.192",
            "arch": "x86_64",
        }
    )
    records: list[bytes] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """What perf calls events, by their name here; without any the file does not tell."""

    def record(self, kind: int, body: bytes, misc: int = 0) -> bytes:
        """Append a record; its size is rounded up to 8 bytes."""
        body += b"\0" * (-len(body) % 8)
        data = _pack("<IHH", kind, misc, 8 + len(body)) + body
        self.records.append(data)
        return data

    def sample(
        self,
        event: Event,
        *,
        time: int,
        tid: int,
        raw: bytes,
        cpu: int = 0,
        chain: Sequence[int] = (),
        group: Sequence[int] = (1,),
    ) -> None:
        """A sample as the event's sample_type lays it out."""
        id_ = event.ids[cpu % len(event.ids)] if event.ids else 0
        words = {
            IDENTIFIER: id_,
            IP: 0xFFFFFFFF81000000,
            TID: (tid & 0xFFFFFFFF) << 32 | tid & 0xFFFFFFFF,
            TIME: time,
            ADDR: 0,
            ID: id_,
            STREAM_ID: id_,
            CPU: cpu,
            PERIOD: 1,
        }
        body = b"".join(_pack("<Q", words[bit]) for bit in words if event.sample_type & bit)
        if event.sample_type & READ:
            body += self._read(event, group, id_)
        if event.sample_type & CALLCHAIN:
            body += _pack(f"<{1 + len(chain)}Q", len(chain), *chain)
        if event.sample_type & RAW:
            raw += b"\0" * (-(len(raw) + 4) % 8)
            body += _pack("<I", len(raw)) + raw
        self.record(9, body, misc=1)

    @staticmethod
    def _read(event: Event, group: Sequence[int], id_: int) -> bytes:
        times = [7] * (event.read_format & 3).bit_count()
        tail = [id_] * bool(event.read_format & 4) + [0] * bool(event.read_format & 16)
        words = [len(group), *times] if event.read_format & 8 else [group[0], *times, *tail]
        if event.read_format & 8:
            for value in group:
                words += [value, *tail]
        return _pack(f"<{len(words)}Q", *words)

    def regions(
        self,
        *,
        time: int,
        regions: Iterable[tuple[int, int, int, int]],
        tid: int = 500,
        target_id: int = 0,
        cpu: int = 0,
        nr_regions: int | None = None,
        event: Event | None = None,
        step: int = 100,
        **kwargs: Sequence[int],
    ) -> None:
        """A snapshot: (start, end, nr_accesses, age) of each region, `step` ns apart."""
        event = event or self.events[0]
        rows = list(regions)
        for i, (start, end, nr_accesses, age) in enumerate(rows):
            values = {
                "target_id": target_id,
                "nr_regions": nr_regions or len(rows),
                "start": start,
                "end": end,
                "nr_accesses": nr_accesses,
                "age": age,
            }
            raw = event.raw(tid, values)
            self.sample(event, time=time + i * step, tid=tid, raw=raw, cpu=cpu, **kwargs)

    def probed(
        self,
        *,
        time: int,
        regions: Iterable[tuple[int, int, int, int]],
        hits: Sequence[bytes],
        event: Event,
        tid: int = 500,
        target_id: int = 0,
        cpu: int = 0,
        nr_regions: int | None = None,
        step: int = 100,
        location: int | None = None,
        chain: Sequence[int] = (),
    ) -> None:
        """A snapshot as damon_region_aggregated tells it, with the hits of each region's probes.

        `location` is where these are said to be, if not where they are.
        """
        rows = list(regions)
        size = max(offset + size for _, offset, size, _ in event.fields)
        names = ("start", "end", "nr_accesses", "age")
        for i, (row, bytes_) in enumerate(zip(rows, hits, strict=True)):
            values = {"target_id": target_id, "nr_regions": nr_regions or len(rows)}
            values |= dict(zip(names, row, strict=True))
            values["probe_hits"] = size | len(bytes_) << 16 if location is None else location
            raw = event.raw(tid, values) + bytes_
            self.sample(event, time=time + i * step, tid=tid, raw=raw, cpu=cpu, chain=chain)

    def applied(
        self,
        *,
        time: int,
        event: Event,
        region: tuple[int, int, int, int],
        scheme: int = 0,
        target: int = 0,
        context: int = 0,
        tid: int = 500,
        cpu: int = 0,
    ) -> None:
        """A scheme acts on a region: (start, end, nr_accesses, age)."""
        names = ("start", "end", "nr_accesses", "age")
        values = {"context_idx": context, "scheme_idx": scheme, "target_idx": target}
        values |= {"nr_regions": 10, **dict(zip(names, region, strict=True))}
        self.sample(event, time=time, tid=tid, raw=event.raw(tid, values), cpu=cpu)

    def darc(
        self,
        event: Event,
        *,
        time: int,
        zone: str = "0-Normal",
        cpu: int = 0,
        chain: Sequence[int] = (),
        **values: int,
    ) -> None:
        """DARC tells something about a zone; its name lies behind the fields."""
        nid, _, name = zone.partition("-")
        text = name.encode() + b"\0"
        size = max(offset + size for _, offset, size, _ in event.fields)
        at = size | len(text) << 16
        raw = event.raw(500, {"nid": int(nid), "zone": at, **values}) + text
        self.sample(event, time=time, tid=500, raw=raw, cpu=cpu, chain=chain)

    def trailer(self, pid: int, time: int) -> bytes:
        event = self.events[-1]
        if not event.flags & SAMPLE_ID_ALL:
            return b""
        words = {
            TID: (pid & 0xFFFFFFFF) * 0x100000001,
            TIME: time,
            ID: event.ids[0],
            STREAM_ID: 0,
            CPU: 0,
        }
        words[IDENTIFIER] = event.ids[0]
        return b"".join(_pack("<Q", words[b]) for b in TRAILER if event.sample_type & b)

    def mmap2(self, pid: int, start: int, size: int, name: str, time: int = 0) -> None:
        text = name.encode() + b"\0"
        body = _pack("<ii3Q", pid, pid, start, size, 4096) + bytes(32)
        self.record(10, body + text + b"\0" * (-len(text) % 8) + self.trailer(pid, time))

    def mmap(self, pid: int, start: int, size: int, name: str, time: int = 0) -> None:
        text = name.encode() + b"\0"
        body = _pack("<ii3Q", pid, pid, start, size, 0)
        self.record(1, body + text + b"\0" * (-len(text) % 8) + self.trailer(pid, time))

    def comm(self, pid: int, name: str, tid: int | None = None, misc: int = 0) -> None:
        text = name.encode() + b"\0"
        body = _pack("<II", pid, pid if tid is None else tid) + text
        self.record(3, body + b"\0" * (-len(text) % 8) + self.trailer(pid, 0), misc)

    def fork(self, parent: int, child: int, time: int = 0) -> None:
        body = _pack("<4IQ", child, parent, child, parent, time)
        self.record(7, body + self.trailer(child, time))

    def exit(self, pid: int, time: int = 0) -> None:
        body = _pack("<4IQ", pid, 1, pid, 1, time)
        self.record(4, body + self.trailer(pid, time))

    def lost(self, count: int) -> None:
        self.record(2, _pack("<2Q", self.events[0].ids[0], count) + self.trailer(0, 0))

    def lost_samples(self, count: int, misc: int = 0, id_: int | None = None) -> None:
        body = _pack("<Q", count) + self.trailer(0, 0)[:-8]
        body += _pack("<Q", self.events[0].ids[0] if id_ is None else id_)
        self.record(13, body, misc)

    def finished_round(self) -> None:
        self.record(68, b"")

    def tracing_data(self) -> bytes:
        out = b"\x17\x08\x44tracing0.6\0" + _pack("<BBI", _order.name == "big", 8, 4096)
        out += b"header_page\0" + _pack("<Q", len(HEADER_PAGE)) + HEADER_PAGE
        out += b"header_event\0" + _pack("<Q", 6) + b"\tevent"
        ftrace = format_text("function", 1, FIELDS[2:3]).encode()
        out += _pack("<IQ", 1, len(ftrace)) + ftrace
        systems: dict[str, list[str]] = {}
        for event in self.events:
            if event.type == 2:
                text = format_text(event.name, event.config, event.fields)
                systems.setdefault(event.system, []).append(text)
        out += _pack("<I", len(systems))
        for system, texts in systems.items():
            out += system.encode() + b"\0" + _pack("<I", len(texts))
            for text in texts:
                out += _pack("<Q", len(text)) + text.encode()
        return out + _pack("<IIQ", 0, 0, 0)

    def attrs(self, ids_at: int, attr_size: int = 128) -> tuple[bytes, bytes]:
        """The attribute section, and the ids that lie at ids_at."""
        attrs, ids = b"", b""
        for event in self.events:
            attr = bytearray(attr_size)
            flags = event.flags | (USE_CLOCKID if event.clockid else 0)
            if _order.name == "big":  # bit fields begin at the other end
                flags = int(f"{flags & (1 << 64) - 1:064b}"[::-1], 2)
            _pack_into(
                "<2I5Q",
                attr,
                0,
                *(event.type, attr_size, event.config, 1),
                *(event.sample_type, event.read_format, flags),
            )
            _pack_into("<i", attr, 92, event.clockid)
            attrs += bytes(attr) + _pack("<2Q", ids_at + len(ids), 8 * len(event.ids))
            ids += _pack(f"<{len(event.ids)}Q", *event.ids)
        return attrs, ids

    def descriptions(self) -> bytes:
        """The feature EVENT_DESC: attribute, number of ids, name and ids of each event."""
        attrs, _ = self.attrs(0)
        out = _pack("<II", len(self.events), 128)
        for n, event in enumerate(self.events):
            out += attrs[n * 144 : n * 144 + 128] + _pack("<I", len(event.ids))
            out += _string(self.names.get(event.name, event.name))
            out += _pack(f"<{len(event.ids)}Q", *event.ids)
        return out

    def piped(self) -> bytes:
        """What `perf record -o -` writes: attributes, features and formats are records, too."""
        out = _magic() + _pack("<Q", 16)
        attrs, ids = self.attrs(0)
        feature = {FEATURES[name]: _string(text) for name, text in self.features.items()}
        words = b"".join(_string(word) for word in self.cmdline)
        feature[11] = _pack("<I", len(self.cmdline)) + words
        if self.names:
            feature[12] = self.descriptions()
        for n, event in enumerate(self.events):
            body = attrs[n * 144 : n * 144 + 128] + ids[: 8 * len(event.ids)]
            ids = ids[8 * len(event.ids) :]
            out += _pack("<IHH", 64, 0, 8 + len(body)) + body
        for bit, body in feature.items():
            out += _pack("<IHHQ", 80, 0, 16 + len(body), bit) + body
        formats = self.tracing_data()
        formats += b"\0" * (-len(formats) % 8)
        out += _pack("<IHHII", 66, 0, 16, len(formats), 0) + formats
        return out + b"".join(self.records)

    def content(self, *, finished: bool = True) -> bytes:
        """The file; not finished: as perf record leaves it when it is killed."""
        attr_entry = 128 + 16
        ids_at = 104 + attr_entry * len(self.events)
        attrs, ids = self.attrs(ids_at)
        data = b"".join(self.records)
        data_at = ids_at + len(ids)
        contents = {1: self.tracing_data()}
        for name, text in self.features.items():
            contents[FEATURES[name]] = _string(text)
        words = b"".join(_string(word) for word in self.cmdline)
        contents[11] = _pack("<I", len(self.cmdline)) + words
        if self.names:
            contents[12] = self.descriptions()
        flags = sum(1 << bit for bit in contents)
        flags = _pack("<4Q", *(flags >> 64 * i & (1 << 64) - 1 for i in range(4)))
        table_at = data_at + len(data)
        at = table_at + 16 * len(contents)
        table = b""
        for bit in sorted(contents):
            table += _pack("<2Q", at, len(contents[bit]))
            at += len(contents[bit])
        header = _magic() + _pack(
            "<8Q",
            *(104, attr_entry, 104, len(attrs)),
            *(data_at, len(data) if finished else 0, 0, 0),
        )
        tail = table + b"".join(contents[bit] for bit in sorted(contents)) if finished else b""
        return header + flags + attrs + ids + data + tail


def _string(text: str) -> bytes:
    data = text.encode() + b"\0"
    data += b"\0" * (-len(data) % 64)
    return _pack("<I", len(data)) + data
