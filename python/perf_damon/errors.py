# SPDX-License-Identifier: GPL-2.0
"""The error that people see, and perf's exit codes. cli.run() catches it once."""

from __future__ import annotations

EXIT_OK = 0
EXIT_USAGE = 129
"""What perf returns for a usage error and for -h."""
EXIT_ERROR = 255
"""What perf returns when a run fails (-1)."""


class Error(Exception):
    """Something went wrong that the user should know about.

    `message` says what is wrong and where; `hint` says what to do (may be empty).
    """

    exit_code = EXIT_ERROR

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def not_put_back(error: BaseException, second: Error, hint: str) -> Error:
    """The error to raise where a change failed, and undoing it failed as well."""
    message = error.message if isinstance(error, Error) else repr(error)
    return Error(f"{message}; and what was before could not be put back: {second.message}", hint)


class UsageError(Error):
    """The command line is wrong."""

    exit_code = EXIT_USAGE


class DataError(Error):
    """A recording cannot be read, or does not hold what is asked of it."""
