# SPDX-License-Identifier: GPL-2.0
"""damon_heatmap.py by itself, and what perf script report damon-heatmap runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import environments
import pytest
import recordings
from perfdata.test_script import needs_perf
from perfdata.writer import Event, Writer, damon_event, dummy_event, region_event
from test_plugin import RECORDING, ROOT, SCRIPT, SCRIPTS, TOLD, written

import perf_damon
from perf_damon.analysis.select import Selected
from perf_damon.analysis.view import view
from perf_damon.commands.report_views import Options, Report
from perf_damon.render.text import Canvas

MODULE = """
import os
from perfdata.fake_session import Perf
fake = Perf()
data = fake.data
def session(*words, **more):
    os.write(2, b"through the session\\n")
    return fake.session(*words, **more)
"""


@pytest.fixture
def module(tmp_path):
    """The environment in which perf's module has a session."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "perf.py").write_text(MODULE)
    return {"PYTHONPATH": f"{folder}:{ROOT / 'tests/unit'}"}


def alone(
    *words: object, script: Path = SCRIPT, stdin: Path | None = None, cwd=None, **environment: str
) -> subprocess.CompletedProcess[str]:
    with Path(stdin or os.devnull).open() as stream:
        return subprocess.run(
            [sys.executable, script, *map(str, words)],
            capture_output=True,
            text=True,
            env=environments.plain(**environment),
            stdin=stream,
            cwd=cwd,
            timeout=60,
        )


def drawn(path: Path, **options: object) -> str:
    """What the report draws of each target of a recording, with no mappings."""
    recording = replace(perf_damon.open(path), mappings=recordings.mappings())
    selected = [
        Selected(number, view(target, recording.start_time))
        for number, target in enumerate(recording.targets, 1)
    ]
    report = Report(recording, selected, Options(view="heatmap", **options))
    return closed("".join(report.text(Canvas())))


def closed(text: str) -> str:
    """Without the empty lines between targets, which reports have more of."""
    return "\n".join(line for line in text.splitlines() if line)


def test_draws_what_perf_damon_reads():
    done = alone("-i", RECORDING, "--height", "10")
    assert (done.stderr, done.returncode) == ("", 0)
    recording = perf_damon.open(RECORDING)
    (target,) = recording.targets
    selected = [Selected(1, view(target, recording.start_time))]
    report = Report(recording, selected, Options(view="heatmap", height=10))
    assert done.stdout == "".join(report.text(Canvas()))


def test_reads_perf_data_unless_told_otherwise(tmp_path):
    shutil.copy(RECORDING, tmp_path / "perf.data")
    assert alone(cwd=tmp_path).stdout == alone("--input", RECORDING).stdout
    piped_in = alone("-i", "-", stdin=RECORDING)
    assert (piped_in.stdout, piped_in.returncode) == (alone("-i", RECORDING).stdout, 0)


@pytest.mark.parametrize("told", [True, False])
def test_draws_what_perfs_module_reads(tmp_path, module, told):
    """The same from events and header alone."""
    words = ("perf", "record", "--", "sh", *TOLD.to_words()) if told else ("perf", "record")
    written(tmp_path / "plain", cmdline=words)
    written(tmp_path / "piped", cmdline=words, piped=True)
    done = alone("-i", tmp_path / "piped", "--height", "12", **module)
    assert done.stderr == "through the session\nsaid by perf\n"
    assert done.returncode == 0
    assert closed(done.stdout) == drawn(tmp_path / "plain", height=12)
    assert ("it's" in done.stdout) == told


@pytest.mark.parametrize("old", [True, False])
def test_both_events_are_drawn_as_one(tmp_path, module, old):
    writer = Writer(events=[damon_event(), region_event(), dummy_event()])
    for i in range(9):
        rows = [(0x10000, 0x20000, i % 3, i), (0x20000, 0x40000, 20 - i, i)]
        at = 10**9 + i * 10**8
        if old:
            writer.regions(time=at, regions=rows)
        fixed = {"hits": [b"\x01\x0a"] * 2, "event": writer.events[1]}
        writer.probed(time=at + 50, regions=rows, **fixed)
    (tmp_path / "plain").write_bytes(writer.content())
    (tmp_path / "piped").write_bytes(writer.piped())
    done = alone("-i", tmp_path / "piped", "--height", "8", **module)
    assert (done.stderr, done.returncode) == ("through the session\nsaid by perf\n", 0)
    assert closed(done.stdout) == drawn(tmp_path / "plain", height=8)


def test_a_kernel_without_age_and_events_of_others(tmp_path, module):
    fields = tuple(f for f in damon_event().fields if "age" not in f[0])
    other = Event(config=372, ids=(40,), name="damon_other", system="damon", fields=fields)
    writer = Writer(events=[damon_event(fields=fields), other, dummy_event()])
    for i in range(5):
        writer.regions(time=10**9 * (1 + i), regions=[(0x10000, 0x20000, 3, 0)])
        writer.regions(time=10**9 * (1 + i), regions=[(0x90000, 0xA0000, 3, 0)], event=other)
    (tmp_path / "plain").write_bytes(writer.content())
    (tmp_path / "piped").write_bytes(writer.piped())
    done = alone("-i", tmp_path / "piped", "--height", "12", **module)
    assert closed(done.stdout) == drawn(tmp_path / "plain", height=12)
    assert done.stderr == "through the session\nsaid by perf\n"


@needs_perf
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("data = None", "TypeError"),
        ("fake.breaks = OSError('cannot open')", "OSError: cannot open"),
        ("fake.change = lambda sample: 5", "AttributeError"),
    ],
)
def test_a_module_that_fails_is_done_without(tmp_path, module, line, why):
    """perf_damon tries it too, and then takes perf script."""
    file = written(tmp_path / "piped", piped=True)
    with (tmp_path / "modules/perf.py").open("a") as text:
        text.write(f"{line}\n")
    done = alone("-i", file, "--height", "12", **module)
    assert done.returncode == 0
    assert f"damon_heatmap: without perf's Python module ({why}" in done.stderr
    assert closed(done.stdout) == drawn(file, height=12)


@pytest.mark.parametrize("text", ["", "raise ImportError('of Python 3.99')", "session = data = 1"])
def test_other_modules_named_perf_are_no_trouble(tmp_path, module, text):
    (tmp_path / "modules/perf.py").write_text(text)
    done = alone("-i", RECORDING, "--height", "10", **module)
    assert done.returncode == 0
    assert done.stdout == alone("-i", RECORDING, "--height", "10").stdout
    assert bool(done.stderr) == ("session" in text)


def test_colors_are_asked_for(tmp_path):
    file = written(tmp_path / "perf.data")
    assert "\x1b" not in alone("-i", file, TERM="xterm-256color").stdout
    done = alone("-i", file, "--color", "always", TERM="xterm-256color")
    assert "\x1b[48;5;" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["-h"], 129, "--input"),
        (["--help"], 129, "--width"),
        (["--width", "x"], 129, "invalid int value"),
        (["--width", "19"], 129, "--width 19 cannot be drawn: 20 to 4000 can"),
        (["--what\x1b[2J"], 129, "--what?[2J"),
        (["what"], 129, "usage:"),
        (["-i"], 129, "usage:"),
        (["-i", "/none\x1b"], 255, "/none?: No such file or directory"),
        (["-i", str(ROOT)], 255, "is a directory"),
        (["-i", str(SCRIPT)], 255, "not a perf.data file"),
        (["-i", os.devnull], 255, "not a regular file"),
        (["-i", "-"], 255, "the file is empty"),
    ],
)
def test_nonsense_ends_in_words(words, code, message):
    done = alone(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr and "Traceback" not in done.stderr and "\x1b" not in done.stderr


def test_a_recording_without_events_ends_in_words(tmp_path, module):
    switch = Event(config=372, ids=(40,), name="sched_switch", system="sched")
    writer = Writer(events=[switch])
    writer.sample(switch, time=10**9, tid=3, raw=switch.raw(3, {}))
    (tmp_path / "plain").write_bytes(writer.content())
    (tmp_path / "piped").write_bytes(writer.piped())
    for name, environment in (("plain", {}), ("piped", module)):
        done = alone("-i", tmp_path / name, **environment)
        assert (done.returncode, done.stdout) == (255, "")
        assert "no damon:damon_aggregated events; it has sched:sched_switch" in done.stderr


def test_a_copy_says_what_it_wants(tmp_path):
    copy = tmp_path / "damon_heatmap.py"
    shutil.copy(SCRIPT, copy)
    done = alone("-i", RECORDING, script=copy)
    assert done.returncode == 255
    assert "PYTHONPATH" in done.stderr
    done = alone("-i", RECORDING, script=copy, PYTHONPATH=str(ROOT / "python"))
    assert done.stdout == alone("-i", RECORDING).stdout
    (tmp_path / "numpy.py").write_text("raise ImportError('no numpy here')")
    done = alone("-i", RECORDING, script=copy)
    assert done.returncode == 255
    assert "this Python" in done.stderr and "python3-numpy" in done.stderr


def test_a_reader_that_goes_away_is_no_trouble():
    command = f"'{sys.executable}' {SCRIPT} -i {RECORDING} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    title, status = done.stdout.splitlines()
    assert title == "Target: workload, pid 175 (kdamond 182:0)"
    assert status in ("0", "141")
    assert done.stderr == ""


def report(tmp_path: Path, options: str, *words: object) -> subprocess.CompletedProcess[str]:
    """What perf script report damon-heatmap runs, with a perf that was built with these options."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    perf = folder / "perf"
    perf.write_text(
        f'#!/bin/sh\n[ "$1" = version ] || exec printf "<%s>" perf "$@"\ncat <<X\n{options}\nX\n'
    )
    perf.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", SCRIPTS / "bin/damon-heatmap-report", *map(str, words)],
        capture_output=True,
        text=True,
        env={"PATH": f"{folder}:/usr/bin:/bin", "COLUMNS": "80", "LANG": "C.UTF-8"},
    )


OFF = "             libpython: [ OFF ]  # HAVE_LIBPYTHON_SUPPORT"


@pytest.mark.skipif(
    not Path("/usr/lib/python3/dist-packages/numpy").exists(), reason="python3 has no numpy"
)
@pytest.mark.parametrize("options", [OFF, "                  libelf: [ on  ]", ""])
def test_perf_without_python_has_the_script_run_by_itself(tmp_path, options):
    file = written(tmp_path / "with space")
    done = report(tmp_path, options, "-i", file, "--", "--width", "50", "--color", "never")
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == alone("-i", file, "--width", "50").stdout
    for words, code in ((["-i", file], 0), (["-i", tmp_path / "none"], 255), (["--what"], 129)):
        assert report(tmp_path, options, *words).returncode == code


def test_perf_with_python_runs_it(tmp_path):
    script = SCRIPTS / "bin/../damon_heatmap.py"
    on = OFF.replace("OFF", "on ")
    done = report(tmp_path, on, "-i", "a b", "--", "--width", "50", "--")
    assert done.stdout == f"<perf><script><-i><a b><-s><{script}><--><--width><50><-->"
    assert report(tmp_path, on, "-i", "a").stdout == f"<perf><script><-i><a><-s><{script}>"


def test_neither_perfs_python_nor_another(tmp_path):
    only = tmp_path / "only"
    only.mkdir()
    for name in ("dirname", "grep", "sh", "cat"):
        (only / name).symlink_to(shutil.which(name))
    done = subprocess.run(
        ["/bin/sh", SCRIPTS / "bin/damon-heatmap-report"],
        capture_output=True,
        text=True,
        env={"PATH": str(only)},
    )
    assert done.returncode == 255
    assert "python3 is not installed" in done.stderr and "(Debian: python3)" in done.stderr
