# SPDX-License-Identifier: GPL-2.0
"""Root file systems of Debian releases, for guests: another distribution's perf and Python.

Each is made by debootstrap, once, of the machine's own mirror, in CACHE/roots/NAME-DIGEST, where
DIGEST is of what it is made of. What is there is complete, and nothing changes it: what a guest
writes stays in the guest's memory. Removed, it is made again, of what is newest then.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab import debian
from lab.common import LabError, cache_dir, locked, progress

PACKAGES = (
    # what perf damon is for, and needs
    "linux-perf", "python3", "python3-numpy", "python3-rich",
    # what its tests need
    "python3-pytest", "iproute2", "kmod", "mount", "procps", "util-linux",
)  # fmt: skip


@dataclass(frozen=True)
class Root:
    """A root file system by name."""

    name: str
    suite: str
    about: str
    packages: tuple[str, ...] = PACKAGES

    @property
    def digest(self) -> str:
        """Of all that tells what is in it."""
        words = "\n".join((self.suite, *sorted(self.packages)))
        return hashlib.sha256(words.encode()).hexdigest()[:16]


ROOTS = {
    root.name: root
    for root in (
        Root("debian-12", "bookworm", "Debian 12: perf 6.1, Python 3.11"),
        Root("debian-13", "trixie", "Debian 13: perf 6.12, Python 3.13"),
        Root("debian-newest", "sid", "Debian's newest: perf 7.2 or later, Python 3.14 or later"),
    )
}


def root(name: str) -> Path:
    """The path of a root file system, made where it is not there."""
    try:
        wanted = ROOTS[name]
    except KeyError:
        raise LabError(f"no root is named {name!r}; there are: {', '.join(ROOTS)}") from None
    return make(wanted)


def make(wanted: Root) -> Path:
    """The path of a root file system, made where it is not there."""
    roots = cache_dir() / "roots"
    roots.mkdir(exist_ok=True)
    path = roots / f"{wanted.name}-{wanted.digest}"
    with locked(roots / f".{path.name}.lock"):
        if not path.is_dir():
            _debootstrap(wanted, path)
    return path


def _debootstrap(wanted: Root, path: Path) -> None:
    program = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not program:
        raise LabError("debootstrap is not installed: apt install debootstrap")
    if os.geteuid() != 0 and not shutil.which("sudo"):
        raise LabError("debootstrap has to be run as root: install sudo, or be root")
    uri, keyrings = debian.mirror()
    keyring = next((key for key in (debian.ARCHIVE_KEYRING, *map(Path, keyrings)) if key.exists()),
                   None)  # fmt: skip
    progress(f"making the root {wanted.name} of {wanted.suite} (3 to 10 minutes)")
    # A name of its own until it is whole, in the same folder: it may be root's.
    new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        done = subprocess.run(
            [
                *as_root(), program, "--variant=minbase", f"--include={','.join(wanted.packages)}",
                *([f"--keyring={keyring}"] if keyring else []), wanted.suite, str(new), uri,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()
            log = new / "debootstrap/debootstrap.log"
            if log.exists():
                said += log.read_text(errors="replace").strip().splitlines()[-5:]
            raise LabError(f"debootstrap of {wanted.suite} failed: {' | '.join(said[-8:])}")
        # Half of its size: packages that are installed.
        subprocess.run(
            [*as_root(), "sh", "-c", 'rm -f "$1"/var/cache/apt/archives/*.deb', "sh", str(new)],
            stdin=subprocess.DEVNULL,
        )
        # mkdtemp() lets nobody else in, and tests that give root up run in it.
        subprocess.run([*as_root(), "chmod", "755", str(new)], stdin=subprocess.DEVNULL)
        new.rename(path)
    finally:
        if new.exists():
            subprocess.run([*as_root(), "rm", "-rf", str(new)], stdin=subprocess.DEVNULL)


def as_root() -> list[str]:
    """What a command begins with that has to be run as root."""
    return [] if os.geteuid() == 0 else ["sudo"]
