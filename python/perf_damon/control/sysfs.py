# SPDX-License-Identifier: GPL-2.0
"""Reading and writing files of DAMON's sysfs tree, with errors that say what they mean."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from perf_damon.errors import Error

ADMIN = Path("/sys/kernel/mm/damon/admin")

_BUSY_TRIES = 25
_BUSY_WAIT_S = 0.02

_MEANINGS = {
    errno.EBUSY: "DAMON is in use",
    errno.EINVAL: "the kernel does not take it",
    errno.ENOMEM: "the kernel is out of memory, or a memory cgroup's path does not exist",
    errno.EACCES: "no permission",
    errno.ENOENT: "this kernel has no such file",
    errno.EPERM: "the kernel does not allow it",
}


class SysfsError(Error):
    """A file of the tree could not be read or written; `errno` says why.

    `path` is the file's below the tree, `text` what was to be written, where these are known.
    """

    def __init__(
        self, message: str, number: int, hint: str = "", path: str = "", text: str = ""
    ) -> None:
        super().__init__(message, hint)
        self.errno = number
        self.path = path
        self.text = text


@dataclass(frozen=True, slots=True)
class Sysfs:
    """DAMON's admin folder. Paths are relative to it, as in `kdamonds/0/state`."""

    root: Path = ADMIN

    def exists(self, path: str) -> bool:
        """Whether the file or folder is there."""
        return (self.root / path).exists()

    def is_dir(self, path: str) -> bool:
        """Whether it is a folder."""
        return (self.root / path).is_dir()

    def is_writable(self, path: str) -> bool:
        """Whether the file's mode lets its owner write (root may open read-only files too)."""
        return bool((self.root / path).stat().st_mode & 0o200)

    def names(self, path: str) -> list[str]:
        """Names in a folder, numbers in numeric order; raises SysfsError."""
        try:
            names = [entry.name for entry in (self.root / path).iterdir()]
        except OSError as error:
            raise self._explain("read", path, error) from None
        return sorted(names, key=lambda name: (not name.isdigit(), len(name), name))

    def read(self, path: str) -> str:
        """A file's text without the last newline; raises SysfsError."""
        for tries_left in reversed(range(_BUSY_TRIES)):
            try:
                return (self.root / path).read_text(encoding="utf-8").removesuffix("\n")
            except OSError as error:
                if error.errno != errno.EBUSY or not tries_left:
                    raise self._explain("read", path, error) from None
            time.sleep(_BUSY_WAIT_S)
        raise AssertionError("unreachable")

    def write(self, path: str, text: str | int) -> None:
        """Write once, in one system call; raises SysfsError.

        EBUSY is tried again for half a second: the kernel answers so while somebody else
        reads or writes the tree.
        """
        for tries_left in reversed(range(_BUSY_TRIES)):
            try:
                self.put(path, str(text))
                return
            except OSError as error:
                if error.errno != errno.EBUSY or not tries_left:
                    raise self._explain(f"write '{text}' to", path, error, str(text)) from None
            time.sleep(_BUSY_WAIT_S)

    def write_checked(self, path: str, text: str | int) -> None:
        """Write, read back, and raise SysfsError if the kernel took something else."""
        self.write(path, text)
        taken = self.read(path)
        if taken != str(text):
            message = f"the kernel took '{taken}' for '{text}' in {self.root / path}"
            raise SysfsError(message, errno.EINVAL, path=path, text=str(text))

    def put(self, path: str, text: str) -> None:
        """The write itself; raises OSError. A fake kernel replaces this."""
        # Not to be created: sysfs answers that with EACCES, whatever the reason is.
        file = os.open(self.root / path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)

    def _explain(self, verb: str, path: str, error: OSError, text: str = "") -> SysfsError:
        number = error.errno or 0
        meaning = _MEANINGS.get(number, error.strerror or str(error))
        name = errno.errorcode.get(number, str(number))
        message = f"cannot {verb} {self.root / path}: {meaning} ({name})"
        return SysfsError(message, number, path=path, text=text)
