# SPDX-License-Identifier: GPL-2.0
"""Text for people: styles, tables, names that come from elsewhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache


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
        text = text.translate(_PLAIN)
        if text.isascii():
            return text
        # As many columns as before: what was drawn to fit still does.
        return "".join(c if c.isascii() else "?" * char_width(c) for c in text)


_PLAIN = str.maketrans("…×–·≤", "~x-.<")


def clean(text: str) -> str:
    """A name from a recording, without what could steer the terminal.

    Variation selectors go as well: terminals do not agree on the width of what has one.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text if not _is_variation_selector(c))


def _is_variation_selector(c: str) -> bool:
    return "\ufe00" <= c <= "\ufe0f" or "\U000e0100" <= c <= "\U000e01ef"


def text_width(text: str) -> int:
    """Terminal columns that a clean text takes."""
    return len(text) if text.isascii() else sum(map(char_width, text))


@lru_cache(maxsize=1 << 12)
def char_width(c: str) -> int:
    """Terminal columns of a character: 2 for CJK and emoji, 0 for what joins the one before."""
    if unicodedata.category(c) in ("Mn", "Me") or "\u1160" <= c <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def pad(text: str, width: int, right: bool = False) -> str:
    """Text filled with blanks up to a width, on the left when it stands to the right."""
    blanks = " " * max(0, width - text_width(text))
    return blanks + text if right else text + blanks


def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """Text that fits a width; what is cut is its beginning, because paths differ at their end."""
    if text_width(text) <= width:
        return text
    room = width - text_width(ellipsis)
    if room < 0:
        return "" if width <= 0 else ellipsis[:width]
    first = len(text)
    while first and (room := room - char_width(text[first - 1])) >= 0:
        first -= 1
    # What joined a character that is cut would join the ellipsis.
    while first < len(text) and char_width(text[first]) == 0:
        first += 1
    return ellipsis + text[first:]


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns; words that are longer are cut."""
    width = max(2, width)
    lines, line, used = [], "", 0
    for word in text.split(" "):
        size = text_width(word)
        if size > width:
            *whole, line = [*([line] if line else []), *_pieces(word, width)]
            lines += whole
            used = text_width(line)
        elif line and used + 1 + size > width:
            lines.append(line)
            line, used = word, size
        else:
            line, used = (f"{line} {word}", used + 1 + size) if line else (word, size)
    return [*lines, line]


def _pieces(word: str, width: int) -> list[str]:
    """A word in pieces of at most `width` columns, which are at least 2."""
    if word.isascii():
        return [word[i : i + width] for i in range(0, len(word), width)]
    pieces, first, used = [], 0, 0
    for i, c in enumerate(word):
        used += char_width(c)
        if used > width:
            pieces.append(word[first:i])
            first, used = i, char_width(c)
    return [*pieces, word[first:]]


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


def fitted(
    columns: Mapping[str, Sequence[str]],
    less: Sequence[Sequence[str]],
    left: Sequence[str],
    canvas: Canvas,
) -> list[str]:
    """A table of columns by name, those in `left` standing to the left, that fits a canvas.

    What there is no room for goes, `less` in its order. Where even the rest has no room, each row
    becomes a paragraph.
    """
    shown = dict(columns)
    for names in ((), *less):
        for name in names:
            shown.pop(name, None)
        right = "".join("l" if name in left else "r" for name in shown)
        rows = list(zip(*shown.values(), strict=True))
        lines = table(list(shown), rows, right)
        if max(map(text_width, lines)) <= canvas.width:
            return [canvas.dim(lines[0]), *lines[1:]]
    lines = []
    for row in rows:
        words = (f"{name} {cell.strip()}" for name, cell in zip(shown, row, strict=True))
        first, *more = wrap(", ".join(words), canvas.width - 2)
        lines += [first, *(f"  {line}" for line in more)]
    return lines


def percent(rate: float) -> str:
    """A rate of 0 … 1 in percent: `0%`, `<0.1%`, `4.2%`, `100%`."""
    if rate <= 0:
        return "0%"
    if rate < 0.0005:
        return "<0.1%"
    return f"{rate * 100:.1f}%" if rate < 0.9995 else "100%"
