# SPDX-License-Identifier: GPL-2.0
"""perf damon's guest tests on the kernels and with the perfs that people run, as a table.

Each column is a run in a guest, whose JUnit XML is what the table is made of: no cell is written by
hand. What a test is about, its mark feature(NAME) tells, which tests/guest/conftest.py writes into
the XML; and so are the versions of kernel, perf and Python, as they are in the guest.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from lab import kernels, roots, vm
from lab.common import BUILD, CHECKOUT, LabError, compile_python, progress, setup
from lab.workloads.build import build

RESULTS = BUILD / "test-kernels"
TESTS = ("tests/guest/commands", "tests/guest/errors", "tests/guest/schemes")
TESTS_OF_PERF = ("tests/guest/commands",)
"""What depends on perf: recordings, and reading them."""
TIMEOUT_S = 45 * 60


@dataclass(frozen=True)
class Column:
    """Where the tests run."""

    name: str
    kernel: str
    title: str
    root: str | None = None
    """A root of lab/roots.py, whose perf and Python they run with; None for the host's."""

    @property
    def tests(self) -> tuple[str, ...]:
        return TESTS if self.root is None else TESTS_OF_PERF


COLUMNS = {
    column.name: column
    for column in (
        Column("debian", "debian", "Debian 13"),
        Column("debian-newest", "debian-newest", "Debian sid"),
        Column("6.1", "6.1", "vanilla 6.1"),
        Column("upstream", "upstream", "vanilla 6.12"),
        Column("ours", "ours", "ours"),
        Column("ours-lru-gen", "ours-lru-gen", "ours, LRU_GEN"),
        Column("debian-12", "debian-12", "Debian 12"),
        Column("perf-debian-12", "debian", "Debian 13", root="debian-12"),
        Column("perf-debian-13", "debian", "Debian 13", root="debian-13"),
        Column("perf-debian-newest", "debian", "Debian 13", root="debian-newest"),
        Column("all-debian-newest", "debian-newest", "Debian sid", root="debian-newest"),
    )
}

RESULTS_OF_A_TEST = ("passed", "failed", "skipped")


@dataclass
class Run:
    """What a run of the tests has given."""

    facts: dict[str, str] = field(default_factory=dict)
    """kernel, perf, python, numpy: their versions."""
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Of each feature, how many tests passed, failed, and were skipped."""
    reasons: dict[str, set[str]] = field(default_factory=dict)
    """Of each feature, why tests were skipped."""
    failed: list[str] = field(default_factory=list)
    """Names of the tests that failed."""


def read(xml: Path) -> Run:
    """What a JUnit XML tells. Raises LabError for a file that is none, or tells of no test."""
    try:
        suites = ET.parse(xml).getroot()
    except (OSError, ET.ParseError) as error:
        raise LabError(f"{xml} is no result of tests: {error}") from None
    run = Run()
    for suite in suites.iter("testsuite"):
        for one in suite.findall("properties/property"):
            run.facts[one.get("name", "")] = one.get("value", "")
    for case in suites.iter("testcase"):
        names = [
            one.get("value", "")
            for one in case.findall("properties/property")
            if one.get("name") == "feature"
        ]
        skip = case.find("skipped")
        # A fixture that fails after a test has passed is an error of its own.
        if case.find("failure") is not None or case.find("error") is not None:
            result = "failed"
            run.failed.append(f"{case.get('classname', '')}::{case.get('name', '')}")
        else:
            result = "passed" if skip is None else "skipped"
        for name in names:
            run.counts.setdefault(name, Counter())[result] += 1
            if skip is not None:
                run.reasons.setdefault(name, set()).add(skip.get("message", ""))
    if not run.counts:
        raise LabError(f"{xml} tells of no feature")
    return run


def cell(counts: Counter[str] | None) -> str:
    """As in "3", "2, 1 failed", or "–" where all were skipped."""
    if not counts:
        return ""
    parts = [f"{counts['passed']}"] if counts["passed"] else []
    if counts["failed"]:
        parts.append(f"**{counts['failed']} failed**")
    if counts["skipped"] and parts:
        parts.append(f"{counts['skipped']} skipped")
    return ", ".join(parts) or "–"


def table(runs: dict[str, Run], day: date) -> str:
    """Markdown of all runs, by the names of their columns, in the order of COLUMNS."""
    there = [column for name, column in COLUMNS.items() if name in runs]
    by_kernel = [column for column in there if column.root is None]
    by_perf = [column for column in there if column.root is not None]
    parts = [f"Measured {day.isoformat()} by `make test-kernels`: tests that passed.\n"]
    notes: dict[str, int] = {}
    for columns in (by_kernel, by_perf):
        if columns:
            parts.append(_table(columns, runs, notes))
    parts.append("".join(f"{number}. {_plain(text)}\n" for text, number in notes.items()))
    return "\n".join(part for part in parts if part)


def _table(columns: list[Column], runs: dict[str, Run], notes: dict[str, int]) -> str:
    first = _common(columns, runs)
    heads = [f"{column.title}: {_versions(column, runs[column.name])}" for column in columns]
    lines = [[first, *heads], ["---"] * (len(columns) + 1)]
    features = dict.fromkeys(name for column in columns for name in runs[column.name].counts)
    for feature in features:
        line = [feature]
        for column in columns:
            run = runs[column.name]
            text = cell(run.counts.get(feature))
            for reason in sorted(run.reasons.get(feature, ())):
                text += f" [{notes.setdefault(reason, len(notes) + 1)}]"
            line.append(text)
        lines.append(line)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _plain(text: str) -> str:
    """Of a test's words, without a meaning in Markdown."""
    return " ".join(text.split()).replace("|", "\\|")


def _versions(column: Column, run: Run) -> str:
    kernel = f"Linux {run.facts.get('kernel', '?')}"
    if column.root is None:
        return kernel
    return f"{kernel}, {_tools(run)}"


def _tools(run: Run) -> str:
    return f"perf {run.facts.get('perf', '?')}, Python {run.facts.get('python', '?')}"


def _common(columns: list[Column], runs: dict[str, Run]) -> str:
    """What all columns have that do not tell of their perf."""
    tools = {_tools(runs[column.name]) for column in columns if column.root is None}
    return tools.pop() if len(tools) == 1 else ""


def measure(column: Column) -> int:
    """Run the tests of a column; returns pytest's exit status. The XML is in RESULTS/NAME."""
    home = RESULTS / column.name
    with tempfile.TemporaryDirectory(prefix=".new-", dir=RESULTS) as directory:
        new = Path(directory)
        python = (
            str(BUILD / "venv-system/bin/python") if column.root is None else "/usr/bin/python3"
        )
        machine = vm.Guest(
            image=kernels.image(column.kernel),
            root=roots.root(column.root) if column.root else None,
            memory="3G",
            cached=True,
            timeout_s=TIMEOUT_S,
            out=new,
        )
        words = [
            python, "-m", "pytest", "-p", "no:cacheprovider", "-m", "feature", "-q",
            f"--junitxml={new / 'junit.xml'}", *column.tests,
        ]  # fmt: skip
        with (new / "log").open("wb") as log:
            status = vm.run(machine, words, log, log)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        for each in new.iterdir():
            each.rename(home / each.name)
    return status


def run(names: Iterable[str], *, again: bool = True) -> int:
    """Measure columns one after the other, print the table of all that there are results of.

    Returns 1 if a test has failed in those that were run, or one could not be run.
    """
    setup()
    build()
    compile_python()
    RESULTS.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in names if again else ():
        progress(f"testing on {name}: some 10 minutes")
        try:
            status = measure(COLUMNS[name])
            measured = read(RESULTS / name / "junit.xml")
        except LabError as error:
            print(f"lab/test-kernels: {name}: {error}", file=sys.stderr)
            failed = True
            continue
        counts = sum(measured.counts.values(), Counter[str]())
        progress(f"{name}: " + ", ".join(f"{counts[each]} {each}" for each in RESULTS_OF_A_TEST))
        for each in measured.failed:
            progress(f"{name}: failed: {each}")
        failed |= status != 0
    runs = {}
    for name in COLUMNS:
        if (path := RESULTS / name / "junit.xml").exists():
            runs[name] = read(path)
    if not runs:
        raise LabError("there are no results yet")
    text = table(runs, date.today())
    (RESULTS / "kernels.md").write_text(text)
    print(text, end="")
    progress(f"written to {(RESULTS / 'kernels.md').relative_to(CHECKOUT)}")
    return 1 if failed else 0
