# SPDX-License-Identifier: GPL-2.0
"""Fixtures of the tests of DARC: a zone, processes that take its memory, swap space, a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from obedient import maker
from zones import DARC, MB, VM, Process, Zone, biggest_of_last_node, params, put, zones

import guest
from guest import run, swap_off, swap_on

BALLAST = 160 * MB


@pytest.fixture(scope="session", autouse=True)
def all_is_counted() -> Iterator[None]:
    """No CPU keeps more than a few free pages for itself: these do not count as free."""
    path = VM / "percpu_pagelist_high_fraction"
    before = path.read_text()
    put(path, 1 << 20)
    yield
    put(path, before)


@pytest.fixture(scope="session")
def ballast(all_is_counted: None) -> Iterator[None]:
    """Not all memory of the zone is free, so that there is room for watermarks above what is."""
    process = Process(biggest_of_last_node().nid)
    memory = process.hold(BALLAST)
    process.do(f"lock({memory.start}, {len(memory)})")
    yield
    process.end()


@pytest.fixture
def new() -> Iterator[Callable[[int], Process]]:
    """Make processes, which end with the test."""
    with maker(Process) as make:
        yield make


@pytest.fixture
def zone(ballast: None) -> Zone:
    return biggest_of_last_node()


@pytest.fixture(autouse=True)
def as_before(nothing_left_behind: None) -> Iterator[None]:
    """DARC is disabled and has its defaults after each test."""
    before = {path: path.read_text() for path in params()}
    assert before[DARC / "enabled"] == "N\n"
    yield
    put(DARC / "enabled", "N")
    assert guest.kdamonds() == []
    for path, text in before.items():
        put(path, text)
    for each in zones():
        each.defaults()
        assert each.state() == "disabled"


@pytest.fixture
def swap(as_before: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Swap space, for less than the tests have memory; a parameter says how much."""
    swap_on(getattr(request, "param", 512 * MB))
    yield
    put(DARC / "enabled", "N")
    swap_off()


@pytest.fixture
def cached(zone: Zone, new: Callable[[int], Process], tmp_path: Path) -> Iterator[int]:
    """A file whose clean pages are in memory of the zone; how many bytes. No swap space."""
    disk, mount, size = Path("/sys/block/zram0"), tmp_path / "disk", 96 * MB
    mount.mkdir()
    put(disk / "disksize", 256 * MB)
    try:
        made = run("mkfs.ext4", "-q", "/dev/zram0")
        assert made.returncode == 0, made.stderr
        assert run("mount", "/dev/zram0", mount).returncode == 0
        (mount / "file").write_bytes(b"\0" * size)
        # Forget the pages that writing it has left.
        assert run("umount", mount).returncode == 0
        assert run("mount", "/dev/zram0", mount).returncode == 0
        free = zone.number("free")
        new(zone.nid).do(f"cache({str(mount / 'file')!r})")
        assert zone.number("free") < free - size + 16 * MB
        yield size
    finally:
        put(DARC / "enabled", "N")
        run("umount", mount)
        put(disk / "reset", 1)
