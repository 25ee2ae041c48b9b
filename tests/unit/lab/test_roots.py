# SPDX-License-Identifier: GPL-2.0
"""Roots of other distributions, with a debootstrap that is not one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from lab import debian, roots, vm
from lab.common import LabError

WORKS = """\
for word; do echo "$word"; done >>"$LOG"
while case $1 in --*) ;; *) false ;; esac; do shift; done
mkdir -p "$2/usr/bin" "$2/var/cache/apt/archives"
: >"$2/var/cache/apt/archives/perf.deb"
echo "$1" >"$2/suite"
"""


@pytest.fixture
def debootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a script in its place; returns the path of its log."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setattr(debian, "mirror", lambda: ("file:/archive", []))
    monkeypatch.setattr(debian, "ARCHIVE_KEYRING", tmp_path / "keyring")
    monkeypatch.setattr(roots, "as_root", lambda: [])
    monkeypatch.setattr(roots.os, "geteuid", lambda: 0)
    (tmp_path / "keyring").touch()
    program = tmp_path / "bin/debootstrap"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def install(script: str) -> Path:
        program.write_text(f"#!/bin/sh\n{script}")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return tmp_path / "log"

    return install


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache/perf-damon/roots").glob("[!.]*"))


def test_a_root_is_made_once(debootstrap, tmp_path: Path) -> None:
    log = debootstrap(WORKS)
    path = roots.root("debian-13")
    assert (path / "suite").read_text() == "trixie\n"
    assert not list(path.glob("var/cache/apt/archives/*.deb"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    words = log.read_text().split()
    assert words[-1] == "file:/archive" and words[-3] == "trixie"
    assert f"--keyring={tmp_path / 'keyring'}" in words
    assert any(word.startswith("--include=") and "linux-perf" in word for word in words)
    assert roots.root("debian-13") == path
    assert len(log.read_text().split()) == len(words), "it was not made again"
    assert roots.root("debian-12") != path


def test_what_is_in_a_root_is_part_of_its_name(debootstrap) -> None:
    debootstrap(WORKS)
    small = roots.make(roots.Root("debian-13", "trixie", "", ("bash",)))
    assert small.name.startswith("debian-13-") and small != roots.root("debian-13")


def test_half_a_root_does_not_stay(debootstrap, tmp_path: Path) -> None:
    debootstrap(
        'mkdir "$(eval echo "\\$$(($# - 1))")/debootstrap"\n'
        'echo "E: no such package" >"$(eval echo "\\$$(($# - 1))")/debootstrap/debootstrap.log"\n'
        'echo "W: unpacking" >&2\nexit 1\n'
    )
    with pytest.raises(LabError, match=r"debootstrap of sid failed: .*W: unpacking.*no such pack"):
        roots.root("debian-newest")
    assert left(tmp_path) == []
    assert not list((tmp_path / "cache/perf-damon/roots").glob(".debian*.*/"))
    debootstrap(WORKS)
    assert roots.root("debian-newest").is_dir()


def test_what_is_missing_is_said(debootstrap, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match="no root is named 'nosuch'; there are: debian-12"):
        roots.root("nosuch")
    monkeypatch.setattr(roots.shutil, "which", lambda *_, **__: None)
    with pytest.raises(LabError, match="debootstrap is not installed: apt install debootstrap"):
        roots.root("debian-13")


def test_a_guest_is_told_of_its_root(tmp_path: Path) -> None:
    plain = vm.Guest(image=Path("/image"))
    rooted = vm.Guest(image=Path("/image"), root=Path("/a root"))
    for guest, settings in ((plain, "root=''"), (rooted, "root='/a root'")):
        vm._write_share(tmp_path, guest, ["true"])
        text = (tmp_path / "settings").read_text()
        assert settings in text and "cache_usr=''" in text
    assert f"mount_tag={vm.CACHED_TAG}" in " ".join(vm._qemu_options(rooted))
    assert f"mount_tag={vm.CACHED_TAG}" not in " ".join(vm._qemu_options(plain))
