# SPDX-License-Identifier: GPL-2.0
"""What schemes are and what they did, as a text of at most the given width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perf_damon.control.nodes import Scheme, Watermarks
from perf_damon.parameters import Attributes
from perf_damon.render.text import Canvas, clean, table, text_width, wrap
from perf_damon.schemes.pattern import format_exact_time
from perf_damon.schemes.text import format_scheme
from perf_damon.units import format_count, format_size

_HEAD = ("#", "action", "tried", "size", "applied", "size", "exceeds", "quota now")
_RIGHT = "rlrrrrrr"
# With these the columns stay where they are while numbers grow; 80 are enough for all actions.
_COUNT_WIDTH, _SIZE_WIDTH = 6, 10
_NO_LIMIT = 2**63
"""An effective quota from here on is none."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The schemes of a kdamond."""

    title: str
    """Which kdamond, for whom."""
    notes: tuple[str, ...]
    """What else there is to say of it."""
    schemes: Sequence[Scheme]
    attributes: Attributes
    free_permil: int | None = None
    """Thousandths of all memory that are free, where that is known."""


def render(installed: Sequence[Installed], canvas: Canvas) -> list[str]:
    """A block a kdamond: its schemes, then a table of what they did."""
    lines: list[str] = []
    for block in installed:
        lines += [""] if lines else []
        lines += [canvas.bold(line) for line in wrap(clean(block.title), canvas.width)]
        for note in block.notes:
            lines += [canvas.dim(f"  {line}") for line in wrap(note, canvas.width - 2)]
        for index, scheme in enumerate(block.schemes):
            lines += _definition(index, scheme, block.attributes, canvas.width)
            if note := _rest(scheme.watermarks, block.free_permil):
                lines += [canvas.dim(f"    {line}") for line in wrap(note, canvas.width - 4)]
        rows = [_row(index, scheme) for index, scheme in enumerate(block.schemes)]
        if rows:
            head, *body = table(_HEAD, rows, _RIGHT)
            if max(map(text_width, (head, *body))) <= canvas.width:
                lines += [canvas.dim(head), *body]
            else:
                lines += [line for row in rows for line in _paragraph(row, canvas.width)]
    return lines


def _definition(index: int, scheme: Scheme, attributes: Attributes, width: int) -> list[str]:
    """`0  action=pageout …`, with what does not fit in lines below, broken between keys."""
    first, *more = wrap(clean(format_scheme(scheme, attributes)), width - 4)
    return [f"{index}  {first}", *(f"    {line}" for line in more)]


def _paragraph(row: Sequence[str], width: int) -> list[str]:
    """What a scheme did, where a table has no room."""
    index, action, tried, size, applied, applied_size, exceeds, quota = map(str.strip, row)
    words = (
        f"{index} {action}: tried {tried} ({size}), applied {applied} ({applied_size}), "
        f"exceeds {exceeds}, quota now {quota}"
    )
    first, *more = wrap(words, width - 2)
    return [first, *(f"  {line}" for line in more)]


def _rest(marks: Watermarks, free_permil: int | None) -> str | None:
    """Why a scheme does nothing now, as far as watermarks are why, and that is certain."""
    if marks.metric != "free_mem_rate" or free_permil is None:
        return None
    for is_so, mark, words in (
        (free_permil > (marks.high or 0), marks.high, "more than"),
        (free_permil < (marks.low or 0), marks.low, "less than"),
    ):
        if is_so:
            return f"rests: {free_permil / 10:g}% of memory is free, {words} {(mark or 0) / 10:g}%"
    return None


def _row(index: int, scheme: Scheme) -> tuple[str, ...]:
    stats = scheme.stats
    return (
        str(index),
        clean(scheme.action or ""),
        _count(stats.nr_tried),
        _size(stats.sz_tried),
        _count(stats.nr_applied),
        _size(stats.sz_applied),
        _count(stats.qt_exceeds),
        _effective(scheme),
    )


def _count(number: int | None) -> str:
    """`99,999`, `123 k`, `4.5 M`."""
    return _short(number).rjust(_COUNT_WIDTH)


def _short(number: int | None) -> str:
    if number is None:
        return "-"
    if number < 100_000:
        return format_count(number)
    for unit in "kMGTP":
        scaled = number / 1000
        if scaled < 999.5:
            return f"{scaled:.0f} {unit}" if scaled >= 99.5 else f"{scaled:.1f} {unit}"
        number = round(scaled)
    return f"{number:,} P"


def _size(size: int | None) -> str:
    return ("-" if size is None else format_size(size)).rjust(_SIZE_WIDTH)


def _effective(scheme: Scheme) -> str:
    quotas = scheme.quotas
    if not (quotas.ms or quotas.bytes or quotas.goals):
        return "none"
    interval = format_exact_time((quotas.reset_interval_ms or 0) * 1000)
    size = quotas.effective_bytes
    # The kernel has not told it yet, or cannot.
    if size is None or size >= _NO_LIMIT:
        return "-"
    return f"{format_size(size)}/{interval}"
