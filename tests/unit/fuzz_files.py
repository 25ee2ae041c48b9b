# SPDX-License-Identifier: GPL-2.0
"""perf.data files with damage where it hurts: in fields, not in bytes.

A sound file is drawn first (how many processors, targets, snapshots, which events), then some of
its fields, records, attributes, formats and sections are changed. All follows from one number.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from perfdata.writer import (
    CALLCHAIN,
    CPU,
    FIELDS,
    IDENTIFIER,
    IP,
    PATCHED_FIELDS,
    PERF_RECORD,
    PERIOD,
    RAW,
    READ,
    TID,
    TIME,
    Event,
    Writer,
    apply_event,
    damon_event,
    darc_events,
    dummy_event,
    region_event,
)

from perf_damon.parameters import Attributes, Kdamond, Parameters, Scheme

S = 10**9
REAL = 0.05
"""The share of files that begin with a real one."""
PIPED = 0.02 if shutil.which("perf") else 0
"""The share of files that are read through perf, which takes a hundred times as long."""
NUMBERS = (
    *(0, 1, 2, 7, 8, 9, 63, 64, 127, 128, 255, 4095, 4096, 0x7FFF, 0x8000, 0xFFF8, 0xFFFF),
    *(1 << 20, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 32, 1 << 47, 1 << 52, 1 << 53),
    *(1 << 62, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 4096, (1 << 64) - 2),
    (1 << 64) - 1,
)
NAMES = (
    *("", "[heap]", "[stack]", "//anon", "/a b", "/\x1b[31mred", '/a,"b"', "漢" * 30),
    *("x" * 300, "/" + "y" * 60000, "\n", "\r\n", "%s%n", "-", "\x00", "/tmp/\udcff"),
)
_HEAD = (("I", 0), ("H", 4), ("H", 6))
_PLACES = {
    1: (("i", 8), ("i", 12), ("Q", 16), ("Q", 24), ("Q", 32)),
    10: (("i", 8), ("i", 12), ("Q", 16), ("Q", 24), ("Q", 32), ("I", 64), ("I", 68)),
    2: (("Q", 8), ("Q", 16)),
    3: (("i", 8), ("i", 12)),
    4: (("i", 8), ("i", 12), ("i", 16), ("i", 20), ("Q", 24)),
    7: (("i", 8), ("i", 12), ("i", 16), ("i", 20), ("Q", 24)),
    13: (("Q", 8),),
}
"""Fields of records that are not samples, beside header and trailer."""
_LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass
class File:
    """A file while it is made."""

    random: random.Random
    writer: Writer
    told: dict = field(default_factory=dict)
    """The parameters that its command line carries; none where it is empty."""

    def words(self) -> None:
        """Write the parameters on the command line."""
        if self.told:
            text = json.dumps(self.told)
            words = ["perf", "record", "--", "sh", "perf-damon-parameters", text]
            self.writer.cmdline = [word.replace("\0", "") for word in words]


def draw(seed: str) -> bytes:
    """The damaged file of a seed."""
    rng = random.Random(seed)
    if rng.random() < REAL:
        return _in_sections(rng, _real(rng))
    file = sound(rng)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
        rng.choice(_DAMAGES)(file)
    file.words()
    writer = file.writer
    try:
        if rng.random() < PIPED:
            return writer.piped()
        content = writer.content(finished=rng.random() > 0.02)
    except (struct.error, UnicodeEncodeError):  # a number or a text that no file can hold
        return sound_content(rng)
    return _in_sections(rng, content)


def _real(rng: random.Random) -> bytes:
    """A file that perf has written, with damage in some of its records."""
    content = bytearray((Path(__file__).parents[1] / "data" / "stairs.perf.data").read_bytes())
    begin, size = struct.unpack_from("<2Q", content, 40)
    places = []
    at = begin
    while at < begin + size:
        places.append(at)
        at += struct.unpack_from("<H", content, at + 6)[0]
    for _ in range(rng.choice((1, 3, 30, 300))):
        at = rng.choice(places)
        (length,) = struct.unpack_from("<H", content, at + 6)
        where = at + rng.choice((0, 4, 6, 8, *range(8, max(length - 8, 16), 4)))
        width = rng.choice((2, 4, 8))
        old = int.from_bytes(content[where : where + width], "little")
        content[where : where + width] = _number(rng, old, width).to_bytes(width, "little")
    return bytes(content)


def sound_content(rng: random.Random) -> bytes:
    """A file without damage."""
    file = sound(rng)
    file.words()
    return file.writer.content()


def sound(rng: random.Random) -> File:
    """A file without damage, still to be written."""
    events = [damon_event(**_form(rng))]
    if rng.random() < 0.1:
        events[0].fields = PATCHED_FIELDS
    if rng.random() < 0.1:
        events[0].fields = tuple(one for one in FIELDS if not one[0].endswith("age"))
    if rng.random() < 0.4:
        region = region_event(**_form(rng))
        events = [region] if rng.random() < 0.3 else [*events, region]
    apply = apply_event() if rng.random() < 0.6 else None
    darc = darc_events() if rng.random() < 0.5 else {}
    others = [apply] * bool(apply) + list(darc.values())
    if rng.random() < 0.3:
        others.append(Event(config=372, ids=(40,), name="sched_switch", system="sched"))
    if rng.random() < 0.9 or others:
        others.append(dummy_event())
    if rng.random() < 0.07 and others:
        events = []
    writer = Writer(events=events + others)
    file = File(rng, writer)
    kdamonds = [500 + n for n in range(rng.choice((1, 1, 2)))]
    targets = rng.choice((1, 1, 2, 3))
    pids = [77 + n for n in range(targets)]
    if rng.random() < 0.7:
        file.told = _told(rng, kdamonds, pids)
    for pid in pids[: rng.choice((0, 1, 3))]:
        writer.comm(pid, "app")
        writer.mmap2(pid, 0x400000, 0x8000, "/bin/app")
        writer.mmap2(pid, 0x10000000, 8 << 20, "[heap]", time=5 * S)
        writer.mmap2(pid, 0x7F0000000000, 1 << 30, "//anon")
    if rng.random() < 0.3:
        writer.fork(77, 78, time=6 * S)
    step, cpus = rng.choice((S // 10, S // 10, S // 1000, 7 * S)), rng.choice((1, 2, 4))
    time = rng.choice((S, 5000 * S, 1 << 60))
    for i in range(rng.choice((1, 2, 5, 20, 40))):
        time += step + rng.randrange(step // 8)
        for kdamond in kdamonds:
            for target in range(targets):
                _snapshot(file, events, apply, i, time, kdamond, target, rng.randrange(cpus))
        if darc and i % 3 == 0:
            _darc(rng, writer, darc, time, rng.randrange(cpus))
        if rng.random() < 0.1:
            writer.finished_round()
    if rng.random() < 0.2:
        writer.lost(3)
    return file


def _form(rng: random.Random) -> dict[str, int]:
    """What the samples of the event hold."""
    if rng.random() < 0.7:
        return {}
    kind = TID | TIME | RAW
    for bit in (IP, CPU, PERIOD, IDENTIFIER, CALLCHAIN, READ):
        if rng.random() < 0.5:
            kind |= bit
    return {"sample_type": kind, "read_format": rng.choice((0, 1, 3, 4, 8, 11, 15, 16, 31))}


def _told(rng: random.Random, kdamonds: Sequence[int], pids: Sequence[int]) -> dict:
    operations = rng.choice(("vaddr", "vaddr", "paddr", "fvaddr"))
    schemes = (Scheme("pageout", "4K max 0 0 5s max pageout"), Scheme("stat"))
    given = Parameters(
        tuple(
            Kdamond(
                tid=tid,
                operations=operations,
                attributes=rng.choice((Attributes(5000, 100000, 1000000, 10, 1000), Attributes())),
                pids=() if operations == "paddr" else tuple(pids),
                schemes=schemes if rng.random() < 0.5 else (),
            )
            for tid in kdamonds
        ),
        ("app", "--with", "words"),
        {77: "app"},
    )
    return json.loads(given.to_words()[1])


def _snapshot(
    file: File,
    events: Sequence[Event],
    apply: Event | None,
    number: int,
    time: int,
    kdamond: int,
    target: int,
    cpu: int,
) -> None:
    rng, writer = file.random, file.writer
    place = rng.choice((0x400000, 0x10000000, 0x10000000, 0x7F0000000000))
    rows = []
    for _ in range(rng.randrange(1, 9)):
        size = 4096 * rng.choice((1, 2, 512, 100000))
        rows.append((place, place + size, rng.randrange(21), rng.randrange(number + 1)))
        place += size + 4096 * rng.choice((0, 0, 0, 1, 1 << 20))
    if events:
        chain = (1, 2, 3)[: rng.randrange(4)]
        form = {"tid": kdamond, "target_id": target, "cpu": cpu}
        hits = [bytes(rng.randrange(256) for _ in range(number % 3)) for _ in rows]
        for event in events:
            if event.name == "damon_aggregated":
                writer.regions(time=time, regions=rows, event=event, chain=chain, **form)
            else:
                fixed = {"event": event, "hits": hits, "chain": chain}
                writer.probed(time=time + 50, regions=rows, **fixed, **form)
    if apply is not None and number % 2:
        writer.applied(
            time=time - 9, event=apply, region=rows[0], target=target, tid=kdamond, cpu=cpu
        )


def _darc(rng: random.Random, writer: Writer, darc: dict[str, Event], time: int, cpu: int) -> None:
    zone = rng.choice(("0-Normal", "0-DMA32", "1-Movable"))
    marks = {name: 4096 * rng.randrange(1 << 20) for name in ("free", "high", "mid", "low")}
    writer.darc(darc["darc_start"], time=time, zone=zone, cpu=cpu, **marks)
    start = rng.randrange(1 << 30)
    taken = {"start": start, "end": start + (1 << 20), "passed": 1 << 19, "reclaimed": 1 << 18}
    writer.darc(darc["darc_reclaim"], time=time + 5, zone=zone, cpu=cpu, **taken)
    marks |= {"why": rng.randrange(4), "reclaimed": 1 << 18}
    writer.darc(darc["darc_stop"], time=time + 9, zone=zone, cpu=cpu, **marks)


def _number(rng: random.Random, old: int, size: int) -> int:
    """Another number of so many bytes."""
    way = rng.randrange(5)
    if way == 0:
        new = rng.choice(NUMBERS)
    elif way == 1:
        new = old ^ 1 << rng.randrange(8 * size)
    elif way == 2:
        new = old + rng.choice((-4096, -8, -1, 1, 8, 4096))
    elif way == 3:
        new = rng.getrandbits(8 * size)
    else:
        new = (1 << 8 * size) - 1 - rng.choice((0, 1, 4095))
    return new & (1 << 8 * size) - 1


def _one(file: File, kinds: Sequence[int] | None = None) -> int | None:
    """The index of a record of one of these kinds."""
    found = [
        index
        for index, record in enumerate(file.writer.records)
        if len(record) >= 8 and (kinds is None or struct.unpack_from("<I", record)[0] in kinds)
    ]
    return file.random.choice(found) if found else None


def _fields(file: File, record: bytes) -> list[tuple[str, int]]:
    """Letter and offset of each field that the record has."""
    (kind,) = struct.unpack_from("<I", record)
    if kind != 9:
        trailer = [("Q", at) for at in range(max(8, len(record) - 48), len(record), 8)]
        return [*_HEAD, *_PLACES.get(kind, ()), *trailer]
    words = [("Q", at) for at in range(8, min(len(record), 72), 8)]
    fields = [*_HEAD, *words, ("I", 28), ("Q", 32), ("I", 56)]
    for event in file.writer.events:
        if event.type == 2 and len(record) >= 16 and record[8] in event.ids:
            raw = [(_LETTERS.get(size, "B"), 60 + at) for _, at, size, _ in event.fields]
            fields += [("H", 60), *raw, *raw]
    return fields


def _damage_field(file: File) -> None:
    index = _one(file)
    if index is None:
        return
    record = bytearray(file.writer.records[index])
    letter, at = file.random.choice(_fields(file, record))
    size = struct.calcsize(letter)
    if at + size > len(record):
        return
    old = int.from_bytes(record[at : at + size], "little")
    record[at : at + size] = _number(file.random, old, size).to_bytes(size, "little")
    file.writer.records[index] = bytes(record)


def _damage_time(file: File) -> None:
    index = _one(file, (9,))
    event = file.writer.events[0]
    if index is None:
        return
    at = 8 + 8 * sum(bool(event.sample_type & bit) for bit in (IDENTIFIER, IP, TID))
    record = bytearray(file.writer.records[index])
    if at + 8 > len(record):
        return
    old = int.from_bytes(record[at : at + 8], "little")
    record[at : at + 8] = _number(file.random, old, 8).to_bytes(8, "little")
    file.writer.records[index] = bytes(record)


def _swap_fields(file: File) -> None:
    """A field gets what the same field of another record has."""
    one, other = _one(file, (9,)), _one(file, (9,))
    if one is None or other is None:
        return
    record, source = bytearray(file.writer.records[one]), file.writer.records[other]
    letter, at = file.random.choice(_fields(file, record))
    end = at + struct.calcsize(letter)
    if end <= min(len(record), len(source)):
        record[at:end] = source[at:end]
        file.writer.records[one] = bytes(record)


def _move_record(file: File) -> None:
    records, index = file.writer.records, _one(file)
    if index is not None:
        record = records.pop(index)
        for _ in range(file.random.choice((0, 1, 2, 30))):
            records.insert(file.random.randrange(len(records) + 1), record)


def _cut_record(file: File) -> None:
    """Shorter or longer than it was; its header may know."""
    records, index = file.writer.records, _one(file)
    if index is None:
        return
    record = records[index]
    size = file.random.choice((8, 16, 24, len(record) - 8, len(record) - 4, len(record) + 8, 72))
    record = (record + bytes(64))[:size]
    if file.random.random() < 0.7:
        record = record[:6] + struct.pack("<H", max(size, 0)) + record[8:]
    records[index] = record


def _insert_record(file: File) -> None:
    rng = file.random
    kind = rng.choice((*range(24), *range(60, 90), 1 << 31))
    body = rng.randbytes(rng.choice((0, 1, 4, 8, 28, 92, 200, 3000)))
    record = struct.pack("<IHH", kind, rng.choice((0, 1, 0xFFFF)), 8 + len(body)) + body
    where = rng.randrange(len(file.writer.records) + 1)
    file.writer.records[where:where] = [record] * rng.choice((1, 1, 1, 5, 300))


def _damage_name(file: File) -> None:
    rng, writer = file.random, file.writer
    name = rng.choice(NAMES).encode(errors="surrogateescape") + b"\0"
    body = struct.pack("<ii3Q", 77, 77, 0x400000, rng.choice((4096, 1 << 30)), 0) + bytes(32)
    writer.record(10, body + name + b"\0" * (-len(name) % 8) + bytes(48))
    writer.records.insert(rng.randrange(len(writer.records)), writer.records.pop())


def _damage_event(file: File) -> None:
    rng, event = file.random, file.random.choice(file.writer.events)
    way = rng.randrange(8)
    if way == 0:
        event.config = _number(rng, event.config, rng.choice((1, 2, 8)))
    elif way == 1:
        event.type = rng.choice((0, 1, 2, 3, 4, 5, 99, (1 << 32) - 1))
    elif way == 2:
        event.sample_type ^= 1 << rng.randrange(25)
    elif way == 3:
        event.read_format = rng.choice((0, 8, 15, 31, (1 << 64) - 1))
        event.sample_type |= READ * rng.randrange(2)
    elif way == 4:
        event.flags = rng.choice((0, 1 << 18, 1 << 25, (1 << 64) - 1))
    elif way == 5:
        event.ids = rng.choice(((), (0,), event.ids * 3, (32, 50, 60), tuple(range(2000))))
    elif way == 6:
        event.clockid = rng.choice((-1, 1, 7, 1 << 30))
    else:
        event.sample_type = rng.choice((0, PERF_RECORD, (1 << 64) - 1))


def _damage_format(file: File) -> None:
    rng, event = file.random, file.random.choice(file.writer.events)
    fields = list(event.fields)
    if not fields:
        return
    index = rng.randrange(len(fields))
    name, at, size, signed = fields[index]
    way = rng.randrange(5)
    if way == 0:
        at = rng.choice((0, 1, 4, 7, at + 4, 60, 1000, 40000, 99999, 10**12))
    elif way == 1:
        size = rng.choice((0, 1, 2, 3, 4, 8, 16, 40000, 99999))
    elif way == 2:
        name = rng.choice(
            ("unsigned long", "unsigned int other", "", "char name[8]", "int \x1b[0m")
        )
    elif way == 3:
        signed = 1 - signed
    fields[index] = (name, at, size, signed)
    if way == 4:
        del fields[index]
    event.fields = tuple(fields)
    if rng.random() < 0.1:
        event.name = rng.choice(("damon_aggregated", "x", "\x1b[2J", "damos_before_apply", ""))


def _damage_told(file: File) -> None:
    """A value somewhere in the parameters."""
    rng, place = file.random, file.told
    while isinstance(place, dict | list) and len(place):
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = rng.choice(list(keys))
        if isinstance(place[key], dict | list) and len(place[key]) and rng.random() < 0.9:
            place = place[key]
            continue
        place[key] = rng.choice(
            (None, -1, 0, 1, 3, 1 << 31, 1 << 63, 1 << 64, 10**30, 1.5, "", "\x1b[1m", [], {}, True)
        )
        return


def _damage_strings(file: File) -> None:
    rng, features = file.random, file.writer.features
    features[rng.choice(list(features))] = rng.choice(("", "\x1b]0;x\x07", "z" * 5000, "漢字"))


_DAMAGES: tuple[Callable[[File], None], ...] = (
    *(_damage_field,) * 6,
    *(_damage_time,) * 3,
    *(_swap_fields,) * 2,
    *(_move_record,) * 2,
    _cut_record,
    _insert_record,
    _damage_name,
    _damage_event,
    _damage_format,
    *(_damage_told,) * 2,
    _damage_strings,
)


def _in_sections(rng: random.Random, content: bytes) -> bytes:
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        if len(content) > 104:
            content = rng.choice(_SECTIONS)(rng, content)
    return content


def _in_header(rng: random.Random, content: bytes) -> bytes:
    return _word(rng, content, 8 * rng.randrange(13))


def _in_attributes(rng: random.Random, content: bytes) -> bytes:
    at, size = struct.unpack_from("<2Q", content, 24)
    return _word(rng, content, at + 8 * rng.randrange(max(1, size // 8)))


def _in_features(rng: random.Random, content: bytes) -> bytes:
    data_at, size = struct.unpack_from("<2Q", content, 40)
    return _word(rng, content, data_at + size + 8 * rng.randrange(40))


def _cut_off(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def _word(rng: random.Random, content: bytes, at: int) -> bytes:
    if at + 8 > len(content):
        return content
    old = int.from_bytes(content[at : at + 8], "little")
    return content[:at] + _number(rng, old, 8).to_bytes(8, "little") + content[at + 8 :]


_SECTIONS = (_in_header, _in_attributes, _in_attributes, _in_features, _cut_off)
