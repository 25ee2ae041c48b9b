# SPDX-License-Identifier: GPL-2.0
"""make install, into a folder: what lies there works without the checkout."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
RECORDING = CHECKOUT / "tests/data/stairs.perf.data"
PREFIX = "usr/local"

pytestmark = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("asciidoctor", "perf", "make")),
    reason="lab/setup has not run",
)


def make(target: str, root: Path) -> None:
    # -o: the manual may be built by another run at the same time
    words = ["make", "-s", "-C", str(CHECKOUT), target, f"DESTDIR={root}", "PERF_EXEC=/usr/lib/px"]
    subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    make("install", folder)
    return folder


def run(*words: object, **changes: str) -> subprocess.CompletedProcess:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8", **changes}
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env=environment, cwd="/"
    )


def test_perf_runs_it_with_a_clean_environment(root: Path) -> None:
    path = f"{root / PREFIX / 'bin'}:/usr/bin:/bin"
    result = run("perf", "damon", "report", "-i", RECORDING, PATH=path)
    assert result.returncode == 0, result.stderr
    assert "Hottest memory" in result.stdout


def test_it_does_not_use_the_checkout(root: Path) -> None:
    program = root / PREFIX / "bin/perf-damon"
    result = run("/usr/bin/python3", "-v", program, "--version")
    assert result.returncode == 0
    assert str(root / PREFIX / "lib/perf-damon/perf_damon") in result.stderr
    assert str(CHECKOUT) not in result.stderr


def test_the_script_for_perf_script(root: Path) -> None:
    exec_path = root / "usr/lib/px"
    for name in ("damon_heatmap.py", "bin/damon-heatmap-record", "bin/damon-heatmap-report"):
        link = exec_path / "scripts/python" / name
        target = link.readlink()
        assert (root / target.relative_to("/")).is_file()
    script = root / PREFIX / "lib/perf-damon/scripts/python/damon_heatmap.py"
    if "libpython: [ on" not in run("perf", "version", "--build-options").stdout:
        pytest.skip("this perf has no Python")
    result = run("perf", "script", "-i", RECORDING, "-s", script)
    assert result.returncode == 0, result.stderr
    assert "Access rate" in result.stdout


def test_the_manual(root: Path) -> None:
    page = root / PREFIX / "share/man/man1/perf-damon.1"
    result = run("man", "-l", page, MANWIDTH="80")
    assert result.returncode == 0 and "PERF-DAMON(1)" in result.stdout
    assert "linkperf" not in result.stdout


def test_completion(root: Path) -> None:
    file = root / PREFIX / "share/bash-completion/completions/perf"
    program = f"""
    source {file}
    complete_line() {{
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        _perf_damon
        echo "${{COMPREPLY[*]}}"
    }}
    complete_line perf damon s
    complete_line perf damon record --ti
    complete_line perf damon report h
    complete_line perf damon start --schemes pr
    complete_line perf damon darc e
    complete_line perf damon darc set --zone a
    complete_line perf dam
    """
    path = f"{root / PREFIX / 'bin'}:/usr/bin:/bin"
    result = run("bash", "-c", program, PATH=path)
    *shown, last = result.stdout.splitlines()
    assert shown == [
        "start stop schemes status",
        "--timeout",
        "heatmap",
        "prcl proc",
        "enable",
        "all",
    ]
    assert "damon" in last.split()


def test_the_example_schemes(root: Path) -> None:
    program = root / PREFIX / "bin/perf-damon"
    result = run(program, "start", "-h")
    assert "examples: ethp, lru_sort, prcl, tiering" in " ".join(result.stderr.split())
    assert (root / PREFIX / "lib/perf-damon/perf_damon/schemes/examples/prcl.schemes").is_file()


def test_uninstall_takes_all_of_it_away(tmp_path: Path) -> None:
    make("install", tmp_path)
    make("uninstall", tmp_path)
    left = [path for path in tmp_path.rglob("*") if not path.is_dir()]
    assert left == []
