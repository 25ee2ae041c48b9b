# SPDX-License-Identifier: GPL-2.0
"""The machine as perf damon needs it: processes, System RAM, and whether DAMON can be used."""

from __future__ import annotations

import os
import platform
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from perf_damon.control.sysfs import Sysfs
from perf_damon.errors import Error
from perf_damon.tracepoints import APPLY_EVENT, EVENT, REGION_EVENTS, SYSTEM

_SYSTEM_RAM = re.compile(r"\s*([0-9a-f]+)-([0-9a-f]+) : System RAM(?: \([^()]*\))?")
DARC = Path("/sys/kernel/mm/darc")
MODULES = Path("/sys/module")
DARC_EVENTS = ("darc_start", "darc_stop", "darc_reclaim")


@dataclass(frozen=True, slots=True)
class System:
    """Where things are; a test gives folders of its own."""

    damon: Sysfs = field(default_factory=Sysfs)
    darc: Sysfs = field(default_factory=lambda: Sysfs(DARC))
    proc: Path = Path("/proc")
    tracing: tuple[Path, ...] = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
    modules: Sysfs = field(default_factory=lambda: Sysfs(MODULES))
    boot: Path = Path("/boot")
    kernels: Path = Path("/usr/lib/modules")
    cgroup: Path = Path("/sys/fs/cgroup")
    nodes: Path = Path("/sys/devices/system/node")
    run: Path = Path("/run/perf-damon")
    """What is ours is written down here; gone after a reboot, as DAMON's state is."""
    uid: int = field(default_factory=os.geteuid)

    def comm(self, pid: int) -> str | None:
        """A process's name; None when it is gone."""
        try:
            text = (self.proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        return text.rstrip("\n")

    def started(self, pid: int) -> int | None:
        """When a process or thread began, in clock ticks since boot; None when it is gone.

        With the pid it names a process for good: pids are used again, this pair is not.
        """
        try:
            stat = (self.proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
            # The name may hold spaces and brackets; field 22 counts after its last bracket.
            words = stat[stat.rindex(")") + 2 :].split()
            return None if words[0] in "ZX" else int(words[19])
        except (OSError, ValueError, IndexError):
            return None

    def processes(self) -> list[int]:
        """Pids of all processes, kernel threads among them."""
        return [int(path.name) for path in self.proc.iterdir() if path.name.isdecimal()]

    def process_of(self, tid: int) -> int:
        """The process of a thread; that of a process is itself. Also where it cannot be told."""
        with suppress(OSError, ValueError):
            text = (self.proc / str(tid) / "status").read_text(encoding="utf-8", errors="replace")
            if match := re.search(r"^Tgid:\s*([0-9]+)$", text, flags=re.MULTILINE):
                return int(match[1])
        return tid

    def has_memory(self, pid: int) -> bool:
        """Whether a process has an address space: kernel threads and zombies have none."""
        try:
            return (self.proc / str(pid) / "statm").read_text(encoding="ascii").split()[0] != "0"
        except (OSError, IndexError):
            return False

    def system_ram(self) -> list[tuple[int, int]]:
        """Physical address ranges [start, end) of System RAM, sorted; raises Error.

        Memory that was plugged in stands below the device that it is of, with a word of who did
        it: "System RAM (kmem)". Ranges that touch are one.
        """
        ranges = []
        for line in (
            (self.proc / "iomem").read_text(encoding="utf-8", errors="replace").splitlines()
        ):
            if match := _SYSTEM_RAM.fullmatch(line):
                start, end = (int(word, 16) for word in match.groups())
                if end > start:
                    ranges.append((start, end + 1))
        if not ranges:
            raise Error(
                f"{self.proc / 'iomem'} tells no System RAM",
                "give the physical addresses to monitor: --regions START-END",
            )
        return _joined(ranges)

    def free_permil(self) -> int | None:
        """Free memory in thousandths, as watermarks count it; None where that is not told."""
        with suppress(OSError, KeyError, ValueError, ZeroDivisionError):
            lines = (self.proc / "meminfo").read_text(encoding="ascii").splitlines()
            kb = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)}
            return kb["MemFree"] * 1000 // kb["MemTotal"]
        return None

    def boot_id(self) -> str:
        """Changes with each boot."""
        with suppress(OSError):
            return (self.proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return ""

    def tracing_event(self, name: str = EVENT, group: str = SYSTEM) -> Path | None:
        """The folder of one of DAMON's events in tracefs; None where it is not to be seen."""
        for root in self.tracing:
            if (path := root / "events" / group / name).is_dir():
                return path
        return None

    def region_events(self) -> tuple[str, ...]:
        """Those that tell of each region at the end of an aggregation, as the kernel has them."""
        return tuple(name for name in REGION_EVENTS if self.tracing_event(name) is not None)

    def kernel_config(self) -> dict[str, str]:
        """The kernel's configuration where it can be read, else nothing."""
        release = platform.release()
        text = ""
        # Debian has it in /boot up to Debian 13, and beside the modules from Debian 14 on.
        for path in (self.boot / f"config-{release}", self.kernels / release / "config"):
            with suppress(OSError):
                text = path.read_text(encoding="utf-8", errors="replace")
            if text:
                break
        else:
            import gzip
            import zlib

            with (
                suppress(OSError, EOFError, zlib.error),
                gzip.open(
                    self.proc / "config.gz", "rt", encoding="utf-8", errors="replace"
                ) as file,
            ):
                text = file.read()
        return dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, flags=re.MULTILINE))

    def require_root(self, command: str) -> None:
        """Raise Error unless we may use DAMON."""
        if self.uid != 0:
            raise Error(
                f"{command} needs root: the kernel lets nobody else use DAMON",
                f"sudo {command} …",
            )

    def require_damon(self) -> None:
        """Raise Error where the kernel has no DAMON, or not its sysfs interface."""
        if self.damon.is_dir("kdamonds"):
            return
        config = self.kernel_config()
        missing = [
            option for option in ("CONFIG_DAMON", "CONFIG_DAMON_SYSFS") if config.get(option) != "y"
        ]
        release = platform.release()
        if not config:
            why = "its configuration should have CONFIG_DAMON=y and CONFIG_DAMON_SYSFS=y"
        elif missing:
            why = "it was built without " + " and ".join(f"{option}=y" for option in missing)
        else:
            why = "is sysfs mounted on /sys?"
        raise Error(
            f"this kernel ({release}) has no DAMON to use: no {self.damon.root}/kdamonds",
            f"{why}; Debian 13's kernels (6.12) have it, among others",
        )

    def require_darc(self) -> None:
        """Raise Error where the kernel has no DARC."""
        if self.darc.is_dir("zones"):
            return
        config = self.kernel_config()
        if config.get("CONFIG_DAMON_DARC") == "y":
            why = "it was built with CONFIG_DAMON_DARC=y: is sysfs mounted on /sys?"
        else:
            why = (
                "it needs the option CONFIG_DAMON_DARC=y, which is of perf damon's own DAMON for "
                "Linux 6.12 (make kernel)"
            )
        raise Error(f"this kernel ({platform.release()}) has no DARC: no {self.darc.root}", why)

    def require_darc_events(self) -> None:
        """Raise Error where perf cannot see DARC's tracepoints."""
        missing = [name for name in DARC_EVENTS if self.tracing_event(name, "darc") is None]
        if missing:
            root = self.tracing[0]
            raise Error(
                f"perf cannot find the tracepoint darc:{missing[0]} ({root}/events/darc)",
                "it needs CONFIG_DAMON_DARC=y and tracepoints (CONFIG_FTRACE)"
                if (root / "events").is_dir()
                else f"mount -t tracefs nodev {root}",
            )

    def require_event(self) -> None:
        """Raise Error where perf cannot see damon:damon_aggregated, nor what is to replace it."""
        if self.region_events():
            return
        root = self.tracing[0]
        if not (root / "events").is_dir():
            raise Error(
                f"no tracefs on {root}: perf cannot find damon:{EVENT}",
                f"mount -t tracefs nodev {root}",
            )
        raise Error(
            f"this kernel has no tracepoint damon:{EVENT} ({root}/events/damon)",
            "it needs CONFIG_DAMON=y and tracepoints (CONFIG_FTRACE)",
        )

    def require_apply_event(self) -> None:
        """Raise Error where perf cannot see damon:damos_before_apply."""
        if self.tracing_event(APPLY_EVENT) is None:
            raise Error(
                f"this kernel ({platform.release()}) does not tell what schemes act on: it has no "
                f"tracepoint damon:{APPLY_EVENT}",
                "Linux 6.7 and later have it; record without --schemes",
            )


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted, those that touch or overlap made one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def find_perf() -> str:
    """perf's path; raises Error where it is not installed."""
    path = shutil.which("perf")
    if path is None:
        raise Error(
            "perf is not installed (not on PATH)",
            "Debian: apt install linux-perf; Fedora: dnf install perf",
        )
    return path
