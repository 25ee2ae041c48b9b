# SPDX-License-Identifier: GPL-2.0
"""make install, into a folder: what lies there works without the checkout."""

from __future__ import annotations

import os
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


def attempt(target: str, root: Path, *words: str, path: str = "") -> subprocess.CompletedProcess:
    command = ["make", "-s", "-C", str(CHECKOUT), target, f"DESTDIR={root}", *words]
    return subprocess.run(
        [*command, "PERF_EXEC=/usr/lib/px"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"},
    )


def make(target: str, root: Path, *words: str) -> None:
    result = attempt(target, root, *words)
    assert result.returncode == 0, result.stderr


def files(root: Path) -> list[str]:
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_symlink() or not path.is_dir()
    )


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
    complete_line perf damon report --format = c
    complete_line perf damon report -i x --cell m
    complete_line perf damon report -i x hea
    complete_line perf damon report -i
    complete_line perf damon record --ops p
    complete_line perf damon --ver
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
        "csv",
        "mean",
        "heatmap",
        "",
        "paddr",
        "--version",
        "enable",
        "all",
    ]
    assert last.split() == ["damon"]


def test_the_example_schemes(root: Path) -> None:
    program = root / PREFIX / "bin/perf-damon"
    result = run(program, "start", "-h")
    assert "examples: ethp, lru_sort, prcl, tiering" in " ".join(result.stderr.split())
    assert (root / PREFIX / "lib/perf-damon/perf_damon/schemes/examples/prcl.schemes").is_file()


def test_uninstall_takes_all_of_it_away(tmp_path: Path) -> None:
    make("install", tmp_path)
    make("install", tmp_path)  # over itself
    make("uninstall", tmp_path)
    assert files(tmp_path) == []


def test_the_completion_of_perf_itself_stays(tmp_path: Path) -> None:
    folder = tmp_path / "usr/share/bash-completion/completions"
    folder.mkdir(parents=True)
    (folder / "perf").write_text("# perf's own\n")
    make("install", tmp_path, "PREFIX=/usr")
    assert (folder / "perf").read_text() == "# perf's own\n"
    assert "_perf_damon" in (tmp_path / "etc/bash_completion.d/perf-damon").read_text()
    make("uninstall", tmp_path, "PREFIX=/usr")
    assert files(tmp_path) == ["usr/share/bash-completion/completions/perf"]


@pytest.mark.parametrize(
    "name", ["usr/local/bin/perf-damon", "usr/lib/px/scripts/python/damon_heatmap.py",
             "usr/local/share/bash-completion/completions/perf"],
)  # fmt: skip
def test_nothing_is_written_over(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("somebody else's\n")
    result = attempt("install", tmp_path)
    assert result.returncode != 0
    assert f"/{name} is there, and not of perf damon" in result.stderr
    assert "nothing was changed" in result.stderr
    assert files(tmp_path) == [name]
    result = attempt("uninstall", tmp_path)
    assert f"/{name} is not of perf damon: left alone" in result.stderr
    assert path.read_text() == "somebody else's\n"


def test_a_perf_that_has_one_of_its_own(tmp_path: Path) -> None:
    """As perf's own make install puts it: perf would never run the other."""
    own = [tmp_path / "usr/lib/px" / name for name in ("perf-damon", "python/perf_damon/cli.py")]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("perf damon of perf's tree\n")
    result = attempt("install", tmp_path)
    assert result.returncode != 0
    assert (
        "perf has a perf damon of its own, /usr/lib/px/perf-damon, and runs that" in result.stderr
    )
    assert "nothing was changed" in result.stderr
    make("uninstall", tmp_path)
    assert [tmp_path / name for name in files(tmp_path)] == own


def test_files_of_packages_are_left_alone(tmp_path: Path) -> None:
    """As those of the Debian package of perf damon, which look like ours."""
    root = tmp_path / "root"
    make("install", root)
    before = files(root)
    program = tmp_path / "bin/dpkg-query"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor path; do :; done\necho "perf-damon: $path"\n')
    program.chmod(0o755)
    result = attempt("install", root, path=str(program.parent))
    assert result.returncode != 0
    assert "/usr/local/lib/perf-damon is of the package perf-damon" in result.stderr
    result = attempt("uninstall", root, path=str(program.parent))
    assert "/usr/local/bin/perf-damon is of the package perf-damon: left alone" in result.stderr
    assert files(root) == before


def test_all_of_it_or_nothing(tmp_path: Path) -> None:
    # Root may write everywhere, but makes no folder in a file.
    (tmp_path / "usr/local").mkdir(parents=True)
    (tmp_path / "usr/local/share").write_text("")
    result = attempt("install", tmp_path)
    assert result.returncode != 0
    assert "share/man/man1 cannot be written to: become root" in result.stderr
    assert "nothing was changed" in result.stderr
    assert files(tmp_path) == ["usr/local/share"]


def test_without_a_right_to_perfs_folder(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/px").write_text("")
    result = attempt("install", tmp_path, "PREFIX=/home/me/my .local")
    assert result.returncode == 0, result.stderr
    script = "/home/me/my .local/lib/perf-damon/scripts/python/damon_heatmap.py"
    assert f"perf script -s {script}" in result.stderr
    assert Path(f"{tmp_path}{script}").is_file()
    assert (tmp_path / "home/me/my .local/bin/perf-damon").is_file()
    make("uninstall", tmp_path, "PREFIX=/home/me/my .local")
    assert files(tmp_path) == ["usr/lib/px"]
