# SPDX-License-Identifier: GPL-2.0
"""make dist, and its wheel in a fresh venv of the distribution's Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
RECORDING = CHECKOUT / "tests/data/stairs.perf.data"
PYTHON = "/usr/bin/python3"
READY = not subprocess.run(
    [PYTHON, "-c", "import build, numpy, setuptools, wheel"], capture_output=True
).returncode

pytestmark = pytest.mark.skipif(
    not READY or not all(shutil.which(name) for name in ("asciidoctor", "perf", "make", "man")),
    reason="lab/setup has not run",
)


def run(*words: object, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8", **changes}
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env=environment, cwd="/"
    )


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the wheel, and with the distribution's numpy: nothing is fetched."""
    folder = tmp_path_factory.mktemp("dist")
    command = ["make", "-s", "-C", CHECKOUT, "dist", f"DIST={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert len(list(folder.glob("perf[-_]damon-*.tar.gz"))) == 1
    (wheel,) = folder.glob("*.whl")
    venv = folder / "venv"
    for words in (
        [PYTHON, "-m", "venv", "--system-site-packages", venv],
        [venv / "bin/python", "-m", "pip", "-q", "install", "--no-index", wheel],
    ):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    return venv


def test_perf_runs_it(venv: Path) -> None:
    path = f"{venv}/bin:/usr/bin:/bin"
    done = run("perf", "damon", "-h", PATH=path)
    assert done.returncode == 129 and "usage: perf damon" in done.stderr
    done = run("perf", "damon", "report", "-i", RECORDING, PATH=path)
    assert done.returncode == 0, done.stderr
    assert "Hottest memory" in done.stdout


def test_it_is_typed_and_has_its_examples(venv: Path) -> None:
    (package,) = venv.glob("lib/python3*/site-packages/perf_damon")
    assert (package / "py.typed").is_file()
    assert (package / "schemes/examples/prcl.schemes").is_file()


def test_the_manual(venv: Path) -> None:
    """Also where the venv's bin is not on PATH."""
    done = run(venv / "bin/perf-damon", "--help", MANWIDTH="80", MANPAGER="cat")
    assert done.returncode == 0 and "PERF-DAMON(1)" in done.stdout, done.stderr


def test_the_completion(venv: Path) -> None:
    file = venv / "share/bash-completion/completions/perf-damon"
    assert "_perf_damon" in run("bash", "-c", f"source {file}; complete -p perf").stdout


def test_the_script_for_perf_script(venv: Path) -> None:
    scripts = venv / "libexec/perf-core/scripts/python"
    for name in ("record", "report"):
        assert os.access(scripts / f"bin/damon-heatmap-{name}", os.X_OK)
    if "libpython: [ on" not in run("perf", "version", "--build-options").stdout:
        pytest.skip("this perf has no Python")
    done = run("perf", "script", "-i", RECORDING, "-s", scripts / "damon_heatmap.py")
    assert done.returncode == 0, done.stderr
    assert "Access rate" in done.stdout
