# SPDX-License-Identifier: GPL-2.0
"""What the documents name is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
MANUAL = ROOT / "tools/perf/Documentation/perf-damon.txt"


def table_of_folders() -> dict[str, str]:
    """By the folders of a row of the README's table, what is said of them."""
    rows = re.findall(r"^\| ((?:`[\w./]+`(?:, )?)+) \| (.*) \|$", read("README.md"), re.MULTILINE)
    return {name: about for names, about in rows for name in re.findall(r"`([^`]+)`", names)}


def read(document: str) -> str:
    return (ROOT / document).read_text()


def folders(parent: Path) -> set[str]:
    return {f"{path.name}/" for path in parent.iterdir() if path.is_dir()}


def test_the_table_of_folders() -> None:
    table = table_of_folders()
    assert all((ROOT / name).exists() for name in table)
    # What git does not keep, and what belongs to tools, is none of the project's folders.
    ours = {name for name in folders(ROOT) if not name.startswith(".")} - {"build/"}
    assert ours == {f"{name.split('/')[0]}/" for name in table if name.endswith("/")}


@pytest.mark.parametrize("folder", ["python/perf_damon/", "tools/perf/", "tests/"])
def test_what_is_in_a_folder(folder: str) -> None:
    named = set(re.findall(r"`([\w-]+/)`", table_of_folders()[folder]))
    assert named <= folders(ROOT / folder)
    if folder == "python/perf_damon/":
        packages = {f"{path.parent.name}/" for path in (ROOT / folder).glob("*/__init__.py")}
        # A newcomer finds every one of them from the README alone.
        assert named == packages


@pytest.mark.parametrize("document", DOCUMENTS)
def test_verbs_and_paths(document: str) -> None:
    code = "\n".join(re.findall(r"`[^`\n]+`|^    .*$", read(document), re.MULTILINE))
    verbs = set(re.findall(r"\bmake ([a-z][a-z-]*)", code))
    database = subprocess.run(
        ["make", "-pRrq", "-C", ROOT, ":"], capture_output=True, text=True
    ).stdout
    targets = set(re.findall(r"^([\w-]+):", database, re.MULTILINE))
    assert verbs and verbs <= targets
    paths = re.findall(
        r"(?<![\w/~.$-])((?:lab|tests|kernel|tools|python|\.ci|\.github)/[\w./*-]*[\w*])", code
    )
    missing = [path for path in paths if not list(ROOT.glob(path))]
    assert paths and not missing


def test_the_manual_has_every_command_and_option() -> None:
    manual = MANUAL.read_text().replace("\\", "")
    program = str(ROOT / "tools/perf/perf-damon")

    def listed(*words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, program, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    missing = []
    for command in listed("--list-cmds"):
        if not re.search(rf"perf damon' {command}\b", manual):
            missing.append(command)
        for option in listed(command, "--list-opts"):
            if not re.search(rf"(?<![\w-]){option}(?![\w-])", manual):
                missing.append(f"{command} {option}")
    assert not missing


@pytest.mark.parametrize(
    "verb",
    ["guest-errors", "ours-kernel", "debug-kernel", "lru-gen-darc", "fuzz-kernel", "test-perf"],
)
def test_a_verb_that_is_run_alone_has_its_python(verb: str) -> None:
    """As in a fresh clone: the environment is older than what it is made of."""
    done = subprocess.run(
        ["make", "-n", "-W", "lab/requirements.txt", "-C", ROOT, verb],
        capture_output=True,
        text=True,
        check=True,
    )
    made, used = (
        done.stdout.find(words)
        for words in ("venv --system-site", "venv-system/bin/python -m pytest")
    )
    assert 0 <= made < used
