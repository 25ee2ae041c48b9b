# SPDX-License-Identifier: GPL-2.0
"""damon_heatmap.py under the real perf script."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import environments
import pytest
import recordings
from perfdata.writer import Writer, damon_event, dummy_event, region_event

import perf_damon
from perf_damon.analysis.select import Selected
from perf_damon.analysis.view import view
from perf_damon.commands.report_views import Options, Report
from perf_damon.parameters import Attributes, Kdamond, Parameters
from perf_damon.render.text import Canvas

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "tools/perf/scripts/python"
SCRIPT = SCRIPTS / "damon_heatmap.py"
RECORDING = ROOT / "tests/data/stairs.perf.data"


def without_plugin() -> str:
    """Why the plugin cannot be tried here; empty if it can."""
    if not shutil.which("perf"):
        return "perf is not installed"
    options = subprocess.run(["perf", "version", "--build-options"], capture_output=True, text=True)
    if not re.search(r"libpython: \[ on", options.stdout):
        return "this perf has no Python"
    return (
        ""
        if Path("/usr/lib/python3/dist-packages/numpy").exists()
        else "perf's Python has no numpy"
    )


pytestmark = pytest.mark.skipif(bool(without_plugin()), reason=without_plugin() or "-")


def perf(
    *words: object, cwd: Path | None = None, stdin: TextIO | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["perf", *map(str, words)],
        capture_output=True,
        text=True,
        env=environments.plain(**environment),
        cwd=cwd,
        stdin=stdin,
        timeout=60,
    )


def written(
    path: Path,
    *,
    snapshots: int = 9,
    cmdline: Sequence[str] = ("perf", "record"),
    piped: bool = False,
    **event: object,
) -> Path:
    """A recording of two kdamonds, as perf would write it."""
    writer = Writer(events=[damon_event(**event), dummy_event()], cmdline=cmdline)
    for i in range(snapshots):
        for tid in (500, 501):
            rows = [(0x10000, 0x20000, i % 3, i), (0x20000, 0x40000, 20 if tid == 500 else 0, i)]
            writer.regions(time=10**9 + i * 10**8 + tid * 1000, regions=rows, tid=tid)
    path.write_bytes(writer.piped() if piped else writer.content())
    return path


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What stands on stderr, without perf's own word about the guest's kernel."""
    return re.sub(r"No kallsyms or vmlinux with build-id .*\n", "", done.stderr)


def test_draws_what_the_report_draws():
    done = perf("script", "-s", SCRIPT, "-i", RECORDING, "--", "--height", "10")
    assert (said(done), done.returncode) == ("", 0)
    recording = perf_damon.open(RECORDING)
    (target,) = recording.targets
    # Handlers are told of events only: no mappings.
    report = Report(
        replace(recording, mappings=recordings.mappings()),
        [Selected(1, view(target, recording.start_time))],
        Options(view="heatmap", height=10),
    )
    assert done.stdout == "".join(report.text(Canvas()))


@pytest.mark.parametrize("told", ["both", "new"])
def test_both_events_are_drawn_as_one(tmp_path: Path, told: str) -> None:
    writer = Writer(events=[damon_event(), region_event(), dummy_event()])
    plain = Writer()
    for i in range(9):
        at = 10**9 + i * 10**8
        rows = [(0x10000, 0x20000, i % 3, i), (0x20000, 0x40000, 20 - i, i)]
        plain.regions(time=at + 50, regions=rows)
        if told == "both":
            writer.regions(time=at, regions=rows)
        # The last snapshot's second region is told by the first event alone.
        count = 2 if told == "new" or i < 8 else 1
        fixed = {"hits": [b"\x01\x0a"] * count, "event": writer.events[1]}
        writer.probed(time=at + 50, regions=rows[:count], nr_regions=2, **fixed)
    (tmp_path / "both").write_bytes(writer.content())
    (tmp_path / "plain").write_bytes(plain.content())
    drawn = [
        perf("script", "-s", SCRIPT, "-i", tmp_path / name, "--", "--height", "8")
        for name in ("both", "plain")
    ]
    assert [(said(done), done.returncode) for done in drawn] == [("", 0)] * 2
    # It is said how long the recording is, which begins with the first event.
    assert drawn[0].stdout == drawn[1].stdout


TOLD = Parameters(
    (
        Kdamond(500, "vaddr", Attributes(5_000, 100_000, 1_000_000, 10, 1000), (71,)),
        Kdamond(501, "paddr", Attributes(1_000, 100_000, 1_000_000, 10, 1000)),
    ),
    comms={71: "it's \\'a\x1b[2J 漢"},
)


@pytest.mark.parametrize("form", ["file", "pipe"])
def test_knows_the_parameters_in_the_header(tmp_path, form):
    """They tell whom and how: 20 of 100 samples are 20%, whatever the events say alone."""
    words = ("perf", "record", "--", "sh", *TOLD.to_words())
    file = written(tmp_path / "with space", cmdline=words, piped=form == "pipe")
    plain = written(tmp_path / "plain", piped=form == "pipe")
    for option in (["-i", file], [f"-i{file}"], [f"--input={file}"], ["--input", file, "-f"]):
        done = perf("script", "-s", SCRIPT, *option, "--", "--width", "80")
        assert (said(done), done.returncode) == ("", 0)
        assert done.stdout.startswith("Target 1 of 2: it's \\'a?[2J 漢, pid 71 (kdamond 500:0)\n")
        assert "Target 2 of 2: physical memory (kdamond 501:0)" in done.stdout
    (tmp_path / "perf.data").symlink_to(file)
    assert perf("script", "-s", SCRIPT, cwd=tmp_path).stdout == done.stdout
    assert "process not known" in perf("script", "-s", SCRIPT, "-i", plain).stdout


def test_what_comes_through_a_pipe_has_no_header_to_read(tmp_path):
    words = ("perf", "record", "--", "sh", *TOLD.to_words())
    file = written(tmp_path / "perf.data", cmdline=words, piped=True)
    with file.open() as stream:
        done = perf("script", "-s", SCRIPT, "-i", "-", stdin=stream)
    assert (said(done), done.returncode) == ("", 0)
    assert "process not known" in done.stdout


def test_help_is_perfs(tmp_path):
    for words in (["-h"], ["--help"]):
        done = perf("script", "-s", SCRIPT, "-i", written(tmp_path / "perf.data"), "--", *words)
        assert (done.returncode, done.stdout) == (129, "")
        assert "--width" in done.stderr and "--color" in done.stderr


@pytest.mark.parametrize("columns", ["20", "64", "1", "10000"])
def test_draws_in_the_width_that_there_is(tmp_path, columns):
    file = written(tmp_path / "perf.data")
    done = perf("script", "-s", SCRIPT, "-i", file, COLUMNS=columns)
    width = max(map(len, done.stdout.splitlines()))
    assert (said(done), done.returncode) == ("", 0)
    assert width == min(max(int(columns), 20), 4000)


def test_tells_kdamonds_apart_and_takes_a_kernel_without_age(tmp_path):
    named = [field for field in damon_event().fields if "age" not in field[0]]
    assert len(named) == len(damon_event().fields) - 1
    for path in (
        written(tmp_path / "age"),
        written(tmp_path / "no-age", fields=named),
    ):
        done = perf("script", "-s", SCRIPT, "-i", path, "--", "--width", "60")
        assert (said(done), done.returncode) == ("", 0)
        first, second = done.stdout.split("Target 2 of 2: kdamond 501:0")
        assert first.startswith("Target 1 of 2: kdamond 500:0")
        assert "█" * 30 in first
        assert "█" not in second.split("of samples")[1]


def test_is_found_and_run_by_name(tmp_path):
    copy = tmp_path / "scripts" / "python"
    (copy / "bin").mkdir(parents=True)
    (copy / SCRIPT.name).symlink_to(SCRIPT)
    for name in ("record", "report"):
        shutil.copy(SCRIPTS / "bin" / f"damon-heatmap-{name}", copy / "bin")
    here = {"PERF_EXEC_PATH": str(tmp_path)}
    assert "damon-heatmap" in perf("script", "-l", **here).stdout
    file = written(tmp_path / "perf.data")
    for words in (
        ["script", "report", "damon-heatmap", "-i", file],
        [
            "script",
            "report",
            "damon-heatmap",
            "-i",
            file,
            "--",
            "--width",
            "50",
            "--color",
            "never",
        ],
        ["script", "-s", SCRIPT.name, "-i", file],
    ):
        done = perf(*words, **here)
        assert (said(done), done.returncode) == ("", 0)
        assert "Target 2 of 2" in done.stdout


def test_colors_are_asked_for(tmp_path):
    file = written(tmp_path / "perf.data")
    assert "\x1b" not in perf("script", "-s", SCRIPT, "-i", file).stdout
    colored = perf(
        "script", "-s", SCRIPT, "-i", file, "--", "--color", "always", TERM="xterm-256color"
    )
    assert "\x1b[48;5;" in colored.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--width", "x"], 129, "invalid int value"),
        (["--height", "0"], 129, "--height 0 cannot be drawn: 1 to 4000 can"),
        (["--width", "19"], 129, "--width 19 cannot be drawn: 20 to 4000 can"),
        (["--width", "4001"], 129, "20 to 4000 can"),
        (["--what\x1b[2J"], 129, "--what?[2J"),
        (["--what"], 129, "usage:"),
    ],
)
def test_nonsense_ends_in_words_not_in_an_abort(tmp_path, words, code, message):
    done = perf("script", "-s", SCRIPT, "-i", written(tmp_path / "perf.data"), "--", *words)
    assert done.returncode == code
    assert message in done.stderr
    assert "Fatal Python error" not in done.stderr


def test_a_recording_without_events_ends_in_words(tmp_path):
    done = perf("script", "-s", SCRIPT, "-i", written(tmp_path / "perf.data", snapshots=0))
    assert done.returncode == 255
    assert "no damon:damon_aggregated events" in done.stderr


def test_a_package_that_is_not_there_ends_in_words(tmp_path):
    alone = tmp_path / "damon_heatmap.py"
    shutil.copy(SCRIPT, alone)
    done = perf("script", "-s", alone, "-i", RECORDING)
    assert done.returncode == 255
    assert "PYTHONPATH" in done.stderr
    assert (
        perf("script", "-s", alone, "-i", RECORDING, PYTHONPATH=str(ROOT / "python")).returncode
        == 0
    )


def test_a_reader_that_goes_away_is_no_trouble(tmp_path):
    command = f"perf script -s {SCRIPT} -i {RECORDING} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    title, status = done.stdout.splitlines()
    assert title == "Target: workload, pid 175 (kdamond 182:0)"
    assert status in ("0", "141")
    assert said(done) == ""
