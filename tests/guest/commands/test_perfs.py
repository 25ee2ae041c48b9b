# SPDX-License-Identifier: GPL-2.0
"""Recordings of plain perf record, whichever perf it is: as a file, compressed, and piped."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guest import CHECKOUT, PATIENCE_S, damon, kdamonds, ok, run, wait_until
from perf_damon import perfs
from perf_damon.live.pipe import PipeReader

SCRIPT = CHECKOUT / "tools/perf/scripts/python/damon_heatmap.py"
STAIRS = CHECKOUT / "tests/data/stairs.perf.data"
RECORD = ("perf", "record", "-d", "-a", "-e", "damon:damon_aggregated")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with plain.data, compressed.data and piped.data, of one kdamond."""
    folder = tmp_path_factory.mktemp("recordings")
    with subprocess.Popen(["nice", "workload", "stairs", "--duration", "30m"]) as process:
        try:
            ok("start", process.pid)
            for words in (["-o", "plain.data"], ["-z", "-o", "compressed.data"]):
                done = run(*RECORD, *words, "--", "sleep", "3", cwd=folder)
                assert done.returncode == 0, done.stderr
            with (folder / "piped.data").open("wb") as file:
                subprocess.run(
                    [*RECORD, "-o", "-", "--", "sleep", "3"],
                    cwd=folder,
                    stdout=file,
                    stderr=subprocess.DEVNULL,
                    timeout=PATIENCE_S,
                    check=True,
                )
            ok("stop")
        finally:
            process.terminate()
    yield folder


def regions(file: Path) -> int:
    """How many the report tells, which have to be as many as perf script tells events."""
    lines = ok("report", "regions", "-i", file).splitlines()[1:]
    script = run("perf", "script", "-i", file, "-F", "event,trace")
    assert script.returncode == 0, script.stderr
    assert len(lines) == script.stdout.count("damon_aggregated:") > 0
    return len(lines)


@pytest.mark.feature("plain perf record")
def test_a_plain_file(recordings: Path) -> None:
    file = recordings / "plain.data"
    assert file.read_bytes()[:8] == b"PERFILE2"
    assert regions(file) > 30
    assert "Target: workload" in ok("report", "-i", file)


@pytest.mark.feature("compressed files")
def test_a_compressed_file(recordings: Path) -> None:
    file = recordings / "compressed.data"
    header = run("perf", "report", "--header-only", "-i", file).stdout
    assert "compressed" in header
    assert regions(file) > 30


@pytest.mark.feature("piped files")
def test_what_was_piped(recordings: Path) -> None:
    file = recordings / "piped.data"
    assert int.from_bytes(file.read_bytes()[8:16], "little") == 16, "the header of a pipe"
    assert regions(file) > 30


@pytest.mark.feature("perf script -s damon_heatmap.py")
def test_the_heatmap_by_perf_script(recordings: Path) -> None:
    if perfs.lacks("perf", "libpython"):
        pytest.skip(f"perf {perfs.version('perf')} is built without libpython")
    # Of a plain recording, reports find the process by its mappings, which scripts are not told.
    for file, whose in ((STAIRS, "workload"), (recordings / "plain.data", "kdamond ")):
        done = run("perf", "script", "-i", file, "-s", SCRIPT)
        assert done.returncode == 0, done.stderr
        assert f"Target: {whose}" in done.stdout and "Access rate" in done.stdout


@pytest.mark.feature("live, a pipe of perf record")
def test_a_pipe_tells_live(here: Path, target: int) -> None:
    ok("start", target)
    (kdamond,) = kdamonds()
    with PipeReader([kdamond]) as reader:
        heard = 0

        def enough() -> bool:
            nonlocal heard
            reader.wait(0.1)
            heard += len(reader.read().columns["start"])
            return heard > 50

        wait_until(enough, "fifty events")
    ok("stop")


@pytest.mark.feature("reports")
def test_reports_of_a_file_from_elsewhere() -> None:
    """Of another machine, another perf."""
    assert "Access rate" in ok("report", "-i", STAIRS)


@pytest.mark.feature("reports")
def test_a_report_for_programs() -> None:
    (one,) = json.loads(ok("report", "-i", STAIRS, "--format", "json"))["targets"]
    assert one["comm"] == "workload" and one["snapshots"] > 10


@pytest.mark.feature("without DAMON that is said")
def test_a_kernel_without_damon(here: Path) -> None:
    """One sentence of what is not there, one of what to do; and nothing is left behind."""
    if Path("/sys/kernel/mm/damon").is_dir():
        pytest.skip("this kernel has DAMON")
    sleep = shutil.which("sleep")
    for words in (["record", "--", sleep, "1"], ["record", "-a"], ["start", "paddr"]):
        done = damon(*words)
        assert done.returncode == 255 and done.stdout == ""
        assert "has no DAMON to use: no /sys/kernel/mm/damon/admin/kdamonds" in done.stderr
        assert "CONFIG_DAMON=y and CONFIG_DAMON_SYSFS=y" in done.stderr
        assert "Debian 13's kernels (6.12) have it" in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2
    assert not (here / "perf.data").exists()
    assert "has no DAMON" in "".join((damon("status").stdout, damon("status").stderr))
