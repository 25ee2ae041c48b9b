# SPDX-License-Identifier: GPL-2.0
"""The table of kernels and perfs is made of what the tests wrote, and of nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from lab import testkernels
from lab.common import CHECKOUT, LabError

TESTS = """\
import pytest

@pytest.fixture
def breaks_afterwards():
    yield
    raise ValueError

@pytest.mark.feature("record")
def test_one(): pass

@pytest.mark.feature("record")
def test_two(): assert False

@pytest.mark.feature("record")
def test_three(breaks_afterwards): pass

@pytest.mark.feature("tune")
@pytest.mark.parametrize("number", range(3))
def test_four(number): pass

@pytest.mark.feature("live")
@pytest.mark.skipif("True", reason="no module: Debian has it in linux-perf")
def test_five(): pass

@pytest.mark.feature("live")
def test_six(): pytest.skip("no | libpython")

def test_seven(): assert False
"""


@pytest.fixture(scope="module")
def xml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pytest writes of TESTS, with the hook that guests have."""
    folder = tmp_path_factory.mktemp("tests")
    source = (CHECKOUT / "tests/guest/conftest.py").read_text()
    hook = source[source.index("def pytest_collection_modifyitems") :].split("\n\n\n")[0]
    facts = (
        "@pytest.fixture(scope='session', autouse=True)\n"
        "def facts(record_testsuite_property):\n"
        "    record_testsuite_property('kernel', '6.12.1')\n"
        "    record_testsuite_property('perf', '6.1.187')\n"
        "    record_testsuite_property('python', '3.11.2')\n"
    )
    (folder / "conftest.py").write_text(f"import pytest\n\n\n{hook}\n\n\n{facts}")
    (folder / "test_it.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = feature(name)\n")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=junit.xml"],
        cwd=folder,
        capture_output=True,
    )
    return folder / "junit.xml"


def test_what_pytest_wrote_is_counted_by_feature(xml: Path) -> None:
    run = testkernels.read(xml)
    assert run.facts == {"kernel": "6.12.1", "perf": "6.1.187", "python": "3.11.2"}
    # pytest tells of a test whose fixture fails afterwards twice: that it passed, and the error.
    assert run.counts["record"]["failed"] == 2
    assert run.counts["tune"] == Counter(passed=3)
    assert run.counts["live"] == Counter(skipped=2)
    assert run.reasons == {"live": {"no module: Debian has it in linux-perf", "no | libpython"}}
    assert sorted(run.failed) == ["test_it::test_seven", "test_it::test_three", "test_it::test_two"]


def test_no_result_is_no_table(tmp_path: Path) -> None:
    for text, what in (
        (None, "No such file"),
        ("<testsuites><testsuite>", "no result of tests"),
        ("<testsuites><testsuite/></testsuites>", "tells of no feature"),
    ):
        path = tmp_path / "junit.xml"
        if text is not None:
            path.write_text(text)
        with pytest.raises(LabError, match=what):
            testkernels.read(path)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, ""),
        ({"passed": 3}, "3"),
        ({"passed": 2, "failed": 1}, "2, **1 failed**"),
        ({"failed": 2}, "**2 failed**"),
        ({"skipped": 2}, "–"),
        ({"passed": 1, "skipped": 1}, "1, 1 skipped"),
        ({"failed": 1, "skipped": 1}, "**1 failed**, 1 skipped"),
    ],
)
def test_cells(counts: dict[str, int], text: str) -> None:
    assert testkernels.cell(Counter(counts)) == text


def run_of(kernel: str, perf: str = "6.1.187", **counts: Counter[str]) -> testkernels.Run:
    return testkernels.Run(
        {"kernel": kernel, "perf": perf, "python": "3.11.2", "numpy": "1.24.2"}, dict(counts)
    )


def test_the_table() -> None:
    old = run_of("6.1.0", record=Counter(skipped=2), reports=Counter(passed=5))
    old.reasons = {"record": {"this kernel has no | DAMON"}}
    runs = {
        "debian-12": old,
        "debian": run_of("6.12.117", record=Counter(passed=2), reports=Counter(passed=5)),
        "perf-debian-newest": run_of("6.12.117", "7.2.13", record=Counter(passed=1, failed=1)),
    }
    assert testkernels.table(runs, date(2026, 11, 28)) == (
        "Measured 2026-11-28 by `make test-kernels`: tests that passed.\n"
        "\n"
        "| perf 6.1.187, Python 3.11.2 | Debian 13: Linux 6.12.117 | Debian 12: Linux 6.1.0 |\n"
        "| --- | --- | --- |\n"
        "| record | 2 | – [1] |\n"
        "| reports | 5 | 5 |\n"
        "\n"
        "|  | Debian 13: Linux 6.12.117, perf 7.2.13, Python 3.11.2 |\n"
        "| --- | --- |\n"
        "| record | 1, **1 failed** |\n"
        "\n"
        "1. this kernel has no \\| DAMON\n"
    )


def test_every_column_names_what_there_is() -> None:
    for name, column in testkernels.COLUMNS.items():
        assert column.name == name
        assert column.kernel in testkernels.kernels.KERNELS
        assert column.root is None or column.root in testkernels.roots.ROOTS


def test_every_feature_is_of_tests_that_are_run() -> None:
    marked = {
        path.relative_to(CHECKOUT)
        for path in (CHECKOUT / "tests/guest").rglob("test_*.py")
        if "mark.feature(" in path.read_text()
    }
    assert marked
    for path in marked:
        assert any(path.is_relative_to(folder) for folder in testkernels.TESTS), path
