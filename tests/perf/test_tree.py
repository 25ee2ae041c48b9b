# SPDX-License-Identifier: GPL-2.0
"""perf as the kernel's tree builds and installs it with perf damon in it: make test-perf.

PERF_PREFIX and PERF_BARE_PREFIX in the environment are what lab/perf printed for ours and
ours-bare. Nothing here touches this machine's DAMON.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
RECORDING = CHECKOUT / "tests/data/stairs.perf.data"
PREFIX = Path(os.environ.get("PERF_PREFIX", CHECKOUT / "build/perf/ours/prefix"))
BARE = Path(os.environ.get("PERF_BARE_PREFIX", CHECKOUT / "build/perf/ours-bare/prefix"))
EXEC = "libexec/perf-core"
NOBODY = 65534

pytestmark = pytest.mark.skipif(
    not (PREFIX / "bin/perf").exists(), reason="no perf was built: make test-perf"
)


def perf(
    *words: object, prefix: Path = PREFIX, user: int | None = None, **environment: str
) -> subprocess.CompletedProcess:
    """Run the prefix's perf with an environment that knows nothing of this checkout."""
    return subprocess.run(
        [str(word) for word in (prefix / "bin/perf", *words)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        user=user if os.geteuid() == 0 else None,
        env={"PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8", **environment},
        cwd="/",
    )


def ok(*words: object, **how: str) -> str:
    done = perf(*words, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_perf_knows_the_command() -> None:
    assert "damon" in ok("--list-cmds").split()
    bare = perf()
    line = next(line for line in bare.stdout.splitlines() if line.split()[:1] == ["damon"])
    manual = (PREFIX / "share/man/man1/perf-damon.1").read_text()
    assert line.split(maxsplit=1)[1] in " ".join(manual.replace("\\", "").split())


def test_the_manual() -> None:
    for words in (("help", "damon"), ("damon", "--help")):
        text = ok(*words, MANPAGER="cat", MANWIDTH="80")
        assert text.startswith("PERF-DAMON(1)")
    assert "perf-damon" in (PREFIX / "share/man/man1/perf.1").read_text().replace("\\", "")
    # And of perf-damon by itself, which nobody tells where perf's manuals are.
    program = PREFIX / EXEC / "perf-damon"
    done = subprocess.run(
        [program, "--help"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0 and done.stdout.startswith("PERF-DAMON(1)")


def test_the_report_is_made_by_what_was_installed() -> None:
    done = perf("damon", "report", "-i", RECORDING, PYTHONVERBOSE="1")
    assert done.returncode == 0 and "Hottest memory" in done.stdout
    assert f"{PREFIX / EXEC}/python/perf_damon/cli.py" in done.stderr
    assert str(CHECKOUT / "python") not in done.stderr


def test_the_one_in_the_exec_path_goes_first(tmp_path: Path) -> None:
    other = tmp_path / "perf-damon"
    other.write_text("#!/bin/sh\necho other\n")
    other.chmod(0o755)
    done = perf("damon", "--version", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.stdout.startswith("perf damon version ")
    assert done.stderr == f"this is {PREFIX / EXEC}/perf-damon; there is also {other}\n"


def test_all_of_the_package_is_installed() -> None:
    def files(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    installed = files(PREFIX / EXEC / "python/perf_damon")
    assert installed == files(CHECKOUT / "python/perf_damon")
    assert "schemes/examples/prcl.schemes" in installed
    assert os.access(PREFIX / EXEC / "perf-damon", os.X_OK)


def test_perf_script_has_the_heatmap() -> None:
    assert "damon-heatmap" in ok("script", "--list")
    text = ok("script", "report", "damon-heatmap", "-i", RECORDING)
    assert text.startswith("Target: workload, pid 175") and "Access rate" in text


def test_perf_test_skips_where_it_may_not_touch_damon() -> None:
    """As nobody: root would have it run, on a kernel that has DAMON."""
    done = perf("test", "-vv", "perf damon", user=NOBODY)
    said = done.stdout + done.stderr
    assert "perf damon record and report" in said and ": Skip" in said, said
    assert "FAILED" not in said
    bare = perf("test", "-vv", "perf damon", prefix=BARE, user=NOBODY)
    assert ": Skip" in bare.stdout + bare.stderr
    assert "perf is built without libtraceevent" in bare.stdout + bare.stderr


def test_perfs_completion_and_ours() -> None:
    folder = PREFIX / "etc/bash_completion.d"
    program = f"""
    PATH={PREFIX}/bin:$PATH
    for file in {folder}/*; do source $file; done
    complete_line() {{
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        _perf_damon
        echo "${{COMPREPLY[*]}}"
    }}
    complete_line perf dam
    complete_line perf report --sta
    complete_line perf damon rep
    complete_line {PREFIX}/bin/perf damon report h
    """
    done = subprocess.run(
        ["bash", "-c", program], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    damon, stats, report, heatmap = done.stdout.splitlines()
    assert damon.split() == ["damon"]
    assert "--stats" in stats.split()
    assert (report, heatmap) == ("report", "heatmap")
    own = (PREFIX.parent / "source/tools/perf/perf-completion.sh").read_bytes()
    assert (folder / "perf").read_bytes() == own


def test_perfs_python_module() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-c", "import perf; print(perf.__file__, perf.evlist)"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(PREFIX.parent / "python")},
        cwd="/",
    )
    assert done.stdout.startswith(str(PREFIX.parent / "python/perf.")), done.stderr


def test_a_perf_without_libraries_reports_what_others_recorded() -> None:
    options = ok("version", "--build-options", prefix=BARE)
    for library in ("libtraceevent", "libpython"):
        assert f"{library}: [ OFF" in options
    assert "Hottest memory" in ok("damon", "report", "-i", RECORDING, prefix=BARE)
    # perf script has no Python, and the heatmap is drawn by the script itself.
    assert "damon-heatmap" in ok("script", "--list", prefix=BARE)
    words = ("script", "report", "damon-heatmap", "-i", RECORDING, "--", "--width", "60")
    assert ok(*words, prefix=BARE).startswith("Target: workload, pid 175")
    assert perf(*words, "--what", prefix=BARE).returncode == 129


def test_a_perf_without_libtraceevent_and_a_piped_file(tmp_path: Path) -> None:
    """It is said which perf lacks what, and what to install."""
    (tmp_path / "piped").write_bytes(b"PERFILE2" + bytes([16, *[0] * 7]))
    done = perf("damon", "report", "-i", tmp_path / "piped", prefix=BARE)
    assert done.returncode == 255
    assert "perf is built without libtraceevent" in done.stderr and "linux-perf" in done.stderr
