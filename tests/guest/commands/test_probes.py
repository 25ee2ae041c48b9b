# SPDX-License-Identifier: GPL-2.0
"""Probes of a context that somebody has set up, and the event that tells what they hit.

Debian's newest kernel has it: lab/guest --kernel debian-newest -- \
    build/venv-system/bin/python -m pytest -q tests/guest/commands/test_probes.py
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tracing import ROOT

import perf_damon
from guest import CHECKOUT, PATIENCE_S, kdamonds, ok, put, run, wait_for_snapshots, wait_until
from perf_damon import live
from perf_damon.live.module import ModuleReader
from perf_damon.live.pipe import PipeReader
from perf_damon.perfdata.assemble import assemble
from perf_damon.perfdata.script import ScriptReader
from perf_damon.recording import UNTOLD, Recording

BOTH = ("damon:damon_aggregated", "damon:damon_region_aggregated")
TOLD = re.compile(
    r"(\d+)\.(\d{9}): +damon:damon_region_aggregated: target_id=0 nr_regions=(\d+) (\d+)-(\d+): "
    r"(\d+) (\d+) probe_hits=([0-9a-f]{2}) ([0-9a-f]{2})"
)
CONTEXT = "kdamonds/0/contexts/0"

pytestmark = pytest.mark.skipif(
    not (ROOT / "events/damon/damon_region_aggregated").is_dir(),
    reason="this kernel has no damon:damon_region_aggregated",
)


@pytest.fixture
def probed(target: int) -> Iterator[int]:
    """A kdamond on physical memory that probes for anonymous memory, and for all other."""
    lines = Path("/proc/iomem").read_text().splitlines()
    ram = [line.split()[0].split("-") for line in lines if line.endswith(": System RAM")]
    start, end = max(ram, key=lambda one: int(one[1], 16) - int(one[0], 16))
    put("kdamonds/nr_kdamonds", 1)
    put("kdamonds/0/contexts/nr_contexts", 1)
    put(f"{CONTEXT}/operations", "paddr")
    put(f"{CONTEXT}/targets/nr_targets", 1)
    put(f"{CONTEXT}/targets/0/regions/nr_regions", 1)
    put(f"{CONTEXT}/targets/0/regions/0/start", int(start, 16))
    put(f"{CONTEXT}/targets/0/regions/0/end", int(end, 16))
    probes = f"{CONTEXT}/monitoring_attrs/probes"
    put(f"{probes}/nr_probes", 2)
    for probe, matching in enumerate("YN"):
        put(f"{probes}/{probe}/filters/nr_filters", 1)
        put(f"{probes}/{probe}/filters/0/type", "anon")
        put(f"{probes}/{probe}/filters/0/matching", matching)
        put(f"{probes}/{probe}/filters/0/allow", "Y")
    put("kdamonds/0/state", "on")
    (kdamond,) = kdamonds()
    yield kdamond
    put("kdamonds/0/state", "off")
    put("kdamonds/nr_kdamonds", 0)


def record(path: Path, *events: str) -> Path:
    """Have perf record these events of some aggregations."""
    words = ["perf", "record", "-o", path, "-a", *(w for event in events for w in ("-e", event))]
    how = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*words, "--", "sh", "-c", "echo ready; read _ || :"], **how) as perf:
        assert perf.stdout.readline() == b"ready\n"
        wait_for_snapshots()
        perf.stdin.close()
        assert perf.wait(PATIENCE_S) == 0
    return path


def check(recording: Recording, kdamond: int) -> None:
    """Each region is there once, with hits that can be."""
    (target,) = recording.targets
    assert (target.kdamond, target.id) == (kdamond, 0)
    regions = recording.regions
    first = regions.nr_regions[target.offsets[:-1]]
    sizes = np.diff(target.offsets)
    assert (sizes[1:-1] == first[1:-1]).all() and (sizes <= first).all()
    assert target.nr_snapshots >= 3
    table = regions.probe_hits
    assert table.shape == (len(regions), 2) and table.dtype == np.int16
    # What is sampled is anonymous or it is not, and most memory is not.
    assert table[:, 1].max() > 0


def test_fast_path_and_perf_script_read_what_perf_prints(here: Path, probed: int) -> None:
    path = record(here / "both.data", *BOTH)
    recording = perf_damon.open(path)
    check(recording, probed)
    table = recording.regions.probe_hits
    assert (table != UNTOLD).all()
    fields = run("perf", "script", "-i", path, "-F", "tid,time,event,trace", "--ns").stdout
    told = TOLD.findall(fields)
    assert len(told) == fields.count("damon:damon_aggregated:") == len(recording.regions)
    regions = recording.regions
    columns = [
        getattr(regions, name).tolist()
        for name in ("time", "nr_regions", "start", "end", "nr_accesses", "age")
    ]
    rows = [(*row, *hits) for *row, hits in zip(*columns, table.tolist(), strict=True)]
    assert rows == [
        (int(s) * 10**9 + int(ns), *map(int, numbers), int(one, 16), int(other, 16))
        for s, ns, *numbers, one, other in told
    ]
    events = ScriptReader(str(path)).read()
    again, _ = assemble(events, recording.mappings, {}, None)
    for name in regions.__dataclass_fields__:
        a, b = getattr(regions, name), getattr(again, name)
        assert a.dtype == b.dtype, name
        np.testing.assert_array_equal(a, b, name)
    script = CHECKOUT / "tools/perf/scripts/python/damon_heatmap.py"
    drawn = run("perf", "script", "-s", script, "-i", path)
    assert (drawn.returncode, ok("report", "-i", path) == "") == (0, False), drawn.stderr
    assert drawn.stdout


@pytest.mark.parametrize("event", BOTH)
def test_either_event_alone(here: Path, probed: int, event: str) -> None:
    recording = perf_damon.open(record(here / "one.data", event))
    if event == BOTH[1]:
        check(recording, probed)
        assert (recording.regions.probe_hits != UNTOLD).all()
    else:
        assert recording.regions.probe_hits is None and len(recording.regions)


def test_record_listens_to_it(here: Path, probed: int) -> None:
    ok("record", "-a", "--timeout", "3s")
    recording = perf_damon.open("perf.data")
    check(recording, probed)
    assert (recording.regions.probe_hits != UNTOLD).all()
    head, *lines = ok("report", "regions", "--format", "csv").splitlines()
    assert head.endswith(",mapping,probe_0,probe_1")
    told = [[int(one) for one in line.split(",")[-2:]] for line in lines]
    assert told == recording.regions.probe_hits.tolist()


def test_live(probed: int) -> None:
    with live.listen([probed]) as module, PipeReader([probed]) as pipe:
        assert isinstance(module, ModuleReader)
        heard = {module: [], pipe: []}

        def enough() -> bool:
            for reader, rows in heard.items():
                reader.wait(0.1)
                columns = reader.read().columns
                hits = columns.get("probe_hits", np.zeros((len(columns["time"]), 0)))
                names = ("time", "start", "nr_regions")
                numbers = (columns[name].tolist() for name in names)
                rows += zip(*numbers, hits.tolist(), strict=True)
            return all(len(rows) > 100 for rows in heard.values())

        wait_until(enough, "a hundred regions each")
    for rows in heard.values():
        rows.sort()
        starts = [start for _, start, _, _ in rows]
        begins = [i for i in range(1, len(rows)) if starts[i] <= starts[i - 1]]
        assert len(begins) >= 3
        # Between two beginnings there is each region, once.
        for first, last in itertools.pairwise(begins):
            assert [row[2] for row in rows[first:last]] == [last - first] * (last - first)
        # Of the first row it is not known yet that hits follow, and the last one may wait for them.
        assert all(len(row[3]) == 2 and UNTOLD not in row[3] for row in rows[2:-1])
