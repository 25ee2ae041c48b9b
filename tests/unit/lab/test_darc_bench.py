# SPDX-License-Identifier: GPL-2.0
"""lab/bench darc without booting guests: what it makes of their results."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from lab.benchmarks import darc, guests
from lab.workloads.build import build

MB = 1 << 20
S = 10**9


@pytest.fixture
def plan(tmp_path):
    both = tuple(
        guests.Side(name, Path("/nonexistent"), tmp_path / name) for name in ("ours", "upstream")
    )
    return darc.Plan(both, 1)


def sample(seconds, kdamond_ns=0, free=100 * MB, reclaimed=0, **counts):
    vmstat = {"allocstall_normal": 0, "allocstall_movable": 0, "pgscan_kswapd": 0,
              "pgsteal_kswapd": 0, "pgsteal_direct": 0, "pgsteal_khugepaged": 0, "pswpout": 0,
              "workingset_refault_anon": 0, "workingset_refault_file": 0}  # fmt: skip
    return {
        "time": seconds * S,
        "free": free,
        "kdamond_ns": kdamond_ns,
        "vmstat": vmstat | counts,
        "darc": {"reclaimed": reclaimed},
    }


def write(plan, shape, side, setting, last, operations=(1000.0,) * 100, growing_s=1.0):
    folder = next(each for each in plan.sides if each.name == side).folder / shape
    folder.mkdir(parents=True, exist_ok=True)
    told = {"samples": [sample(1), last]}
    (folder / f"{setting}.1.json").write_text(json.dumps(told))
    times = {"growing_us": growing_s * 1e6, "majflt": 7, "operations_us": operations}
    (folder / f"{setting}.1.times").write_text(json.dumps(times))
    (folder / "release").write_text("6.12.117")


PRESSED = {
    "allocstall_normal": 30,
    "allocstall_movable": 10,
    "pgscan_kswapd": 5000,
    "pgsteal_kswapd": 2000,
    "pgsteal_direct": 48,
    "pswpout": 2000,
    "workingset_refault_anon": 400,
    "workingset_refault_file": 112,
}


@pytest.fixture
def results(plan):
    for shape in ("slow", "burst"):
        write(plan, shape, "ours", "calm", sample(11))
        write(plan, shape, "ours", "none", sample(11, free=3 * MB, **PRESSED))
        slow = (1000.0,) * 98 + (1040.0,) * 2
        write(plan, shape, "ours", "darc",
              sample(11, S // 4, reclaimed=8 * MB, allocstall_normal=2, pgscan_kswapd=1000,
                     pswpout=2048, workingset_refault_anon=60), slow, 1.01)  # fmt: skip
        for setting in ("none", "scheme"):
            write(plan, shape, "upstream", setting, sample(11, S))
    return plan


def test_what_is_made_of_a_run(results):
    [run] = darc.results(results, "slow")[results.sides[0], "none"]
    assert (run.stalls, run.scanned, run.stolen, run.major_faults) == (40, 5000, 2000, 7)
    assert run.taken == 8 * MB
    assert run.back == 0.25
    assert run.least_free == 3 * MB
    assert run.operation(50) == 1000
    assert run.growing_s == 1


def test_what_a_scheme_takes_is_no_count_of_the_kernels(results):
    [run] = darc.results(results, "slow")[results.sides[0], "darc"]
    assert run.taken == 8 * MB
    assert run.cost == 0.025


def test_table(results):
    lines = darc.table(results, "slow")
    assert [line.split()[:2] for line in lines[2:7]] == [
        ["ours", "calm"],
        ["ours", "none"],
        ["ours", "darc"],
        ["upstream", "none"],
        ["upstream", "scheme"],
    ]
    assert [line.strip() for line in lines[7:]] == [
        "ours: goal stalls 2.0: met",
        "ours: goal scanned 1000: met",
        "ours: goal p99 1.050 ms: met",
        "ours: goal back 3%: met",
        "ours: goal back 25.0%: met",
        "ours: goal kdamond 5%: met",
    ]


def test_the_debug_kernel_has_nothing_to_be_compared_with(tmp_path):
    sides = [guests.Side(name, Path("/nonexistent"), tmp_path / name)
             for name in ("ours-debug", "ours-debug-2")]  # fmt: skip
    plan = darc.Plan(tuple(sides), 1)
    for side in sides:
        write(plan, "slow", side.name, "darc", sample(11))
    lines = darc.table(plan, "slow")
    assert [line.split()[:2] for line in lines[2:]] == [
        ["ours-debug", "darc"],
        ["ours-debug-2", "darc"],
    ]


def test_goals_are_missed(plan, results):
    last = sample(11, S, allocstall_normal=3, pgscan_kswapd=1001, pswpout=2048,
                  workingset_refault_anon=600)  # fmt: skip
    write(plan, "slow", "ours", "darc", last, (1051.0,) * 100)
    write(plan, "burst", "ours", "darc", last, growing_s=1.03)
    assert [line.rpartition(" ")[2] for line in darc.table(plan, "slow")[7:]] == ["missed"] * 6
    assert "    ours: goal growing 1.02 s: missed" in darc.table(plan, "burst")


def test_the_program_that_makes_pressure(tmp_path):
    out, file = tmp_path / "times", tmp_path / "file"
    file.write_bytes(b"\0" * MB)
    words = ["hot=8", "warm=2", "fill=4", "grow=1024", "rate=1024", "seconds=2", "read=100"]
    process = subprocess.Popen(
        [build("pressure"), out, *words, f"file={file}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "filled\n"
    time.sleep(0.1)
    process.communicate("\n")
    assert process.returncode == 0
    told = json.loads(out.read_text())
    assert len(told["operations_us"]) == 200
    assert min(told["operations_us"]) > 0
    # Nothing in the first of them.
    assert told["grown"] == len(told["growth_us"]) * 65536 == MB - 65536
    assert told["seconds"] >= 2


def test_the_program_wants_what_it_knows(tmp_path):
    for words in (["cold=1"], ["hot=1M"], ["hot"]):
        done = subprocess.run(
            [build("pressure"), tmp_path / "out", *words], capture_output=True, text=True
        )
        assert done.returncode == 2
        assert words[0].partition("=")[0] in done.stderr
