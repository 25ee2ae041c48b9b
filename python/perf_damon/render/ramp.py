# SPDX-License-Identifier: GPL-2.0
"""What a rate looks like: colours or characters, from never accessed to in every sample.

Steps are even in the square root of the rate, so that rarely accessed memory can be told from
memory that is never accessed, and that from what is not monitored at all (left blank).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from perf_damon.recording import Column
from perf_damon.render.text import Canvas

BLANK = -1
"""The level of what is not monitored."""

# Rising in lightness all the way, for any kind of eye and on dark and light terminals.
_ANCHORS = (
    (0.00, (72, 24, 116)),
    (0.25, (135, 33, 122)),
    (0.50, (200, 58, 86)),
    (0.70, (238, 105, 41)),
    (0.85, (250, 176, 28)),
    (1.00, (253, 250, 170)),
)
_COLD = (40, 46, 84)
_COLORS_256 = (17, 54, 90, 126, 161, 197, 202, 208, 214, 220, 227, 229)
_COLORS_8 = (4, 5, 1, 3, 7)
_TRUE_COLOR_LEVELS = 24
_SHADES = "·░▒▓█"
_ASCII = ".:-=+*#@"
_LEGEND_RATES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Ramp:
    """Looks of the levels 0 (never accessed), 1 … n (accessed)."""

    foreground: tuple[str, ...]
    """Parameters of the escape for each level's colour; empty when characters tell."""
    background: tuple[str, ...]
    characters: str
    """One a level, when there are no colours."""

    @property
    def nr_levels(self) -> int:
        """How many levels mean that memory was accessed."""
        return max(len(self.foreground), len(self.characters)) - 1

    def levels(self, rates: Column) -> Column:
        """int64, the shape of rates: the level of each rate of 0 … 1, BLANK for NaN."""
        with np.errstate(invalid="ignore"):
            step = np.ceil(np.sqrt(rates) * self.nr_levels - 1e-9)
            step = np.where(rates > 0, np.clip(step, 1, self.nr_levels), 0)
        return np.where(np.isnan(rates), BLANK, step).astype(np.int64)

    def legend(self) -> list[tuple[int, str]]:
        """Levels to explain, with what they mean."""
        n = self.nr_levels
        if n > 8:
            rates = np.array(_LEGEND_RATES)
            marks = zip(
                self.levels(rates).tolist(), (f"{r * 100:.0f}%" for r in rates), strict=True
            )
            return [(0, "0%"), *marks]
        return [(0, "0%"), *((i, f"≤{(i / n) ** 2 * 100:.0f}%") for i in range(1, n + 1))]


def ramp(canvas: Canvas) -> Ramp:
    """The best ramp that a canvas can show."""
    if canvas.colors > 256:
        colors = [
            _COLD,
            *(_between(i / (_TRUE_COLOR_LEVELS - 1)) for i in range(_TRUE_COLOR_LEVELS)),
        ]
        return _colored([f"8;2;{r};{g};{b}" for r, g, b in colors])
    if canvas.colors == 256:
        return _colored([f"8;5;{color}" for color in _COLORS_256])
    if canvas.colors:
        return _colored([str(color) for color in _COLORS_8])
    return Ramp((), (), _SHADES if canvas.unicode else _ASCII)


def _colored(colors: Sequence[str]) -> Ramp:
    return Ramp(tuple(f"3{c}" for c in colors), tuple(f"4{c}" for c in colors), "")


def _between(position: float) -> tuple[int, int, int]:
    for (low, dark), (high, light) in pairwise(_ANCHORS):
        if position <= high:
            part = (position - low) / (high - low)
            r, g, b = (round(d + (li - d) * part) for d, li in zip(dark, light, strict=True))
            return r, g, b
    return _ANCHORS[-1][1]
