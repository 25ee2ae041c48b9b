# SPDX-License-Identifier: GPL-2.0
"""The container that perf.data is: file header, event attributes, header features.

Layout of a file (a machine of the other byte order writes "2ELIFREP" and the rest in its own
order; of such files all but the records is read here):

    file header (104 bytes): magic, own size, attr size, sections attrs, data, event types,
        bitmap of the features that are present
    attrs: struct perf_event_attr and the section of its ids, for each event
    data: records
    feature table: a section for each bit of the bitmap, then the features

A file that was written to a pipe has a header of 16 bytes, and attributes and features are records.

Every offset, size and count is checked against the size of the file before it is used.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from perf_damon.errors import DataError
from perf_damon.recording import Header

MAGIC = b"PERFILE2"
HEADER_SIZE = 104
PIPE_HEADER_SIZE = 16

TRACING_DATA = 1
HOSTNAME = 3
OS_RELEASE = 4
VERSION = 5
ARCH = 6
CMDLINE = 11
EVENT_DESC = 12
AUXTRACE = 18
DIR_FORMAT = 24
COMPRESSED = 27

TYPE_TRACEPOINT = 2
DUMMY = (1, 9)
"""Type and config of the event that perf adds to record mappings and names."""
_SAMPLE_ID_ALL = 18
_USE_CLOCKID = 25
"""Numbers of bits."""

_RECORD_SAMPLE = 9
RECORD_ATTR = 64
RECORD_TRACING_DATA = 66
RECORD_FEATURE = 80
DESCRIBING = (RECORD_ATTR, RECORD_TRACING_DATA, RECORD_FEATURE)
"""Records of a piped file that come ahead of the samples and describe them."""

_MAX_PIPE_RECORDS = 1 << 14
_MAX_ATTRS = 1 << 16
_MAX_NAME = 1 << 10
_MAX_FEATURE = 64 << 20
"""The largest feature that is read: event formats of every tracepoint are about 5 MiB."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the file."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Attr:
    """What struct perf_event_attr says of an event, and the ids its samples carry."""

    type: int
    config: int
    sample_type: int
    read_format: int
    sample_id_all: bool
    clockid: int | None
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Container:
    """The parts of a perf.data file."""

    path: str
    size: int
    attrs: tuple[Attr, ...]
    data: Section
    complete: bool
    """The header was finished and the file holds all that it announces."""
    missing: int
    """Bytes of the data that the header announces and the file does not have."""
    features: dict[int, Section] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    """Features that came as records."""
    order: str = "<"
    """The byte order, as struct has it."""

    def feature(self, file: BinaryIO, bit: int) -> bytes:
        """The content of a feature, empty where the file does not have it."""
        if bit in self.contents:
            return self.contents[bit]
        section = self.features.get(bit)
        if section is None or section.size > _MAX_FEATURE:
            return b""
        return read_at(file, section.offset, section.size)


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Up to `size` bytes at `offset`; fewer at the end of the file."""
    return os.pread(file.fileno(), size, offset)


def is_pipe(head: bytes) -> bool:
    """Whether a file that starts so was written to a pipe (perf record -o -)."""
    if head[:8] not in (MAGIC, MAGIC[::-1]):
        return False
    return head[8:16] == struct.pack(f"{_order(head)}Q", PIPE_HEADER_SIZE)


def is_foreign(head: bytes) -> bool:
    """Whether a file that starts so comes from a machine of the other byte order."""
    return head[:8] == MAGIC[::-1]


def _order(head: bytes) -> str:
    return ">" if is_foreign(head) else "<"


def parse(file: BinaryIO, path: str) -> Container:
    """Read header, attributes and feature table. Raises DataError."""
    size = os.fstat(file.fileno()).st_size
    head = read_at(file, 0, HEADER_SIZE)
    if not head:
        raise DataError(f"{path}: the file is empty", "record one: perf damon record PID")
    if head[:8] not in (MAGIC[: len(head[:8])], MAGIC[::-1]):
        raise DataError(f"{path}: not a perf.data file", "name the file that perf wrote with -i")
    if len(head) < HEADER_SIZE:
        raise DataError(
            f"{path}: the header is cut off: {len(head)} of {HEADER_SIZE} bytes",
            "record again: perf damon record PID",
        )
    order = _order(head)
    (_, attr_size, attrs_offset, attrs_size, data_offset, data_size) = struct.unpack_from(
        f"{order}6Q", head, 8
    )
    if data_offset > size or data_offset < HEADER_SIZE:
        raise DataError(
            f"{path}: the data are said to begin at byte {data_offset} of {size}",
            "the file is cut off or damaged; copy it again or record again",
        )
    attrs = _parse_attrs(file, path, size, attr_size, Section(attrs_offset, attrs_size), order)
    # perf writes the size of the data when it ends; 0 means that it never got there.
    held = min(data_size or size, size - data_offset)
    complete = bool(data_size) and held == data_size
    features = {}
    if complete:
        bits = feature_bits(head, order)
        features = _feature_table(file, size, data_offset + data_size, bits, order)
    return Container(
        path=path,
        size=size,
        attrs=attrs,
        data=Section(data_offset, held),
        complete=complete,
        missing=data_size - held if data_size else 0,
        features=features,
        order=order,
    )


def _parse_attrs(
    file: BinaryIO, path: str, size: int, attr_size: int, section: Section, order: str
) -> tuple[Attr, ...]:
    if not 64 + 16 <= attr_size <= 4096 or section.offset + section.size > size:
        raise DataError(
            f"{path}: the event attributes make no sense "
            f"({section.size} bytes at {section.offset}, {attr_size} each)",
            "the file is cut off or damaged; copy it again or record again",
        )
    count = min(section.size // attr_size, _MAX_ATTRS)
    content = read_at(file, section.offset, count * attr_size)
    attrs, left = [], size
    for at in range(0, count * attr_size, attr_size):
        ids_offset, ids_size = struct.unpack_from(f"{order}2Q", content, at + attr_size - 16)
        ids = b""
        # All of them together are in the file, so that many large ones make no sense.
        if ids_offset + ids_size <= size and ids_size <= left:
            ids = read_at(file, ids_offset, ids_size & ~7)
            left -= len(ids)
        attrs.append(_attr(content[at : at + attr_size - 16], ids, order))
    return tuple(attrs)


def _attr(content: bytes, ids: bytes, order: str) -> Attr:
    type_, _, config, _, sample_type, read_format, flags = struct.unpack_from(
        f"{order}2I5Q", content
    )

    def flag(bit: int) -> bool:
        # Bit fields begin at the other end on such machines.
        return bool(flags >> (63 - bit if order == ">" else bit) & 1)

    clockid = None
    if len(content) >= 96 and flag(_USE_CLOCKID):
        (clockid,) = struct.unpack_from(f"{order}i", content, 92)
    return Attr(
        type=type_,
        config=config,
        sample_type=sample_type,
        read_format=read_format,
        sample_id_all=flag(_SAMPLE_ID_ALL),
        clockid=clockid,
        ids=struct.unpack(f"{order}{len(ids) // 8}Q", ids[: len(ids) & ~7]),
    )


def feature_bits(head: bytes, order: str) -> list[int]:
    """The features that a file's header says it has, in the order of the table of their places."""
    words = struct.unpack_from(f"{order}4Q", head, 72)
    flags = sum(word << 64 * i for i, word in enumerate(words))
    return [bit for bit in range(256) if flags >> bit & 1]


def _feature_table(
    file: BinaryIO, size: int, offset: int, bits: list[int], order: str
) -> dict[int, Section]:
    content = read_at(file, offset, 16 * len(bits))
    sections = struct.iter_unpack(f"{order}2Q", content[: len(content) & ~15])
    return {
        bit: Section(*section)
        for bit, section in zip(bits, sections, strict=False)
        if sum(section) <= size
    }


def header(file: BinaryIO, parts: Container) -> Header:
    """The header of a recording, from its features."""

    def feature(bit: int) -> bytes:
        return parts.feature(file, bit)

    order = parts.order
    strings = [_strings(feature(bit), 1, order) for bit in (HOSTNAME, OS_RELEASE, VERSION, ARCH)]
    hostname, os_release, version, arch = (text[0] if text else None for text in strings)
    words = feature(CMDLINE)
    count = _count(words, order)
    clockid = next((attr.clockid for attr in parts.attrs if attr.clockid is not None), None)
    return Header(
        hostname=hostname,
        os_release=os_release,
        perf_version=version,
        arch=arch,
        cmdline=tuple(_strings(words[4:], count, order)),
        clockid=clockid,
        captured=os.fstat(file.fileno()).st_mtime,
    )


def parse_pipe(file: BinaryIO, path: str) -> Container:
    """Read the attributes and features of a piped file: records that come ahead of the samples."""
    size = os.fstat(file.fileno()).st_size
    order = _order(read_at(file, 0, PIPE_HEADER_SIZE))
    attrs: list[Attr] = []
    features: dict[int, bytes] = {}
    at = PIPE_HEADER_SIZE
    for _ in range(_MAX_PIPE_RECORDS):
        head = read_at(file, at, 16)
        if len(head) < 16:
            break
        kind, _, length = struct.unpack_from(f"{order}IHH", head)
        if length < 8 or kind == _RECORD_SAMPLE:
            break
        if kind == RECORD_FEATURE and length >= 16:
            (bit,) = struct.unpack_from(f"{order}Q", head, 8)
            features[bit] = read_at(file, at + 16, length - 16)
        elif kind == RECORD_ATTR and length >= 8 + 64:
            body = read_at(file, at + 8, length - 8)
            (attr_size,) = struct.unpack_from(f"{order}I", body, 4)
            if 64 <= attr_size <= len(body):
                attrs.append(_attr(body[:attr_size], body[attr_size:], order))
        elif kind == RECORD_TRACING_DATA:  # what it announces follows it
            (more,) = struct.unpack_from(f"{order}I", head, 8)
            if more <= _MAX_FEATURE:
                features[TRACING_DATA] = read_at(file, at + length, more)
            length += more
        at += length
    return Container(
        path=path,
        size=size,
        attrs=tuple(attrs),
        data=Section(at, max(size - at, 0)),
        complete=True,
        missing=0,
        contents=features,
        order=order,
    )


def event_names(content: bytes, order: str) -> list[str]:
    """The names of the events, in the order of the attributes: the feature EVENT_DESC."""
    names: list[str] = []
    count = _count(content, order)
    attr_size = _count(content[4:8], order)
    at = 8
    while len(names) < min(count, _MAX_ATTRS) and at + attr_size + 8 <= len(content):
        at += attr_size
        ids, length = _count(content[at : at + 4], order), _count(content[at + 4 : at + 8], order)
        names += _strings(content[at + 4 : at + 8 + _MAX_NAME], 1, order)
        at += 8 + length + 8 * ids
    return names


def _count(content: bytes, order: str) -> int:
    return int.from_bytes(content[:4], "big" if order == ">" else "little")


def _strings(content: bytes, count: int, order: str) -> list[str]:
    """Strings as features hold them: u32 size, then that many bytes, padded with zeros."""
    strings: list[str] = []
    at = 0
    while len(strings) < count and at + 4 <= len(content):
        (size,) = struct.unpack_from(f"{order}I", content, at)
        text = content[at + 4 : at + 4 + size]
        strings.append(text.split(b"\0", 1)[0].decode(errors="replace"))
        at += 4 + size
    return strings
