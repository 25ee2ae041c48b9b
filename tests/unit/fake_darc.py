# SPDX-License-Identifier: GPL-2.0
"""DARC's sysfs tree in a temporary folder: it keeps watermarks in order as the ABI says."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from fake_kernel import make

from perf_damon.control.sysfs import Sysfs

MB = 1 << 20
PAGE = 4096
NORMAL = {
    "high": 192 * MB,
    "mid": 128 * MB,
    "low": 50 * MB,
    "written": "",
    "free": 150 * MB,
    "managed": 2048 * MB,
    "zone_high": 40 * MB,
    "state": "watching",
    "started": 12,
    "stopped_above_high": 10,
    "stopped_below_low": 1,
    "tried": 1536 * MB,
    "reclaimed": 1024 * MB,
    "refaulted": 20 * MB,
    "effective_min_age_us": 5_000_000,
    "kdamond_pid": 77,
    "cpu_us": 1_234_000,
}
NOTHING = dict.fromkeys(NORMAL, 0) | {"kdamond_pid": -1, "effective_min_age_us": 5_000_000}
NOTHING |= {"written": ""}
DMA = NOTHING | dict.fromkeys(("high", "mid", "low", "managed"), 12 * MB)
DMA |= {"zone_high": 11 * MB, "free": 12 * MB, "state": "idle"}
FAR = NOTHING | {"high": 96 * MB, "mid": 64 * MB, "low": 50 * MB, "managed": 1024 * MB}
FAR |= {"zone_high": 40 * MB, "free": 900 * MB, "state": "idle"}
ZONES = {"0-DMA": DMA, "0-Normal": NORMAL, "1-Normal": FAR}
MARKS = ("high", "mid", "low")


@dataclass(frozen=True, eq=False)
class FakeDarc(Sysfs):
    """Sysfs on a folder that behaves; `fail` maps a path to the errno of its next write."""

    fail: dict[str, int] = field(default_factory=dict)
    written: list[tuple[str, str]] = field(default_factory=list)

    def put(self, path: str, text: str) -> None:
        if path in self.fail:
            number = self.fail.pop(path)
            raise OSError(number, os.strerror(number), path)
        file = self.root / path
        if not file.exists():
            raise OSError(errno.ENOENT, "No such file or directory", path)
        if file.name in MARKS:
            self._mark(file, text)
        file.write_text(text + "\n") if file.name not in MARKS else None
        self.written.append((path, text))

    def _mark(self, file: Path, text: str) -> None:
        zone = file.parent
        values = {name: int((zone / name).read_text()) for name in (*MARKS, "zone_high", "managed")}
        if text == "default":
            values[file.name] = ZONES[zone.name][file.name]
        else:
            values[file.name] = int(text) // PAGE * PAGE
        order = [values[name] for name in ("zone_high", "low", "mid", "high")]
        if sorted(set(order)) != order or values["high"] > values["managed"]:
            raise OSError(errno.EINVAL, "Invalid argument")
        own = {file.name, *(zone / "written").read_text().split()}
        if text == "default":
            own.remove(file.name)
        (zone / "written").write_text("".join(f"{name} " for name in MARKS if name in own) + "\n")
        file.write_text(f"{values[file.name]}\n")

    def snapshot(self) -> dict[str, str]:
        """Every file and what it holds."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_text() for path in files}

    def marks(self, zone: str) -> list[int]:
        """High, mid, low in MiB."""
        return [int(self.read(f"zones/{zone}/{name}")) // MB for name in MARKS]


def darc(root: Path) -> FakeDarc:
    """DARC as it is at first, but with counts of what it did."""
    files = {
        "enabled": "N",
        "min_age_us": "5000000",
        "quotas/bytes": str(128 * MB),
        "quotas/ms": "30",
        "quotas/reset_interval_ms": "1000",
        "quotas/some_mem_psi_us": "10000",
    }
    for zone, values in ZONES.items():
        files |= {f"zones/{zone}/{name}": str(value) for name, value in values.items()}
    make(root, files)
    return FakeDarc(root)
