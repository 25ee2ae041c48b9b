# SPDX-License-Identifier: GPL-2.0
"""Addresses are written in one way: in --regions, in --address, and in filters of schemes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf_damon.analysis.select import parse_addresses
from perf_damon.commands.monitoring import parse_regions
from perf_damon.errors import UsageError
from perf_damon.schemes.text import format_scheme, parse_scheme
from perf_damon.units import parse_address_range


def in_regions(text: str) -> tuple[int, int]:
    (only,) = parse_regions(text)
    return only


def in_a_filter(text: str) -> tuple[int, int]:
    (only,) = parse_scheme(f"action=stat filter=addr:{text}").filters or ()
    assert only.addr_start is not None and only.addr_end is not None
    return only.addr_start, only.addr_end


EVERYWHERE = pytest.mark.parametrize("parse", [in_regions, parse_addresses, in_a_filter])


@EVERYWHERE
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # /proc/PID/maps
        ("7f0000000000-7f0000021000", (0x7F0000000000, 0x7F0000021000)),
        ("00400000-00452000", (0x400000, 0x452000)),
        ("ffffffffff600000-ffffffffff601000", (0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000)),
        # /proc/iomem, whose last byte belongs to it
        ("100000000-43fffffff", (0x100000000, 0x440000000)),
        ("00100000-7ffdefff", (0x100000, 0x7FFDF000)),
        ("00001000-0009fbff", (0x1000, 0x9FBFF)),
        # 0x is exact
        ("0x100000000-0x43fffffff", (0x100000000, 0x43FFFFFFF)),
        ("0X1000-0x2000", (0x1000, 0x2000)),
        # units
        ("1G-1.5G", (1 << 30, 3 << 29)),
        ("4K-2MiB", (4096, 2 << 20)),
        ("0-1G", (0, 1 << 30)),
        ("0-9", (0, 9)),
        # One of the two tells what both are.
        ("100b-feed0000", (0x100B, 0xFEED0000)),
        ("deadb000-100000000", (0xDEADB000, 0x100000000)),
    ],
)
def test_addresses(
    parse: Callable[[str], tuple[int, int]], text: str, expected: tuple[int, int]
) -> None:
    assert parse(text) == expected


@EVERYWHERE
@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("4096-8192", ("'4096'", "0x4096", "4,096 bytes, 0x1000")),
        ("100000000-200000000", ("'100000000'", "0x100000000", "0x5f5e100")),
        ("10B-1G", ("'10B'", "0x10b", "10 bytes, 0xa")),
        ("0x1000-8192", ("'8192'", "0x8192", "0x2000")),
        ("1G-2147483648", ("'2147483648'", "0x2147483648", "0x80000000")),
    ],
)
def test_what_can_be_read_in_two_ways(
    parse: Callable[[str], tuple[int, int]], text: str, readings: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    for reading in readings:
        assert reading in caught.value.message
    assert "with 0x" in caught.value.hint


@EVERYWHERE
@pytest.mark.parametrize("text", ["main-4K", "0x-0x1000", "1000-0xg", "1.5-2G", "f" * 17 + "-1G"])
def test_what_is_no_address(parse: Callable[[str], tuple[int, int]], text: str) -> None:
    with pytest.raises(UsageError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7f0000000000,7f0000021000", (0x7F0000000000, 0x7F0000021000)),
        ("7f0000000000+16M", (0x7F0000000000, 0x7F0001000000)),
        ("7f0000000000+4096", (0x7F0000000000, 0x7F0000001000)),
        ("7f0000000000,", (0x7F0000000000, 2**64 - 1)),
        (",00400000", (0, 0x400000)),
    ],
)
def test_windows(text: str, expected: tuple[int, int]) -> None:
    assert parse_addresses(text) == expected


def test_an_error_in_a_filter_points_at_the_end_that_is_wrong() -> None:
    with pytest.raises(UsageError) as caught:
        parse_scheme("action=stat filter=addr:0x1000-8192")
    _, shown, pointer = caught.value.message.splitlines()
    assert shown[pointer.index("^") :] == "8192"


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_what_is_printed_is_read(one: int, other: int) -> None:
    start, end = sorted((one, other))
    assert parse_address_range(f"0x{start:x}", f"0x{end:x}") == (start, end)
    # As the kernel prints them: eight digits or more, and ends of pages.
    start, end = (start | 0xA000) & ~0xFFF, end & ~0xFFF
    assert parse_address_range(f"{start:08x}", f"{end:08x}") == (start, end)
    if end:
        assert parse_address_range(f"{start:08x}", f"{end - 1:08x}") == (start, end)


def test_a_filter_is_printed_as_it_is_read() -> None:
    line = "action=stat filter=reject addr:0x100000000-0x43fffffff"
    assert format_scheme(parse_scheme(line)) == line
