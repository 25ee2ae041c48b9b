#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The half of lab/bench schemes that runs in a guest, as root.

    schemes_guest.py PART NAME OUT SECONDS RUNS [REDIS]

What was measured goes to files in OUT; lab/benchmarks/schemes.py makes figures of them. NAME is
the kernel's, for telling how far it is; REDIS is where redis-server was unpacked to.

Each setting of a part gives SETTING.RUN.json: what was seen about twice a second, of the process
that is watched, of swap and of the kdamond, and what perf damon schemes told at the end; of
workloads SETTING.RUN.truth as well, and of quotas SETTING.RUN.trace, which is damos_before_apply.

prcl, redis  settings none and scheme: memory that is not accessed for 5 s is paged out
ethp         settings none and always, without schemes, by the system's setting for huge pages,
             and scheme
size         10 MB in each second may be paged out
time         100 ms in each second may be used to page out; setting none counts bytes, but does
             nothing, so that the difference is what paging out takes
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from accuracy_guest import cpu_time, run, workload

COLD = "size=4K-max accesses=0%-0%"
PRCL = ("4K max min min 5s max pageout quota=100M/1s weights=0/3/7",)
ETHP = (
    "2M max 40% max min max hugepage",
    "2M max min min 7s max nohugepage",
)
SIZE = (f"action=pageout {COLD} age=1s-max quota=10M/1s",)
TIME = (f"action=pageout {COLD} age=1s-max quota=100ms/1s",)
COUNTED = (f"action=stat {COLD} age=1s-max",)

PAGE = 4096
RETURN_NS = 10_000_000_000
"""Who is paged out and comes back sooner was paged out wrongly."""
EVERY_S = 0.43
"""No part of a second, in which workloads begin things."""
POLL_S = 0.05
FINE_S = 0.01
START_S = 120
"""Patience until perf damon has started a kdamond, while a program takes all of the CPU."""
ZRAM = Path("/sys/block/zram0")
TRACING = Path("/sys/kernel/tracing")
HUGE = Path("/sys/kernel/mm/transparent_hugepage")
REDIS_PORT = 6379


def kdamonds() -> list[int]:
    """The process ids of those that run."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/comm")
        if path.read_text().startswith("kdamond.")
    ]


class Watch:
    """What becomes of a process's anonymous memory."""

    def __init__(self, pid: int, operations: Callable[[], int] | None = None) -> None:
        self.pid = pid
        self.operations = operations
        self.samples: list[dict] = []
        self.kdamond: int | None = None
        self._numbers = np.empty(0, np.int64)
        self._since = np.empty(0, np.int64)
        """When a page was first seen in swap; 0: it is not there."""
        self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)

    def look(self) -> None:
        """Take a sample."""
        now = time.monotonic_ns()
        numbers, entries = self._pages()
        present = entries >> np.uint64(63) == 1
        swapped = (entries >> np.uint64(62) & np.uint64(1) == 1) & ~present
        back_late = self._follow(now, numbers, present, swapped)
        counts = vmstat()
        sample = {
            "time": now,
            "present": int(present.sum()) * PAGE,
            "swapped": int(swapped.sum()) * PAGE,
            "regions": self._by_mapping(numbers, present),
            "back_late": back_late * PAGE,
            "swapped_in": counts["pswpin"] * PAGE,
            "swapped_out": counts["pswpout"] * PAGE,
            "zram": int((ZRAM / "mm_stat").read_text().split()[2]),
            "kdamond_ns": cpu_time(self.kdamond) if self.find_kdamond() else 0,
        }
        if self.operations:
            sample["operations"] = self.operations()
        self.samples.append(sample)

    def find_kdamond(self) -> bool:
        """Whether a kdamond runs."""
        if self.kdamond is None:
            self.kdamond = next(iter(kdamonds()), None)
        return self.kdamond is not None

    def _pages(self) -> tuple[np.ndarray, np.ndarray]:
        """Number and entry of each page of private writable memory without a file."""
        numbers, entries = [], []
        for line in Path(f"/proc/{self.pid}/maps").read_text().splitlines():
            words = line.split()
            if not words[1].startswith("rw-p") or (len(words) > 5 and words[5] != "[heap]"):
                continue
            start, end = (int(text, 16) // PAGE for text in words[0].split("-"))
            data = os.pread(self._pagemap, (end - start) * 8, start * 8)
            entries.append(np.frombuffer(data, np.uint64))
            numbers.append(np.arange(start, start + len(entries[-1])))
        return np.concatenate(numbers), np.concatenate(entries)

    def _by_mapping(self, numbers: np.ndarray, present: np.ndarray) -> dict[int, int]:
        """Bytes that are present, in each 2 MB that has some."""
        places, counts = np.unique(numbers[present] >> 9, return_counts=True)
        return {int(at) << 21: int(n) * PAGE for at, n in zip(places, counts, strict=True)}

    def _follow(
        self, now: int, numbers: np.ndarray, present: np.ndarray, swapped: np.ndarray
    ) -> int:
        """Note what is in swap; returns how many pages are back that were there for long."""
        since = np.zeros(len(numbers), np.int64)
        if len(self._numbers):
            at = np.searchsorted(self._numbers, numbers).clip(max=len(self._numbers) - 1)
            known = self._numbers[at] == numbers
            since[known] = self._since[at[known]]
        back_late = present & (since > 0) & (since <= now - RETURN_NS)
        self._since = np.where(swapped, np.where(since > 0, since, now), 0)
        self._numbers = numbers
        return int(back_late.sum())


def vmstat() -> dict[str, int]:
    lines = Path("/proc/vmstat").read_text().splitlines()
    return {name: int(value) for name, value in map(str.split, lines)}


@contextmanager
def swap() -> Iterator[None]:
    """Swap in compressed memory, from which one page is read at a time."""
    (ZRAM / "disksize").write_text("1G")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    run("mkswap", "/dev/zram0")
    run("swapon", "/dev/zram0")
    Path("/proc/sys/vm/page-cluster").write_text("0")
    yield
    run("swapoff", "/dev/zram0")
    (ZRAM / "reset").write_text("1")


@contextmanager
def traced(path: Path) -> Iterator[None]:
    """Write what schemes are tried on to a file."""
    if not (TRACING / "trace").exists():
        run("mount", "-t", "tracefs", "tracefs", TRACING)
    event = TRACING / "events/damon/damos_before_apply/enable"
    (TRACING / "trace_clock").write_text("mono")
    (TRACING / "buffer_size_kb").write_text("16384")
    (TRACING / "trace").write_text("")
    event.write_text("1")
    yield
    event.write_text("0")
    path.write_text((TRACING / "trace").read_text())


@contextmanager
def redis(root: str) -> Iterator[tuple[subprocess.Popen, Callable[[], int]]]:
    """A redis-server with 80 MB of values, of which 4 MB are read all the time."""
    os.environ["LD_LIBRARY_PATH"] = f"{root}/usr/lib/x86_64-linux-gnu"
    words = ["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]
    quiet = {"stdout": subprocess.DEVNULL}
    server = subprocess.Popen([f"{root}/usr/bin/redis-server", *words], **quiet)
    connection = _connect(server)
    # The cold ones first: what is hot then lies behind them.
    _ask(connection, "DEBUG POPULATE 40000 cold 2000")
    bench = [f"{root}/usr/bin/redis-benchmark", "-q", "-r", "2000", "-d", "2000", "-P", "16"]
    run(*bench, "-n", "20000", "-t", "set")
    load = subprocess.Popen([*bench, "-n", "1000000000", "-t", "get"], **quiet)
    del os.environ["LD_LIBRARY_PATH"]

    def operations() -> int:
        text = _ask(connection, "INFO stats")
        return int(re.search(r"total_commands_processed:(\d+)", text)[1])

    try:
        yield server, operations
    finally:
        for process in (load, server):
            process.kill()
            process.wait()


def _connect(server: subprocess.Popen) -> socket.socket:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", REDIS_PORT))
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("redis-server does not answer") from None
        time.sleep(0.1)


def _ask(connection: socket.socket, command: str) -> str:
    """A command that is answered by a line, or by one string."""
    connection.sendall(command.encode() + b"\r\n")
    answer = b""
    while b"\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, rest = answer.partition(b"\r\n")
    if head.startswith(b"-"):
        raise SystemExit(f"redis-server: {command}: {head.decode()}")
    while head.startswith(b"$") and len(rest) < int(head[1:]) + 2:
        rest += connection.recv(65536)
    return (rest or head).decode()


def options(schemes: Sequence[str]) -> list[str]:
    return [word for scheme in schemes for word in ("--scheme", scheme)]


def start(watch: Watch, schemes: Sequence[str]) -> int:
    """Start monitoring; returns when there was a kdamond first (ns)."""
    process = subprocess.Popen(["perf", "damon", "start", *options(schemes), str(watch.pid)])
    begin = look_at = time.monotonic()
    seen = None
    while process.poll() is None:
        if seen is None and watch.find_kdamond():
            seen = time.monotonic_ns()
        if time.monotonic() > begin + START_S:
            process.kill()
        if time.monotonic() >= look_at:
            watch.look()
            look_at += EVERY_S
        time.sleep(POLL_S)
    if process.returncode or seen is None:
        raise SystemExit(f"perf damon start: status {process.returncode}, kdamond: {seen}")
    return seen


def observe(watch: Watch, schemes: Sequence[str], path: Path, seconds: int) -> None:
    """Watch for so many seconds, from when perf damon start has ended (if there are schemes)."""
    told: dict = {"kdamond": start(watch, schemes) if schemes else None}
    turn = time.monotonic()
    told["begin"] = time.monotonic_ns()
    for _ in range(round(seconds / EVERY_S) + 1):
        watch.look()
        turn += EVERY_S
        time.sleep(max(0, turn - time.monotonic()))
    if schemes:
        told["schemes"] = json.loads(run("perf", "damon", "schemes", "--json"))
        run("perf", "damon", "stop")
    path.write_text(json.dumps({**told, "samples": watch.samples}))


def count(pid: int, schemes: Sequence[str], path: Path, seconds: int) -> None:
    """The CPU time of a kdamond, and what was paged out, every few milliseconds."""
    watch = Watch(pid)
    run("perf", "damon", "start", *options(schemes), pid)
    if not watch.find_kdamond():
        raise SystemExit("perf damon start started no kdamond")
    samples = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        out = vmstat()["pswpout"] * PAGE
        samples.append((time.monotonic_ns(), cpu_time(watch.kdamond), out))
        time.sleep(FINE_S)
    told = {"samples": samples, "schemes": json.loads(run("perf", "damon", "schemes", "--json"))}
    path.write_text(json.dumps(told))
    run("perf", "damon", "stop")


def prcl(out: Path, number: int, seconds: int, _root: str) -> None:
    for setting, schemes in (("none", ()), ("scheme", PRCL)):
        with swap(), workload("half-cold", out / f"{setting}.{number}.truth") as process:
            observe(Watch(process.pid), schemes, out / f"{setting}.{number}.json", seconds)


def real(out: Path, number: int, seconds: int, root: str) -> None:
    for setting, schemes in (("none", ()), ("scheme", PRCL)):
        with swap(), redis(root) as (server, operations):
            path = out / f"{setting}.{number}.json"
            observe(Watch(server.pid, operations), schemes, path, seconds)


def ethp(out: Path, number: int, seconds: int, _root: str) -> None:
    settings = (("none", "madvise", ()), ("always", "always", ()), ("scheme", "madvise", ETHP))
    # Memory that has small pages already gets huge ones by khugepaged, which sleeps for 10 s after
    # each 16 MB otherwise.
    (HUGE / "khugepaged/scan_sleep_millisecs").write_text("1000")
    for setting, huge, schemes in settings:
        (HUGE / "enabled").write_text(huge)
        with swap(), workload("bloat", out / f"{setting}.{number}.truth") as process:
            observe(Watch(process.pid), schemes, out / f"{setting}.{number}.json", seconds)


def size(out: Path, number: int, seconds: int, _root: str) -> None:
    name = out / f"scheme.{number}"
    with swap(), workload("cold", Path(f"{name}.truth")) as process, traced(Path(f"{name}.trace")):
        count(process.pid, SIZE, Path(f"{name}.json"), seconds)


def time_quota(out: Path, number: int, seconds: int, _root: str) -> None:
    for setting, schemes in (("none", COUNTED), ("scheme", TIME)):
        name = out / f"{setting}.{number}"
        with (
            swap(),
            workload("cold", Path(f"{name}.truth")) as process,
            traced(Path(f"{name}.trace")),
        ):
            count(process.pid, schemes, Path(f"{name}.json"), seconds)


PARTS = {"prcl": prcl, "redis": real, "ethp": ethp, "size": size, "time": time_quota}


def main(part: str, name: str, out: str, seconds: str, runs: str, root: str = "") -> None:
    Path(out, "release").write_text(platform.release())
    for number in range(1, int(runs) + 1):
        print(f"lab: {name}: {part}, {number} of {runs}", file=sys.stderr, flush=True)
        PARTS[part](Path(out), number, int(seconds), root)


if __name__ == "__main__":
    if not Path("/run/lab/share").is_dir():
        raise SystemExit("it uses DAMON, so it runs in a guest of the lab only: lab/bench schemes")
    main(*sys.argv[1:])
