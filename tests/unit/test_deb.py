# SPDX-License-Identifier: GPL-2.0
"""make deb: what the Debian package has in it. make test-deb installs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from perf_damon.version import __version__

CHECKOUT = Path(__file__).parents[2]
RECORDING = CHECKOUT / "tests/data/stairs.perf.data"
PROGRAMS = ("asciidoctor", "dh_python3", "dpkg-buildpackage", "dpkg-deb", "make", "perf")

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, PROGRAMS)), reason="lab/setup has not run"
)


@pytest.fixture(scope="module")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        ["make", "-s", "-C", CHECKOUT, "deb", f"DEB={folder}"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        # What awk and sed could take for something else is part of a name here.
        env={**os.environ, "DEBFULLNAME": "A. B/C & D", "DEBEMAIL": "someone@example.com"},
    )
    assert done.returncode == 0, done.stderr
    (deb,) = folder.iterdir()
    assert done.stdout == f"{deb}\n"
    return deb


@pytest.fixture(scope="module")
def root(deb: Path) -> Path:
    root = deb.parent / "root"
    subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
    return root


def field(deb: Path, name: str) -> str:
    return subprocess.run(
        ["dpkg-deb", "-f", deb, name], check=True, capture_output=True, text=True
    ).stdout.strip()


def run(
    root: Path, *words: object, path: str = "/usr/bin:/bin"
) -> subprocess.CompletedProcess[str]:
    """As if it were installed."""
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        cwd="/",
        env={
            "PATH": path,
            "HOME": "/",
            "LANG": "C.UTF-8",
            "PERF_EXEC_PATH": str(root / "usr/lib/perf-core"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )


def test_what_it_says_of_itself(deb: Path) -> None:
    assert deb.name == f"perf-damon_{__version__}_all.deb"
    assert field(deb, "Maintainer") == "A. B/C & D <someone@example.com>"
    needs = re.split(r",\s*", field(deb, "Depends"))
    assert {"linux-perf", "python3-numpy", "python3-rich"} <= set(needs)
    assert any(need.startswith("python3:any (>= 3.11") for need in needs)
    # The rest is for some of its uses, and no more of it is needed.
    assert len(needs) == 4
    assert "python3-pandas" in field(deb, "Suggests")


def test_the_files_are_those_of_the_repository(root: Path) -> None:
    folders = {
        "usr/lib/perf-core/python/perf_damon": CHECKOUT / "python/perf_damon",
        "usr/lib/perf-core/scripts/python": CHECKOUT / "tools/perf/scripts/python",
    }
    for there, here in folders.items():
        ours = [path for path in here.rglob("*") if path.is_file() and path.suffix != ".pyc"]
        packed = [path for path in (root / there).rglob("*") if path.is_file()]
        assert sorted(path.relative_to(here) for path in ours) == sorted(
            path.relative_to(root / there) for path in packed
        )
        for path in ours:
            copy = root / there / path.relative_to(here)
            assert copy.read_bytes() == path.read_bytes()
            if "/bin/" in str(path):
                assert os.access(copy, os.X_OK)


def test_nothing_else_is_in_it(root: Path) -> None:
    known = re.compile(
        r"usr/lib/perf-core/python/perf_damon/.*|usr/lib/python3/dist-packages/perf_damon"
        r"|usr/share/python3/runtime\.d/perf-damon\.rtupdate|usr/lib/perf-core/scripts/python/.*"
        r"|usr/lib/perf-core/perf-damon|usr/share/man/man1/perf-damon\.1\.gz"
        r"|usr/share/bash-completion/completions/perf-damon|etc/bash_completion\.d/perf-damon"
        r"|usr/share/doc/perf-damon/(copyright|changelog\.gz|README\.md\.gz)"
        r"|usr/share/lintian/overrides/perf-damon"
    )
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        assert path.is_dir() or known.fullmatch(name), name


def test_perf_runs_it_of_its_exec_path(root: Path) -> None:
    done = run(root, "perf", "damon", "version")
    assert done.returncode == 0, done.stderr
    assert f"program   {root}/usr/lib/perf-core/perf-damon\n" in done.stdout
    assert f"package   {root}/usr/lib/perf-core/python/perf_damon\n" in done.stdout
    done = run(root, "perf", "damon", "report", "-i", RECORDING)
    assert done.returncode == 0, done.stderr
    assert "Hottest memory" in done.stdout


def test_beside_one_that_make_install_has_put_on_path(root: Path) -> None:
    """perf runs its exec path's, whoever comes first on PATH; each tells of the other."""
    program = CHECKOUT / "tools/perf/perf-damon"
    path = f"{program.parent}:/usr/bin:/bin"
    of_perf = f"{root}/usr/lib/perf-core/perf-damon"
    lines = run(root, "perf", "damon", "version", path=path).stdout.splitlines()
    assert f"  program   {of_perf}" in lines
    assert f"  another   {program}: not what runs here" in lines
    lines = run(root, program, "version", path=path).stdout.splitlines()
    assert f"  program   {program}" in lines
    assert f"  another   {of_perf}: not what runs here, but what 'perf damon' runs" in lines


def test_notebooks_import_it(root: Path) -> None:
    packages = root / "usr/lib/python3/dist-packages"
    program = f"import sys; sys.path.insert(0, '{packages}'); import perf_damon as p; print(p.open)"
    done = run(root, "/usr/bin/python3", "-c", program)
    assert done.returncode == 0 and "function open" in done.stdout, done.stderr


def test_every_shell_reads_the_completion(root: Path) -> None:
    link = root / "etc/bash_completion.d/perf-damon"
    assert link.readlink() == Path("/usr/share/bash-completion/completions/perf-damon")
    file = root / link.readlink().relative_to("/")
    assert "_perf_damon" in run(root, "bash", "-c", f"source {file}; complete -p perf").stdout


def test_nothing_stays_as_a_file_of_the_administrators(deb: Path) -> None:
    """dpkg --remove leaves those: shells would go on to read a completion of what is gone."""
    control = deb.parent / "control"
    subprocess.run(["dpkg-deb", "-e", deb, control], check=True)
    assert (control / "prerm").is_file()
    assert not (control / "conffiles").exists()
