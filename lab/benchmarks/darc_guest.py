#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The half of lab/bench darc that runs in a guest, as root.

    darc_guest.py SHAPE NAME OUT RUNS SETTING…

What was measured goes to files in OUT; lab/benchmarks/darc.py makes figures of them. NAME is the
kernel's, for telling how far it is.

Each setting gives SETTING.RUN.json, the kernel's counts before and after, with samples between, and
SETTING.RUN.times, which lab/workloads/pressure.c wrote.

calm     the same without pressure: nothing grows, nothing is read
none     nothing but the kernel's own reclaim
darc     DARC, as it is by default
scheme   a scheme of DAMON that does what comes next to it: memory of all zones that nothing has
         accessed for 5 s is paged out, while less than DARC's high watermarks is free
reclaim  the kernel's module DAMON_RECLAIM, with the same age, quota and watermarks
"""

from __future__ import annotations

import json
import mmap
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accuracy_guest import cpu_time, run
from kernel_log import Log, complaints
from schemes_guest import ZRAM, kdamonds, swap, vmstat

MB = 1 << 20
KB = 1 << 10
PAGE = 4096
PRESSURE = Path(__file__).parents[2] / "build" / "workloads" / "pressure"
DARC = Path("/sys/kernel/mm/darc")
RECLAIM = Path("/sys/module/damon_reclaim/parameters")
STAT = Path("/sys/module/damon_stat/parameters/enabled")
AGE_S = 5
SETTLE_S = 8
"""Longer than the age: what is filled is cold then."""
EVERY_S = 1.0
LEVEL = 16
"""MB that are filled last, by how much is free then."""
FIELD = re.compile(r"^ +(pages free|high|managed) +(\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Shape:
    """How memory gets short."""

    hot: int = 64
    """MB, as are the next two."""
    warm: int = 16
    spare: int = 16
    """Left free above the high watermark when it begins."""
    hot_share: float = 0.0
    """The hot memory, in parts of all; instead of `hot`."""
    grow: int = 0
    rate: int = 0
    """KB, and KB in a second; 0 at once."""
    read: int = 0
    """KB in a second, of a file."""
    seconds: int = 60
    node: int | None = None
    """Whose memory gets short; else that of all."""


SHAPES = {
    "slow": Shape(grow=200 * KB, rate=2 * KB, seconds=110),
    "burst": Shape(grow=200 * KB, seconds=20),
    "scan": Shape(read=3 * KB, seconds=120),
    "half": Shape(warm=0, hot_share=0.5, grow=160 * KB, rate=2 * KB, seconds=90),
    "nodes": Shape(grow=160 * KB, rate=2 * KB, seconds=90, node=1),
}


@dataclass(frozen=True)
class Zone:
    """A zone, in bytes, with DARC's watermarks for it."""

    nid: int
    free: int
    managed: int
    zone_high: int

    @property
    def gap(self) -> int:
        return self.managed // 32

    @property
    def low(self) -> int:
        return self.zone_high + min(self.zone_high // 4, self.gap)

    @property
    def mid(self) -> int:
        return self.low + self.gap

    @property
    def high(self) -> int:
        return self.mid + self.gap


def zones(node: int | None = None) -> list[Zone]:
    """Those with memory to speak of, of a node or of all."""
    found = []
    for block in Path("/proc/zoneinfo").read_text().removeprefix("Node ").split("\nNode "):
        counts = dict(FIELD.findall(block))
        nid, managed = int(block.partition(",")[0]), int(counts.get("managed", 0)) * PAGE
        if managed > 64 * MB and node in (None, nid):
            free, high = (int(counts[name]) * PAGE for name in ("pages free", "high"))
            found.append(Zone(nid, free, managed, high))
    return found


# What reclaims


@contextmanager
def nothing() -> Iterator[None]:
    yield


@contextmanager
def darc() -> Iterator[None]:
    (DARC / "enabled").write_text("Y")
    yield
    (DARC / "enabled").write_text("N")


def permille() -> tuple[int, int, int]:
    """DARC's high, mid and low watermarks of all zones in 1/1000 of all memory."""
    words = Path("/proc/meminfo").read_text().split()
    total = int(words[words.index("MemTotal:") + 1]) * KB
    return tuple(
        round(1000 * sum(getattr(zone, name) for zone in zones()) / total)
        for name in ("high", "mid", "low")
    )  # type: ignore[return-value]


@contextmanager
def scheme() -> Iterator[None]:
    high, mid, low = permille()
    text = (
        f"action=pageout size=4K-max accesses=0%-0% age={AGE_S}s-max quota=30ms,128M/1s "
        f"weights=0/1/1 watermarks=free_mem_rate:{high}:{mid}:{low}@1s"
    )
    run("perf", "damon", "start", "--scheme", text, "paddr")
    yield
    run("perf", "damon", "stop")


@contextmanager
def reclaim() -> Iterator[None]:
    if STAT.exists():
        # Of DAMON's users, it lets no other one beside it.
        STAT.write_text("N")
    high, mid, low = permille()
    for name, value in (
        ("min_age", AGE_S * 1000000), ("quota_ms", 30), ("quota_sz", 128 * MB),
        ("quota_reset_interval_ms", 1000), ("wmarks_interval", 1000000),
        ("wmarks_high", high), ("wmarks_mid", mid), ("wmarks_low", low), ("enabled", "Y"),
    ):  # fmt: skip
        (RECLAIM / name).write_text(str(value))
    yield
    (RECLAIM / "enabled").write_text("N")


SETTINGS = {"calm": nothing, "none": nothing, "darc": darc, "scheme": scheme, "reclaim": reclaim}


# What is seen


class Costs:
    """CPU time of kdamonds, which come and go."""

    def __init__(self) -> None:
        self.by_pid: dict[int, int] = {}

    def look(self) -> int:
        """All that was spent so far, in ns."""
        if DARC.is_dir() and (DARC / "enabled").read_text() == "Y\n":
            files = DARC.glob("zones/*/cpu_us")
            return sum(int(path.read_text()) for path in files) * 1000
        for pid in kdamonds():
            try:
                self.by_pid[pid] = cpu_time(pid)
            except OSError:
                continue
        return sum(self.by_pid.values())


def darc_counts() -> dict[str, int]:
    """DARC's own counts, in bytes, of all zones."""
    names = ("tried", "reclaimed", "refaulted", "started", "stopped_above_high",
             "stopped_below_low")  # fmt: skip
    return {
        name: sum(int(path.read_text()) for path in DARC.glob(f"zones/*/{name}")) for name in names
    }


def sample(costs: Costs, node: int | None) -> dict:
    return {
        "time": time.monotonic_ns(),
        "free": sum(zone.free for zone in zones(node)),
        "kdamond_ns": costs.look(),
        "vmstat": vmstat(),
        "darc": darc_counts(),
        "zram": int((ZRAM / "mm_stat").read_text().split()[2]),
    }


@contextmanager
def file_to_read(size: int) -> Iterator[Path]:
    """A file on a disk that takes no memory: it is all zeros, which zram does not store."""
    number = Path("/sys/class/zram-control/hot_add").read_text().strip()
    disk, mount = Path(f"/sys/block/zram{number}"), Path("/run/pressure")
    (disk / "disksize").write_text(str(size + 64 * MB))
    run("mkfs.ext4", "-q", f"/dev/zram{number}")
    mount.mkdir(exist_ok=True)
    run("mount", f"/dev/zram{number}", mount)
    with (mount / "file").open("wb") as file:
        for _ in range(size // MB):
            file.write(b"\0" * MB)
    # Forget the pages that writing it has left.
    run("umount", mount)
    run("mount", f"/dev/zram{number}", mount)
    yield mount / "file"
    run("umount", mount)
    (disk / "reset").write_text("1")
    Path("/sys/class/zram-control/hot_remove").write_text(number)


def level(excess: int) -> mmap.mmap | None:
    """Memory that nobody uses, as large as what is free beyond what shall be."""
    if excess < PAGE:
        return None
    memory = mmap.mmap(-1, excess, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, excess - PAGE, PAGE):
        memory[at : at + PAGE // 8] = os.urandom(PAGE // 8)
    return memory


def measure(shape: Shape, setting: str, out: Path, file: Path | None) -> None:
    """One run of a setting; writes `out`.json and `out`.times."""
    Path("/proc/sys/vm/drop_caches").write_text("3")
    ours = zones(shape.node)
    free, managed = sum(zone.free for zone in ours), sum(zone.managed for zone in ours)
    hot = int(managed * shape.hot_share) // (8 * MB) * 8 or shape.hot
    keep = sum(zone.high for zone in ours) // MB + shape.spare
    # What the system itself wants meanwhile differs.
    used = (0 if shape.node else hot + shape.warm) + keep + LEVEL
    words = [f"hot={hot}", f"warm={shape.warm}", f"fill={max(0, free // MB - used)}",
             f"seconds={shape.seconds}"]  # fmt: skip
    if shape.node is not None:
        words.append(f"node={shape.node}")
    if setting != "calm":
        words += [f"grow={shape.grow}", f"rate={shape.rate}", f"read={shape.read}"]
        words += [f"file={file}"] if file else []
    program = subprocess.Popen(
        [PRESSURE, f"{out}.times", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    costs, samples = Costs(), []
    assert program.stdin
    assert program.stdout
    with SETTINGS[setting]():
        if program.stdout.readline() != "filled\n":
            raise SystemExit(f"pressure {' '.join(words)}: status {program.wait()}")
        excess = sum(zone.free for zone in zones()) - keep * MB if shape.node is None else 0
        rest = level(excess)
        time.sleep(SETTLE_S)
        samples.append(sample(costs, shape.node))
        program.stdin.write("\n")
        program.stdin.flush()
        while program.poll() is None:
            time.sleep(EVERY_S)
            samples.append(sample(costs, shape.node))
    if rest:
        rest.close()
    if program.returncode:
        raise SystemExit(f"pressure {' '.join(words)}: status {program.returncode}")
    told = {"words": words, "samples": samples}
    Path(f"{out}.json").write_text(json.dumps(told))


def main(shape: str, name: str, out: str, runs: str, *settings: str) -> None:
    Path(out, "release").write_text(platform.release())
    log = Log()
    for number in range(1, int(runs) + 1):
        for setting in settings:
            what = f"lab: {name}: {shape}, {setting}, {number} of {runs}"
            print(what, file=sys.stderr, flush=True)
            path = Path(out, f"{setting}.{number}")
            told = SHAPES[shape]
            if told.read:
                with swap(), file_to_read(told.read * KB * told.seconds) as file:
                    measure(told, setting, path, file)
            else:
                with swap():
                    measure(told, setting, path, None)
            if said := complaints(log.said()):
                raise SystemExit("\n".join([f"{what}: the kernel complains:", *said]))


if __name__ == "__main__":
    if not Path("/run/lab/share").is_dir():
        raise SystemExit("it uses DAMON, so it runs in a guest of the lab only: lab/bench darc")
    main(*sys.argv[1:])
