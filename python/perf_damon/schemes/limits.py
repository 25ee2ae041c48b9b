# SPDX-License-Identifier: GPL-2.0
"""What bounds a scheme: quotas, their goals and weights, and watermarks."""

from __future__ import annotations

import re
from fractions import Fraction

from perf_damon.control.nodes import Goal, Quotas, Watermarks, Weights
from perf_damon.schemes.pattern import format_exact_size, format_exact_time
from perf_damon.schemes.words import Part
from perf_damon.units import parse_size, parse_time_us

RESET_INTERVAL_MS = 1_000
"""What a quota is for where nobody says."""
METRICS = (
    "user_input",
    "some_mem_psi_us",
    "node_mem_used_bp",
    "node_mem_free_bp",
    "node_memcg_used_bp",
    "node_memcg_free_bp",
    "active_mem_bp",
    "inactive_mem_bp",
    "node_eligible_mem_bp",
)
TUNERS = ("consist", "temporal")
_WATERMARKS_US = 5_000_000
_PERMIL = 1_000
_BASIS_POINTS = 10_000
_TIME = re.compile(r"[0-9.]+\s*(us|ms|s|m|h|d)")


def parse_quota(part: Part, quotas: Quotas) -> None:
    """`100M/1s`, `10ms/1s`, `10ms,100M/1s` into quotas; raises Problem."""
    amounts, interval = part.partition("/")
    if quotas.reset_interval_ms is not None:
        part.problem("a quota has its interval already: leave out reset=")
    quotas.reset_interval_ms = (
        RESET_INTERVAL_MS if interval is None else parse_milliseconds(interval)
    )
    for amount in amounts.split(","):
        parse_amount(amount, quotas)
    check_quota(part, quotas)


def parse_amount(part: Part, quotas: Quotas) -> None:
    """A size or a time of each interval into quotas; raises Problem."""
    field = "ms" if _TIME.fullmatch(part.text) else "bytes"
    if getattr(quotas, field) is not None:
        part.problem("a quota has one size and one time at most")
    value = parse_milliseconds(part) if field == "ms" else part.parse(parse_size)
    if value == 0:
        part.problem("a quota of 0 is none", "leave it out, or set how much may be done")
    setattr(quotas, field, value)


def parse_reset(part: Part, quotas: Quotas) -> None:
    """`reset=1s`: the interval of goals alone; raises Problem."""
    if quotas.reset_interval_ms is not None:
        part.problem("a quota has its interval already", "as in quota=100M/1s")
    quotas.reset_interval_ms = parse_milliseconds(part)
    if quotas.reset_interval_ms == 0:
        part.problem("an interval of 0 is none", "as in reset=1s")


def check_quota(part: Part, quotas: Quotas) -> None:
    """Raise Problem where a quota contradicts itself."""
    if not quotas.reset_interval_ms:
        part.problem("a quota's interval of 0 is none", "as in 100M/1s: 100 MiB each second")
    if quotas.ms is not None and quotas.ms > quotas.reset_interval_ms:
        part.problem(
            f"a time quota of {format_exact_time(quotas.ms * 1000)} is more than its interval, "
            f"{format_exact_time(quotas.reset_interval_ms * 1000)}"
        )


def parse_weights(parts: list[Part], where: Part) -> Weights:
    """Weights of size, accesses and age; raises Problem."""
    if len(parts) != 3:
        where.problem("three weights are needed: size, accesses, age", "as in 0/3/7")
    values = [part.number("weight", 2**32 - 1) for part in parts]
    if not any(values):
        where.problem("weights that are all 0 order nothing", "as in 0/3/7")
    return Weights(sz_permil=values[0], nr_accesses_permil=values[1], age_permil=values[2])


def parse_goal(part: Part) -> Goal:
    """`METRIC:VALUE[:current=VALUE][:nid=N][:path=PATH]`; raises Problem."""
    metric, rest = part.partition(":")
    goal = Goal(target_metric=metric.choice("metric", METRICS))
    if rest is None:
        part.problem("a goal needs a value", f"as in {metric.text}:{_example(metric.text)}")
    value, rest = rest.partition(":")
    goal.target_value = _goal_value(value, metric.text)
    if goal.target_value == 0:
        value.problem("a goal of 0 cannot be reached", "leave it out")
    while rest is not None:
        at, rest = rest, None
        name, content = at.partition("=")
        if content is None or name.text not in ("current", "nid", "path"):
            at.problem(f"'{at.text}' is no part of a goal", "current=VALUE, nid=N or path=PATH")
        if name.text == "path":
            # A path may have colons: it is the last.
            goal.path = content.text
            break
        content, rest = content.partition(":")
        if name.text == "nid":
            goal.nid = content.number("node", 2**31 - 1)
        else:
            goal.current_value = _goal_value(content, metric.text)
    if metric.text.startswith("node_") and goal.nid is None:
        part.problem(f"{metric.text} is of a memory node", f"{part.text}:nid=0")
    if "memcg" in metric.text and not goal.path:
        part.problem(f"{metric.text} is of a memory cgroup", "add :path=PATH at its end")
    return goal


def parse_watermarks(part: Part) -> Watermarks:
    """`free_mem_rate:HIGH:MID:LOW@INTERVAL`; raises Problem."""
    head, interval = part.partition("@")
    pieces = head.split(":")
    pieces[0].choice("watermark metric", ("free_mem_rate",))
    if len(pieces) != 4:
        part.problem("three watermarks are needed", "as in free_mem_rate:50%:40%:20%@5s")
    return watermarks(pieces[0], interval, pieces[1:])


def watermarks(metric: Part, interval: Part | None, marks: list[Part]) -> Watermarks:
    """Of their pieces, the marks from high to low; raises Problem."""
    high, mid, low = (_permil(piece) for piece in marks)
    if not high >= mid >= low:
        marks[0].problem("watermarks must fall: HIGH, MID, LOW", "as in 50%:40%:20%")
    interval_us = _WATERMARKS_US if interval is None else interval.parse(parse_time_us)
    if interval is not None and interval_us == 0:
        interval.problem("watermarks cannot be looked at every 0s", "as in @5s")
    return Watermarks(metric=metric.text, interval_us=interval_us, high=high, mid=mid, low=low)


def parse_fail_charge(part: Part, quotas: Quotas) -> None:
    """`NUM/DENOM` into quotas: the share of failed bytes that the quota is charged."""
    numerator, denominator = part.partition("/")
    if denominator is None:
        part.problem(f"'{part.text}' is no share", "as in 1/10")
    quotas.fail_charge_num = numerator.number("share", 2**32 - 1)
    quotas.fail_charge_denom = denominator.number("share", 2**32 - 1)
    if not quotas.fail_charge_denom:
        denominator.problem("a share of 0 parts is none", "as in 1/10")


def format_limits(quotas: Quotas, watermarks: Watermarks) -> list[str]:
    """The words for all of these, in the order that people read them."""
    words = []
    amounts = [format_exact_time(quotas.ms * 1000)] if quotas.ms else []
    amounts += [format_exact_size(quotas.bytes)] if quotas.bytes else []
    interval_ms = quotas.reset_interval_ms or 0
    if amounts:
        words.append(f"quota={','.join(amounts)}/{format_exact_time(interval_ms * 1000)}")
    elif quotas.goals and interval_ms not in (0, RESET_INTERVAL_MS):
        words.append(f"reset={format_exact_time(interval_ms * 1000)}")
    weights = quotas.weights
    values = (weights.sz_permil, weights.nr_accesses_permil, weights.age_permil)
    if any(values):
        words.append("weights=" + "/".join(str(value or 0) for value in values))
    words += [f"goal={_format_goal(goal)}" for goal in quotas.goals or ()]
    if quotas.goal_tuner not in (None, TUNERS[0]):
        words.append(f"tuner={quotas.goal_tuner}")
    if quotas.fail_charge_denom:
        words.append(f"fail_charge={quotas.fail_charge_num or 0}/{quotas.fail_charge_denom}")
    if watermarks.metric not in (None, "none"):
        marks = ":".join(
            _format_share(mark or 0, _PERMIL)
            for mark in (watermarks.high, watermarks.mid, watermarks.low)
        )
        interval = format_exact_time(watermarks.interval_us or 0)
        words.append(f"watermarks={watermarks.metric}:{marks}@{interval}")
    return words


def _format_goal(goal: Goal) -> str:
    metric = goal.target_metric or ""
    words = [metric, _format_goal_value(goal.target_value or 0, metric)]
    if goal.current_value and metric == "user_input":
        words.append(f"current={_format_goal_value(goal.current_value, metric)}")
    if goal.nid is not None and metric.startswith("node_"):
        words.append(f"nid={goal.nid}")
    if goal.path:
        words.append(f"path={goal.path}")
    return ":".join(words)


def _goal_value(part: Part, metric: str) -> int:
    if metric.endswith("_us"):
        return part.parse(parse_time_us)
    if metric.endswith("_bp"):
        return _share(part, _BASIS_POINTS)
    return part.number("value")


def _format_goal_value(value: int, metric: str) -> str:
    if metric.endswith("_us"):
        return format_exact_time(value)
    return _format_share(value, _BASIS_POINTS) if metric.endswith("_bp") else str(value)


def _example(metric: str) -> str:
    return "10ms" if metric.endswith("_us") else "50%" if metric.endswith("_bp") else "100"


def parse_milliseconds(part: Part) -> int:
    """A time in whole milliseconds; raises Problem."""
    us = part.parse(parse_time_us)
    if us % 1_000:
        part.problem(
            f"'{part.text}' is no whole number of milliseconds", "the kernel takes no less"
        )
    return us // 1_000


def _permil(part: Part) -> int:
    return _share(part, _PERMIL)


def _share(part: Part, whole: int) -> int:
    """A percentage in parts of `whole`; a bare number is those parts."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", part.text)
    value = Fraction(match[1]) if match else Fraction(-1)
    if match and match[2]:
        value = value * whole / 100
    if not 0 <= value <= whole or value.denominator != 1:
        part.problem(
            f"'{part.text}' is no share",
            f"0% to 100%, or the kernel's parts of {whole} in steps of 1",
        )
    return int(value)


def _format_share(value: int, whole: int) -> str:
    if value > whole:
        return str(value)
    return f"{value * 100 / whole:.2f}".rstrip("0").rstrip(".") + "%"
