# SPDX-License-Identifier: GPL-2.0
"""Writes whatever there is to write, in any order, into all files of DAMON and of DARC.

What is written follows from the seed alone; what becomes of it, from the moment as well.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import select
import signal
import struct
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from errno import (
    E2BIG,
    EBUSY,
    ECANCELED,
    EEXIST,
    EINTR,
    EINVAL,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOMEM,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
    ESRCH,
)
from pathlib import Path

ADMIN = "/sys/kernel/mm/damon/admin"
DARC = "/sys/kernel/mm/darc"
DEBUGFS = "/sys/kernel/debug/damon"

HARMLESS = {
    E2BIG, EBUSY, ECANCELED, EEXIST, EINTR, EINVAL, ENAMETOOLONG, ENODEV, ENOENT, ENOMEM,
    EOPNOTSUPP, EPERM, ERANGE, ESRCH,
}  # fmt: skip
WILD = [
    0, 1, 2, 3, 10, 99, 100, 1000, 4095, 4096, 4097, 8192, 10**5, 10**6, 2**21, 2**30, 2**31 - 1,
    2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 4096, 2**64 - 1,
]  # fmt: skip
NO_NUMBERS = ["-1", "", "x", "1 2", "0x", "2" * 30]
ACTIONS = [
    "willneed", "cold", "pageout", "hugepage", "nohugepage", "collapse", "lru_prio", "lru_deprio",
    "migrate_hot", "migrate_cold", "stat",
]  # fmt: skip
WORDS = {
    "operations": ["vaddr", "fvaddr", "paddr"],
    "action": ACTIONS,
    "metric": ["none", "free_mem_rate"],
    "target_metric": ["user_input", "some_mem_psi_us", "node_mem_used_bp", "node_mem_free_bp"],
    "goal_tuner": ["consist", "temporal"],
    "type": ["anon", "active", "memcg", "young", "hugepage_size", "unmapped", "addr", "target"],
    "matching": ["Y", "N"],
    "allow": ["Y", "N"],
    "memcg_path": ["/", "/nowhere", "x" * 300],
    "enabled": ["Y", "N"],
}
PAGE_ACTIONS = ["pageout", "migrate_hot", "migrate_cold", "stat"]
VIRTUAL = [*PAGE_ACTIONS, "willneed", "cold", "hugepage", "nohugepage", "collapse"]
PHYSICAL = [*PAGE_ACTIONS, "lru_prio", "lru_deprio"]
"""Of which those that go by pages take filters for pages."""
COMMANDS = [
    "commit", "commit", "commit_schemes_quota_goals", "update_schemes_stats",
    "update_schemes_tried_bytes", "update_schemes_tried_regions", "clear_schemes_tried_regions",
    "update_schemes_effective_quotas", "update_tuned_intervals",
]  # fmt: skip
LISTS = {
    "kdamonds/nr_kdamonds": 1024,
    "kdamonds/0/contexts/nr_contexts": 64,
    "kdamonds/0/contexts/0/targets/nr_targets": 16384,
    "kdamonds/0/contexts/0/targets/0/regions/nr_regions": 65536,
    "kdamonds/0/contexts/0/schemes/nr_schemes": 256,
    "kdamonds/0/contexts/0/schemes/0/filters/nr_filters": 256,
    "kdamonds/0/contexts/0/schemes/0/quotas/goals/nr_goals": 256,
    "kdamonds/0/contexts/0/schemes/0/dests/nr_dests": 1024,
}
"""The files that make directories, and how many at most."""

Write = tuple[str, str]
"""A file, and what to write into it; {N} in that is the id of the N-th process."""
PAUSE = ""
"""Instead of a file: let it work for so many milliseconds."""
NR_TARGETS = 3
GIVE_UP_S = 1.0
"""So long at most a command is waited for: what looks at regions waits for schemes to be due, which
may be in years.  Who waits is killed then, and has to be gone."""
MOST_US = (2**63 - 1) // 1000
"""No interval is longer: kdamond counts in nanoseconds."""


@dataclass
class Writer:
    """What to write, by a seed."""

    seed: int
    full: bool = False
    """With as many directories as there may be, which takes long."""
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def writes(self) -> Iterator[Write]:
        """Without an end: one episode after the other, each of which begins with nothing."""
        large = list(LISTS.items())
        self.dice.shuffle(large)
        while True:
            kind = self.dice.random()
            yield from self.stop()
            if kind < 0.1 and Path(DARC).is_dir():
                yield from self.darc()
            elif kind < 0.2 and Path(DEBUGFS).is_dir():
                yield from self.debugfs()
            elif kind < 0.23 and large:
                path, most = large.pop()
                yield from self.crowd(path, most if self.full else most // 128)
            else:
                yield from self.sysfs()

    def wild(self) -> int:
        if self.dice.random() < 0.6:
            return self.dice.choice(WILD)
        return min(max((1 << self.dice.randrange(64)) + self.dice.randrange(-2, 3), 0), 2**64 - 1)

    def sorted(self, nr: int, tame: bool) -> list[int]:
        """Different numbers, in order but if they are not to be tame."""
        found: set[int] = set()
        while len(found) < nr:
            found.add(self.wild())
        numbers = sorted(found)
        if not tame and self.dice.random() < 0.3:
            self.dice.shuffle(numbers)
        return numbers

    def value(self, path: str, tame: bool = False) -> str:
        """Something that may go into a file: if it is to be tame, of what is taken."""
        name = path.rsplit("/", 1)[1]
        dice = self.dice
        if tame:
            if name == "pid_target":
                return f"{{{dice.randrange(NR_TARGETS)}}}"
            if name in ("target_nid", "nid", "id"):
                return dice.choice("01")
            if name == "damon_target_idx":
                return dice.choice("0012")
            if name == "memcg_path":
                return "/"
            if name in ("target_value", "weight"):
                return str(min(max(self.wild(), 1), 2**32 - 1))
            if name == "type":
                core = ["addr", "addr", "target"]
                return dice.choice(core if "/core_" in path else WORDS["type"][:-2])
        elif dice.random() < 0.02:
            return dice.choice(NO_NUMBERS)
        if name == "pid_target":
            return f"{{{dice.randrange(NR_TARGETS)}}}" if dice.random() < 0.9 else str(self.wild())
        if name == "state":
            return dice.choice(["on", "off", *COMMANDS])
        if name.startswith("nr_"):
            return str(dice.choice([0, 1, 1, 2, 2, 3, 3, 40 if dice.random() < 0.05 else 2]))
        if name == "max_nr_contexts":
            return str(dice.choice([1, 2, 3, 64, 65]))
        if name == "addr_unit":
            return str(1 << dice.randrange(64) if dice.random() < 0.5 else dice.choice([1, 4096]))
        if name in WORDS:
            return dice.choice(WORDS[name])
        if name in ("target_nid", "nid", "damon_target_idx", "id"):
            return str(dice.choice([-1, 0, 0, 1, 1, 2, 2**31 - 1]))
        return str(self.wild())

    # One episode each

    def stop(self) -> Iterator[Write]:
        yield f"{DARC}/enabled", "N"
        yield f"{DEBUGFS}/monitor_on_DEPRECATED", "off"
        for number in range(3):
            yield f"{ADMIN}/kdamonds/{number}/state", "off"
        yield f"{ADMIN}/kdamonds/nr_kdamonds", "0"

    def crowd(self, path: str, nr: int) -> Iterator[Write]:
        """As many directories as may be, on and off, and none again."""
        for one in LISTS:
            if one != path:
                yield f"{ADMIN}/{one}", "1"
        kdamond = f"{ADMIN}/kdamonds/0"
        yield f"{ADMIN}/{path}", str(nr)
        if path == "kdamonds/nr_kdamonds":
            return
        yield f"{kdamond}/contexts/max_nr_contexts", "64"
        context = f"{kdamond}/contexts/0"
        yield f"{context}/schemes/0/dests/nr_dests", "0"
        yield f"{context}/operations", "vaddr"
        if path.endswith("nr_targets"):
            for number in range(nr):
                yield f"{context}/targets/{number}/pid_target", f"{{{number % NR_TARGETS}}}"
        elif path.endswith("nr_regions"):
            yield f"{context}/targets/0/pid_target", "{0}"
            for number in range(min(nr, 2000)):
                yield f"{context}/targets/0/regions/{number}/start", str(number * 8192)
                yield f"{context}/targets/0/regions/{number}/end", str(number * 8192 + 4096)
        for word in ("on", "commit", "update_schemes_stats", "off"):
            yield f"{kdamond}/state", word

    def sysfs(self) -> Iterator[Write]:
        """Some kdamonds are made, run, and have everything about them changed meanwhile."""
        dice = self.dice
        kdamonds = [f"{ADMIN}/kdamonds/{number}" for number in range(dice.choice([1, 1, 2, 3]))]
        files: list[str] = []
        yield f"{ADMIN}/kdamonds/nr_kdamonds", str(len(kdamonds))
        for kdamond in kdamonds:
            contexts = dice.choice([1, 1, 1, 2])
            files += [f"{kdamond}/refresh_ms", f"{kdamond}/contexts/nr_contexts"]
            yield f"{kdamond}/contexts/max_nr_contexts", "2"
            yield f"{kdamond}/contexts/nr_contexts", str(contexts)
            if dice.random() < 0.2:
                yield f"{kdamond}/refresh_ms", str(dice.choice([1, 10, 2**32 - 1]))
            for number in range(contexts):
                for path, text in self.context(f"{kdamond}/contexts/{number}"):
                    files.append(path)
                    yield path, text
        for kdamond in kdamonds:
            yield f"{kdamond}/state", "on"
        for _ in range(dice.randrange(5, 60)):
            chance = dice.random()
            if chance < 0.15:
                yield PAUSE, str(dice.choice([1, 5, 20, 100]))
            elif chance < 0.45:
                yield f"{dice.choice(kdamonds)}/state", dice.choice([*COMMANDS, "on"])
            elif chance < 0.48:
                yield f"{dice.choice(kdamonds)}/state", "off"
            else:
                path = dice.choice(files)
                yield path, self.value(path)
        if dice.random() < 0.5:
            yield f"{dice.choice(kdamonds)}/state", "commit"

    def context(self, context: str) -> Iterator[Write]:
        """All of a context: of values that go together, most of the time, however large."""
        dice = self.dice
        tame = dice.random() < 0.9
        operations = dice.choice(["vaddr", "vaddr", "fvaddr", "fvaddr", "paddr"])
        yield f"{context}/operations", operations
        yield f"{context}/addr_unit", self.value("/addr_unit") if dice.random() < 0.3 else "1"
        yield from self.intervals(f"{context}/monitoring_attrs", tame)
        nr = dice.choice([0, 1, 1, 2, 3]) if operations != "paddr" else 1
        yield f"{context}/targets/nr_targets", str(nr)
        for number in range(nr):
            yield from self.target(f"{context}/targets/{number}", operations, tame)
        schemes = dice.choice([0, 1, 1, 2])
        yield f"{context}/schemes/nr_schemes", str(schemes)
        for number in range(schemes):
            yield from self.scheme(f"{context}/schemes/{number}", operations, tame)

    def intervals(self, attrs: str, tame: bool) -> Iterator[Write]:
        dice = self.dice
        intervals = f"{attrs}/intervals"
        if dice.random() < 0.5:
            sample = dice.choice([1, 100, 1000, 5000])
            aggr = sample * dice.choice([1, 2, 20, 8192])
        else:
            sample, aggr = self.sorted(2, tame)
            if tame:
                sample, aggr = min(sample, MOST_US), min(aggr, MOST_US)
        yield f"{intervals}/sample_us", str(sample)
        yield f"{intervals}/aggr_us", str(aggr)
        yield f"{intervals}/update_us", str(dice.choice([aggr, self.wild()]))
        if dice.random() < 0.3:
            low, high = self.sorted(2, tame)
            if tame:
                low, high = min(low, sample) or 1, min(max(high, sample), MOST_US)
            goal = f"{intervals}/intervals_goal"
            yield f"{goal}/access_bp", str(self.wild() if sample else 0)
            yield f"{goal}/aggrs", str(dice.choice([1, 2, self.wild()]))
            yield f"{goal}/min_sample_us", str(low)
            yield f"{goal}/max_sample_us", str(high)
        low, high = self.sorted(2, tame)
        if tame:
            low, high = max(min(low, 1000), 3), max(high % 2**31, 1000)
        yield f"{attrs}/nr_regions/min", str(low)
        yield f"{attrs}/nr_regions/max", str(high)

    def target(self, target: str, operations: str, tame: bool) -> Iterator[Write]:
        dice = self.dice
        yield f"{target}/pid_target", self.value("/pid_target", tame)
        least = 0 if operations == "vaddr" else 1
        nr = dice.choice([least, least, 1, 2, 4])
        yield f"{target}/regions/nr_regions", str(nr)
        edges = self.sorted(2 * nr, tame)
        if operations == "paddr" and dice.random() < 0.7:
            edges = [edge % 2**32 for edge in range(0, 2**32, 2**32 // (2 * nr + 1))][: 2 * nr]
        for number in range(nr):
            yield f"{target}/regions/{number}/start", str(edges[2 * number])
            yield f"{target}/regions/{number}/end", str(edges[2 * number + 1])

    def scheme(self, scheme: str, operations: str, tame: bool) -> Iterator[Write]:
        dice = self.dice
        action = self.value("/action")
        if tame:
            action = dice.choice(PHYSICAL if operations == "paddr" else VIRTUAL)
        yield f"{scheme}/action", action
        yield f"{scheme}/target_nid", self.value("/target_nid", tame)
        yield f"{scheme}/apply_interval_us", str(dice.choice([0, 0, self.wild()]))
        for name in ("sz", "nr_accesses", "age"):
            low, high = self.sorted(2, tame)
            if dice.random() < 0.6:
                low, high = 0, 2**64 - 1
            yield f"{scheme}/access_pattern/{name}/min", str(low)
            yield f"{scheme}/access_pattern/{name}/max", str(high)
        quotas = f"{scheme}/quotas"
        for name in ("ms", "bytes", "reset_interval_ms"):
            yield f"{quotas}/{name}", str(dice.choice([0, 100, 10**6, self.wild()]))
        for name in ("sz", "nr_accesses", "age"):
            yield f"{quotas}/weights/{name}_permil", str(min(self.wild(), 2**32 - 1))
        yield f"{quotas}/goal_tuner", self.value("/goal_tuner")
        names = ("target_metric", "target_value", "current_value", "nid")
        yield from self.children(f"{quotas}/goals", "nr_goals", names, tame)
        watermarks = f"{scheme}/watermarks"
        low, mid, high = self.sorted(3, tame)
        yield f"{watermarks}/metric", dice.choice(["none", "none", "none", "free_mem_rate"])
        yield f"{watermarks}/interval_us", str(self.wild())
        for name, number in (("low", low), ("mid", mid), ("high", high)):
            yield f"{watermarks}/{name}", str(number)
        names = (
            "type", "matching", "allow", "memcg_path", "addr_start", "addr_end", "min", "max",
            "damon_target_idx",
        )  # fmt: skip
        folders = ["core_filters"]
        if not tame or operations == "paddr" or action in PAGE_ACTIONS:
            folders += ["filters", "ops_filters"]
        for folder in folders:
            yield from self.children(f"{scheme}/{folder}", "nr_filters", names, tame)
        yield from self.children(f"{scheme}/dests", "nr_dests", ("id", "weight"), tame)
        yield f"{scheme}/stats/max_nr_snapshots", str(dice.choice([0, 0, self.wild()]))

    def children(
        self, folder: str, counter: str, names: tuple[str, ...], tame: bool
    ) -> Iterator[Write]:
        nr = self.dice.choice([0, 0, 0, 0, 1, 2])
        yield f"{folder}/{counter}", str(nr)
        for number in range(nr):
            low, high = self.sorted(2, tame)
            pairs = {"addr_start": low, "addr_end": high, "min": low, "max": high}
            for name in names:
                path = f"{folder}/{number}/{name}"
                yield path, str(pairs[name]) if name in pairs else self.value(path, tame)

    def darc(self) -> Iterator[Write]:
        zones = sorted(Path(DARC, "zones").iterdir())
        files = [f"{DARC}/quotas/{name}" for name in ("bytes", "ms", "reset_interval_ms")]
        files += [f"{DARC}/quotas/some_mem_psi_us", f"{DARC}/min_age_us", f"{DARC}/enabled"]
        files += [f"{zone}/{mark}" for zone in zones for mark in ("high", "mid", "low")] * 2
        for _ in range(self.dice.randrange(10, 60)):
            if self.dice.random() < 0.1:
                yield PAUSE, "20"
            path = self.dice.choice(files)
            text = self.value(path)
            if path.endswith(("high", "mid", "low")) and self.dice.random() < 0.6:
                text = self.dice.choice(["default", str(self.dice.randrange(1, 4000) << 20)])
            elif path.endswith("min_age_us") and self.dice.random() < 0.6:
                text = str(self.dice.choice([10**5, 10**6, 3600 * 10**6]))
            yield path, text
        yield f"{DARC}/enabled", "Y"
        yield PAUSE, "100"
        yield f"{DARC}/enabled", "N"
        for path in files:
            yield path, "default"

    def debugfs(self) -> Iterator[Write]:
        dice = self.dice

        def numbers(nr: int) -> str:
            return " ".join(str(self.wild()) for _ in range(nr))

        for _ in range(dice.randrange(5, 30)):
            low, high = self.sorted(2, True)
            yield (
                f"{DEBUGFS}/attrs",
                dice.choice(
                    [f"{low} {high} {self.wild()} 10 1000", numbers(5), "5000 100000 1000000 3 9"]
                ),
            )
            yield (
                f"{DEBUGFS}/target_ids",
                dice.choice(["{0}", "{0} {1} {2}", "paddr", numbers(2), ""]),
            )
            edges = self.sorted(4, dice.random() < 0.7)
            text = f"0 {edges[0]} {edges[1]}\n0 {edges[2]} {edges[3]}"
            yield f"{DEBUGFS}/init_regions", dice.choice([text, text, numbers(6), ""])
            scheme = f"0 {self.wild()} 0 {self.wild()} 0 {self.wild()} {dice.randrange(7)} "
            low, mid, high = self.sorted(3, True)
            scheme += f"{numbers(3)} 1 {min(self.wild(), 2**32 - 1)} 3 {dice.randrange(2)} "
            scheme += f"{self.wild()} {high} {mid} {low}"
            yield (
                f"{DEBUGFS}/schemes",
                dice.choice([scheme, f"{scheme}\n{scheme}", numbers(18), ""]),
            )
            name = dice.choice(["a", "b", "attrs", "x" * 300])
            yield f"{DEBUGFS}/{dice.choice(['mk_contexts', 'rm_contexts'])}", name
            yield f"{DEBUGFS}/monitor_on_DEPRECATED", "on"
            yield PAUSE, str(dice.choice([1, 10]))
            yield f"{DEBUGFS}/monitor_on_DEPRECATED", "off"
        for name in ("a", "b"):
            yield f"{DEBUGFS}/rm_contexts", name
        for name, text in (("schemes", ""), ("target_ids", ""), ("init_regions", "")):
            yield f"{DEBUGFS}/{name}", text
        yield f"{DEBUGFS}/attrs", "5000 100000 60000000 10 1000"


# Processes to monitor


def live(seed: int) -> None:
    """Map, touch, unmap, have children, and end."""
    dice = random.Random(seed)
    libc = ctypes.CDLL(None)
    maps: list[mmap.mmap] = []
    until = time.monotonic() + dice.uniform(0.5, 8)
    while time.monotonic() < until:
        chance = dice.random()
        if chance < 0.4 and len(maps) < 8:
            new = mmap.mmap(-1, dice.choice([4096, 1 << 20, 8 << 20]), mmap.MAP_PRIVATE)
            if dice.random() < 0.5:
                new.madvise(mmap.MADV_HUGEPAGE)
            maps.append(new)
        elif chance < 0.6 and maps:
            maps.pop(dice.randrange(len(maps))).close()
        elif chance < 0.65:
            if os.fork() == 0:
                time.sleep(dice.uniform(0, 0.1))
                os._exit(0)
        elif chance < 0.7:
            libc.mlockall(dice.choice([1, 2, 3])) if dice.random() < 0.1 else libc.munlockall()
        for each in maps:
            step = dice.choice([4096, 65536])
            for at in range(0, min(len(each), 1 << 20), step):
                each[at] = 1
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        time.sleep(dice.uniform(0.005, 0.05))


def spawn(seed: int) -> int:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            live(seed)
        finally:
            os._exit(0)
    return pid


# The run


@dataclass
class Outcome:
    """What has become of a run."""

    writes: int = 0
    errors: Counter[int] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    """The commands that were carried out."""
    killed: int = 0
    """Who was asked for them and waited for too long."""
    slow: list[tuple[float, str]] = field(default_factory=list)
    """The slowest writes."""
    strange: list[str] = field(default_factory=list)
    """Errors that are not of the ABI."""

    def __str__(self) -> str:
        errors = ", ".join(
            f"{os.strerror(number) if number else 'none'} {nr}"
            for number, nr in self.errors.most_common()
        )
        commands = ", ".join(f"{word} {nr}" for word, nr in self.commands.most_common())
        slow = "\n".join(f"  {seconds:.1f} s {what}" for seconds, what in self.slow)
        return (
            f"{self.writes} writes: {errors}\ndone: {commands}, killed {self.killed}\n"
            f"slowest:\n{slow}"
        )

    def note(self, path: str, text: str, number: int, seconds: float) -> None:
        self.writes += 1
        self.errors[number] += 1
        if not number and path.endswith(("/state", "/enabled", "/monitor_on_DEPRECATED")):
            self.commands[text] += 1
        if number and number not in HARMLESS:
            self.strange.append(f"{path} {text!r}: {os.strerror(number)}")
        self.slow = sorted([*self.slow, (seconds, f"{path} {text[:60]!r}")], reverse=True)[:5]


class Shared:
    """What the writer and who looks after it know of each other."""

    PIDS = struct.Struct(f"{NR_TARGETS}i")
    TEXT = 64

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 4096)

    def pids(self) -> tuple[int, ...]:
        return self.PIDS.unpack_from(self.memory)

    def set_pids(self, pids: list[int]) -> None:
        self.PIDS.pack_into(self.memory, 0, *pids)

    def begin(self, number: int, what: str) -> None:
        text = f"write {number}: {what}".encode()[:2000]
        self.memory[self.TEXT : self.TEXT + len(text) + 1] = text + b"\0"

    def now(self) -> str:
        return self.memory[self.TEXT :].split(b"\0", 1)[0].decode(errors="replace")


def write(path: str, text: str) -> int:
    """Write with one call; the error number, or 0."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError as failed:
        return failed.errno or -1
    try:
        os.write(fd, text.encode())
    except OSError as failed:
        return failed.errno or -1
    finally:
        os.close(fd)
    return 0


class Asker:
    """Another process that writes, as what it waits for may not come in years."""

    def __init__(self) -> None:
        self.pid = 0

    def start(self) -> None:
        ask, self.asks = os.pipe()
        self.answers, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.asks)
            while said := os.read(ask, 4096):
                path, text = said.decode().split("\0")
                os.write(answer, struct.pack("i", write(path, text)))
            os._exit(0)
        os.close(ask)
        os.close(answer)

    def stop(self) -> None:
        """Kill it.  Returns when it is gone."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.asks)
            os.close(self.answers)
            self.pid = 0

    def write(self, path: str, text: str) -> int | None:
        """Like write(); None where it was waited for in vain."""
        if not self.pid:
            self.start()
        os.write(self.asks, f"{path}\0{text}".encode())
        if select.select([self.answers], [], [], GIVE_UP_S)[0]:
            [number] = struct.unpack("i", os.read(self.answers, 4))
            return number
        self.stop()
        return None


def write_all(writer: Writer, nr: int, shared: Shared) -> Outcome:
    outcome = Outcome()
    asker = Asker()
    for path, text in writer.writes():
        if outcome.writes >= nr:
            asker.stop()
            return outcome
        if path == PAUSE:
            time.sleep(int(text) / 1000)
            continue
        for number, pid in enumerate(shared.pids()):
            text = text.replace(f"{{{number}}}", str(pid))
        shared.begin(outcome.writes, f"{path} {text!r}")
        begin = time.monotonic()
        number = asker.write(path, text) if text in COMMANDS else write(path, text)
        if number is None:
            outcome.killed += 1
            outcome.note(path, text, EINTR, time.monotonic() - begin)
            continue
        while number == EBUSY and text == "off" and time.monotonic() < begin + 60:
            time.sleep(0.001)
            number = write(path, text)
        outcome.note(path, text, number, time.monotonic() - begin)
    raise AssertionError("it has no end")


def stacks() -> str:
    """Where all tasks are that wait for something, or are the kernel's for this."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name = (path / "comm").read_text().strip()
            state = (path / "stat").read_text().rsplit(")", 1)[1].split()[0]
            if state == "D" or name.startswith("kdamond"):
                found.append(f"{path.name} {name} {state}\n{(path / 'stack').read_text()}")
        except OSError:
            continue
    return "\n".join(found)


def fuzz(seed: int, nr: int, report: Path, *, full: bool, patience: float) -> str:
    """Write so much, and say what came of it: in @report, too.  An error where it hangs."""
    shared = Shared()
    pids = [spawn(seed + number) for number in range(NR_TARGETS)]
    shared.set_pids(pids)
    child = os.fork()
    if child == 0:
        try:
            outcome = write_all(Writer(seed, full), nr, shared)
            report.write_text(f"{outcome}\n" + "".join(f"STRANGE {x}\n" for x in outcome.strange))
            os._exit(0)
        finally:
            os._exit(1)
    last, since, spawned = "", time.monotonic(), NR_TARGETS
    try:
        while True:
            # Orphans of the targets come here, too.
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == child:
                assert status == 0, f"the writer ended with {status} in {shared.now()}"
                return report.read_text()
            if ended in pids:
                spawned += 1
                pids[pids.index(ended)] = spawn(seed + spawned)
                shared.set_pids(pids)
            now = shared.now()
            if now != last:
                last, since = now, time.monotonic()
            assert time.monotonic() - since < patience, f"it hangs in {now}\n{stacks()}"
            time.sleep(0 if ended else 0.05)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
