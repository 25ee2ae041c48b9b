# SPDX-License-Identifier: GPL-2.0
"""perf damon darc on a real kernel: status, set, enable under pressure, and what was recorded.

Two nodes, so that nobody else takes the zone's memory: lab/guest --nodes 2.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from zones import DARC, MB, Process, Zone, put, wait_until

from guest import damon, ok, run


def mib(size: int) -> str:
    return f"{size // MB}M"


def test_status_says_what_the_files_say(zone: Zone):
    text = ok("darc")
    assert text.startswith("DARC is disabled.") and f"{zone.path.name}: disabled, " in text
    found = json.loads(ok("darc", "status", "--json"))
    assert not found["enabled"] and found["min_age_us"] == 5_000_000
    (mine,) = (one for one in found["zones"] if one["name"] == zone.path.name)
    for name in ("high", "mid", "low", "managed", "zone_high", "started", "reclaimed"):
        assert mine[name] == zone.number(name), name
    assert mine["state"] == "disabled" and mine["kdamond_pid"] == -1


def test_set_all_or_nothing(zone: Zone):
    name, before = zone.path.name, zone.marks()
    low = zone.number("zone_high") // MB * MB + 32 * MB
    marks = ("--low", mib(low), "--mid", mib(low + 16 * MB), "--high", mib(low + 64 * MB))
    ok("darc", "set", "--zone", name, *marks, "--quota", "50M/2s", "--time", "20ms/2s",
       "--goal", "none", "--min-age", "7s")  # fmt: skip
    now = zone.marks()
    assert (now.low, now.mid, now.high) == (low, low + 16 * MB, low + 64 * MB)
    values = {path.name: path.read_text().strip() for path in (DARC / "quotas").iterdir()}
    assert values == {
        "bytes": str(50 * MB),
        "ms": "20",
        "reset_interval_ms": "2000",
        "some_mem_psi_us": "0",
    }
    wrong = damon("darc", "set", "--min-age", "9s", "--zone", name, "--low", mib(low + 16 * MB))
    assert wrong.returncode == 129 and f"zone {name}: mid" in wrong.stderr
    assert "its own high watermark" in wrong.stderr
    assert (DARC / "min_age_us").read_text() == "7000000\n" and zone.marks() == now
    # The kernel alone knows the default one: it is written first of all, and put back.
    too_much = ("--high", "default", "--mid", mib(zone.number("managed") - 32 * MB))
    wrong = damon("darc", "set", "--min-age", "9s", "--zone", name, *too_much)
    assert wrong.returncode == 255 and "out of order" in wrong.stderr, wrong.stderr
    assert (DARC / "min_age_us").read_text() == "7000000\n" and zone.marks() == now
    ok("darc", "set", "--zone", "all", "--low", "default", "--mid", "default", "--high", "default")
    assert zone.marks() == before


def test_pressure_is_recorded_and_reported(
    zone: Zone, new: Callable[[int], Process], swap: None, tmp_path: Path
):
    process = new(zone.nid)
    process.hold(128 * MB)
    # What is free now is half way between high and mid: the next 64 MB bring it below mid.
    mid = (zone.number("free") - 32 * MB) // MB * MB
    names = ("reclaimed", "tried", "stopped_above_high")
    before = {name: zone.number(name) for name in names}
    data = Path("/tmp/darc.data")
    words = ("perf", "damon", "record", "--darc", "-o", str(data))
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as recorder:
        assert recorder.stderr is not None
        while "Ctrl-C ends it" not in (line := recorder.stderr.readline()):
            assert line, "perf damon record has ended"
        ok("darc", "enable", "--zone", zone.path.name, "--low", mib(mid - 128 * MB),
           "--mid", mib(mid), "--high", mib(mid + 24 * MB), "--min-age", "500ms",
           "--quota", "none/200ms", "--time", "none", "--goal", "none")  # fmt: skip
        assert (DARC / "enabled").read_text() == "Y\n"
        process.hold(64 * MB)
        wait_until(
            lambda: zone.number("reclaimed") > before["reclaimed"] + 16 * MB,
            "something is reclaimed",
        )
        status = ok("darc")
        assert "DARC is enabled" in status and f"{zone.path.name}: " in status
        stopped = before["stopped_above_high"]
        wait_until(lambda: zone.number("stopped_above_high") > stopped, "enough is free")
        ok("darc", "disable")
        recorder.terminate()
        said = recorder.stderr.read()
    assert "perf damon report darc" in said, said
    text = ok("report", "darc", "-i", data)
    assert "What DARC did" in text and "above high" in text, text
    found = json.loads(ok("report", "darc", "--format", "json", "-i", data))["darc"]
    (mine,) = (one for one in found["zones"] if one["zone"] == zone.path.name)
    assert mine["starts"] >= 1 and mine["stops"]["above_high"] >= 1
    # All of it was recorded, so it is what the zone's counters say.
    for name in ("reclaimed", "tried"):
        assert mine[name] == zone.number(name) - before[name]
    turns = [turn for turn in found["turns"] if turn["zone"] == zone.path.name]
    assert turns[0]["free_before"] < mid and turns[0]["begin_ns"] is not None
    assert max(turn["free_after"] or 0 for turn in turns) > mid
    other = damon("report", "-i", data)
    assert other.returncode == 255 and "only DARC's" in other.stderr
    assert run("perf", "script", "-i", data).stdout.count("darc:darc_start") == mine["starts"]


def test_along_with_monitoring(zone: Zone, new: Callable[[int], Process], swap: None):
    put(DARC / "enabled", "Y")
    process = new(zone.nid)
    process.hold(16 * MB)
    data = Path("/tmp/both.data")
    ok("record", "--darc", "--timeout", "3s", "-o", data, process.pid)
    put(DARC / "enabled", "N")
    found = json.loads(ok("report", "--format", "json", "-i", data))
    assert [one["pid"] for one in found["targets"]] == [process.pid], "DARC's own are not in it"
    assert found["targets"][0]["snapshots"] > 5
    assert ok("report", "darc", "-i", data)
