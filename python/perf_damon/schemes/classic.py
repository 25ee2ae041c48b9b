# SPDX-License-Identifier: GPL-2.0
"""Schemes in columns, as files of the DAMON community have them.

    4K max  min min  5s max  pageout
    4K max  min min  5s max  pageout  500M 1s
    4K max  min min  5s max  pageout  100M 1s  0 3 7
    4K max  min min  5s max  pageout  10ms 0B 1s  0 0 0  free_mem_rate 5s 1000 999 0
    4096 18446744073709551615  0 0  50 4294967295  2  0 1073741824 1000  0 3 7  0 0 0 0 0

The columns are size, accesses and age (least and most of each) and action; then a quota (a size or
a time, or a time and a size) with its interval, weights of size, accesses and age, and watermarks
(metric, interval, high, mid, low). The last line is what debugfs has: numbers alone. A quota of 0
is none, and weights that are all 0 are the kernel's own.
"""

from __future__ import annotations

import re

from perf_damon.control.nodes import Range, Scheme, Watermarks, Weights
from perf_damon.parameters import Attributes
from perf_damon.schemes import limits, pattern
from perf_damon.schemes.words import Part

COLUMNS = "min-size max-size min-accesses max-accesses min-age max-age action"
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TIME = re.compile(r"\d+(?:\.\d+)?(?:us|ms|s|m|h|d)")
_PERCENT = re.compile(r"#.*\(0 *- *100\)")
_ACTIONS = ("willneed", "cold", "pageout", "hugepage", "nohugepage")
"""By their numbers, as far as all kernels agree."""
_METRICS = ("none", "free_mem_rate")


def says_percent(text: str) -> bool:
    """Whether a file says of its frequencies that they are percentages.

    Those for damo do, in the comment that names the columns: <min/max frequency (0-100)>.
    """
    return _PERCENT.search(text) is not None


def parse(
    words: list[Part],
    scheme: Scheme,
    attributes: Attributes,
    actions: tuple[str, ...],
    percent: bool,
) -> list[Part]:
    """Columns into a scheme; returns the words that are none. Raises Problem.

    `words` are at least seven. Access rates without a unit are percentages, or else samples.
    """
    if all(word.text.isascii() and word.text.isdigit() for word in words[:7]):
        return _parse_numbers(words, scheme)
    low, high = (_null(words[at : at + 6 : 2], word) for at, word in ((0, "min"), (1, "max")))
    access = scheme.access_pattern
    access.sz = pattern.parse_sizes(low[0], high[0])
    rates = [_rate(word, attributes, percent) for word in (low[1], high[1])]
    access.nr_accesses = pattern.parse_accesses(rates[0], rates[1], attributes)
    access.age = pattern.parse_ages(low[2], high[2], attributes)
    scheme.action = words[6].choice("action", actions)
    rest = _parse_quota(words[7:], scheme)
    rest = _parse_weights(rest, scheme)
    return _parse_watermarks(rest, scheme)


def _null(words: list[Part], limit: str) -> list[Part]:
    return [Part(limit, word.column) if word.text == "null" else word for word in words]


def _rate(word: Part, attributes: Attributes, percent: bool) -> Part:
    if not _NUMBER.fullmatch(word.text):
        return word
    if percent:
        return Part(f"{word.text}%", word.column)
    samples = attributes.max_nr_accesses or 1
    if float(word.text) > samples:
        word.problem(
            f"'{word.text}' samples are more than the {samples} of an aggregation interval",
            f"if it is a percentage, write {word.text}%",
        )
    return Part(f"{word.text}samples", word.column)


def _parse_quota(words: list[Part], scheme: Scheme) -> list[Part]:
    if not words or _is_key(words[0]) or words[0].text in _METRICS:
        return words
    # A time, a size and their interval; or one of them and its interval.
    count = 3 if len(words) > 2 and _TIME.fullmatch(words[2].text) else 2
    if len(words) < count or _is_key(words[1]):
        words[0].problem("a quota's interval is missing", "as in 500M 1s, or quota=500M/1s")
    quotas = scheme.quotas
    amounts = [word for word in words[: count - 1] if not _is_zero(word)]
    for amount in amounts:
        limits.parse_amount(amount, quotas)
    interval_ms = limits.parse_milliseconds(words[count - 1])
    if amounts:
        quotas.reset_interval_ms = interval_ms
        limits.check_quota(words[count - 1], quotas)
    return words[count:]


def _parse_weights(words: list[Part], scheme: Scheme) -> list[Part]:
    if words and words[0].text.lstrip("[") == "weights":
        values = [Part(word.text.rstrip("]"), word.column) for word in words[1:4]]
        scheme.quotas.weights = limits.parse_weights(values, words[0])
        return words[4:]
    if len(words) < 3 or not all(re.fullmatch(r"[0-9]+", word.text) for word in words[:3]):
        return words
    if any(int(word.text) for word in words[:3]):
        scheme.quotas.weights = limits.parse_weights(words[:3], words[0])
    return words[3:]


def _parse_watermarks(words: list[Part], scheme: Scheme) -> list[Part]:
    if not words or words[0].text not in _METRICS:
        return words
    metric, *values = words[:5]
    if len(values) < 4:
        metric.problem(
            "watermarks are a metric, an interval, high, mid and low",
            "as in free_mem_rate 5s 500 400 200",
        )
    if metric.text != "none":
        scheme.watermarks = limits.watermarks(metric, values[0], values[1:])
    return words[5:]


def _parse_numbers(words: list[Part], scheme: Scheme) -> list[Part]:
    """As debugfs has them: bytes, samples, aggregation intervals, the action's number; and on."""
    shapes: dict[int, tuple[str, ...]] = {
        7: (),
        9: ("size", "interval"),
        12: ("size", "interval", "weights"),
        17: ("size", "interval", "weights", "watermarks"),
        18: ("time", "size", "interval", "weights", "watermarks"),
    }
    end = next((at for at, word in enumerate(words) if _is_key(word)), len(words))
    if end not in shapes:
        words[min(end, 18) - 1].problem(
            f"a scheme of numbers alone has 7, 9, 12, 17 or 18 of them; here are {end}",
            f"the columns are {COLUMNS}, a quota, weights, watermarks",
        )
    values = [word.number("number") for word in words[:end]]
    access = scheme.access_pattern
    access.sz = _range(words, values, 0, pattern.NO_SIZE_LIMIT)
    access.nr_accesses = _range(words, values, 2, pattern.NO_LIMIT)
    access.age = _range(words, values, 4, pattern.NO_LIMIT)
    if values[6] >= len(_ACTIONS):
        words[6].problem(
            f"action {values[6]} is not the same in all kernels: 5 was stat before Linux 6.0, "
            "and is lru_prio since",
            "write the action's name, and units: 4K max 0 0 5s max stat",
        )
    scheme.action = _ACTIONS[values[6]]
    at, quotas = 7, scheme.quotas
    for what in shapes[end]:
        match what:
            case "time":
                quotas.ms = values[at] or None
            case "size":
                quotas.bytes = values[at] or None
            case "interval":
                if quotas.ms or quotas.bytes:
                    quotas.reset_interval_ms = values[at]
                    limits.check_quota(words[at], quotas)
            case "weights":
                if any(values[at : at + 3]):
                    quotas.weights = Weights(
                        sz_permil=values[at],
                        nr_accesses_permil=values[at + 1],
                        age_permil=values[at + 2],
                    )
                at += 2
            case _:
                scheme.watermarks = _numbered_watermarks(words, values, at)
        at += 1
    return words[end:]


def _numbered_watermarks(words: list[Part], values: list[int], at: int) -> Watermarks:
    if values[at] == 0:
        return Watermarks()
    if values[at] >= len(_METRICS):
        words[at].problem(
            f"there is no watermark metric {values[at]}", "0 is none, 1 free_mem_rate"
        )
    metric = Part(_METRICS[values[at]], words[at].column)
    interval = Part(f"{values[at + 1]}us", words[at + 1].column)
    return limits.watermarks(metric, interval, words[at + 2 : at + 5])


def _range(words: list[Part], values: list[int], at: int, unlimited: int) -> Range:
    low, high = values[at : at + 2]
    if low > high:
        words[at].problem(f"the least ({low}) is more than the most ({high})")
    return Range(min=min(low, unlimited), max=min(high, unlimited))


def _is_key(word: Part) -> bool:
    return "=" in word.text


def _is_zero(word: Part) -> bool:
    return re.fullmatch(r"0+(?:\.0+)?(?:[KMGTP]?(?:i?B)?|us|ms|s|m|h)", word.text) is not None
