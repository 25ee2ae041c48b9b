# SPDX-License-Identifier: GPL-2.0
"""lab/setup installs what is missing, and is quiet about it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from lab import common

SETUP = Path(common.__file__).with_name("setup")
APT = """\
#!/bin/sh
echo "$*" >>{folder}/calls
echo "Selecting previously unselected package foo."
echo "E: says apt-get" >&2
{then}
"""


@pytest.fixture
def machine(tmp_path):
    """A checkout whose environment for Python is there, on a machine that has the package bar."""
    (tmp_path / "lab").mkdir()
    shutil.copy(SETUP, tmp_path / "lab")
    (tmp_path / "lab/packages.txt").write_text("# what is needed\nfoo\nbar\n")
    (tmp_path / "lab/requirements.txt").write_text("")
    (tmp_path / "build/venv").mkdir(parents=True)
    (tmp_path / "build/venv/lab-requirements.txt").write_text("")
    program(tmp_path, "dpkg-query", "#!/bin/sh\necho 'ii bar'\n")
    # As root, whoever runs the tests.
    program(tmp_path, "id", "#!/bin/sh\necho 0\n")
    return tmp_path


def program(folder, name, text):
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def setup(folder, then):
    program(folder, "apt-get", APT.format(folder=folder, then=then))
    done = subprocess.run(
        [folder / "lab/setup"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{folder}/bin:/usr/bin:/bin"},
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_what_is_missing_is_installed_without_a_word_of_apt(machine):
    assert setup(machine, "exit 0") == (
        0,
        "lab/setup: installing packages, 1 to 3 minutes: foo \n",
    )
    assert (machine / "calls").read_text().split() == [
        "-qq", "-y", "--no-install-recommends", "install", "foo",
    ]  # fmt: skip
    assert "Selecting" in (machine / "build/setup.log").read_text()


def test_lists_that_are_old_are_fetched(machine):
    # Only what comes after `update` works.
    assert setup(machine, f"grep -q update {machine}/calls") == (
        0,
        "lab/setup: installing packages, 1 to 3 minutes: foo \n",
    )
    assert [line.split()[-1] for line in (machine / "calls").read_text().splitlines()] == [
        "foo", "update", "foo",
    ]  # fmt: skip


def test_why_it_failed_is_told(machine):
    status, said = setup(machine, "exit 100")
    assert status == 1
    assert "E: says apt-get" in said
    assert said.endswith(f"apt-get failed; all that it said: {machine}/build/setup.log\n")
