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

RELEASES = (
    *("5.18", "5.19", "6.0", "6.2", "6.3", "6.6", "6.7", "6.8", "6.9", "6.10", "6.11", "6.12"),
    *("6.14", "6.15", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3"),
)
"""Those in which the tree got more files, or files more words."""
RANGE = ("min", "max")
FILES: dict[str, dict[str, tuple[str, str]]] = {
    "nr_kdamonds": {
        "state": ("off", "5.18"),
        "pid": ("-1", "5.18"),
        "contexts/nr_contexts": ("0", "5.18"),
        "refresh_ms": ("0", "6.17"),
    },
    "nr_contexts": {
        "avail_operations": ("vaddr\nfvaddr\npaddr", "5.19"),
        "operations": ("vaddr", "5.18"),
        "monitoring_attrs/intervals/sample_us": ("5000", "5.18"),
        "monitoring_attrs/intervals/aggr_us": ("100000", "5.18"),
        "monitoring_attrs/intervals/update_us": ("60000000", "5.18"),
        **{
            f"monitoring_attrs/intervals/intervals_goal/{of}": ("0", "6.15")
            for of in ("access_bp", "aggrs", "min_sample_us", "max_sample_us")
        },
        "monitoring_attrs/nr_regions/min": ("10", "5.18"),
        "monitoring_attrs/nr_regions/max": ("1000", "5.18"),
        "monitoring_attrs/probes/nr_probes": ("0", "7.2"),
        "targets/nr_targets": ("0", "5.18"),
        "schemes/nr_schemes": ("0", "5.18"),
        "addr_unit": ("1", "6.18"),
        "pause": ("N", "7.2"),
    },
    "nr_targets": {
        "pid_target": ("0", "5.18"),
        "regions/nr_regions": ("0", "5.18"),
        "obsolete_target": ("N", "6.19"),
    },
    "nr_regions": {"start": ("0", "5.18"), "end": ("0", "5.18")},
    "nr_schemes": {
        "action": ("stat", "5.18"),
        "apply_interval_us": ("0", "6.7"),
        "target_nid": ("-1", "6.11"),
        **{
            f"access_pattern/{of}/{end}": ("0", "5.18")
            for of in ("sz", "nr_accesses", "age")
            for end in RANGE
        },
        "quotas/ms": ("0", "5.18"),
        "quotas/bytes": ("0", "5.18"),
        "quotas/reset_interval_ms": ("0", "5.18"),
        "quotas/effective_bytes": ("0", "6.9"),
        **{f"quotas/weights/{of}_permil": ("0", "5.18") for of in ("sz", "nr_accesses", "age")},
        "quotas/goals/nr_goals": ("0", "6.8"),
        "quotas/goal_tuner": ("consist", "7.1"),
        "quotas/fail_charge_num": ("0", "7.2"),
        "quotas/fail_charge_denom": ("0", "7.2"),
        "watermarks/metric": ("none", "5.18"),
        **{f"watermarks/{of}": ("0", "5.18") for of in ("interval_us", "high", "mid", "low")},
        "filters/nr_filters": ("0", "6.3"),
        "core_filters/nr_filters": ("0", "6.15"),
        "ops_filters/nr_filters": ("0", "6.15"),
        "dests/nr_dests": ("0", "6.17"),
        **{
            f"stats/{of}": ("0", "5.18")
            for of in ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds")
        },
        "stats/sz_ops_filter_passed": ("0", "6.14"),
        "stats/nr_snapshots": ("0", "7.0"),
        "stats/max_nr_snapshots": ("0", "7.0"),
        "tried_regions/total_bytes": ("0", "6.6"),
    },
    "nr_filters": {
        "type": ("anon", "6.3"),
        "matching": ("N", "6.3"),
        "memcg_path": ("", "6.3"),
        "addr_start": ("0", "6.6"),
        "addr_end": ("0", "6.6"),
        "damon_target_idx": ("0", "6.6"),
        "allow": ("N", "6.14"),
        "min": ("0", "6.15"),
        "max": ("0", "6.15"),
    },
    "nr_goals": {
        "target_metric": ("user_input", "6.9"),
        "target_value": ("0", "6.8"),
        "current_value": ("0", "6.8"),
        "nid": ("0", "6.16"),
        "path": ("", "6.19"),
    },
    "nr_dests": {"id": ("0", "6.17"), "weight": ("0", "6.17")},
}
"""By the file that makes a folder: what it begins with, and since which Linux."""
WORDS = {
    "operations": {"vaddr": "5.18", "paddr": "5.18", "fvaddr": "5.19"},
    "action": {
        **dict.fromkeys(("willneed", "cold", "pageout", "hugepage", "nohugepage", "stat"), "5.18"),
        **dict.fromkeys(("lru_prio", "lru_deprio"), "6.0"),
        **dict.fromkeys(("migrate_hot", "migrate_cold"), "6.11"),
        "collapse": "7.2",
    },
    "type": {
        **dict.fromkeys(("anon", "memcg"), "6.3"),
        **dict.fromkeys(("addr", "target"), "6.6"),
        "young": "6.10",
        **dict.fromkeys(("active", "unmapped", "hugepage_size"), "6.15"),
    },
    "target_metric": {
        **dict.fromkeys(("user_input", "some_mem_psi_us"), "6.9"),
        **dict.fromkeys(("node_mem_used_bp", "node_mem_free_bp"), "6.16"),
        **dict.fromkeys(("node_memcg_used_bp", "node_memcg_free_bp"), "6.19"),
        **dict.fromkeys(("active_mem_bp", "inactive_mem_bp"), "7.0"),
        "node_eligible_mem_bp": "7.2",
    },
    "goal_tuner": {"consist": "7.1", "temporal": "7.1"},
    "metric": {"none": "5.18", "free_mem_rate": "5.18"},
    "state": {
        **dict.fromkeys(("on", "off", "update_schemes_stats"), "5.18"),
        "commit": "5.19",
        **dict.fromkeys(
            ("update_schemes_tried_regions", "clear_schemes_tried_regions"),
            "6.2",
        ),
        "update_schemes_tried_bytes": "6.6",
        "commit_schemes_quota_goals": "6.8",
        "update_schemes_effective_quotas": "6.9",
        "update_tuned_intervals": "6.15",
    },
}
"""By file: the words that it takes, and since which Linux."""


def has(release: str, since: str) -> bool:
    """Whether a Linux has what came with another."""
    numbers = [[int(part) for part in text.split(".")] for text in (release, since)]
    return numbers[0] >= numbers[1]


def entries_of(release: str) -> dict[str, dict[str, str]]:
    """What folders of a Linux begin with, by the file that makes them."""
    return {
        name: {path: text for path, (text, since) in files.items() if has(release, since)}
        for name, files in FILES.items()
    }


def words_of(release: str) -> dict[str, tuple[str, ...]]:
    """What words the files of a Linux take."""
    return {
        name: tuple(word for word, since in words.items() if has(release, since))
        for name, words in WORDS.items()
    }


ENTRIES = entries_of("6.12")
NEWER_ENTRIES = entries_of("7.2")
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
    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What can be written to files that take words, by name; anything to those not named."""
    modules: Path | None = None
    """Where those are that keep others out while they are on."""

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
        if text not in self.words.get(file.name, (text,)):
            raise OSError(errno.EINVAL, "Invalid argument", path)
        if file.name == "state":
            self._state(file.parent, text)
        elif file.name in self.entries and file.parent.name != "monitoring_attrs":
            self._count(file, text)
        else:
            file.write_text(text + "\n")

    def _count(self, file: Path, text: str) -> None:
        number = int(text)
        if file.name == "nr_kdamonds" and self.runs():
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
            if self.modules is not None and any(
                file.read_text() == "Y\n" for file in self.modules.glob("*/parameters/enabled")
            ):
                raise OSError(errno.EBUSY, "Device or resource busy")
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
        tid = self.thread(kdamond / "pid", tid, kdamond.name)
        (kdamond / "state").write_text("off\n" if tid is None else "on\n")

    def thread(self, file: Path, tid: int | None, name: str = "0") -> int | None:
        """Start or end the kdamond that a file names; returns the new one."""
        old = file.read_text().strip()
        if self.proc is None:
            tid = self._real_process(int(old), start=tid is not None)
        elif tid is None:
            shutil.rmtree(self.proc / old, ignore_errors=True)
        else:
            process(self.proc, tid, f"kdamond.{name}", pages=0)
        file.write_text(f"{-1 if tid is None else tid}\n")
        return tid

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

    def runs(self) -> bool:
        """Whether any kdamond of the tree runs."""
        return any(self.is_on(kdamond) for kdamond in self._kdamonds())

    def snapshot(self) -> dict[str, str]:
        """Every file and what it holds."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_text() for path in files}


@dataclass(frozen=True, eq=False)
class FakeModules(Sysfs):
    """/sys/module, where `enabled` of the kernel's own users of DAMON does what it does there.

    `fail` and `before_write` are those of the kernel, with paths from `modules` on.
    """

    kernel: FakeKernel = field(kw_only=True)

    def put(self, path: str, text: str) -> None:
        for action in self.kernel.before_write:
            action()
        self.kernel.written.append((f"modules/{path}", text))
        if number := self.kernel.fail.get(f"modules/{path}"):
            raise OSError(number, os.strerror(number), path)
        file = self.root / path
        if not file.exists():
            raise OSError(errno.ENOENT, "No such file or directory", path)
        if not self.is_writable(path):
            raise OSError(errno.EACCES, "Permission denied", path)
        if text == file.read_text().strip():
            return
        if text == "Y" and (self.kernel.runs() or self.on()):
            raise OSError(errno.EBUSY, "Device or resource busy")
        self.turn(file.parent, on=text == "Y")

    def turn(self, parameters: Path, on: bool) -> None:
        self.kernel.tids[0] += 1
        self.kernel.thread(parameters / "kdamond_pid", self.kernel.tids[0] if on else None)
        (parameters / "enabled").write_text("Y\n" if on else "N\n")

    def add(self, name: str, **parameters: object) -> None:
        """A module that is on."""
        texts = {key: str(value) for key, value in parameters.items()}
        make(self.root / name / "parameters", {"enabled": "N", "kdamond_pid": "-1", **texts})
        (self.root / name / "parameters/kdamond_pid").chmod(0o600)
        self.turn(self.root / name / "parameters", on=True)

    def on(self) -> list[str]:
        """Those that are on."""
        files = self.root.glob("*/parameters/enabled")
        return [file.parent.parent.name for file in files if file.read_text() == "Y\n"]


def make(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
        writable = path.name == "max_nr_snapshots" or "stats" not in path.parts
        path.chmod(0o600 if writable and path.name not in READ_ONLY else 0o400)


def process(
    proc: Path,
    pid: int,
    comm: str,
    pages: int = 100,
    started: int = 7,
    of: int | None = None,
    state: str = "S",
) -> None:
    """A process, or with 0 pages a kernel thread; `of` another one, a thread of it."""
    folder = proc / str(pid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comm").write_text(comm + "\n")
    (folder / "statm").write_text(f"{pages} 0 0 0 0 0 0\n")
    (folder / "status").write_text(
        f"Name:\t{comm}\nUmask:\t0022\nTgid:\t{of or pid}\nPid:\t{pid}\n"
    )
    fields = [state] + ["0"] * 18 + [str(started)] + ["0"] * 30
    (folder / "stat").write_text(f"{pid} ({comm}) {' '.join(fields)}\n")


def machine(root: Path, release: str | None = None) -> System:
    """A machine as root sees it, with DAMON unused and process 100 (app).

    Its tree is that of a Linux, 6.12 with all words where nobody says.
    """
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
    kernel = FakeKernel(
        root / "damon",
        proc=proc,
        entries=entries_of(release or "6.12"),
        words={} if release is None else words_of(release),
        modules=root / "modules",
    )
    return System(
        damon=kernel,
        proc=proc,
        tracing=(root / "tracing",),
        modules=FakeModules(root / "modules", kernel=kernel),
        boot=root / "boot",
        kernels=root / "kernels",
        cgroup=root / "cgroup",
        nodes=root / "nodes",
        run=root / "run",
        uid=0,
    )
