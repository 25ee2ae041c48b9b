# SPDX-License-Identifier: GPL-2.0
"""A heatmap as text: time down, addresses across, with colours or with shades."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from perf_damon.analysis.heatmap import Heatmap
from perf_damon.recording import Column
from perf_damon.render import ticks
from perf_damon.render.ramp import BLANK, Ramp, ramp
from perf_damon.render.text import Canvas, pad, shorten, text_width, wrap
from perf_damon.units import format_size

MARGIN = 9
"""Columns for the labels of time."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LINES_PER_LABEL = 3
_COLUMNS_PER_LABEL = 12
_MAX_NAMES = 3
"""Mappings that are named of a span."""
_NAMES_WIDTH = 24
"""Columns that their names should have."""
_LEAST_NAME = 8
"""Columns that they must have."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a picture's legend says."""

    levels: str = "of samples"
    """What the percentages are of."""
    blank: str = "blank: not monitored"
    never: str = "never accessed"
    """Of a span in which all is 0%."""


RATES = Words()


def rows_per_line(canvas: Canvas) -> int:
    """2 where half a character can have a colour of its own."""
    return 2 if canvas.colors and canvas.unicode else 1


def columns(canvas: Canvas) -> int:
    """How many columns of a picture a canvas has room for."""
    return max(1, canvas.width - MARGIN)


def heatmap_lines(
    heatmap: Heatmap,
    rates: Column,
    canvas: Canvas,
    origin: int,
    describe: Callable[[int, int], list[str]] | None = None,
    words: Words = RATES,
) -> list[str]:
    """The picture of `rates` (heatmap.mean or .hottest), its axes and its legend.

    `origin` is time 0 in nanoseconds; describe(start, end) names what lies in a span,
    the largest first.
    """
    look = ramp(canvas)
    levels = look.levels(rates)
    spans = heatmap.axis.spans
    counts = np.bincount(heatmap.axis.span).tolist()
    at = [sum(counts[:i]) + i for i in range(len(counts))]
    lines = [*_legend(look, canvas, words), ""]
    names, marks = _address_labels(spans, counts, at, canvas)
    lines += [pad("time", MARGIN - 2, right=True) + "  " + names, " " * MARGIN + marks]
    step = rows_per_line(canvas)
    cut = canvas.dim("┊" if canvas.unicode else "|")
    labels = _time_labels(heatmap.edges, step, origin)
    for line, label in enumerate(labels):
        upper = levels[line * step]
        lower = (
            levels[line * step + 1] if line * step + 1 < len(levels) else np.full_like(upper, BLANK)
        )
        parts = [
            _cells(upper[a : a + n], lower[a : a + n] if step == 2 else None, look)
            for a, n in zip(np.cumsum([0, *counts[:-1]]).tolist(), counts, strict=True)
        ]
        lines.append((pad(label, MARGIN - 2, right=True) + "  " + cut.join(parts)).rstrip(" "))
    if describe or heatmap.left_out or len(spans) > 1:
        lines += ["", *_span_table(heatmap, rates, canvas, describe, words.never)]
    return lines


def _cells(upper: Column, lower: Column | None, look: Ramp) -> str:
    if not look.foreground:
        return "".join(look.characters[level] if level >= 0 else " " for level in upper.tolist())
    below = upper if lower is None else lower
    text = []
    for (top, bottom), run in groupby(zip(upper.tolist(), below.tolist(), strict=True)):
        n = sum(1 for _ in run)
        if top == bottom:
            text.append(" " * n if top < 0 else f"\x1b[{look.background[top]}m{' ' * n}\x1b[0m")
        elif bottom < 0:
            text.append(f"\x1b[{look.foreground[top]}m{'▀' * n}\x1b[0m")
        elif top < 0:
            text.append(f"\x1b[{look.foreground[bottom]}m{'▄' * n}\x1b[0m")
        else:
            both = f"{look.foreground[top]};{look.background[bottom]}"
            text.append(f"\x1b[{both}m{'▀' * n}\x1b[0m")
    return "".join(text)


def _legend(look: Ramp, canvas: Canvas, words: Words) -> list[str]:
    """The meaning of the levels, on as many lines as the width asks for."""
    entries: list[tuple[str, str]] = []
    for level, meaning in look.legend():
        meaning = meaning if canvas.unicode else meaning.replace("≤", "<=")
        if look.background:
            entries.append((f"\x1b[{look.background[level]}m  \x1b[0m", meaning))
        else:
            entries.append((look.characters[level] * 2, meaning))
    swatch, last = entries[-1]
    if text_width(f"## {last} {words.levels}") <= canvas.width:
        entries[-1] = (swatch, f"{last} {words.levels}")
    else:
        entries.append(("", words.levels))
    entries += [("", line) for line in wrap(words.blank, canvas.width)]
    lines, width = [""], 0
    for swatch, meaning in entries:
        text = f"{swatch} {meaning}" if swatch else meaning
        size = text_width(meaning) + (3 if swatch else 0)
        if width and width + 2 + size > canvas.width:
            lines.append("")
            width = 0
        lines[-1] += ("  " if width else "") + text
        width += size + (2 if width else 0)
    return lines


def _address_labels(
    spans: Sequence[tuple[int, int]], counts: Sequence[int], at: Sequence[int], canvas: Canvas
) -> tuple[str, str]:
    """The line with the spans' names and first addresses, and the line with sizes from there."""
    names = marks = ""
    for i, ((start, end), count, x) in enumerate(zip(spans, counts, at, strict=True)):
        letter = f"{_LETTERS[i]} " if len(spans) > 1 else ""
        label = f"{letter}0x{start:x}"
        names = pad(names, x) + (label if len(label) < count else letter.strip())
        marks = pad(marks, x) + _size_ticks(end - start, count)
    return names, marks


def _size_ticks(size: int, count: int) -> str:
    line = "|"
    step = ticks.size_step(size / count * _COLUMNS_PER_LABEL)
    for offset in range(step, size, step):
        x = offset * count // size
        label = f"|+{ticks.size_label(offset)}"
        if x + len(label) > count:
            break
        line = pad(line, x) + label
    return line


def _time_labels(edges: Column, step: int, origin: int) -> list[str]:
    """The label of each line, most of them empty: round times where they lie."""
    seconds = (edges - origin) / 1e9
    starts, ends = seconds[:-1:step], np.append(seconds[step::step], seconds[-1])
    starts = starts.tolist()
    ends = [min(end, seconds[-1]) for end in ends.tolist()[: len(starts)]]
    line = (seconds[-1] - seconds[0]) / max(1, len(starts))
    every = ticks.time_step(line * _LINES_PER_LABEL)
    labels = []
    for start, end in zip(starts, ends, strict=True):
        n = int(np.ceil(start / every - 1e-9))
        labels.append(ticks.time_label(n * every, every) if n * every < end and n >= 0 else "")
    return labels


def _span_table(
    heatmap: Heatmap,
    rates: Column,
    canvas: Canvas,
    describe: Callable[[int, int], list[str]] | None,
    never: str,
) -> list[str]:
    lines, spans = [], heatmap.axis.spans
    reached = min(start for start, _ in (*heatmap.left_out, *spans))
    for i, (start, end) in enumerate(spans):
        letter = _LETTERS[i] if len(spans) > 1 else " "
        lines += _gap(heatmap, reached, start, canvas)
        reached = end
        names = describe(start, end) if describe else []
        zero = not np.nansum(rates[:, heatmap.axis.span == i])
        head = f"{letter} 0x{start:x}-0x{end:x}  {format_size(end - start)}  "
        if len(head) > canvas.width - _NAMES_WIDTH:
            head = f"{letter} 0x{start:x} +{format_size(end - start)} "
        if len(head) > canvas.width - _LEAST_NAME:
            lines.append(f"{letter} 0x{start:x}")
            head = f"  +{format_size(end - start)} "
        lines.append(
            (head + _what(names, never if zero else None, canvas.width - len(head))).rstrip()
        )
    return lines + _gap(
        heatmap, reached, max(reached, *(e for _, e in heatmap.left_out), 0), canvas
    )


def _what(names: Sequence[str], never: str | None, width: int) -> str:
    """What lies in a span, with as many of the names as there is room for."""
    said = [never] if never else []
    for shown in range(min(len(names), _MAX_NAMES), 0, -1):
        more = [f"{len(names) - shown} more"] if len(names) > shown else []
        text = ", ".join([*names[:shown], *more, *said])
        if text_width(text) <= width:
            return text
    return shorten(", ".join([*names[:1], *said]), width)


def _gap(heatmap: Heatmap, start: int, end: int, canvas: Canvas) -> list[str]:
    """What was cut out between two addresses; no line for nothing."""
    left_out = sum(b - a for a, b in heatmap.left_out if start <= a and b <= end)
    parts = [f"{format_size(left_out)} not mapped"] if left_out else []
    if end - start > left_out:
        parts.append(f"{format_size(end - start - left_out)} not monitored")
    if not parts:
        return []
    sign = "┊" if canvas.unicode else "|"
    lines = wrap(f"{', '.join(parts)}, cut out", canvas.width - 2)
    return [canvas.dim(f"{sign} {line}") for line in lines]
