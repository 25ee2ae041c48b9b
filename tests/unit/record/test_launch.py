# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perf_damon.errors import Error
from perf_damon.record.launch import launch


def test_it_stands_still_with_its_own_memory_until_told(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = launch(["sh", "-c", f": >{mark}; exit 3"])
    time.sleep(0.2)
    assert not mark.exists()
    maps = Path(f"/proc/{command.pid}/maps").read_text()
    assert "python" not in maps and "sh" in maps
    command.go()
    assert command.wait() == 3
    assert mark.exists()


def test_it_is_not_traced_any_more(tmp_path: Path) -> None:
    command = launch(["sleep", "60"])
    command.go()
    assert "TracerPid:\t0" in Path(f"/proc/{command.pid}/status").read_text()
    command.terminate()
    assert command.wait() == 128 + signal.SIGTERM


def test_one_that_never_ran_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = launch(["sh", "-c", f"trap '' TERM; : >{mark}"])
    command.terminate()
    assert command.wait() == 128 + signal.SIGKILL
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [("/no/such", "No such file"), ("/etc/passwd", "Permission denied"), ("/etc", "Permission")],
)
def test_what_cannot_be_run(name: str, why: str) -> None:
    with pytest.raises(Error, match=why):
        launch([name])


def test_under_a_tracer_it_runs_at_once(tmp_path: Path) -> None:
    """As under strace -f, which leaves no place for us: faked by a ptrace that fails."""
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[3] / "python")!r})
from perf_damon.record import launch
launch._ptrace = lambda *_: -1
command = launch.launch(["sh", "-c", "exit 5"])
command.go()
print(command.wait())
try:
    launch.launch(["/no/such"])
except launch.Error as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    )
    assert result.stdout.splitlines() == [
        "5",
        "cannot run '/no/such': No such file or directory",
    ]


def test_the_program_gets_default_signals() -> None:
    command = launch(["grep", "-E", "SigIgn|SigBlk", "/proc/self/status"])
    command.go()
    assert command.wait() == 0
    shown = subprocess.run(["true"], check=True)
    assert shown.returncode == 0
    sleeper = launch(["sh", "-c", "kill -PIPE $$; exit 9"])
    sleeper.go()
    assert sleeper.wait() == 128 + signal.SIGPIPE, "Python ignores SIGPIPE; programs do not"


def test_detached_has_a_session_of_its_own_and_no_input() -> None:
    command = launch(["cat"], detached=True)
    assert os.getsid(command.pid) == command.pid
    command.go()
    assert command.wait() == 0
