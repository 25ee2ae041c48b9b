# SPDX-License-Identifier: GPL-2.0
"""What a terminal, a shell and perf expect of a command, from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_kernel import machine, process
from perfdata.writer import Writer, damon_event

from perf_damon.commands import monitoring, start, status, watching
from perf_damon.control.system import System

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tools/perf/perf-damon"
STAIRS = ROOT / "tests/data/stairs.perf.data"
HOSTILE = "a\x1b]0;title\x07\x1b[2J\x9b31m\u202eb"


def perf_damon(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={**os.environ, **environment},
        timeout=60,
    )


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of shell, in which $damon is the command."""
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        env={**os.environ, "damon": f"{sys.executable} {PROGRAM}", **environment},
        timeout=60,
    )


def assert_harmless(text: str) -> None:
    assert text.replace("\n", "").isprintable(), text


@pytest.mark.parametrize(
    "words",
    [
        ["report", "-i", f"/no/such/{HOSTILE}"],
        ["report", "-i", "/no/such/\udcff\udc9b31m"],
        ["report", "--target", HOSTILE, "-i", STAIRS],
        ["report", "--time", HOSTILE, "-i", STAIRS],
        ["report", HOSTILE],
        ["report", f"--{HOSTILE}"],
        ["advise", "--action", HOSTILE],
        ["start", "1", "--scheme", f"action={HOSTILE}"],
        ["start", "1", "--schemes", f"/no/such/{HOSTILE}"],
        ["record", "-o", f"/no/such/{HOSTILE}", "1"],
        [HOSTILE],
    ],
    ids=lambda words: words[0][:6] + words[1][:9] if len(words) > 1 else "command",
)
def test_words_in_errors_are_harmless(words: list[object]) -> None:
    done = perf_damon(*words)
    assert done.returncode in (129, 255) and done.stdout == ""
    assert_harmless(done.stderr)


def test_names_of_events_in_errors_are_harmless(tmp_path: Path) -> None:
    file = tmp_path / "perf.data"
    writer = Writer(events=[damon_event(name=HOSTILE[:14])])
    writer.finished_round()
    file.write_bytes(writer.content())
    done = perf_damon("report", "-i", file)
    assert done.returncode == 255 and "a?" in done.stderr
    assert_harmless(done.stderr)


def test_a_file_named_by_an_escape_is_harmless_in_a_report(tmp_path: Path) -> None:
    file = tmp_path / HOSTILE
    file.symlink_to(STAIRS)
    for words in ([], ["regions"], ["--format", "csv"], ["--format", "json"]):
        done = perf_damon("report", "-i", file, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert_harmless(done.stdout)


def test_names_of_processes_are_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """start, status and schemes show them as /proc tells them."""
    system: System = machine(tmp_path)
    process(system.proc, 321, HOSTILE[:15])
    attributes = monitoring.DEFAULTS
    start.start(system, monitoring.Request("vaddr", (321,), (), attributes, ()))
    monkeypatch.setattr(status, "System", lambda: system)
    assert status.run(type("Args", (), {"json": False})) == 0
    watching.show(lambda: watching.Picture(lambda _: [HOSTILE], dict), None, False)
    captured = capsys.readouterr()
    assert "321 (a?" in captured.out and "321 (a?" in captured.err
    assert_harmless(captured.out)
    assert_harmless(captured.err)


def test_a_closed_standard_output_is_said() -> None:
    for words in ("report", "report --format json", "report regions", "--version", "--list-cmds"):
        done = shell(f"$damon {words} {'' if words[0] == '-' else f'-i {STAIRS}'} >&-")
        assert (done.returncode, done.stdout) == (255, ""), words
        assert done.stderr == "Error: cannot write to standard output: Bad file descriptor\n"


def test_a_full_disk_is_said() -> None:
    for words in ("report", "report --format csv", "report regions"):
        done = shell(f"$damon {words} -i {STAIRS} >/dev/full")
        assert done.returncode == 255
        assert done.stderr == "Error: cannot write to standard output: No space left on device\n"


def test_a_closed_standard_error_leaves_output_as_it_is(tmp_path: Path) -> None:
    cut = tmp_path / "cut.data"
    cut.write_bytes(STAIRS.read_bytes()[:-100_000])
    for file in (STAIRS, cut):
        line = f"$damon report regions -i {file}"
        assert shell(f"{line} 2>&-").stdout == shell(f"{line} 2>/dev/null").stdout
        assert shell(f"{line} 2>&-").returncode == shell(line).returncode
    assert shell("$damon nonsense 2>&-").stdout == ""
    assert shell("$damon nonsense 2>&-; exit $?").returncode == 129


def test_closed_streams_are_no_files_of_ours() -> None:
    """With all closed, the first file that is opened would become standard input."""
    done = shell(f"$damon report -i {STAIRS} <&- >&- 2>&-; exit $?")
    assert done.returncode == 255
    done = shell("$damon start 1 --schemes - <&-")
    assert done.returncode in (129, 255) and "Traceback" not in done.stderr


def test_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "perf_damon", "--version"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        timeout=60,
    )
    assert done.returncode == 0 and done.stdout.startswith("perf damon version ")


def without_manual(tmp_path: Path) -> dict[str, str]:
    """A man(1) that has no page."""
    return with_manual(tmp_path, "exit 16")


def with_manual(tmp_path: Path, program: str = 'echo "manual: $*"') -> dict[str, str]:
    man = tmp_path / "man"
    man.write_text(f"#!/bin/sh\n{program}\n")
    man.chmod(0o755)
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


HELP = (
    ["--help"],
    ["report", "--help"],
    ["report", "heatmap", "--help"],
    ["darc", "set", "--help"],
)


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_opens_the_manual(tmp_path: Path, words: list[str]) -> None:
    done = perf_damon(*words, **with_manual(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "manual: perf-damon\n", "")


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_without_a_manual_is_the_usage(tmp_path: Path, words: list[str]) -> None:
    short = perf_damon(words[0], "-h") if len(words) > 1 else perf_damon("-h")
    for where in (without_manual(tmp_path), {"PATH": "/nowhere"}):
        done = perf_damon(*words, **where)
        assert (done.returncode, done.stdout, done.stderr) == (129, "", short.stderr)


def test_the_commands_help_is_its_own() -> None:
    """What follows -- is no option of ours."""
    done = perf_damon("record", "1", "--", "true", "--help")
    assert done.returncode == 129 and "Error" in done.stderr


def test_nothing_is_wider_than_a_narrow_terminal() -> None:
    for columns in (20, 23, 31, 39):
        for words in ([], ["heatmap"], ["wss"]):
            done = perf_damon("report", "-i", STAIRS, *words, COLUMNS=str(columns))
            wide = [line for line in done.stdout.splitlines() if len(line) > columns]
            assert (done.returncode, wide) == (0, []), (columns, words)


def test_a_terminal_of_ten_thousand_columns_gets_what_width_allows() -> None:
    done = perf_damon("report", "heatmap", "-i", STAIRS, COLUMNS="10000")
    most = perf_damon("report", "heatmap", "-i", STAIRS, "--width", "4000")
    assert done.stdout == most.stdout
    assert max(map(len, done.stdout.splitlines())) <= 4000
    refused = perf_damon("report", "-i", STAIRS, "--width", "4001")
    assert refused.returncode == 129 and "20 to 4000 can" in refused.stderr
