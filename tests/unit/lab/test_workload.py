# SPDX-License-Identifier: GPL-2.0
"""The workload program against what it writes down, on this machine."""

import os
import re
import signal
import subprocess
import time
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from lab.workloads import truth

PATTERNS = Path(truth.__file__).parent
MB = 1 << 20
SECOND = 1_000_000_000

TWO_STEPS = """\
# two steps
region memory 4M thp=off   # as small as it gets
phase 60ms
    touch memory 0 1M write
phase 40ms
    touch memory 2M 1M every=5ms
    touch memory 1M 4K
"""


@pytest.fixture
def run(workload_program, tmp_path):
    """Runs a pattern's text; returns the finished program, its truth in tmp_path/truth."""

    def run(text, *options):
        (tmp_path / "pattern").write_text(text)
        return subprocess.run(
            [workload_program, *options, "--truth", tmp_path / "truth", "pattern"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def processes(tmp_path):
    return truth.read(tmp_path / "truth")


def only(tmp_path):
    [process] = processes(tmp_path).values()
    return process


def until_touched(run, tmp_path, text=TWO_STEPS):
    """Runs a pattern until each touch was passed, and gives its phases: a busy machine may leave
    a program no time in a phase of some milliseconds."""
    for _ in range(100):
        (tmp_path / "truth").unlink(missing_ok=True)
        assert run(text).returncode == 0
        phases = only(tmp_path).phases
        if all(touch.passes for phase in phases for touch in phase.touches):
            return phases
    return pytest.fail("a pattern's memory is never touched")


def test_truth_follows_the_pattern(run, tmp_path):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    done = run(TWO_STEPS)
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    process = only(tmp_path)
    memory = process.regions["memory"]
    assert (memory.end - memory.start, memory.kind, memory.thp) == (4 * MB, "anonymous", "off")
    first, second = process.phases
    assert first.hot() == ((memory.start, memory.start + MB),)
    [touch] = first.touches
    assert (touch.region, touch.access, touch.every) == ("memory", "write", 0)
    # Neighbours are told apart as touches, joined as hot memory.
    assert [t.start - memory.start for t in second.touches] == [2 * MB, MB]
    assert second.hot() == (
        (memory.start + MB, memory.start + MB + 4096),
        (memory.start + 2 * MB, memory.start + 3 * MB),
    )
    assert second.touches[0].access == "read"
    # The clock is CLOCK_MONOTONIC, and no moment is in two phases or in none.
    assert before < process.begin <= first.begin
    assert first.end == second.begin
    assert second.end <= process.end < after
    assert first.end - first.begin >= 0.06 * SECOND
    assert second.end - second.begin >= 0.04 * SECOND


def test_every_limits_the_passes(run, tmp_path):
    _, second = until_touched(run, tmp_path)
    slow, fast = second.touches
    # One at the begin of each 5 ms; fewer where the machine was busy.
    assert slow.passes <= (second.end - second.begin) // slow.every + 1
    assert fast.passes >= slow.passes


def test_option_every_is_for_touches_without_one(run, tmp_path):
    assert run(TWO_STEPS, "--every", "7ms").returncode == 0
    first, second = only(tmp_path).phases
    assert first.touches[0].every == 7_000_000
    assert [t.every for t in second.touches] == [5_000_000, 7_000_000]
    assert first.touches[0].passes <= (first.end - first.begin) // 7_000_000 + 1


def test_duration_cuts(run, tmp_path):
    assert run(TWO_STEPS, "--duration", "30ms").returncode == 0
    [phase] = only(tmp_path).phases
    assert phase.number == 0
    assert phase.end - phase.begin < 0.06 * SECOND or phase.touches[0].passes > 0


def test_duration_loops(run, tmp_path):
    assert run(TWO_STEPS, "--duration", "250ms").returncode == 0
    phases = only(tmp_path).phases
    order = [(phase.loop, phase.number) for phase in phases]
    assert order == [(i // 2, i % 2) for i in range(len(order))]
    assert order[-1][0] >= 1
    assert phases[-1].end - phases[0].begin >= 0.25 * SECOND


def test_processes_begin_together_and_write_whole_lines(run, tmp_path):
    text = "".join(
        f"process p{i}\nregion memory {i + 1}M\nphase 500ms\n touch memory 0 {i + 1}M\n"
        for i in range(4)
    )
    assert run(text).returncode == 0
    all_processes = processes(tmp_path)
    assert sorted(p.name for p in all_processes.values()) == ["p0", "p1", "p2", "p3"]
    populated = max(p.begin for p in all_processes.values())
    for pid, process in all_processes.items():
        assert pid == process.pid
        assert (
            process.regions["memory"].end - process.regions["memory"].start
            == (int(process.name[1]) + 1) * MB
        )
        assert process.end > populated


def test_kinds_of_memory_are_what_the_kernel_shows(workload_program, tmp_path):
    (tmp_path / "pattern").write_text(
        "region h 1M heap\nregion f 2M file=data file=data2\nregion a 4M thp=on\n"
        "region far 1M gap=1T\nphase 60s\n touch f 0 2M write\n"
    )
    program = subprocess.Popen(
        [workload_program, "--truth", tmp_path / "truth", tmp_path / "pattern"], cwd=tmp_path
    )
    try:
        wait_for(lambda: b'"type": "start"' in b"".join(lines(tmp_path)))
        maps = Path(f"/proc/{program.pid}/maps").read_text()
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=30) == 0
    finally:
        program.kill()
        program.wait()
    regions = only(tmp_path).regions
    rows = [
        (int(start, 16), int(end, 16), name)
        for start, end, name in re.findall(r"^(\w+)-(\w+)(?: +\S+){4} *(.*)$", maps, re.M)
    ]

    def mapped_as(name):
        region = regions[name]
        [row] = [row for row in rows if row[0] <= region.start and region.end <= row[1]]
        return row[2]

    assert mapped_as("h") == "[heap]"
    assert mapped_as("f") == str(tmp_path / "data2")
    assert regions["f"].path == "data2"
    assert mapped_as("a") == mapped_as("far") == ""
    assert regions["a"].start % (2 * MB) == 0
    assert regions["a"].start - regions["far"].end >= 1 << 40
    # The file was the workload's own.
    assert not (tmp_path / "data2").exists()


def test_only_what_is_touched_of_a_sparse_region_has_memory(workload_program, tmp_path):
    (tmp_path / "pattern").write_text(
        "region m 64G thp=off populate=no\nregion n 1M thp=off populate=yes\n"
        # Asleep: what is there was populated before.
        "phase 60s\nphase 1s\n touch m 8G 512K\n touch m 32G 1M write\n"
    )
    program = subprocess.Popen(
        [workload_program, "--truth", tmp_path / "truth", tmp_path / "pattern"]
    )
    try:
        wait_for(lambda: b'"type": "start"' in b"".join(lines(tmp_path)))
        smaps = Path(f"/proc/{program.pid}/smaps").read_text()
    finally:
        program.kill()
        program.wait()
    regions = only(tmp_path).regions
    assert regions["m"].end - regions["m"].start == 64 << 30

    def resident(region):
        [rss] = re.findall(
            rf"^{region.start:x}-{region.end:x} .*?^Rss: +(\d+) kB$", smaps, re.M | re.S
        )
        return int(rss)

    assert resident(regions["m"]) == 1536
    assert resident(regions["n"]) == 1024


def test_strides_and_fresh_memory(workload_program, tmp_path):
    (tmp_path / "pattern").write_text(
        "region m 8M thp=off populate=no\nregion n 2M thp=off populate=no gap=1M\n"
        "phase 1s\n touch m 0 8M write stride=1M\n touch n 0 1M write\n"
        "phase 60s\n touch n 512K 512K fresh stride=1M every=60s\n"
    )
    program = subprocess.Popen(
        [workload_program, "--truth", tmp_path / "truth", tmp_path / "pattern"]
    )

    def rss():
        smaps = Path(f"/proc/{program.pid}/smaps").read_text()
        return {
            name: re.search(
                rf"^{region.start:x}-{region.end:x} .*?^Rss: +(\d+) kB$", smaps, re.M | re.S
            )[1]
            for name, region in only(tmp_path).regions.items()
        }

    try:
        wait_for(lambda: b'"type": "phase"' in b"".join(lines(tmp_path)))
        # Of n: half of a megabyte, and one page of the half that was given back.
        wait_for(lambda: rss() == {"m": "32", "n": "516"})
        program.terminate()
        program.wait()
    finally:
        program.kill()
        program.wait()
    process = only(tmp_path)
    strided, dense = process.phases[0].touches
    assert (strided.stride, strided.fresh, strided.pages) == (MB, False, 8)
    assert (dense.stride, dense.pages) == (4096, 256)
    m = process.regions["m"].start
    assert [(a - m, b - m) for a, b in strided.hot()] == [(i * MB, i * MB + 4096) for i in range(8)]
    [fresh] = process.phases[1].touches
    assert (fresh.fresh, fresh.access, fresh.passes, fresh.pages) == (True, "write", 1, 1)


def test_random_bytes_are_such(workload_program, tmp_path):
    (tmp_path / "pattern").write_text(
        "region m 1M thp=off random=1K\nregion n 1M thp=off\nphase 60s\n"
    )
    program = subprocess.Popen(
        [workload_program, "--truth", tmp_path / "truth", tmp_path / "pattern"]
    )
    try:
        wait_for(lambda: b'"type": "start"' in b"".join(lines(tmp_path)))
        regions = only(tmp_path).regions
        with Path(f"/proc/{program.pid}/mem").open("rb", buffering=0) as memory:
            pages = {}
            for name, region in regions.items():
                memory.seek(region.start)
                pages[name] = memory.read(MB)
    finally:
        program.kill()
        program.wait()
    assert 0.25 * MB < len(zlib.compress(pages["m"])) < 0.3 * MB
    assert len(zlib.compress(pages["n"])) < 0.01 * MB


def lines(tmp_path):
    path = tmp_path / "truth"
    return path.read_bytes().splitlines() if path.exists() else []


def wait_for(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("processes_in_pattern", [1, 3])
def test_a_signal_ends_it_with_the_truth_so_far(
    workload_program, tmp_path, number, processes_in_pattern
):
    one = "region memory 1M\nphase 10ms\n touch memory 0 1M\nphase 60s\n"
    text = "".join(f"process p{i}\n{one}" for i in range(processes_in_pattern))
    (tmp_path / "pattern").write_text(text)
    program = subprocess.Popen(
        [workload_program, "--truth", tmp_path / "truth", tmp_path / "pattern"]
    )
    try:
        # Each is asleep in its second phase, which touches nothing.
        wait_for(
            lambda: sum(b'"phase"' in line for line in lines(tmp_path)) == processes_in_pattern
        )
        program.send_signal(number)
        assert program.wait(timeout=30) == 0
    finally:
        program.kill()
        program.wait()
    for process in processes(tmp_path).values():
        assert [phase.number for phase in process.phases] == [0, 1]
        assert process.phases[1].touches == ()
        assert process.phases[1].end - process.phases[1].begin < 60 * SECOND
        assert process.end is not None
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("phase 1s\nregion m 1M\nbogus 1\n", "3:1", "'bogus' is none of process, region"),
        ("region m 1X\nphase 1s\n", "1:10", "'1X' is no size"),
        ("region m 99999999T\n", "1:10", "is no size"),
        ("region m -4K\n", "1:10", "is no size"),
        ("region m 5\n", "1:10", "no whole number of pages"),
        ("region m 0\n", "1:10", "no size"),
        ("region m\n", "1:1", "write: region NAME SIZE"),
        ("region m 1M\n  region m 2M\n", "2:10", "a region 'm' already"),
        ("region m 1M thp=maybe\n", "1:13", "'maybe'"),
        ("region m 1M thp=on\n", "1:10", "whole huge pages"),
        ("region m 1M populate=maybe\n", "1:13", "populate= is yes or no, not 'maybe'"),
        ("region m 1M file=\n", "1:13", "names no file"),
        ("region m 1M sparse\n", "1:13", "what is 'sparse'"),
        ("region m 1M random=5K\n", "1:13", "'5K' is no part of a page"),
        ("region m 1M heap gap=4K\n", "1:1", "gap="),
        ("phase\n", "1:1", "write: phase DURATION"),
        ("phase 5\n", "1:7", "'5' is no time"),
        ("phase 0s\n", "1:7", "is no time"),
        ("phase nan\n", "1:7", "is no time"),
        ("phase 1e30s\n", "1:7", "is no time"),
        ("region m 1M\ntouch m 0 4K\n", "2:1", "none came before"),
        ("region m 1M\nphase 1s\n\ttouch n 0 4K\n", "3:8", "no region 'n' in process 'main'"),
        ("region m 1M\nphase 1s\ntouch m 1020K 8K\n", "3:15", "ends behind region 'm'"),
        ("region m 1M\nphase 1s\ntouch m 2M 4K\n", "3:12", "ends behind region 'm'"),
        ("region m 1M\nphase 1s\ntouch m 0 0\n", "3:11", "no length"),
        ("region m 1M\nphase 1s\ntouch m 0 4K twice\n", "3:14", "what is 'twice'"),
        ("region m 1M\nphase 1s\ntouch m 0 4K every=x\n", "3:14", "'x' is no time"),
        ("region m 1M\nphase 1s\ntouch m 0 4K stride=1K\n", "3:14", "no whole number of pages"),
        ("region m 1M\nphase 1s\ntouch m 0 4K stride=0\n", "3:14", "a stride of nothing"),
        ("region m 1M file=f\nphase 1s\ntouch m 0 4K fresh\n", "3:14", "never fresh"),
        ("process a\nphase 1s\nprocess a\n", "3:9", "a process 'a' already"),
        ("process\n", "1:1", "write: process NAME"),
        ("region m 1M " + "x " * 20 + "\n", "1:39", "too many words"),
    ],
)
def test_bad_patterns_are_named_by_line_and_column(run, tmp_path, text, where, what):
    done = run(text)
    assert done.returncode == 1
    assert done.stderr.startswith(f"pattern:{where}: ")
    assert what in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "truth").exists()


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "empty"), ("# nothing\n", "empty"), ("region m 1M\n", "process 'main' has no phase")],
)
def test_patterns_without_work_are_refused(run, text, what):
    done = run(text)
    assert done.returncode == 1
    assert what in done.stderr


def test_a_file_that_exists_is_left_alone(run, tmp_path):
    (tmp_path / "precious").write_text("mine")
    done = run("region m 1M file=precious\nphase 1s\n")
    assert done.returncode == 1
    assert "precious" in done.stderr
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [([], 2), (["a", "b"], 2), (["--duration", "5", "stairs"], 2), (["nosuch"], 1), (["--x"], 2)],
)
def test_bad_command_lines(workload_program, arguments, status):
    done = subprocess.run([workload_program, *arguments], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stderr and not done.stdout


def test_an_unwritable_truth_file_is_told(workload_program):
    done = subprocess.run(
        [workload_program, "--truth", "/nonexistent/truth", "stairs"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "/nonexistent/truth" in done.stderr


def test_list_names_every_pattern(workload_program):
    text = subprocess.run([workload_program, "--list"], capture_output=True, text=True).stdout
    names = [line.split()[0] for line in text.splitlines()]
    assert names == sorted(path.stem for path in PATTERNS.glob("*.pattern"))
    assert {"stairs", "zigzag", "needle", "scatter", "hopper"} <= set(names)


def test_stairs_has_ten_steps_of_ten_megabytes():
    text = (PATTERNS / "stairs.pattern").read_text()
    assert re.findall(r"^phase (\S+)", text, re.M) == ["2.5s"] * 10
    steps = re.findall(r"touch memory (\d+)M (\d+)M", text)
    assert steps == [(str(10 * i), "10") for i in range(10)]


def test_scatter_has_32_spots_apart_from_each_other():
    text = (PATTERNS / "scatter.pattern").read_text()
    spots = [
        (int(offset), int(offset) + int(length))
        for offset, length in re.findall(r"touch memory (\d+)K (\d+)K", text)
    ]
    assert len(spots) == 32
    assert all(end - start == 512 for start, end in spots)
    assert all(a[1] < b[0] for a, b in pairwise(spots))
