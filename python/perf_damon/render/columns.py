# SPDX-License-Identifier: GPL-2.0
"""Numbers to text by the million: columns of numbers become columns of characters.

A field is a uint8 matrix (width, n): character by character, so that each step of the work is
on n numbers side by side. Absent characters are 0 and vanish when the rows are joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perf_damon.recording import Column

ABSENT = 0
_ZERO = ord("0")
_POWERS = 10 ** np.arange(1, 20, dtype=np.uint64)
_BLANK = ord(" ")
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_LONGEST_CELL = 128
_MARK = b"\x01"
"""No text has it: clean() and json.dumps() leave no control characters."""


def decimal(values: Column, width: int = 1, blank: bool = False) -> Column:
    """Whole numbers (n,) ≥ 0, at least `width` wide when leading places shall be blanks."""
    values = values.astype(np.uint64)
    digits = np.searchsorted(_POWERS, values, "right") + 1
    places = max(int(digits.max(initial=1)), width)
    field = _digits(values, places)
    for place in range(places - int(digits.min(initial=1))):
        field[place][digits < places - place] = _BLANK if blank else ABSENT
    return field


def fixed(values: Column, places: int, width: int = 1, blank: bool = False) -> Column:
    """values / 10**places with a point: fixed([1500], 3) is `1.500`."""
    scale = np.uint64(10**places)
    values = values.astype(np.uint64)
    whole, part = values // scale, values % scale
    point = literal(".", len(values))
    return np.vstack((decimal(whole, width - places - 1, blank), point, _digits(part, places)))


def hexadecimal(values: Column) -> Column:
    """Addresses with 0x, without leading zeros."""
    values = values.astype(np.uint64)
    places = max(1, (int(values.max(initial=0)).bit_length() + 3) // 4)
    field = np.empty((places, len(values)), np.uint8)
    seen = np.zeros(len(values), bool)
    for place in range(places):
        nibble = (values >> np.uint64(4 * (places - 1 - place))).astype(np.uint8) & 15
        seen |= nibble != 0
        if place == places - 1:
            seen[:] = True
        field[place] = _HEX[nibble] * seen
    return np.vstack((literal("0x", len(values)), field))


def literal(text: str, n: int) -> Column:
    """The same text in every row."""
    encoded = np.frombuffer(text.encode(), np.uint8)
    return np.broadcast_to(encoded[:, None], (len(encoded), n))


class Lexicon:
    """Texts that the rows of a column choose from."""

    def __init__(self, texts: Sequence[str]) -> None:
        encoded = [text.encode() or b"\0" for text in texts]
        self.long = {i: text for i, text in enumerate(encoded) if len(text) > _LONGEST_CELL}
        """Those that would make all rows wide: a mark stands for them until all is joined."""
        cells = [_MARK if i in self.long else text for i, text in enumerate(encoded)]
        self.cells = np.array(cells, np.bytes_).view(np.uint8).reshape(len(texts), -1)


@dataclass(frozen=True, slots=True)
class Words:
    """A field: texts[index[i]] in row i."""

    index: Column
    """(n,), from 0 on."""
    texts: Lexicon


def words(index: Column, texts: Lexicon) -> Words:
    """The text that `index` (n,) names in each row."""
    return Words(index, texts)


def join(fields: Sequence[Column | Words]) -> str:
    """The rows as one text."""
    matrix = np.vstack([f.texts.cells[f.index].T if isinstance(f, Words) else f for f in fields])
    matrix = np.ascontiguousarray(matrix.T)
    text = matrix[matrix != ABSENT].tobytes()
    marks = [
        (row, at, field.texts.long[int(field.index[row])])
        for at, field in enumerate(fields)
        if isinstance(field, Words) and field.texts.long
        for row in np.flatnonzero(np.isin(field.index, list(field.texts.long))).tolist()
    ]
    if marks:
        first, *rest = text.split(_MARK)
        long = [text for _, _, text in sorted(marks)]
        parts = (part for pair in zip(long, rest, strict=True) for part in pair)
        text = b"".join((first, *parts))
    return text.decode()


def _digits(values: Column, places: int) -> Column:
    field = np.empty((places, len(values)), np.uint8)
    ten = np.uint64(10)
    for place in range(places - 1, -1, -1):
        rest = values // ten
        field[place] = values - rest * ten
        values = rest
    field += _ZERO
    return field
