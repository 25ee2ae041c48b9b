# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perf_damon import terminal

PACKAGE = Path(__file__).parents[2] / "python"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_takes_long_is_said_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Tty()
    monkeypatch.setattr(sys, "stderr", screen)
    with terminal.working("reading x"):
        while "reading x, 1 s" not in screen.getvalue():
            time.sleep(0.01)
    assert screen.getvalue().endswith("\r\033[K")


@pytest.mark.parametrize("stream", [Tty, io.StringIO])
def test_what_is_quick_is_not_said(monkeypatch: pytest.MonkeyPatch, stream: type) -> None:
    screen = stream()
    monkeypatch.setattr(sys, "stderr", screen)
    with terminal.working("reading x"):
        pass
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("changes", "colors"),
    [
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm"}, 16),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, 2**24),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, 0),
        ({"TERM": "xterm-256color", "NO_COLOR": "0"}, 0),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, 256),
        ({"TERM": "dumb"}, 0),
        ({}, 0),
    ],
)
def test_colors(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], colors: int) -> None:
    for name in ("TERM", "COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    assert terminal.terminal_colors() == colors


def on_a_terminal(program: str, **changes: str) -> str:
    """What a program shows that uses screen(), in a pseudo-terminal."""
    code = f"import sys; sys.path.insert(0, {str(PACKAGE)!r})\nfrom perf_damon import terminal\n"
    driver = (
        "import os, pty, sys\n"
        "pty.spawn([sys.executable, '-c', sys.argv[1]])\n"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", driver, code + program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TERM": "xterm", **changes},
        timeout=60,
        check=True,
    )
    return done.stdout.replace("\r\n", "\n")


WRITE = "with terminal.screen() as s: print('colour', s.color, file=s.stream)"


def test_a_pager_on_a_terminal() -> None:
    shown = on_a_terminal(WRITE, PERF_PAGER="sed s/^/paged:/", PAGER="false")
    assert shown == "paged:colour True\n"
    assert on_a_terminal(WRITE, PAGER="sed s/^/paged:/") == "paged:colour True\n"


@pytest.mark.parametrize(
    "pager",
    [
        'MARK=paged: && sed "s/^/$MARK/"',
        "tr c C | sed 's/^C/paged:c/'",
        "PATH=/usr/bin:/bin sed s/^/$P:/",
        "sed s/^/paged:/ # less",
    ],
)
def test_the_pager_is_a_line_of_shell(pager: str) -> None:
    assert on_a_terminal(WRITE, PERF_PAGER=pager, P="paged") == "paged:colour True\n"


@pytest.mark.parametrize("pager", ["less 'x", 'sed "s/x', "less (", "less |"])
def test_a_pager_that_no_shell_can_read(pager: str) -> None:
    """Nothing is lost, and one sentence tells why there is none."""
    shown = on_a_terminal(WRITE, PERF_PAGER=pager)
    assert shown == f"PERF_PAGER={pager}: the shell cannot read that; shown without\ncolour True\n"


@pytest.mark.parametrize("pager", ["cat", ""])
def test_no_pager(pager: str) -> None:
    assert on_a_terminal(WRITE, PERF_PAGER=pager) == "colour True\n"


@pytest.mark.parametrize("lines", [1, 3000])
@pytest.mark.parametrize(
    "pager", ["/no/such/pager", "/etc/passwd -x", "no-such-pager | cat; exit 127"]
)
def test_a_pager_that_is_not_there_loses_nothing(pager: str, lines: int) -> None:
    program = f"""
with terminal.screen() as s:
    for number in range({lines}):
        print("line", number, file=s.stream)
"""
    shown = on_a_terminal(program, PERF_PAGER=pager)
    assert shown.endswith("".join(f"line {number}\n" for number in range(lines)))


def test_a_pager_that_is_left_early() -> None:
    program = """
try:
    with terminal.screen() as s:
        for _ in range(100000):
            print("x", file=s.stream)
except BrokenPipeError:
    pass
"""
    lines = on_a_terminal(program, PAGER="head -2")
    assert lines == "x\nx\n"


def test_only_colours_of_ours_reach_a_terminal() -> None:
    program = r"""
with terminal.screen() as s:
    s.stream.write("\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x1b[2J \x9b31m \x00 \u202e\n")
"""
    shown = on_a_terminal(program, PAGER="cat")
    assert shown == "\x1b[1;31mred\x1b[0m ?]0;title? ?[2J ?31m ? ?\n"
    assert "\x1b" not in on_a_terminal(program, PAGER="cat", NO_COLOR="1")


def test_names_in_any_script_reach_a_terminal_without_it() -> None:
    program = r"""
with terminal.screen(pager=False) as s:
    s.stream.write("\u6f22 caf\xe9 \udc80\n")
"""
    shown = on_a_terminal(program, PYTHONIOENCODING="iso-8859-1")
    assert shown == "? caf? ?\n"


def test_no_pager_and_no_colour_in_a_pipe() -> None:
    code = f"import sys; sys.path.insert(0, {str(PACKAGE)!r})\nfrom perf_damon import terminal\n"
    done = subprocess.run(
        [sys.executable, "-c", code + WRITE],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TERM": "xterm", "PERF_PAGER": "sed s/^/paged:/"},
        check=True,
    )
    assert done.stdout == "colour False\n"
