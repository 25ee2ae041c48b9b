# SPDX-License-Identifier: GPL-2.0
"""What schemes do, recorded from a real kernel; and advice that the kernel takes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest import damon, kdamonds, ok, put
from perf_damon import open as open_recording
from perf_damon.control.system import System
from perf_damon.tracepoints import APPLY_EVENT

MB = 1 << 20
COLD = "action=stat size=4K-max accesses=0%-0% age=1s-max"
HOT = "action=stat accesses=50%-max"
CONTEXT = "kdamonds/0/contexts/0"


def memory(here: Path) -> tuple[int, int]:
    """Where the workload has its memory: 16 MB, of which only 4M … 6M are hot."""
    lines = map(json.loads, (here / "0.truth").read_text().splitlines())
    (region,) = [e for e in lines if e["type"] == "region" and e["region"] == "memory"]
    return region["start"], region["end"]


def report(*words: object) -> dict:
    (target,) = json.loads(ok("report", *words, "--format", "json"))["targets"]
    return target


def applied(*words: object) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ok("report", "applied", "--format", "csv", *words))))


@pytest.mark.feature("record --schemes")
def test_each_scheme_acts_on_what_it_is_for(here: Path, target: int) -> None:
    if System().tracing_event(APPLY_EVENT) is None:
        refused = damon("record", "--schemes", "--timeout", "1s", target)
        assert refused.returncode == 255 and "does not tell what schemes act on" in refused.stderr
        assert "Linux 6.7 and later have it" in refused.stderr
        pytest.skip(f"the kernel has no damon:{APPLY_EVENT}; Linux 6.7 and later have it")
    ok("start", "--scheme", COLD, "--scheme", HOT, target)
    result = damon("record", "--schemes", "--timeout", "10s", target)
    assert result.returncode == 0, result.stderr
    assert "schemes: stat, stat ]" in result.stderr
    assert "schemes acted on" in result.stderr
    ok("stop")

    start, end = memory(here)
    window = ("--address", f"{start:#x},{end:#x}")
    cold, hot = report("schemes", *window)["schemes"]
    assert (cold["action"], hot["action"]) == ("stat", "stat")
    assert 12 * MB < cold["distinct_bytes"] <= 16 * MB
    assert 1.5 * MB < hot["distinct_bytes"] < 8 * MB
    assert cold["bytes"] > 5 * cold["distinct_bytes"], "again and again, for it is only counted"

    rows = applied()
    assert {row["pid"] for row in rows} == {str(target)}
    assert len(rows) == len(open_recording("perf.data").applied_to_pandas())
    for row in rows:
        if row["scheme"] == "0":
            assert row["nr_accesses"] == "0" and float(row["age_s"]) >= 1
        else:
            assert row["scheme"] == "1" and int(row["nr_accesses"]) >= 10
    middle = start + 5 * MB
    hits = [row for row in rows if int(row["start"]) <= middle < int(row["end"])]
    hot_hits = sum(row["scheme"] == "1" for row in hits)
    assert hot_hits > 0.9 * len(hits) > 0

    text = ok("report", "schemes", *window)
    assert "Scheme 0, stat: memory acted on" in text and "Scheme 1, stat" in text


@pytest.fixture
def somebody_elses_scheme(target: int) -> Iterator[int]:
    """A kdamond with a scheme that perf damon has not started."""
    put("kdamonds/nr_kdamonds", 1)
    put("kdamonds/0/contexts/nr_contexts", 1)
    put(f"{CONTEXT}/operations", "vaddr")
    put(f"{CONTEXT}/targets/nr_targets", 1)
    put(f"{CONTEXT}/targets/0/pid_target", target)
    put(f"{CONTEXT}/schemes/nr_schemes", 1)
    scheme = f"{CONTEXT}/schemes/0"
    put(f"{scheme}/action", "nohugepage")
    for what, most in (("sz", 2**64 - 1), ("nr_accesses", 0), ("age", 2**32 - 1)):
        put(f"{scheme}/access_pattern/{what}/max", most)
    put("kdamonds/0/state", "on")
    yield target
    put("kdamonds/0/state", "off")
    put("kdamonds/nr_kdamonds", 0)


def test_schemes_of_others_are_recorded_too(here: Path, somebody_elses_scheme: int) -> None:
    assert damon("record", "--schemes", "--timeout", "5s", somebody_elses_scheme).returncode == 0
    (scheme,) = report("schemes")["schemes"]
    assert scheme["action"] == "nohugepage" and scheme["regions"] > 0
    assert {row["action"] for row in applied()} == {"nohugepage"}
    assert len(kdamonds()) == 1


def test_without_schemes_that_is_said(here: Path, target: int) -> None:
    result = damon("record", "--schemes", "--timeout", "3s", target)
    assert result.returncode == 0 and "schemes: none yet" in result.stderr
    assert "schemes acted on 0 regions" in result.stderr
    assert "No scheme acted on this memory." in ok("report", "schemes")
    assert report("schemes")["schemes"] == []
    assert damon("record", "--timeout", "3s", target).returncode == 0
    for view in ("schemes", "applied"):
        result = damon("report", view)
        assert result.returncode == 255 and "does not tell what schemes did" in result.stderr


def test_advice_is_taken_by_the_kernel(here: Path, target: int) -> None:
    assert damon("record", "--timeout", "45s", target).returncode == 0
    start, end = memory(here)
    window = ("--address", f"{start:#x},{end:#x}")
    data = json.loads(ok("advise", *window, "--format", "json"))
    (cold,) = [one for one in data["proposals"] if one["action"] == "pageout"]
    # A machine that is busy has DAMON see accesses in regions that are cold for the most part.
    assert 2 * MB < cold["size"] < 15 * MB and cold["risk"] <= 0.05
    assert 7 * MB < data["idle"][0]["given"] < 15 * MB

    text = ok("advise", *window, "--action", "pageout,nohugepage")
    assert "action=pageout size=4K-max accesses=0%-0% age=" in text
    (here / "my.schemes").write_text(text)
    ok("start", "--schemes", "my.schemes", target)
    (running,) = json.loads(ok("schemes", "--json"))["kdamonds"]
    assert any(one["scheme"].startswith("action=pageout") for one in running["schemes"])
    ok("stop")

    # All of the process: of so little, one aggregation in which it got no CPU counts for much.
    result = damon("advise", "--risk", "50%", "--apply", "--action", "nohugepage")
    assert result.returncode == 0, result.stderr
    assert f"monitors {target} (workload)" in result.stderr
    ok("stop")
    short = damon("advise", "--time", "0,5", "--apply")
    assert short.returncode == 255 and "too short to tell" in short.stderr
