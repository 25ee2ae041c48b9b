# SPDX-License-Identifier: GPL-2.0
"""The kernel sources. Ours and upstream are built from Debian 13's, or from one of the user's own.

Debian's source, and a tarball, unpack to CACHE/sources/NAME-DIGEST: what is there is complete and
never changes. A tree that KERNEL_SRC names is the user's, who may change it at any time; the lab
does not.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import debian
from lab.common import LabError, cache_dir, locked, progress


@dataclass(frozen=True)
class Series:
    """Which kernel, as Debian has it."""

    package: str
    suite: str
    follows: bool = False
    """The package has no source, but names the one that has, which changes."""

    @property
    def tarball(self) -> str:
        """Where in the package that has it, as a pattern."""
        return f"usr/src/{self.package}{'-*' if self.follows else ''}.tar.*"


LTS = Series("linux-source-6.12", "trixie")
"""The package's name stays for the life of Debian 13, and with it the series."""
OLD = Series("linux-source-6.1", "bookworm")
"""Debian 12's; RHEL 9 and others of its age have a DAMON like its."""
NEWEST = Series("linux-source", "sid", follows=True)

PARTS = ("Makefile", "Kconfig", "scripts/kconfig", "mm/Kconfig", "arch/x86/Makefile")
"""What every kernel tree has."""
BUILT = (".config", "include/config", "arch/x86/include/generated")
"""What a build in a tree leaves there; kbuild then refuses to build from it elsewhere."""


@dataclass(frozen=True)
class Source:
    """A kernel source tree, which nobody may write to."""

    path: Path
    identity: str
    """Differs where the source is another one. Not every change of a user's tree is another."""
    fixed: bool
    """It lies in the cache and never changes: trees may share its files by hard links."""

    def version(self) -> str:
        """The version of the kernel, as its Makefile has it: 6.12.117."""
        text = (self.path / "Makefile").read_text()
        numbers = (
            re.search(rf"^{name} = (\d+)$", text, re.MULTILINE)
            for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")
        )
        return ".".join(number[1] for number in numbers if number)


def kernel_source(series: Series = LTS, *, update: bool = False) -> Source:
    """The source to build kernels from; fetched when it is not there, or when `update` asks."""
    own = os.environ.get("KERNEL_SRC")
    if own and series == LTS:
        return _own(Path(own).absolute())
    sources = _sources()
    current = sources / series.package
    with locked(sources / ".lock"):
        if update or not (current / "Makefile").exists():
            new = sources / f".{series.package}.new"
            new.unlink(missing_ok=True)
            new.symlink_to(_unpack(_package_tarball(series, update=update)).name)
            new.replace(current)
    path = current.resolve()
    return Source(path, path.name, fixed=True)


def _sources() -> Path:
    path = cache_dir() / "sources"
    path.mkdir(exist_ok=True)
    return path


def _own(path: Path) -> Source:
    """The source that KERNEL_SRC names."""
    if path.is_file():
        sources = _sources()
        with locked(sources / ".lock"):
            tree = _unpack(path)
        return Source(tree, tree.name, fixed=True)
    _check(path, f"KERNEL_SRC {path}")
    for name in BUILT:
        if (path / name).exists():
            raise LabError(
                f"KERNEL_SRC {path} holds a build ({name}): give a clean tree, "
                f"which 'git -C {path} worktree add DIR' makes, or a tarball"
            )
    return Source(path, str(path), fixed=False)


def check_tree(path: Path) -> None:
    """Raise LabError for what is no kernel source."""
    _check(path, str(path))


def _check(path: Path, what: str) -> None:
    for name in PARTS:
        if not (path / name).exists():
            raise LabError(f"{what} is no kernel source: it has no {name}")


def _package_tarball(series: Series, *, update: bool) -> Path:
    """The tarball of Debian's package, from what was unpacked before if that will do."""
    known = []
    if not series.follows and not update:
        known = list((cache_dir() / "packages").glob(f"{series.package}_*/{series.tarball}"))
    if not known:
        apt = debian.apt_of_suite(series.suite)
        apt.update()
        package = apt.dependencies(series.package)[0] if series.follows else series.package
        [root] = debian.fetch(apt, [package])
        known = list(root.glob(series.tarball))
    if not known:
        raise LabError(f"the package {series.package} holds no source")
    # dpkg keeps the times of the package's own build.
    return max(known, key=lambda path: path.stat().st_mtime)


def _unpack(tarball: Path) -> Path:
    """Unpack a kernel's tarball into the cache; returns the tree."""
    try:
        with tarball.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LabError(f"{tarball}: {error.strerror}") from None
    tree = _sources() / f"{re.sub(r'[.]tar([.].*)?$', '', tarball.name)}-{digest[:16]}"
    if tree.is_dir():
        return tree
    progress(f"unpacking {tarball.name} (half a minute)")
    # A name of its own until it is whole: an interrupted run leaves no half source behind.
    with _scratch(tree.parent) as directory:
        done = subprocess.run(
            ["tar", "-xf", str(tarball), "--no-same-owner"],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        if done.returncode:
            raise LabError(f"tar -xf {tarball}: {done.stderr.decode(errors='replace').strip()}")
        tops = list(directory.iterdir())
        top = tops[0] if len(tops) == 1 else directory
        _check(top, str(tarball))
        _write_protect(top)
        top.rename(tree)
    return tree


def _write_protect(tree: Path) -> None:
    """Take the write permission off all files: trees share them, and editors should notice."""
    for directory, _, names in os.walk(tree):
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o555)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix=".unpack-", dir=parent))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
