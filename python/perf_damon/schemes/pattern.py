# SPDX-License-Identifier: GPL-2.0
"""Access patterns: sizes, access rates and ages, in people's units and in the kernel's.

The kernel counts accesses in samples of an aggregation interval and ages in aggregation
intervals. Bounds are inclusive: a lower one is rounded up to what can be counted, an upper one
down. So 0%-0% is 0 samples, and with 20 samples an interval 81%-99% is 17 to 19.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from perf_damon.control.nodes import AccessPattern, Range
from perf_damon.errors import UsageError
from perf_damon.parameters import Attributes
from perf_damon.schemes.words import Part
from perf_damon.units import format_time_us, parse_size, parse_time_us

NO_SIZE_LIMIT = 2**64 - 1
NO_LIMIT = 2**32 - 1
"""Samples and ages are 32 bits wide in the kernel."""
_SIZE_UNITS = (("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10))
_TIME_UNITS = (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000))


def any_pattern() -> AccessPattern:
    """The pattern that every region fits."""
    return AccessPattern(
        sz=Range(min=0, max=NO_SIZE_LIMIT),
        nr_accesses=Range(min=0, max=NO_LIMIT),
        age=Range(min=0, max=NO_LIMIT),
    )


def parse_sizes(low: Part, high: Part) -> Range:
    """`4K`, `max`; raises Problem."""
    bounds = [_bound(part, parse_size, NO_SIZE_LIMIT) for part in (low, high)]
    return _range(low, high, *bounds, "size")


def parse_accesses(low: Part, high: Part, attributes: Attributes) -> Range:
    """`5%`, `3samples`, `max`; raises Problem."""
    samples = attributes.max_nr_accesses or 1

    def parse(text: str) -> Fraction:
        if match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text):
            rate = Fraction(match[1])
            if rate > 100:
                raise UsageError(f"'{text}' is more than all samples", "at most 100%, or max")
            return rate * samples / 100
        if match := re.fullmatch(r"(\d+)(?:samples?)?", text):
            if text == match[1] and int(text):
                raise UsageError(
                    f"'{text}' has no unit", f"write {text}% of the samples, or {text}samples"
                )
            return Fraction(match[1])
        raise UsageError(
            f"'{text}' is no access rate", "write it as in 5% (of the samples), 3samples, min, max"
        )

    bounds = [_bound(part, parse, NO_LIMIT) for part in (low, high)]
    steps = (
        f"rates come in steps of {float(Fraction(100, samples)):.4g}%: {samples} samples in an "
        f"aggregation interval of {format_time_us(attributes.aggr_us or 0)}"
    )
    return _range(low, high, *bounds, "access rate", steps)


def parse_ages(low: Part, high: Part, attributes: Attributes) -> Range:
    """`5s`, `50aggrs`, `max`; raises Problem."""
    aggr_us = attributes.aggr_us or 1

    def parse(text: str) -> Fraction:
        if match := re.fullmatch(r"(\d+)aggrs?", text):
            return Fraction(match[1])
        return Fraction(parse_time_us(text), aggr_us)

    bounds = [_bound(part, parse, NO_LIMIT) for part in (low, high)]
    steps = f"ages come in steps of an aggregation interval, {format_time_us(aggr_us)}"
    return _range(low, high, *bounds, "age", steps)


def _bound(part: Part, parse: Callable[[str], int | Fraction], unlimited: int) -> Fraction:
    if part.text == "min":
        return Fraction(0)
    if part.text == "max":
        return Fraction(unlimited)
    value = Fraction(part.parse(parse))
    if value > unlimited:
        part.problem(f"'{part.text}' is more than the kernel can count", "max is no limit")
    return value


def _range(
    low: Part, high: Part, least: Fraction, most: Fraction, what: str, steps: str = ""
) -> Range:
    if least > most:
        low.problem(f"the least {what} ({low.text}) is more than the most ({high.text})")
    if math.ceil(least) > math.floor(most):
        low.problem(f"no {what} lies from {low.text} to {high.text}", steps)
    return Range(min=math.ceil(least), max=math.floor(most))


def is_anything(range_: Range, unlimited: int) -> bool:
    """Whether there is no bound."""
    return not range_.min and (range_.max or 0) >= unlimited


def format_sizes(range_: Range) -> str:
    """`4K-max`."""
    return _join(range_, NO_SIZE_LIMIT, format_exact_size)


def format_accesses(range_: Range, attributes: Attributes) -> str:
    """`0%-5%`; `3samples` for what is above all samples."""
    samples = attributes.max_nr_accesses or 1

    def format_samples(value: int, up: bool) -> str:
        if value > samples:
            return f"{value}samples"
        # As parsed: bounds are rounded inwards, so that they have to be written outwards.
        digits = max(2, len(str(samples)))
        scaled = value * 100 * 10**digits
        whole, part = divmod(-(-scaled // samples) if up else scaled // samples, 10**digits)
        return f"{whole}.{part:0{digits}}".rstrip("0").rstrip(".") + "%"

    low = format_samples(range_.min or 0, up=False)
    high = "max" if (range_.max or 0) >= NO_LIMIT else format_samples(range_.max or 0, up=True)
    return f"{low}-{high}"


def format_ages(range_: Range, attributes: Attributes) -> str:
    """`5s-max`."""
    aggr_us = attributes.aggr_us or 1
    return _join(range_, NO_LIMIT, lambda value: format_exact_time(value * aggr_us))


def _join(range_: Range, unlimited: int, text: Callable[[int], str]) -> str:
    low, high = range_.min or 0, range_.max or 0
    return f"{text(low)}-{'max' if high >= unlimited else text(high)}"


def format_exact_size(size: int) -> str:
    """Bytes as parse_size() reads them, nothing rounded: `4K`, `4097`."""
    for unit, shift in _SIZE_UNITS:
        if size and size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return str(size)


def format_exact_time(us: int) -> str:
    """Microseconds as parse_time_us() reads them, nothing rounded: `90s`, `1500us`, `0s`."""
    if us == 0:
        return "0s"
    for unit, scale in _TIME_UNITS:
        # 90s says more than 1.5m, and 1m no more than 60s.
        if us % scale == 0 and (unit not in "hm" or us >= 2 * scale):
            return f"{us // scale}{unit}"
    return f"{us}us"


def rescale(access: AccessPattern, old: Attributes, new: Attributes) -> AccessPattern:
    """The pattern of the same rates and ages in the units of other attributes.

    Raises ValueError where none of the new steps lies within its bounds.
    """
    rate = Fraction(new.max_nr_accesses or 1, old.max_nr_accesses or 1)
    age = Fraction(old.aggr_us or 1, new.aggr_us or 1)
    return replace(
        access,
        nr_accesses=_rescale_range(access.nr_accesses, rate, "access rate"),
        age=_rescale_range(access.age, age, "age"),
    )


def _rescale_range(range_: Range, factor: Fraction, what: str) -> Range:
    low, high = range_.min or 0, range_.max or 0
    scaled = Range(
        min=low if low >= NO_LIMIT else min(math.ceil(low * factor), NO_LIMIT),
        max=high if high >= NO_LIMIT else min(math.floor(high * factor), NO_LIMIT),
    )
    assert scaled.min is not None and scaled.max is not None
    if scaled.min > scaled.max:
        raise ValueError(f"its {what} would fit nothing")
    return scaled
