# SPDX-License-Identifier: GPL-2.0

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from lab.benchmarks.kernel_log import Log, complaints


def test_only_what_is_said_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    path.write_text("3,1,1,-;WARNING: before\n")
    with closing(Log(path)) as log, path.open("a") as file:
        assert log.said() == []
        file.write("6,2,2,-;eth0: up\n")
        file.flush()
        assert log.said() == ["6,2,2,-;eth0: up\n"]
        assert log.said() == []


def test_complaints() -> None:
    said = [
        "6,1,1,-;zram0: detected capacity change\n",
        "4,2,2,-;WARNING: CPU: 0 PID: 1 at mm/damon/core.c:1\n",
        "1,3,3,-;BUG: KASAN: slab-use-after-free in x\n",
    ]
    assert complaints(said) == said[1:]
    assert complaints([]) == []
