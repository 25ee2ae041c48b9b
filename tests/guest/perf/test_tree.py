# SPDX-License-Identifier: GPL-2.0
"""perf as the kernel's tree builds and installs it with perf damon in it, on our kernel.

PERF_PREFIX and PERF_BARE_PREFIX in the environment are what lab/perf printed for ours and
ours-bare.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from guest import run

PREFIX = Path(os.environ["PERF_PREFIX"])
BARE = Path(os.environ["PERF_BARE_PREFIX"])
CLEAN = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "LANG": "C.UTF-8"}


def perf(*words: object, prefix: Path = PREFIX) -> subprocess.CompletedProcess:
    """Run the prefix's perf with an environment that knows nothing of this checkout."""
    return run(prefix / "bin/perf", *words, env=CLEAN)


@pytest.fixture
def recording(here: Path, target: int) -> Path:
    done = perf("damon", "record", "-o", here / "perf.data", "--timeout", "3s", target)
    assert done.returncode == 0, done.stderr
    return here / "perf.data"


def test_it_records_and_reports(recording: Path) -> None:
    header = run(PREFIX / "bin/perf", "report", "--header-only", "-i", recording, env=CLEAN).stdout
    version = perf("version").stdout.split()[-1]
    assert f"perf version : {version}" in header, "perf damon runs the perf that runs it"
    text = perf("damon", "report", "-i", recording)
    assert text.returncode == 0 and "Target: workload" in text.stdout, text.stderr
    script = perf("script", "report", "damon-heatmap", "-i", recording)
    assert script.returncode == 0 and "Target: workload" in script.stdout, script.stderr


def test_perf_test_passes() -> None:
    done = perf("test", "-vv", "perf damon")
    said = done.stdout + done.stderr
    assert "perf damon record and report" in said and ": Ok" in said, said
    assert "perf script report damon-heatmap names the process [Success]" in said


def test_a_perf_without_libtraceevent_says_what_it_lacks(here: Path, target: int) -> None:
    done = perf("damon", "record", "--timeout", "3s", target, prefix=BARE)
    assert done.returncode == 255
    assert f"{BARE}/bin/perf is built without libtraceevent" in done.stderr
    assert "NO_LIBTRACEEVENT" in done.stderr and "libtraceevent-dev" in done.stderr
    assert not (here / "perf.data").exists()
