# SPDX-License-Identifier: GPL-2.0
"""What the machine is said to have."""

from __future__ import annotations

import gzip
import platform
from pathlib import Path

import pytest

from perf_damon.control.system import System
from perf_damon.errors import Error

BOOTED = """\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
00100000-bffdefff : System RAM
  01000000-020031d0 : Kernel code
  b0000000-b7ffffff : Crash kernel
e0000000-efffffff : PCI MMCONFIG 0000 [bus 00-ff]
"""
KMEM = """\
100000000-2ffffffff : Persistent Memory
  110000000-18fffffff : dax0.0
    110000000-18fffffff : System RAM (kmem)
  1a0000000-1afffffff : namespace0.0
"""
VIRTIO_MEM = """\
300000000-37fffffff : virtio0
  300000000-307ffffff : System RAM (virtio_mem)
  308000000-30fffffff : System RAM (virtio_mem)
  320000000-327ffffff : System RAM (virtio_mem)
"""
DIMM = "380000000-387ffffff : System RAM\n"


def iomem(system: System, text: str) -> list[tuple[int, int]]:
    (system.proc / "iomem").write_text(text)
    return system.system_ram()


def test_system_ram(system: System) -> None:
    assert iomem(system, BOOTED) == [(0x1000, 0x9FC00), (0x100000, 0xBFFDF000)]


def test_memory_that_was_plugged_in(system: System) -> None:
    """In devices' ranges, with a word of who did it; ranges that touch are one."""
    found = iomem(system, BOOTED + KMEM + VIRTIO_MEM + DIMM)
    assert found == [
        (0x1000, 0x9FC00),
        (0x100000, 0xBFFDF000),
        (0x110000000, 0x190000000),
        (0x300000000, 0x310000000),
        (0x320000000, 0x328000000),
        (0x380000000, 0x388000000),
    ]


def test_a_machine_of_nothing_else(system: System) -> None:
    assert iomem(system, KMEM) == [(0x110000000, 0x190000000)]


@pytest.mark.parametrize(
    "line",
    [
        "100000000-1ffffffff : System RAM Disk",
        "100000000-1ffffffff : Non System RAM",
        "100000000-1ffffffff : Persistent Memory (System RAM)",
        "00000000-00000000 : System RAM",
        "  00000000-00000000 : System RAM (kmem)",
    ],
)
def test_what_is_no_system_ram(system: System, line: str) -> None:
    with pytest.raises(Error, match="tells no System RAM"):
        iomem(system, line + "\n")


def write_config(path: Path, who: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = f'# CONFIG_DAMON_SYSFS is not set\nCONFIG_DAMON=y\nCONFIG_WHO="{who}"\n'
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_where_kernels_have_their_configuration(system: System) -> None:
    """Debian 13's beside the image, Debian 14's beside the modules, others' in /proc."""
    assert system.kernel_config() == {}
    release = platform.release()
    places = (
        (system.proc / "config.gz", "proc"),
        (system.kernels / release / "config", "modules"),
        (system.boot / f"config-{release}", "boot"),
    )
    for path, who in places:
        write_config(path, who)
        assert system.kernel_config() == {"CONFIG_DAMON": "y", "CONFIG_WHO": f'"{who}"'}


def test_a_kernel_without_damon_says_which_options_it_lacks(system: System) -> None:
    write_config(system.kernels / platform.release() / "config", "modules")
    bare = System(
        damon=type(system.damon)(system.proc / "nowhere"),
        proc=system.proc,
        boot=system.boot,
        kernels=system.kernels,
    )
    with pytest.raises(Error) as caught:
        bare.require_damon()
    assert "has no DAMON to use" in caught.value.message
    assert "built without CONFIG_DAMON_SYSFS=y;" in caught.value.hint


def test_a_configuration_that_is_damaged_is_none(system: System) -> None:
    path = system.proc / "config.gz"
    write_config(path, "proc")
    path.write_bytes(path.read_bytes()[:40])
    assert system.kernel_config() == {}
