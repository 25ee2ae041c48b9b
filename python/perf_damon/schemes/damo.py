# SPDX-License-Identifier: GPL-2.0
"""Schemes in JSON, as damo takes and prints them.

    [{"action": "pageout",
      "access_pattern": {"sz_bytes": {"min": "4.000 KiB", "max": "max"},
                         "nr_accesses": {"min": "0 %", "max": "0 %"},
                         "age": {"min": "5 s", "max": "max"}},
      "quotas": {"time_ms": "10 ms", "sz_bytes": "100 MiB", "reset_interval_ms": "1 s"}}]

A list of schemes, one scheme, or the kdamonds that have them. Numbers are of the unit that a key's
name has, texts have their own. What only tells how a scheme did is passed over; a key that is not
known is an error, because it may bound what a scheme does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NoReturn

from perf_damon.control.nodes import Dest, Filter, Goal, Quotas, Range, Scheme, Watermarks, Weights
from perf_damon.errors import UsageError
from perf_damon.parameters import Attributes
from perf_damon.schemes import pattern
from perf_damon.schemes.words import Part, Problem
from perf_damon.units import parse_size

_NOTES = ("name", "comment", "comments")
_RESULTS = ("stats", "tried_regions", "tried_bytes", "effective_bytes", "effective_sz_bytes")
_TIME_NS = {
    "ns": 1,
    "us": 10**3,
    "usec": 10**3,
    "ms": 10**6,
    "msec": 10**6,
    "s": 10**9,
    "sec": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_TIMES = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_EXBIBYTES = re.compile(r"(\d+(?:\.\d+)?)\s*E(?:i?B)?", re.IGNORECASE)
_FLAGS = {"Y": True, "N": False, "true": True, "false": False}


def parse(text: str, name: str, attributes: Attributes) -> list[tuple[str, Scheme]]:
    """The schemes of a text, each with where it stands; raises UsageError, which begins with that.

    What contradicts itself in a scheme is not looked for.
    """
    try:
        whole = _Value(json.loads(text), name)
    except json.JSONDecodeError as error:
        where = f"{name}:{error.lineno}:{error.colno}"
        raise UsageError(f"{where}: {error.msg}: this is no JSON") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: {error}: this is no JSON") from None
    return [(value.where, _scheme(value, attributes)) for value in _schemes(whole)]


@dataclass(frozen=True, slots=True)
class _Value:
    """A value of the text that knows where it stands."""

    content: Any
    where: str

    def problem(self, message: str, hint: str = "") -> NoReturn:
        raise UsageError(f"{self.where}: {message}", hint)

    def shown(self) -> str:
        text = json.dumps(self.content)
        return text if len(text) <= 40 else f"{text[:37]}..."

    def keys(self, *known: str) -> dict[str, _Value]:
        """What is not null of an object that has these keys at most."""
        if not isinstance(self.content, dict):
            self.problem(f"{self.shown()} is no object", f"of the keys {', '.join(known)}")
        for key in self.content:
            if key not in (*known, *_NOTES):
                what = json.dumps(key)
                self.problem(f"the key {what} is not known", f"keys: {', '.join(known)}")
        return {
            key: _Value(content, f"{self.where}: {key}")
            for key, content in self.content.items()
            if content is not None
        }

    def items(self) -> Iterator[_Value]:
        if not isinstance(self.content, list):
            self.problem(f"{self.shown()} is no list")
        for index, content in enumerate(self.content):
            yield _Value(content, f"{self.where}[{index}]")

    def text(self) -> str:
        if not isinstance(self.content, str) or not self.content.isprintable():
            self.problem(f"{self.shown()} is no text that can be printed")
        return self.content.strip()

    def path(self) -> str:
        """A path that the text form of schemes can hold."""
        text = self.text()
        if re.search(r"\s[A-Za-z_]+=", text):
            self.problem(f"{self.shown()} looks like keys of a scheme", "rename the cgroup")
        return text

    def flag(self) -> bool:
        if isinstance(self.content, bool):
            return self.content
        if self.content not in _FLAGS:
            self.problem(f"{self.shown()} is neither true nor false")
        return _FLAGS[self.content]

    def scalar(self) -> str:
        """A number or a text, without the commas that numbers may have."""
        if isinstance(self.content, bool) or not isinstance(self.content, int | float | str):
            self.problem(f"{self.shown()} is no value")
        text = str(self.content).strip()
        return re.sub(r"(?<=\d),(?=\d{3})", "", text)

    def number(self) -> int:
        text = self.scalar()
        if not re.fullmatch(r"\d+", text):
            self.problem(f"{self.shown()} is no whole number")
        return int(text)

    def size(self) -> int:
        text = self.scalar()
        if text == "max":
            return pattern.NO_SIZE_LIMIT
        if match := _EXBIBYTES.fullmatch(text):
            return min(int(Fraction(match[1]) * 2**60), pattern.NO_SIZE_LIMIT)
        try:
            return 0 if text == "min" else parse_size(text)
        except UsageError as error:
            self.problem(error.message, error.hint)

    def time_ns(self, unit: str | None) -> Fraction:
        """A time; a bare number is of this unit, and is refused where there is none."""
        text = self.scalar()
        if _NUMBER.fullmatch(text):
            if unit is None and Fraction(text):
                self.problem(f"{self.shown()} has no unit", 'as in "5 s"')
            return Fraction(text) * _TIME_NS[unit or "ns"]
        # damo writes long times in parts: 1 m 30 s.
        found = _TIMES.findall(text)
        rest = _TIMES.sub("", text).strip()
        if not found or rest or any(name not in _TIME_NS for _, name in found):
            self.problem(f"{self.shown()} is no time", 'as in "5 s" or "100 ms"')
        return sum((Fraction(count) * _TIME_NS[name] for count, name in found), Fraction(0))

    def time(self, unit: str) -> int:
        """A time in whole units, which a bare number is of as well."""
        value = self.time_ns(unit) / _TIME_NS[unit]
        if value.denominator != 1:
            self.problem(f"{self.shown()} is no whole number of {unit}")
        return int(value)

    def share(self, whole: int) -> int:
        """A percentage in parts of `whole`, rounded; a bare number is those parts."""
        text = self.scalar()
        if match := _PERCENT.fullmatch(text):
            return round(Fraction(match[1]) * whole / 100)
        return self.number()


def _schemes(value: _Value) -> Iterator[_Value]:
    """Those of a list, of one scheme, and of all that is around them."""
    if isinstance(value.content, list):
        for item in value.items():
            yield from _schemes(item)
        return
    if not isinstance(value.content, dict):
        value.problem(f"{value.shown()} is no scheme")
    around = [key for key in ("kdamonds", "contexts", "schemes") if key in value.content]
    if not around:
        if "action" not in value.content and "access_pattern" not in value.content:
            value.problem(
                "there is no scheme in it", "a scheme has an action and an access_pattern"
            )
        yield value
    for key in around:
        yield from _schemes(_Value(value.content[key] or [], f"{value.where}: {key}"))


def _scheme(value: _Value, attributes: Attributes) -> Scheme:
    keys = value.keys(
        *("action", "access_pattern", "apply_interval_us", "target_nid", "dests", "quotas"),
        *("watermarks", "filters", "core_filters", "ops_filters", "max_nr_snapshots", *_RESULTS),
    )
    scheme = Scheme(access_pattern=pattern.any_pattern(), filters=[])
    if "action" not in keys:
        value.problem("a scheme needs an action")
    scheme.action = keys["action"].text()
    if not re.fullmatch(r"\w+", scheme.action):
        keys["action"].problem(f"{keys['action'].shown()} is no action")
    if "access_pattern" in keys:
        _access_pattern(keys["access_pattern"], scheme, attributes)
    if "apply_interval_us" in keys:
        scheme.apply_interval_us = keys["apply_interval_us"].time("us")
    if "quotas" in keys:
        scheme.quotas = _quotas(keys["quotas"])
    if "watermarks" in keys:
        scheme.watermarks = _watermarks(keys["watermarks"])
    scheme.filters = [
        _filter(item)
        for name in ("filters", "core_filters", "ops_filters")
        if name in keys
        for item in keys[name].items()
    ]
    # -1 is the kernel's none.
    if "target_nid" in keys and keys["target_nid"].content != -1:
        scheme.target_nid = keys["target_nid"].number()
    if "dests" in keys:
        scheme.dests = [_dest(item) for item in keys["dests"].items()] or None
    if "max_nr_snapshots" in keys:
        scheme.stats.max_nr_snapshots = keys["max_nr_snapshots"].number() or None
    return scheme


def _access_pattern(value: _Value, scheme: Scheme, attributes: Attributes) -> None:
    keys = value.keys("sz_bytes", "nr_accesses", "nr_accesses_unit", "age", "age_unit")
    access = scheme.access_pattern
    if "sz_bytes" in keys:
        low, high = _bounds(keys["sz_bytes"])
        access.sz = Range(
            min=0 if low is None else low.size(),
            max=pattern.NO_SIZE_LIMIT if high is None else high.size(),
        )
        if access.sz.min > access.sz.max:  # type: ignore[operator]
            keys["sz_bytes"].problem("the least size is more than the most")
    unit = keys["nr_accesses_unit"].text() if "nr_accesses_unit" in keys else "samples"
    if "nr_accesses" in keys:
        access.nr_accesses = _range(
            keys["nr_accesses"],
            lambda bound: _rate(bound, unit),
            lambda low, high: pattern.parse_accesses(low, high, attributes),
        )
    unit = keys["age_unit"].text() if "age_unit" in keys else ""
    if "age" in keys:
        access.age = _range(
            keys["age"],
            lambda bound: _age(bound, unit),
            lambda low, high: pattern.parse_ages(low, high, attributes),
        )


def _bounds(value: _Value) -> tuple[_Value | None, _Value | None]:
    if isinstance(value.content, list):
        low, high = [*value.items(), None, None][:2]
        if high is None or len(value.content) > 2:
            value.problem(f"{value.shown()} is no range", "as in [0, 10]")
        return low, high
    keys = value.keys("min", "max")
    return keys.get("min"), keys.get("max")


def _range(
    value: _Value, text: Callable[[_Value], str], parse: Callable[[Part, Part], Range]
) -> Range:
    low, high = _bounds(value)
    parts = ("min" if low is None else text(low), "max" if high is None else text(high))
    try:
        return parse(Part(parts[0], 0), Part(parts[1], 0))
    except Problem as problem:
        value.problem(problem.message, problem.hint)


def _rate(value: _Value, unit: str) -> str:
    text = value.scalar()
    if text in ("min", "max"):
        return text
    if _NUMBER.fullmatch(text):
        text = f"{text} {unit}"
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:%|percent)", text):
        return f"{match[1]}%"
    match = re.fullmatch(r"(\d+)\s*(?:samples?|sample_intervals?)", text)
    if match is None:
        value.problem(f"{value.shown()} is no access rate", 'as in "5 %" or "3 samples"')
    return f"{match[1]}samples"


def _age(value: _Value, unit: str) -> str:
    text = value.scalar()
    if text in ("min", "max"):
        return text
    if _NUMBER.fullmatch(text) and unit == "aggr_intervals":
        text = f"{text} {unit}"
    if match := re.fullmatch(r"(\d+)\s*(?:aggrs?|aggr_intervals?)", text):
        return f"{match[1]}aggrs"
    if unit and unit not in _TIME_NS and unit != "aggr_intervals":
        value.problem(f"the unit of ages {unit!r} is not known", "usec or aggr_intervals")
    us = value.time_ns(unit or None) / 1000
    return f"{round(us)}us"


def _quotas(value: _Value) -> Quotas:
    weights = ("weight_sz_permil", "weight_nr_accesses_permil", "weight_age_permil")
    keys = value.keys(
        *("time_ms", "sz_bytes", "reset_interval_ms", "weights", "goals", "goal_tuner"),
        *("fail_charge_num", "fail_charge_denom", *weights, *_RESULTS),
    )
    quotas = Quotas()
    if "time_ms" in keys:
        quotas.ms = keys["time_ms"].time("ms") or None
    if "sz_bytes" in keys:
        quotas.bytes = keys["sz_bytes"].size() or None
    if "goals" in keys:
        quotas.goals = [_goal(item) for item in keys["goals"].items()] or None
    # damo's "max" is what it writes where there is no quota.
    if (quotas.ms or quotas.bytes or quotas.goals) and "reset_interval_ms" in keys:
        interval = keys["reset_interval_ms"]
        if interval.content == "max":
            interval.problem("a quota that is never given again ends a scheme", 'as in "1 s"')
        quotas.reset_interval_ms = interval.time("ms")
    elif quotas.ms or quotas.bytes:
        value.problem("a quota needs its reset_interval_ms", 'as in "1 s"')
    if "weights" in keys:
        names = ("sz_permil", "nr_accesses_permil", "age_permil")
        found = keys["weights"].keys(*names)
    else:
        found = {name.removeprefix("weight_"): keys[name] for name in weights if name in keys}
    shares = {name: item.share(1000) for name, item in found.items() if name not in _NOTES}
    if any(shares.values()):
        quotas.weights = Weights(
            **{"sz_permil": 0, "nr_accesses_permil": 0, "age_permil": 0, **shares}
        )
    if "goal_tuner" in keys:
        quotas.goal_tuner = keys["goal_tuner"].text()
    for name in ("fail_charge_num", "fail_charge_denom"):
        if name in keys:
            setattr(quotas, name, keys[name].number() or None)
    return quotas


def _goal(value: _Value) -> Goal:
    names = ("target_metric", "target_value", "current_value", "nid", "path", "memcg_path")
    keys = value.keys("metric", *names)
    metric = keys.get("metric") or keys.get("target_metric")
    if metric is None or "target_value" not in keys:
        value.problem("a goal needs a metric and a target_value")
    goal = Goal(target_metric=metric.text())

    def read(item: _Value) -> int:
        if metric.text().endswith("_us"):
            return item.time("us")
        return item.share(10_000) if metric.text().endswith("_bp") else item.number()

    goal.target_value = read(keys["target_value"])
    if "current_value" in keys and goal.target_metric == "user_input":
        goal.current_value = read(keys["current_value"])
    if "nid" in keys and metric.text().startswith("node_"):
        goal.nid = keys["nid"].number()
    path = keys.get("path") or keys.get("memcg_path")
    goal.path = path.path() or None if path is not None else None
    return goal


def _watermarks(value: _Value) -> Watermarks:
    marks = ("high_permil", "mid_permil", "low_permil")
    keys = value.keys("metric", "interval_us", *marks)
    metric = keys["metric"].text() if "metric" in keys else "none"
    if metric == "none":
        return Watermarks()
    if missing := [name for name in ("interval_us", *marks) if name not in keys]:
        value.problem(f"watermarks need {', '.join(missing)}")
    high, mid, low = (keys[name].share(1000) for name in marks)
    interval_us = keys["interval_us"].time("us")
    return Watermarks(metric=metric, interval_us=interval_us, high=high, mid=mid, low=low)


def _filter(value: _Value) -> Filter:
    keys = value.keys(
        *("type", "filter_type", "matching", "allow", "filter_pass", "memcg_path"),
        *("address_range", "addr_start", "addr_end", "damon_target_idx", "target_idx"),
        *("hugepage_size", "min", "max"),
    )
    kind = keys.get("type") or keys.get("filter_type")
    if kind is None:
        value.problem("a filter needs a type")
    found = Filter(type=kind.text(), matching=True)
    if not re.fullmatch(r"\w+", found.type or ""):
        kind.problem(f"{kind.shown()} is no type of filter")
    if "matching" in keys:
        found.matching = keys["matching"].flag()
    allow = keys.get("allow") or keys.get("filter_pass")
    # Kernels before 6.14 only reject, and have no file to say so.
    found.allow = (allow.flag() or None) if allow is not None else None
    needed: _Value | None
    match found.type:
        case "memcg":
            needed = keys.get("memcg_path")
            found.memcg_path = needed.path() if needed is not None else None
        case "addr":
            start, end = keys.get("addr_start"), keys.get("addr_end")
            if "address_range" in keys:
                start, end = _ends(keys["address_range"])
            needed = None if start is None else end
            if start is not None and end is not None:
                found.addr_start, found.addr_end = start.size(), end.size()
        case "target":
            needed = keys.get("damon_target_idx") or keys.get("target_idx")
            found.damon_target_idx = needed.number() if needed is not None else None
        case "hugepage_size":
            needed = keys.get("hugepage_size")
            low, high = (keys.get("min"), keys.get("max")) if needed is None else _bounds(needed)
            needed = low
            found.min = 0 if low is None else low.size()
            found.max = pattern.NO_SIZE_LIMIT if high is None else high.size()
        case _:
            needed = kind
    if needed is None:
        value.problem(f"filter {found.type} does not say which")
    return found


def _ends(value: _Value) -> tuple[_Value | None, _Value | None]:
    if isinstance(value.content, list):
        return _bounds(value)
    keys = value.keys("start", "end")
    return keys.get("start"), keys.get("end")


def _dest(value: _Value) -> Dest:
    keys = value.keys("id", "nid", "weight")
    node = keys.get("id") or keys.get("nid")
    if node is None:
        value.problem("a destination needs the id of its memory node")
    return Dest(id=node.number(), weight=keys["weight"].number() if "weight" in keys else 1)
