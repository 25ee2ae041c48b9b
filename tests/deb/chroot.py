# SPDX-License-Identifier: GPL-2.0
"""A fresh Debian that may be changed: a root of the lab below a folder that takes the changes.

Mounts are made in a mount namespace of each command, and processes run in a PID namespace: both
are gone with the command, however it ends, killed as well.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from lab.roots import Root, as_root, make

# Not /sys: what is tested here has no business with this machine's DAMON.
_ENTER = """
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root" &&
mount -t proc proc "$2/root/proc" &&
mount -t tmpfs tmpfs "$2/root/run" &&
root=$2/root && shift 2 && cd / && exec chroot "$root" "$@"
"""


class Chroot:
    """What commands change is seen by the next ones; close() throws it away."""

    def __init__(self, root: Root) -> None:
        self._lower = make(root)
        # Not in memory, where a machine may have little.
        self._folder = tempfile.TemporaryDirectory(prefix="perf-damon-chroot-", dir="/var/tmp")
        self.upper = Path(self._folder.name, "upper")
        for name in ("upper", "work", "root"):
            Path(self._folder.name, name).mkdir(mode=0o755)
        Path(self._folder.name).chmod(0o755)

    def run(self, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, with a clean environment."""
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **changes,
        }
        return subprocess.run(
            [
                *(*as_root(), "unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("sh", "-c", _ENTER, "sh", str(self._lower), self._folder.name),
                *("env", "-i", *(f"{name}={value}" for name, value in environment.items())),
                *words,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )

    def put(self, source: Path, name: str) -> None:
        """Copy a file into it."""
        done = self.run("true")
        assert done.returncode == 0, done.stderr
        subprocess.run(
            [*as_root(), "install", "-D", "-m", "644", str(source), f"{self.upper}{name}"],
            check=True,
        )

    def files(self) -> dict[str, str]:
        """Each file, link and folder, and what kind it is."""
        done = self.run(
            *("find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/run", ")", "-prune"),
            *("-o", "-printf", "%y %p\\n"),
        )
        assert done.returncode == 0, done.stderr
        lines = (line.split(" ", 1) for line in done.stdout.splitlines())
        return {path: kind for kind, path in lines}

    def close(self) -> None:
        """Throw it away."""
        # overlayfs keeps folders in work that are root's alone.
        subprocess.run([*as_root(), "rm", "-rf", str(self.upper), f"{self._folder.name}/work"])
        self._folder.cleanup()
