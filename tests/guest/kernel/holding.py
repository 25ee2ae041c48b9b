# SPDX-License-Identifier: GPL-2.0
"""Processes whose address space is locked for writing for as long as a test wants.

mmap() of a file has its file system's part done with mmap_lock held for write. That of FUSE first
has the file's dirty pages written, where the file was opened for direct I/O, and waits for it. The
server of the file system is the test: it answers when it likes. So this is what fork() of a very
large process does, by state and not by time.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOSYS
from pathlib import Path

from acting import HUGE
from obedient import Obedient

PAGE = mmap.PAGESIZE
PATIENCE_S = 60

# Of linux/fuse.h
OPCODES = {
    3: "getattr",
    14: "open",
    15: "read",
    16: "write",
    18: "release",
    25: "flush",
    26: "init",
}
NO_ANSWER = (2, 36, 42)  # forget, interrupt, batch_forget
IN_HEADER, OUT_HEADER = struct.Struct("=IIQQ16x"), struct.Struct("=IiQ")
DIRECT_IO = 1
MNT_DETACH = 2
MODE = 0o100600


class SlowFile:
    """A file system that is one file of one page, which writes what is dirty when it is let to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked = threading.Event()
        """Something is to be written: who has it written waits."""
        self.may_write = threading.Event()
        self.device = os.open("/dev/fuse", os.O_RDWR)
        self.opened = 0
        path.touch()
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.device},rootmode={MODE:o},user_id=0,group_id=0".encode()
        if libc.mount(b"slow", os.fsencode(path), b"fuse", 0, options):
            raise OSError(ctypes.get_errno(), "mount of FUSE")
        self.server = threading.Thread(target=self._serve)
        self.server.start()

    def close(self) -> None:
        self.may_write.set()
        ctypes.CDLL(None).umount2(os.fsencode(self.path), MNT_DETACH)
        # Nobody has it open any more: reading from the device ends with an error then.
        self.server.join(PATIENCE_S)
        os.close(self.device)
        assert not self.server.is_alive()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                request = os.read(self.device, 1 << 17)
                _, opcode, unique, _ = IN_HEADER.unpack_from(request)
                if opcode in NO_ANSWER:
                    continue
                answer = getattr(self, OPCODES.get(opcode, ""), None)
                data = answer() if answer else b""
                size = OUT_HEADER.size + len(data)
                error = 0 if answer else -ENOSYS
                os.write(self.device, OUT_HEADER.pack(size, error, unique) + data)

    def init(self) -> bytes:
        # Version 7.31, no options; at most 4 KB in one request.
        return struct.pack("=IIIIHHIIHHII24x", 7, 31, 0, 0, 0, 0, PAGE, 1, 1, 0, 0, 0)

    def getattr(self) -> bytes:
        times = (0,) * 3
        return struct.pack(
            "=QII6Q3I7I", 3600, 0, 0, 1, PAGE, 8, *times, *times, MODE, 1, 0, 0, 0, PAGE, 0
        )

    def open(self) -> bytes:
        self.opened += 1
        return struct.pack("=QIi", self.opened, DIRECT_IO if self.opened > 1 else 0, 0)

    def read(self) -> bytes:
        return bytes(PAGE)

    def write(self) -> bytes:
        self.asked.set()
        self.may_write.wait(PATIENCE_S)
        return struct.pack("=II", PAGE, 0)

    def release(self) -> bytes:
        return b""

    flush = release


PROGRAM = f"""
import ctypes, mmap, sys, threading, time, zlib
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
PRIVATE, FIXED = 2, 16
areas = []
with open(sys.argv[1], "r+b") as file:
    wanted = mmap.mmap(file.fileno(), {PAGE})
def area(size):
    # With nothing beside it but a page of the same mapping, for hold().
    at = libc.mmap(None, size + 3 * {HUGE}, 0, PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    at = (at + 2 * {HUGE} - 1) & -{HUGE}
    assert libc.mmap(at, size + {PAGE}, 3, PRIVATE | FIXED | mmap.MAP_ANONYMOUS, -1, 0) == at
    ctypes.memset(at, 1, size)
    areas.append(memoryview((ctypes.c_char * size).from_address(at)))
    return at
def keep_reading():
    # Nothing here needs memory that it has not had before.
    while True:
        for number, each in enumerate(areas):
            if wanted[number]:
                zlib.crc32(each)
        time.sleep(0.002)
def open_files(path):
    global shared, direct
    shared, direct = open(path, "r+b", 0), open(path, "r+b", 0)
    shared = mmap.mmap(shared.fileno(), {PAGE})
def hold(at):
    shared[0] = 1
    mapped = libc.mmap(at or None, {PAGE}, 1, PRIVATE | (FIXED if at else 0), direct.fileno(), 0)
    assert mapped == at or not at
    return 0
threading.Thread(target=keep_reading, daemon=True).start()
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Holder(Obedient):
    """A process that reads areas of its memory, and whose address space can be held locked."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(dir=directory))
        wanted = self.directory / "wanted"
        wanted.write_bytes(bytes(PAGE))
        with wanted.open("r+b") as file:
            self.wanted = mmap.mmap(file.fileno(), PAGE)
        self.nr_areas = 0
        super().__init__(PROGRAM, wanted)

    def area(self, size: int) -> Area:
        """Map memory that is read when that is wanted."""
        at = self.do(f"area({size})")
        assert at
        self.nr_areas += 1
        return Area(self, self.nr_areas - 1, range(at, at + size))

    @contextmanager
    def locked(self, area: Area | None = None) -> Iterator[None]:
        """mmap_lock is held for write, an area's mapping is locked. The process ends with it."""
        at = area.memory.stop if area else 0
        file = SlowFile(self.directory / "slow")
        try:
            self.do(f"open_files({str(file.path)!r})")
            self.begin(f"hold({at})")
            assert file.asked.wait(PATIENCE_S), "nobody waits for it"
            yield
            file.may_write.set()
            assert self.popen.stdout
            assert self.popen.stdout.readline() == "0\n"
        finally:
            file.may_write.set()
            self.end()
            file.close()


class Area:
    """A part of a process's memory."""

    def __init__(self, holder: Holder, number: int, memory: range) -> None:
        self.holder, self.number, self.memory = holder, number, memory

    def read(self, wanted: bool = True) -> None:
        """Have it read all the time, or not any more."""
        self.holder.wanted[self.number] = wanted
