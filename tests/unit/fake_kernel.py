# SPDX-License-Identifier: GPL-2.0
"""A kernel with DAMON, in a temporary folder: it answers writes as Linux 6.12's ABI says."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from perf_damon.control.state import Command
from perf_damon.control.sysfs import Sysfs
from perf_damon.control.system import System

CONTEXT = {
    "avail_operations": "vaddr\nfvaddr\npaddr",
    "operations": "vaddr",
    "monitoring_attrs/intervals/sample_us": "5000",
    "monitoring_attrs/intervals/aggr_us": "100000",
    "monitoring_attrs/intervals/update_us": "60000000",
    "monitoring_attrs/nr_regions/min": "10",
    "monitoring_attrs/nr_regions/max": "1000",
    "targets/nr_targets": "0",
    "schemes/nr_schemes": "0",
}
RANGE = ("min", "max")
SCHEME = {
    "action": "stat",
    "apply_interval_us": "0",
    "target_nid": "-1",
    **{f"access_pattern/{of}/{end}": "0" for of in ("sz", "nr_accesses", "age") for end in RANGE},
    "quotas/ms": "0",
    "quotas/bytes": "0",
    "quotas/reset_interval_ms": "0",
    "quotas/effective_bytes": "0",
    **{f"quotas/weights/{of}_permil": "0" for of in ("sz", "nr_accesses", "age")},
    "quotas/goals/nr_goals": "0",
    "watermarks/metric": "none",
    **{f"watermarks/{of}": "0" for of in ("interval_us", "high", "mid", "low")},
    "filters/nr_filters": "0",
    **{
        f"stats/{of}": "0"
        for of in ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds")
    },
    "tried_regions/total_bytes": "0",
}
ENTRIES = {
    "nr_kdamonds": {"state": "off", "pid": "-1", "contexts/nr_contexts": "0"},
    "nr_contexts": CONTEXT,
    "nr_targets": {"pid_target": "0", "regions/nr_regions": "0"},
    "nr_regions": {"start": "0", "end": "0"},
    "nr_schemes": SCHEME,
    "nr_filters": {
        "type": "anon",
        "matching": "N",
        "memcg_path": "",
        "addr_start": "0",
        "addr_end": "0",
        "damon_target_idx": "0",
    },
    "nr_goals": {"target_metric": "user_input", "target_value": "0", "current_value": "0"},
}
NEWER_SCHEME = {
    "dests/nr_dests": "0",
    "core_filters/nr_filters": "0",
    "ops_filters/nr_filters": "0",
    "quotas/goal_tuner": "consist",
    "quotas/fail_charge_num": "0",
    "quotas/fail_charge_denom": "0",
    "stats/max_nr_snapshots": "0",
}
NEWER_ENTRIES = {
    **ENTRIES,
    "nr_contexts": {**CONTEXT, "addr_unit": "1"},
    "nr_schemes": {**SCHEME, **NEWER_SCHEME},
    "nr_filters": {**ENTRIES["nr_filters"], "allow": "N", "min": "0", "max": "0"},
    "nr_goals": {**ENTRIES["nr_goals"], "nid": "0", "path": ""},
    "nr_dests": {"id": "0", "weight": "0"},
}
"""Of what Linux 7.2 has more, what schemes use."""
READ_ONLY = ("pid", "avail_operations", "effective_bytes", "total_bytes")


@dataclass(frozen=True, eq=False)
class FakeKernel(Sysfs):
    """Sysfs on a folder that behaves; `fail` maps a path to the errno of its next writes.

    Without `proc` the machine's own /proc is used, and kdamonds are real processes.
    """

    fail: dict[str, int] = field(default_factory=dict)
    before_write: list[Callable[[], None]] = field(default_factory=list)
    written: list[tuple[str, str]] = field(default_factory=list)
    proc: Path | None = None
    tids: list[int] = field(default_factory=lambda: [5000])
    on_command: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    """What a command does to the folder of its kdamond."""
    entries: dict[str, dict[str, str]] = field(default_factory=lambda: ENTRIES)
    """What a folder begins with, by the file that makes it."""
    actions: tuple[str, ...] | None = None
    """What can be written to schemes/S/action; None for anything."""

    def put(self, path: str, text: str) -> None:
        for action in self.before_write:
            action()
        self.written.append((path, text))
        if path in self.fail:
            raise OSError(self.fail[path], os.strerror(self.fail[path]), path)
        file = self.root / path
        if not file.exists():
            raise OSError(errno.ENOENT, "No such file or directory", path)
        if file.name in READ_ONLY:
            raise OSError(errno.EACCES, "Permission denied", path)
        if file.name == "action" and self.actions is not None and text not in self.actions:
            raise OSError(errno.EINVAL, "Invalid argument", path)
        if file.name == "state":
            self._state(file.parent, text)
        elif file.name in self.entries and file.parent.name != "monitoring_attrs":
            self._count(file, text)
        else:
            file.write_text(text + "\n")

    def _count(self, file: Path, text: str) -> None:
        number = int(text)
        if file.name == "nr_kdamonds" and any(self.is_on(k) for k in self._kdamonds()):
            raise OSError(errno.EBUSY, "Device or resource busy")
        if file.name == "nr_contexts":
            most = file.with_name("max_nr_contexts")
            if number > (int(most.read_text()) if most.exists() else 1):
                raise OSError(errno.EINVAL, "Invalid argument")
        for old in file.parent.iterdir():
            if old.is_dir():
                shutil.rmtree(old)
        for index in range(number):
            make(file.parent / str(index), self.entries[file.name])
        file.write_text(f"{number}\n")

    def _state(self, kdamond: Path, text: str) -> None:
        if text == "on":
            if self.is_on(kdamond):
                raise OSError(errno.EBUSY, "Device or resource busy")
            if not (kdamond / "contexts/0").is_dir():
                raise OSError(errno.EINVAL, "Invalid argument")
            self.tids[0] += 1
            self.turn(kdamond, self.tids[0])
        elif text == "off":
            if not self.is_on(kdamond):
                raise OSError(errno.EPERM, "Operation not permitted")
            self.turn(kdamond, None)
        elif text not in set(Command) or not self.is_on(kdamond):
            raise OSError(errno.EINVAL, "Invalid argument")
        elif text in self.on_command:
            self.on_command[text](kdamond)

    def turn(self, kdamond: Path, tid: int | None) -> None:
        old = (kdamond / "pid").read_text().strip()
        if self.proc is None:
            tid = self._real_process(int(old), start=tid is not None)
        (kdamond / "state").write_text("off\n" if tid is None else "on\n")
        (kdamond / "pid").write_text(f"{-1 if tid is None else tid}\n")
        if self.proc is None:
            return
        if tid is None:
            shutil.rmtree(self.proc / old, ignore_errors=True)
        else:
            process(self.proc, tid, f"kdamond.{kdamond.name}", pages=0)

    @staticmethod
    def _real_process(old: int, start: bool) -> int | None:
        """With the real /proc a kdamond has to be a real process: started or ended."""
        if not start:
            os.kill(old, signal.SIGKILL)
            return None
        # Not our child, as a kernel thread is not: nobody has to wait for it.
        words = ["sh", "-c", "sleep 60 >/dev/null & echo $!"]
        return int(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)

    def is_on(self, kdamond: Path) -> bool:
        return (kdamond / "state").read_text().strip() == "on"

    def kdamond(self, index: int) -> Path:
        return self.root / "kdamonds" / str(index)

    def _kdamonds(self) -> list[Path]:
        return [path for path in (self.root / "kdamonds").iterdir() if path.is_dir()]

    def snapshot(self) -> dict[str, str]:
        """Every file and what it holds."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_text() for path in files}


def make(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        writable = path.name == "max_nr_snapshots" or "stats" not in path.parts
        path.chmod(0o600 if writable and path.name not in READ_ONLY else 0o400)


def process(proc: Path, pid: int, comm: str, pages: int = 100, started: int = 7) -> None:
    """A process, or with 0 pages a kernel thread."""
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comm").write_text(comm + "\n")
    (folder / "statm").write_text(f"{pages} 0 0 0 0 0 0\n")
    fields = ["S"] + ["0"] * 18 + [str(started)] + ["0"] * 30
    (folder / "stat").write_text(f"{pid} ({comm}) {' '.join(fields)}\n")


def machine(root: Path) -> System:
    """A machine as root sees it, with DAMON unused and process 100 (app)."""
    make(root / "damon", {"kdamonds/nr_kdamonds": "0"})
    proc = root / "proc"
    process(proc, 100, "app")
    process(proc, 101, "other app)")
    process(proc, os.getpid(), "pytest")
    process(proc, 2, "kthreadd", pages=0)
    (proc / "iomem").write_text(
        "00001000-0009fbff : System RAM\n"
        "000f0000-000fffff : Reserved\n"
        "00100000-7ffdefff : System RAM\n"
        "  01000000-020031d0 : Kernel code\n"
    )
    make(proc, {"sys/kernel/random/boot_id": "this-boot"})
    (root / "tracing/events/damon/damon_aggregated").mkdir(parents=True)
    return System(
        damon=FakeKernel(root / "damon", proc=proc),
        proc=proc,
        tracing=(root / "tracing",),
        modules=root / "modules",
        boot=root / "boot",
        cgroup=root / "cgroup",
        nodes=root / "nodes",
        run=root / "run",
        uid=0,
    )
