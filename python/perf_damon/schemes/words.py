# SPDX-License-Identifier: GPL-2.0
"""Pieces of a line that know where they stand, so that an error can point at them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from perf_damon.errors import UsageError

T = TypeVar("T")


class Problem(Exception):
    """A piece is wrong: where in its line (from 0), why, and what would be right."""

    def __init__(self, column: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.column = column
        self.message = message
        self.hint = hint

    def at(self, name: str, line_number: int, line: str) -> UsageError:
        """The error that people see: file, line and column, the line, and a caret below it."""
        # Tabs stay tabs, so that the caret stands below its character.
        blanks = "".join(c if c == "\t" else " " for c in line[: self.column])
        where = f"{name}:{line_number}:{self.column + 1}"
        shown = "".join(c if c.isprintable() or c == "\t" else "?" for c in line.rstrip())
        return UsageError(f"{where}: {self.message}\n  {shown}\n  {blanks}^", self.hint)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line."""

    text: str
    column: int
    """Where it begins in the line, from 0."""

    def problem(self, message: str, hint: str = "") -> NoReturn:
        """Raise Problem for this piece."""
        raise Problem(self.column, message, hint)

    def slice(self, begin: int, end: int | None = None) -> Part:
        """A piece of this piece, without the blanks around it."""
        text = self.text[begin:end]
        stripped = text.lstrip()
        return Part(stripped.rstrip(), self.column + begin + len(text) - len(stripped))

    def words(self) -> list[Part]:
        """Its words, between blanks."""
        return [self.slice(*found.span()) for found in re.finditer(r"\S+", self.text)]

    def split(self, separator: str) -> list[Part]:
        """Its pieces between separators."""
        parts, begin = [], 0
        for text in self.text.split(separator):
            parts.append(self.slice(begin, begin + len(text)))
            begin += len(text) + len(separator)
        return parts

    def partition(self, separator: str) -> tuple[Part, Part | None]:
        """What stands before the first separator, and behind it (None where there is none)."""
        at = self.text.find(separator)
        if at < 0:
            return self, None
        return self.slice(0, at), self.slice(at + len(separator))

    def parse(self, parse: Callable[[str], T]) -> T:
        """The value by a function that raises UsageError; raises Problem."""
        try:
            return parse(self.text)
        except UsageError as error:
            self.problem(error.message, error.hint)

    def number(self, what: str, most: int = 2**64 - 1) -> int:
        """A whole number from 0 to `most`; raises Problem."""
        if not re.fullmatch(r"[0-9]+", self.text):
            self.problem(f"'{self.text}' is no {what}: it is a whole number")
        value = int(self.text)
        if value > most:
            self.problem(f"{what} {self.text} is more than the kernel takes", f"at most {most}")
        return value

    def choice(self, what: str, allowed: Iterable[str]) -> str:
        """One of the words allowed; raises Problem with the one that was probably meant."""
        names = list(allowed)
        if self.text not in names:
            near = difflib.get_close_matches(self.text, names, 1)
            meant = f", is it {near[0]}?" if near else ""
            self.problem(f"'{self.text}' is no {what}{meant}", f"{what}s: {', '.join(names)}")
        return self.text
