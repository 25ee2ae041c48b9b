# SPDX-License-Identifier: GPL-2.0
"""--target, --time and --address."""

from __future__ import annotations

import pytest
import recordings

from perf_damon.analysis.select import parse_addresses, parse_targets, parse_times, select
from perf_damon.errors import UsageError

S = 1_000_000_000
START, END = 100 * S, 200 * S


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5,10", (105, 110)),
        ("5,", (105, 200)),
        (",10", (100, 110)),
        ("500ms,2s", (100.5, 102)),
        ("0.5 , 1.25m", (100.5, 175)),
        ("10%-20%", (110, 120)),
        ("10%/2", (110, 120)),
        ("10%", (100, 110)),
        ("0%-100%", (100, 200)),
    ],
)
def test_times(text, expected):
    assert parse_times(text, START, END) == tuple(round(s * S) for s in expected)


@pytest.mark.parametrize(
    "text",
    ["", "5", ",", "x,y", "10,5", "-1,5", "20%-10%", "10%/0", "10%/11", "1%-", "300,", "110%"],
)
def test_nonsense_times(text):
    with pytest.raises(UsageError, match="--time"):
        parse_times(text, START, END)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0x1000,0x2000", (0x1000, 0x2000)),
        ("0x1000-0x2000", (0x1000, 0x2000)),
        ("0x1000+4K", (0x1000, 0x2000)),
        ("1G,1.5G", (1 << 30, 3 << 29)),
        ("0x1000,", (4096, 2**64 - 1)),
        (",4K", (0, 4096)),
    ],
)
def test_addresses(text, expected):
    assert parse_addresses(text) == expected


@pytest.mark.parametrize("text", ["", ",", "0x10", "0x20,0x10", "x,y", "1,2,3", "5,5"])
def test_nonsense_addresses(text):
    with pytest.raises(UsageError, match="--address"):
        parse_addresses(text)


def test_targets():
    rows = [(100, [(0, 1, 0)])]
    targets = tuple(
        recordings.target(rows, kdamond=kdamond, id=id, pid=pid)
        for kdamond, id, pid in ((70, 0, 500), (70, 1, 501), (71, 0, 500), (72, 0, None))
    )
    assert parse_targets("2", targets) == [2]
    assert parse_targets("500", targets) == [1, 3]
    assert parse_targets("70:1, 4,501", targets) == [2, 4]
    for text in ("5", "0", "70:2", "x", "1,,2"):
        with pytest.raises(UsageError, match="no target") as caught:
            parse_targets(text, targets)
        assert "2 (70:1, pid 501)" in caught.value.hint
    chosen = select(recordings.recording(*targets), target="71:0")
    assert [(one.number, one.view.target.kdamond) for one in chosen] == [(3, 71)]
