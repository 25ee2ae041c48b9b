# SPDX-License-Identifier: GPL-2.0
"""Text for people: styles, tables, names that come from elsewhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is drawn on. Nothing but its stream tells a terminal from a file."""

    width: int = 80
    height: int = 24
    colors: int = 0
    """0, 16, 256 or 2**24."""
    unicode: bool = True

    def bold(self, text: str) -> str:
        """A heading."""
        return f"\x1b[1m{text}\x1b[0m" if self.colors else text

    def dim(self, text: str) -> str:
        """What only explains."""
        return f"\x1b[2m{text}\x1b[0m" if self.colors else text

    def warning(self, text: str) -> str:
        """What must not be missed."""
        return f"\x1b[1;31m{text}\x1b[0m" if self.colors else text

    def plain(self, text: str) -> str:
        """The same in the characters that the stream has."""
        if self.unicode:
            return text
        for fancy, simple in (("…", "..."), ("×", "x"), ("–", "-"), ("·", ".")):
            text = text.replace(fancy, simple)
        return text.encode("ascii", "replace").decode()


def clean(text: str) -> str:
    """A name from a recording, without what could steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def text_width(text: str) -> int:
    """Terminal columns that a clean text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def pad(text: str, width: int, right: bool = False) -> str:
    """Text filled with blanks up to a width, on the left when it stands to the right."""
    blanks = " " * max(0, width - text_width(text))
    return blanks + text if right else text + blanks


def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """Text that fits a width; what is cut is its beginning, because paths differ at their end."""
    if text_width(text) <= width:
        return text
    room = max(0, width - len(ellipsis))
    while text and text_width(text) > room:
        text = text[1:]
    return (ellipsis + text)[:width] if width > 0 else ""


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns (at least 20)."""
    width = max(20, width)
    lines, line = [], ""
    for word in text.split(" "):
        while len(word) > width:
            lines += [line] if line else []
            lines.append(word[:width])
            line, word = "", word[width:]
        if line and text_width(line) + 1 + text_width(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: str) -> list[str]:
    """Lines of a table, the head first; right[i] is "r" for columns that stand to the right."""
    widths = [max(map(text_width, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            pad(cell, width, side == "r")
            for cell, width, side in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]


def percent(rate: float) -> str:
    """A rate of 0 … 1 in percent: `0%`, `<0.1%`, `4.2%`, `100%`."""
    if rate <= 0:
        return "0%"
    if rate < 0.0005:
        return "<0.1%"
    return f"{rate * 100:.1f}%" if rate < 0.9995 else "100%"
