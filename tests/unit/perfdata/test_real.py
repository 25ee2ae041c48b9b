# SPDX-License-Identifier: GPL-2.0
"""A real recording: lab's stairs workload under Linux 6.12, the first 46 snapshots of it.

The workload wrote down what it touched and when, by the same clock: TRUTH.
"""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import perf_damon

PATH = Path(__file__).parents[2] / "data" / "stairs.perf.data"
TRUTH = (
    (12532469246, 15032478633, 0x7F6EBFC00000, 0x7F6EC0600000),
    (15032478633, 17532480747, 0x7F6EC0600000, 0x7F6EC1000000),
    (17532480747, 20037124750, 0x7F6EC1000000, 0x7F6EC1A00000),
)
"""Begin and end of a step in nanoseconds, and the only memory that it touched."""


@pytest.fixture(scope="module")
def recording():
    return perf_damon.open(PATH)


def test_what_it_says_of_itself(recording):
    assert recording.header.os_release == "6.12.117+deb13-amd64"
    assert recording.header.clockid == 1
    assert not recording.losses
    (target,) = recording.targets
    assert (target.kdamond, target.id, target.pid, target.comm) == (182, 0, 175, "workload")
    assert target.operations == "vaddr"
    assert target.attributes.max_nr_accesses == 20
    assert not target.attributes_inferred
    assert recording.comms[182] == "kdamond.0"
    assert "[heap]" in recording.mappings.names
    assert "//anon" in recording.mappings.names


def test_every_snapshot_is_whole(recording):
    (target,) = recording.targets
    assert target.nr_snapshots == 46
    counts = target.regions.nr_regions[target.offsets[:-1]]
    np.testing.assert_array_equal(np.diff(target.offsets), counts)


def test_hot_memory_is_what_the_workload_touched(recording):
    (target,) = recording.targets
    regions = target.regions
    snapshots = 0
    for begin, end, low, high in TRUTH:
        for i, time in enumerate(target.snapshot_time.tolist()):
            # A second after the step regions have settled; the last interval is all within it.
            if not begin + 10**9 < time < end:
                continue
            rows = regions[slice(*target.offsets[i : i + 2])]
            hot = rows.nr_accesses >= 10
            inside = np.minimum(rows.end, high).clip(low) - np.maximum(rows.start, low).clip(
                None, high
            )
            size = (rows.end - rows.start)[hot].sum()
            stack = rows.start > 0x7FF000000000
            assert inside[hot].sum() >= 0.8 * (high - low)
            assert inside[hot].sum() >= 0.8 * (size - (rows.end - rows.start)[hot & stack].sum())
            snapshots += 1
    assert snapshots >= 25


@pytest.mark.skipif(not shutil.which("perf"), reason="perf is not installed")
def test_perf_script_says_the_same(recording):
    words = ["perf", "script", "-i", str(PATH), "-F", "tid,time,event,trace", "--ns"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    line = (
        r"^ *(\d+) +(\d+)\.(\d+): damon:damon_aggregated: "
        r"target_id=(\d+) nr_regions=(\d+) (\d+)-(\d+): (\d+) (\d+)$"
    )
    want = [tuple(map(int, m)) for m in re.findall(line, text, re.MULTILINE)]
    r = recording.regions
    assert len(want) == len(r) == len(text.splitlines())
    seconds, ns = np.divmod(r.time, np.uint64(10**9))
    rows = zip(
        *([182] * len(r), seconds, ns, [0] * len(r), r.nr_regions, r.start, r.end),
        *(r.nr_accesses, r.age),
        strict=True,
    )
    assert [tuple(map(int, row)) for row in rows] == want
