# SPDX-License-Identifier: GPL-2.0
"""DARC while a node runs out of memory. The kernel's log is not looked at: it tells of that."""

from __future__ import annotations

from zones import DARC, MB, Zone, around, eager, put, wait_until


def test_out_of_memory_while_it_reclaims(zone: Zone, new, swap):
    """A process takes more than there is: it is killed, and nothing hangs."""
    eager()
    zone.set_marks(around(zone, below=200 * MB, gap=100 * MB))
    put(DARC / "enabled", "Y")
    glutton = new(zone.nid)
    for _ in range(40):
        try:
            glutton.do(f"hold({64 * MB})")
        except (SyntaxError, BrokenPipeError, AssertionError):
            break
    assert glutton.popen.wait(60) != 0
    wait_until(lambda: zone.state() == "idle", "all is well again")
