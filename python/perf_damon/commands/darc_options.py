# SPDX-License-Identifier: GPL-2.0
"""The options of perf damon darc that change it, and what they ask for."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

from perf_damon.control.darc import DEFAULT, Change, Darc
from perf_damon.control.nodes import Quotas
from perf_damon.control.system import System
from perf_damon.errors import UsageError
from perf_damon.options import Parser, argument
from perf_damon.schemes.limits import check_quota, parse_amount, parse_milliseconds
from perf_damon.schemes.words import Part, Problem
from perf_damon.units import parse_size, parse_time_us

ALL = "all"
_NONE = "none"
_QUOTA_HINT = "write it as in 100M/1s, 10ms/1s, 100M, or none"


@dataclass(slots=True)
class Wanted:
    """What the options say."""

    marks: list[tuple[str | None, str, int | str]] = field(default_factory=list)
    """(zone or None, watermark, bytes or DEFAULT), in their order."""
    zones: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    option: str = ""
    """One of them, for words of what is wrong."""

    @property
    def is_empty(self) -> bool:
        """Whether no option asks for a change."""
        return not (self.marks or self.zones or self.files)

    def change(self, darc: Darc, enabled: bool | None) -> Change:
        """The same for the zones that there are. Raises UsageError."""
        with_room = [zone.name for zone in darc.zones if zone.has_room]
        marks: dict[str, dict[str, int | str]] = {}
        for zone, mark, size in self.marks:
            if zone is None and len(with_room) != 1:
                known = ", ".join(zone.name for zone in darc.zones)
                raise UsageError(
                    f"--{mark}: of which zone?", f"before it --zone ZONE, of {known}, or all"
                )
            names = with_room if zone in (None, ALL) else [zone]
            for name in names:
                marks.setdefault(name, {})[mark] = size
        return Change(enabled=enabled, files=self.files, marks=marks)


class _Mark(argparse.Action):
    """A watermark, of the zone that was named last."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: Any, value: Any, option: Any = None
    ) -> None:
        marks = getattr(namespace, "marks", None) or []
        zones = namespace.zones or [None]
        namespace.marks = [*marks, (zones[-1], self.const, value)]


def add_options(parser: Parser) -> None:
    """Options of set and enable."""
    marks = parser.add_argument_group("watermarks of free memory (set, enable)")
    marks.add_argument(
        "--zone",
        dest="zones",
        action="append",
        default=[],
        metavar="ZONE",
        help="the zone that the watermarks behind it are of, as in 0-Normal; or all",
    )
    parser.offer("--zone", _zones)
    for mark, help_ in (
        ("low", "stop below it: the kernel's own reclaim has to act"),
        ("mid", "begin below it"),
        ("high", "stop above it: enough is free"),
    ):
        marks.add_argument(
            f"--{mark}",
            dest="marks",
            action=_Mark,
            const=mark,
            type=argument(_parse_mark),
            metavar="SIZE",
            help=f"{help_}; or default",
        )
    bounds = parser.add_argument_group("what it may take and cost (set, enable)")
    bounds.add_argument(
        "--quota",
        type=argument(lambda text: _parse_quota(text, "bytes")),
        metavar="SIZE[/TIME]",
        help="at most so much of each zone in each interval, as in 100M/1s; or none",
    )
    bounds.add_argument(
        "--time",
        type=argument(lambda text: _parse_quota(text, "ms")),
        metavar="TIME[/TIME]",
        help="at most so much time for each zone in each interval, as in 10ms/1s; or none",
    )
    bounds.add_argument(
        "--goal",
        type=argument(_parse_goal),
        metavar="TIME",
        help="less while tasks wait for memory (PSI some) for more than this in each interval; "
        "or none",
    )
    bounds.add_argument(
        "--min-age",
        type=argument(parse_time_us),
        metavar="TIME",
        help="take only what has hardly been accessed for so long",
    )


def _zones() -> list[str]:
    """What --zone may be followed by here, for completion."""
    darc = System().darc
    return [ALL, *(darc.names("zones") if darc.is_dir("zones") else ())]


def read(args: argparse.Namespace) -> Wanted:
    """What the options ask for; raises UsageError where they contradict each other."""
    wanted = Wanted(marks=args.marks or [], zones=args.zones)
    for zone in args.zones:
        if zone not in [named for named, *_ in wanted.marks]:
            raise UsageError(
                f"--zone {zone} has no watermarks", f"as in --zone {zone} --mid 96M --high 128M"
            )
    intervals = set()
    for option, quota in (("--quota", args.quota), ("--time", args.time)):
        if quota is not None:
            wanted.option = option
            name, amount, interval_ms = quota
            wanted.files[f"quotas/{name}"] = amount
            if interval_ms is not None:
                intervals.add(interval_ms)
    if len(intervals) > 1:
        raise UsageError(
            "--quota and --time are for intervals of different length",
            "DARC has one interval for both: as in --quota 100M/1s --time 10ms/1s",
        )
    for interval_ms in intervals:
        wanted.files["quotas/reset_interval_ms"] = interval_ms
    for option, path, value in (
        ("--goal", "quotas/some_mem_psi_us", args.goal),
        ("--min-age", "min_age_us", args.min_age),
    ):
        if value is not None:
            wanted.option = option
            wanted.files[path] = value
    if wanted.marks:
        wanted.option = f"--{wanted.marks[0][1]}"
    return wanted


def _parse_mark(text: str) -> int | str:
    if text == DEFAULT:
        return DEFAULT
    size = parse_size(text)
    if size == 0:
        raise UsageError("a watermark of 0 cannot be", f"{DEFAULT} gives up one that was set")
    return size


def _parse_quota(text: str, field_name: str) -> tuple[str, int, int | None]:
    """(bytes or ms, amount with 0 for none, interval in ms where one is given)."""
    amount, interval = Part(text, 0).partition("/")
    quotas = Quotas()
    try:
        if interval is not None:
            quotas.reset_interval_ms = parse_milliseconds(interval)
        if amount.text == _NONE:
            return field_name, 0, quotas.reset_interval_ms
        parse_amount(amount, quotas)
        if interval is not None:
            check_quota(Part(text, 0), quotas)
    except Problem as problem:
        raise UsageError(problem.message, problem.hint or _QUOTA_HINT) from None
    value = getattr(quotas, field_name)
    if value is None:
        what, other = ("size", "--time") if field_name == "bytes" else ("time", "--quota")
        raise UsageError(f"'{amount.text}' is no {what}", f"{other} is for that")
    return field_name, value, quotas.reset_interval_ms


def _parse_goal(text: str) -> int:
    if text == _NONE:
        return 0
    value = parse_time_us(text)
    if value == 0:
        raise UsageError("no pressure at all cannot be a goal", f"{_NONE} is for any pressure")
    return value
