# SPDX-License-Identifier: GPL-2.0
"""Counted events: when there is a whole snapshot. That events are counted, a guest tests."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from fake_kernel import make

from perf_damon.record import count


def test_a_burst_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(count.time, "monotonic", lambda: now[0])
    receive, send = os.pipe()
    counted = count.Count(receive)
    for seconds, number, whole in [
        (9.0, 0, False),
        (0.1, 5, False),
        (0.4, 9, False),
        (0.4, 9, False),
        (0.2, 9, True),
        (0.1, 10, False),
        (0.6, 10, True),
    ]:
        now[0] += seconds
        os.write(send, struct.pack("=q", number))
        assert counted.whole() == whole, (now, number)
    counted.close()
    os.close(send)
    with pytest.raises(OSError):
        os.read(receive, 8)


def test_where_nothing_can_be_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count.count(tmp_path, os.getpid()) is None
    make(tmp_path, {"id": "2147483647"})
    assert count.count(tmp_path, os.getpid()) is None
    monkeypatch.setattr(count.platform, "machine", lambda: "sparc")
    make(tmp_path, {"id": "1"})
    assert count.count(tmp_path, os.getpid()) is None
