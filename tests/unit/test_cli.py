# SPDX-License-Identifier: GPL-2.0
"""The command line: usage, perf's exit codes, quiet pipes. Nothing here reaches a kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "tools/perf/perf-damon"


def perf_damon(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(PROGRAM), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "words",
    [
        ("record", "--take-over"),
        ("record", "--sample", "5ms"),
        ("record", "1", "--", "true"),
        ("record", "paddr", "--ops", "vaddr"),
        ("record", "1", "--sample", "5"),
        ("record", "1", "--sample", "1s"),
        ("record", "1", "--sample", "0"),
        ("record", "1", "--min-regions", "2"),
        ("record", "1", "--min-regions", "20", "--max-regions", "10"),
        ("record", "1", "--regions", "8K-4K"),
        ("record", "--ops", "fvaddr", "1"),
        ("record", "no-pid"),
        ("record", "-h"),
        ("stop", "--", "true"),
        ("start", "1", "--scheme", "action=pageot"),
        ("start", "1", "--schemes", "/no/such"),
        ("start", "1", "--schemes", "/dev/null"),
        ("schemes", "-w", "1us"),
        ("tune", "--", "true"),
        ("record", "--darc", "--sample", "5ms"),
        ("darc", "nonsense"),
        ("darc", "set"),
        ("darc", "set", "--low", "5x"),
        ("darc", "disable", "--min-age", "5s"),
        ("nonsense",),
        (),
    ],
    ids=" ".join,
)
def test_usage(words: tuple[str, ...]) -> None:
    result = perf_damon(*words)
    assert result.returncode == 129 and result.stderr and not result.stdout


@pytest.mark.parametrize(
    "command",
    ["start", "stop", "tune", "schemes", "status", "record", "report", "darc", "advise", "version"],
)
def test_help_is_whole(command: str) -> None:
    result = perf_damon(command, "-h")
    assert result.returncode == 129
    assert f"perf damon {command}" in result.stderr and "Traceback" not in result.stderr


def test_what_perfs_completion_asks() -> None:
    assert perf_damon("--list-cmds").stdout.split() == [
        "start", "stop", "tune", "schemes", "status", "record", "report", "darc", "advise",
        "version",
    ]  # fmt: skip
    options = perf_damon("record", "--list-opts")
    assert options.returncode == 0
    assert {"--pid", "--output", "--timeout", "--aggr", "--perf"} <= set(options.stdout.split())
    assert {"--schemes", "--darc"} <= set(options.stdout.split())
    options = perf_damon("darc", "--list-opts")
    assert {"--zone", "--low", "--quota", "--json"} <= set(options.stdout.split())
    assert "--input" in perf_damon("report", "--list-opts").stdout.split()
    options = perf_damon("advise", "--list-opts")
    assert {"--input", "--apply", "--risk"} <= set(options.stdout.split())


def test_version() -> None:
    assert perf_damon("--version").stdout.startswith("perf damon version ")


def test_nothing_heavy_is_loaded_for_help() -> None:
    heavy = "{'numpy', 'pandas'}"
    for command in (
        "start",
        "stop",
        "tune",
        "schemes",
        "status",
        "record",
        "report",
        "darc",
        "advise",
        "version",
    ):
        program = (
            f"import sys; sys.path.insert(0, {str(PROGRAM.parents[2] / 'python')!r})\n"
            "from perf_damon.cli import main\n"
            f"main([{command!r}, '-h'])\n"
            f"print({heavy} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout == "set()\n", command


def test_nothing_heavy_is_held_while_it_records() -> None:
    """For hours, it may be; and a signal while it begins would wait for it."""
    program = (
        f"import sys; sys.path.insert(0, {str(PROGRAM.parents[2] / 'python')!r})\n"
        "import perf_damon.record.session\n"
        "print({'numpy', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_head_ends_it_quietly(tmp_path: Path) -> None:
    recording = Path(__file__).parents[1] / "data/stairs.perf.data"
    command = f"'{sys.executable}' '{PROGRAM}' report regions -i '{recording}'"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] in ("0", "141") and done.stderr == ""


def test_a_missing_file() -> None:
    result = perf_damon("report", "-i", "/no/such.data")
    assert result.returncode == 255
    assert result.stderr.startswith("Error: ") and "/no/such.data" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("report", "--list-values=--format"), "text json csv"),
        (("report", "--list-values=--width"), ""),
        (("report", "--list-values=--nonsense"), ""),
        (("record", "--list-values=--ops"), "vaddr fvaddr paddr"),
        (("record", "--list-values=--schemes"), ""),
        (("tune", "--list-values=--schemes"), "ethp lru_sort prcl tiering"),
        (("darc", "--list-cmds"), "status set enable disable"),
        (("report", "--list-cmds"), "summary heatmap wss regions schemes applied darc"),
        (("stop", "--list-cmds"), ""),
    ],
)
def test_what_our_completion_asks(words: tuple[str, ...], told: str) -> None:
    result = perf_damon(*words)
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{told}\n", "")
    options = perf_damon(words[0], "--list-opts").stdout
    assert "--list" not in options and "--list-" not in perf_damon(words[0], "-h").stderr


def test_two_of_them_on_path_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "perf-damon").write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{PROGRAM.parent}:/usr/bin:/bin")
    assert perf_damon("--version").stderr == "", "what cannot be run is none"
    (tmp_path / "perf-damon").chmod(0o755)
    result = perf_damon("--version")
    assert result.returncode == 0 and result.stdout.startswith("perf damon version ")
    assert result.stderr == f"this is {PROGRAM}; there is also {tmp_path}/perf-damon\n"
    (tmp_path / "perf-damon").unlink()
    (tmp_path / "perf-damon").symlink_to(PROGRAM)
    assert perf_damon("--version").stderr == "", "the same one by another way"
