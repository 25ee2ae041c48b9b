# SPDX-License-Identifier: GPL-2.0
"""The kernel's selftests are copied as they are, with their helpers built."""

import subprocess

import pytest
from lab.common import LabError
from lab.selftests import HELPERS, PLACE, prepare
from lab.sources import Source


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "linux" / PLACE
    folder.mkdir(parents=True)
    for name in HELPERS:
        (folder / f"{name}.c").write_text(
            f'#include <stdio.h>\nint main(void) {{ puts("{name}"); }}\n'
        )
    (folder / "some.sh").write_text("echo test\n")
    (folder / "some.sh").chmod(0o555)
    return Source(tmp_path / "linux", "some", fixed=True)


def test_they_are_copied_and_their_helpers_run(source, tmp_path):
    folder = prepare(source, tmp_path / "build/damon")
    assert folder == tmp_path / "build/damon"
    assert (folder / "some.sh").read_text() == "echo test\n"
    assert (folder / "some.sh").stat().st_mode & 0o111
    for name in HELPERS:
        done = subprocess.run([folder / name], capture_output=True, text=True, check=True)
        assert done.stdout == f"{name}\n"
    # Once more, of another source: nothing of the first one stays.
    (source.path / PLACE / "some.sh").rename(source.path / PLACE / "other.sh")
    prepare(source, folder)
    assert not (folder / "some.sh").exists() and (folder / "other.sh").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["damon"]


def test_what_cannot_be_built_leaves_what_there_was(source, tmp_path):
    folder = prepare(source, tmp_path / "build/damon")
    (source.path / PLACE / f"{HELPERS[1]}.c").write_text("int main(\n")
    with pytest.raises(LabError, match=rf"gcc cannot build {HELPERS[1]}\.c"):
        prepare(source, folder)
    assert (folder / HELPERS[1]).exists()
    assert [path.name for path in folder.parent.iterdir()] == ["damon"]


def test_a_source_without_them_is_told(tmp_path):
    with pytest.raises(LabError, match=f"has no {PLACE}"):
        prepare(Source(tmp_path, "none", fixed=True), tmp_path / "damon")
