# SPDX-License-Identifier: GPL-2.0
"""Filters, which keep a scheme's action off some memory, and destinations of migration."""

from __future__ import annotations

from collections.abc import Callable

from perf_damon.control.nodes import Dest, Filter
from perf_damon.errors import UsageError
from perf_damon.schemes.pattern import format_exact_size
from perf_damon.schemes.words import Part
from perf_damon.units import format_address, parse_address_range, parse_size

PLAIN = ("anon", "young", "active", "unmapped")
"""Types that need no more than their name."""
TYPES = (*PLAIN, "memcg", "addr", "target", "hugepage_size")
_FORM = "[allow|reject] [not] TYPE, as in reject anon, or reject not memcg:/jobs"


def parse_filter(part: Part) -> Filter:
    """`[allow|reject] [not] TYPE[:VALUE]`; raises Problem."""
    words = part.words()
    allow, matching = None, True
    if words and words[0].text in ("allow", "reject"):
        # Kernels before 6.14 only reject, and have no file to say so.
        allow = True if words.pop(0).text == "allow" else None
    if words and words[0].text == "not":
        words.pop(0)
        matching = False
    if not words:
        part.problem("a filter needs a type", _FORM)
    rest = part.slice(words[0].column - part.column)
    kind, value = rest.partition(":")
    found = Filter(type=kind.choice("filter", TYPES), matching=matching, allow=allow)
    if kind.text in PLAIN:
        if value is not None:
            value.problem(f"{kind.text} takes no value")
        return found
    if value is None or not value.text:
        rest.problem(f"filter {kind.text} needs a value", f"as in {_EXAMPLES[kind.text]}")
    match kind.text:
        case "memcg":
            if not value.text.startswith("/"):
                value.problem(
                    f"'{value.text}' is no path of a memory cgroup",
                    "it begins with / at the root of the cgroup hierarchy: memcg:/jobs/batch",
                )
            found.memcg_path = value.text
        case "target":
            found.damon_target_idx = value.number("target", 2**31 - 1)
        case "addr":
            found.addr_start, found.addr_end = _parse_range(value, parse_address_range)
            if found.addr_start == found.addr_end:
                value.problem(f"{value.text} is empty")
        case _:
            found.min, found.max = _parse_range(value, _parse_sizes)
    return found


_EXAMPLES = {
    "memcg": "memcg:/jobs/batch",
    "target": "target:0",
    "addr": "addr:0x100000000-0x200000000",
    "hugepage_size": "hugepage_size:2M-2M",
}


def format_filter(shown: Filter) -> str:
    """As parse_filter() reads it."""
    words = ["allow" if shown.allow else "reject"]
    words += [] if shown.matching else ["not"]
    match shown.type:
        case "memcg":
            words.append(f"memcg:{shown.memcg_path}")
        case "target":
            words.append(f"target:{shown.damon_target_idx}")
        case "addr":
            start, end = (format_address(at or 0) for at in (shown.addr_start, shown.addr_end))
            words.append(f"addr:{start}-{end}")
        case "hugepage_size":
            low, high = (format_exact_size(size or 0) for size in (shown.min, shown.max))
            words.append(f"hugepage_size:{low}-{high}")
        case _:
            words.append(shown.type or "")
    return " ".join(words)


def parse_dests(part: Part) -> list[Dest]:
    """`NODE:WEIGHT,…`; raises Problem."""
    dests = []
    for piece in part.split(","):
        node, weight = piece.partition(":")
        dest = Dest(id=node.number("node", 2**31 - 1), weight=1)
        if weight is not None:
            dest.weight = weight.number("weight", 2**32 - 1)
        if dest.id in [known.id for known in dests]:
            piece.problem(f"node {dest.id} is given twice")
        dests.append(dest)
    if not any(dest.weight for dest in dests):
        part.problem("destinations whose weights are all 0 get nothing", "as in 0:60,1:40")
    return dests


def format_dests(dests: list[Dest]) -> str:
    """As parse_dests() reads them."""
    return ",".join(f"{dest.id}:{dest.weight}" for dest in dests)


def _parse_range(part: Part, parse: Callable[[str, str], tuple[int, int]]) -> tuple[int, int]:
    low, high = part.partition("-")
    if high is None:
        part.problem(f"'{part.text}' is no range", "START-END, as in 1G-2G")
    try:
        values = parse(low.text, high.text)
    except UsageError as error:
        # At the end that is wrong, where it is named.
        (high if error.message.startswith(f"'{high.text}'") else low).problem(
            error.message, error.hint
        )
    if values[0] > values[1]:
        part.problem(f"{low.text} is more than {high.text}")
    return values


def _parse_sizes(low: str, high: str) -> tuple[int, int]:
    return parse_size(low), parse_size(high)
