# SPDX-License-Identifier: GPL-2.0
"""The tracing data inside perf.data: the formats of the recorded tracepoints.

Source: the kernel's events/SYSTEM/EVENT/format files, which perf copies at recording time. They
decide where a field lies, so kernels that add, drop or move fields are read alike.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from perf_damon.tracepoints import EVENT, SYSTEM

TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))

_MAGIC = b"\x17\x08\x44tracing"


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field lies within the raw data of a sample."""

    offset: int
    size: int
    signed: bool
    located: bool = False
    """It tells where a value of varying length lies: its offset, and above 16 bits its size."""

    @property
    def end(self) -> int:
        """The byte after the field."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class EventFormat:
    """What a format file says."""

    system: str
    name: str
    id: int
    fields: dict[str, Field]


_FIELD = re.compile(
    r"^\s*field:(?P<declaration>[^;]*);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);"
    r"(?:\s*signed:(?P<signed>[01]);)?",
    re.MULTILINE,
)


def parse_format(text: str, system: str = SYSTEM) -> EventFormat | None:
    """Parse the text of a format file; None where it is not one."""
    name = re.search(r"^name:\s*(\S+)", text, re.MULTILINE)
    id_ = re.search(r"^ID:\s*(\d{1,9})\s*$", text, re.MULTILINE)
    if not name or not id_:
        return None
    fields = {}
    for match in _FIELD.finditer(text):
        words = re.sub(r"\[[^]]*\]", "", match["declaration"]).split()
        field_name = words[-1:]
        if field_name and len(match["offset"]) < 6 and len(match["size"]) < 6:
            fields[field_name[0]] = Field(
                int(match["offset"]),
                int(match["size"]),
                match["signed"] == "1",
                "__data_loc" in words,
            )
    return EventFormat(system, name[1], int(id_[1]), fields)


def parse_tracing_data(content: bytes) -> list[EventFormat]:
    """All event formats of the header feature TRACING_DATA; fewer where it is cut off."""
    formats: list[EventFormat] = []
    try:
        for system, text in _format_texts(content):
            parsed = parse_format(text, system)
            if parsed is not None:
                formats.append(parsed)
    except (struct.error, ValueError, OverflowError, IndexError):
        pass  # sizes that lead out of the content: what came before them stands
    return formats


def _format_texts(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield (system, format text). Raises what reading outside of the content raises."""
    if not content.startswith(_MAGIC):
        return
    at = content.index(b"\0", len(_MAGIC)) + 1  # behind the version
    order = ">" if content[at] else "<"
    at += 1 + 1 + 4  # byte order, size of long, page size
    for name in (b"header_page\0", b"header_event\0"):
        if content[at : at + len(name)] != name:
            return
        (size,) = struct.unpack_from(f"{order}Q", content, at + len(name))
        at += len(name) + 8 + size
    (count,) = struct.unpack_from(f"{order}I", content, at)
    at += 4
    for _ in range(count):  # formats of ftrace's own events
        (size,) = struct.unpack_from(f"{order}Q", content, at)
        at += 8 + size
    (systems,) = struct.unpack_from(f"{order}I", content, at)
    at += 4
    for _ in range(systems):
        end = content.index(b"\0", at)
        system = content[at:end].decode(errors="replace")
        (count,) = struct.unpack_from(f"{order}I", content, end + 1)
        at = end + 5
        for _ in range(count):
            (size,) = struct.unpack_from(f"{order}Q", content, at)
            if at + 8 + size > len(content):
                raise ValueError("format cut off")
            yield system, content[at + 8 : at + 8 + size].decode(errors="replace")
            at += 8 + size


def running_kernel_format(name: str = EVENT, system: str = SYSTEM) -> EventFormat | None:
    """The running kernel's format of one of DAMON's events, where it may be read."""
    for tracefs in TRACEFS:
        try:
            text = (tracefs / "events" / system / name / "format").read_text(errors="replace")
        except OSError:
            continue
        return parse_format(text, system)
    return None
