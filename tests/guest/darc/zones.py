# SPDX-License-Identifier: GPL-2.0
"""A zone's files, and processes that take its memory: what the tests of DARC have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from obedient import Obedient

import guest

DARC = Path("/sys/kernel/mm/darc")
PAGE = os.sysconf("SC_PAGESIZE")
MB = 1 << 20
VM = Path("/proc/sys/vm")

PROGRAM = f"""
import ctypes, mmap, sys, time, zlib
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
BIND = 2
nodes = ctypes.c_ulong(1 << int(sys.argv[1]))
held = []
def bind():
    # Not for what Python itself needs.
    assert not libc.syscall(238, BIND, ctypes.byref(nodes), 64)
def unbind():
    assert not libc.syscall(238, 0, None, 0)
def hold(size, huge=False):
    bind()
    at = libc.mmap(None, size, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if huge:
        assert not libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(size), mmap.MADV_HUGEPAGE)
    for page in range(at, at + size, {PAGE}):
        ctypes.memmove(page, page.to_bytes(8, "little") * 16, 128)
    unbind()
    held.append((at, size))
    return at
def release(nr=None):
    for at, size in held[-nr:] if nr else held[:]:
        assert not libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size))
        held.remove((at, size))
def lock(at, size):
    assert not libc.mlock(ctypes.c_void_p(at), ctypes.c_size_t(size))
def read(at, size):
    for page in range(at, at + size, {PAGE}):
        assert ctypes.string_at(page, 8) == page.to_bytes(8, "little")
def read_where_it_was(at, size):
    # What is read back from swap space gets memory of the node, not of this CPU's.
    bind()
    read(at, size)
    unbind()
def keep_reading(at, size):
    memory = memoryview((ctypes.c_char * size).from_address(at))
    while True:
        zlib.crc32(memory)
def us_to_read(at, size):
    memory = memoryview((ctypes.c_char * size).from_address(at))
    begin = time.monotonic()
    zlib.crc32(memory)
    return int((time.monotonic() - begin) * 1e6)
def cache(path):
    bind()
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass
    unbind()
for line in sys.stdin:
    print(eval(line), flush=True)
"""


@dataclass(frozen=True)
class Marks:
    """Watermarks, in bytes."""

    low: int
    mid: int
    high: int


class Zone:
    """A zone's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nid = int(path.name.partition("-")[0])
        self.name = path.name.partition("-")[2]

    def get(self, name: str) -> str:
        text = (self.path / name).read_text()
        assert text.endswith("\n")
        return text[:-1]

    def number(self, name: str) -> int:
        return int(self.get(name))

    def marks(self) -> Marks:
        return Marks(*(self.number(name) for name in ("low", "mid", "high")))

    def set_marks(self, marks: Marks) -> None:
        """In the order in which each write is in order."""
        put(self.path / "low", self.number("zone_high") + PAGE)
        put(self.path / "high", self.number("managed") // PAGE * PAGE)
        put(self.path / "mid", marks.mid)
        put(self.path / "low", marks.low)
        put(self.path / "high", marks.high)

    def defaults(self) -> None:
        """Have no watermarks of one's own."""
        put(self.path / "high", self.number("managed"))
        put(self.path / "low", self.number("zone_high") + PAGE)
        for name in ("mid", "low", "high"):
            put(self.path / name, "default")

    def state(self) -> str:
        return self.get("state")

    def proc(self) -> dict[str, int]:
        """What /proc/zoneinfo says of it, in bytes."""
        wanted = f"Node {self.nid}, zone {self.name:>8}"
        text = Path("/proc/zoneinfo").read_text().partition(wanted)[2].partition("\nNode ")[0]
        found = {}
        for key, name in (("pages free", "free"), ("high", "zone_high"), ("managed", "managed")):
            match = re.search(rf"^ +{key} +(\d+)$", text, re.MULTILINE)
            assert match
            found[name] = int(match[1]) * PAGE
        return found


def put(path: Path, value: object) -> None:
    path.write_text(str(value))


def zones() -> list[Zone]:
    return [Zone(path) for path in sorted((DARC / "zones").iterdir())]


def biggest_of_last_node() -> Zone:
    """A zone that the rest of the system has no need of, where there are several nodes."""
    last = max(zone.nid for zone in zones())
    return max((zone for zone in zones() if zone.nid == last), key=lambda z: z.number("managed"))


def wait_until(condition: Callable[[], object], what: str) -> None:
    guest.wait_until(condition, what, 60)


class Process(Obedient):
    """A process that takes memory of a node, and gives it back, as it is told."""

    def __init__(self, nid: int) -> None:
        super().__init__(PROGRAM, nid)

    def hold(self, size: int, huge: bool = False) -> range:
        at = self.do(f"hold({size}, {huge})")
        assert at
        return range(at, at + size)

    def swapped(self, memory: range) -> int:
        """Bytes of a mapping that are in swap space."""
        return self.smaps(memory, "Swap")


def params() -> list[Path]:
    return [DARC / "enabled", DARC / "min_age_us", *(DARC / "quotas").iterdir()]


def around(zone: Zone, below: int, gap: int = 16 * MB) -> Marks:
    """Watermarks with the mid one by so much below what is free, and such gaps."""
    mid = (zone.number("free") - below) // PAGE * PAGE
    return Marks(low=mid - gap, mid=mid, high=mid + gap)


def eager() -> None:
    """Have it done as fast as it can be."""
    put(DARC / "min_age_us", 500000)
    put(DARC / "quotas/ms", 0)
    put(DARC / "quotas/bytes", 0)
    put(DARC / "quotas/some_mem_psi_us", 0)
    put(DARC / "quotas/reset_interval_ms", 200)
