# SPDX-License-Identifier: GPL-2.0
"""Advice as a file of schemes: figures and prose are its comments; and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from perf_damon.analysis.advice import (
    HOT_ACTIONS,
    LEAST_T_NS,
    MULTIPLE,
    Advice,
    Proposal,
    worth,
)
from perf_damon.analysis.idle import SOON_NS, Outcome
from perf_damon.analysis.select import Selected
from perf_damon.recording import Recording
from perf_damon.render import data
from perf_damon.render.summary import title_lines
from perf_damon.render.text import Canvas, clean, percent, table, wrap
from perf_damon.schemes.pattern import format_exact_size, format_exact_time
from perf_damon.units import format_size, format_time_us

_WIDTH = 78
_SHOWN = 12
"""Idle times that the table has at most."""
_CAVEAT = (
    "An access counts for all of the region that it was seen in. Sizes are of addresses: what is "
    "not in memory, or is in use by several processes, is given back in part only."
)
_NO_MAPPINGS = (
    "The recording has no mappings of the process: what is monitored and not mapped counts as "
    "idle memory here."
)


def scheme_text(proposal: Proposal) -> str:
    """The scheme as perf damon start --scheme takes it."""
    accesses = "0%-0%" if proposal.rate is None else f"{proposal.rate * 100:g}%-max"
    size = format_exact_size(proposal.least_size)
    words = f"action={proposal.action} size={size}-max accesses={accesses}"
    if proposal.least_ns:
        words += f" age={format_exact_time(proposal.least_ns // 1000)}-max"
    return words


def advice_text(
    recording: Recording, selected: Sequence[Selected], advice: Advice, risk: float
) -> str:
    """The file: it can be given to perf damon start --schemes as it is."""
    lines = [
        *_comment(f"perf damon advise -i {clean(recording.path)}"),
        *_about(recording, selected, advice),
        "#",
    ]
    if not advice.outcomes:
        lines += _comment(*reasons(advice, risk))
    else:
        lines += _idle_table(advice)
        lines += _comment(
            f"The recording can tell of idle times up to {_time(advice.longest_ns)}: longer ones "
            f"take a recording that is {MULTIPLE} times as long as they are."
        )
        lines += _comment(_CAVEAT)
        if not all(_has_mappings(recording, one) for one in selected):
            lines += _comment(_NO_MAPPINGS)
        for reason in reasons(advice, risk):
            lines += ["#", *_comment(reason)]
    for proposal in advice.proposals:
        lines += ["#", *_comment(_figures(proposal)), scheme_text(proposal)]
    return "".join(line + "\n" for line in lines)


def reasons(advice: Advice, risk: float) -> list[str]:
    """Why there is no proposal of an action, in sentences."""
    if not advice.outcomes:
        least = max(MULTIPLE * LEAST_T_NS, LEAST_T_NS + SOON_NS)
        return [
            f"The recording is too short to tell: it is {_time(advice.length_ns)} long. Memory has "
            f"to be seen idle for a time, and what follows for {_time(SOON_NS)}: {_time(least)} at "
            f"least, and {MULTIPLE} times as long as the idle time in question."
        ]
    done = {one.action for one in advice.proposals}
    left = [action for action in advice.wanted if action not in done]
    found = []
    for actions, why in (
        ([action for action in left if action not in HOT_ACTIONS], _why_not_idle(advice, risk)),
        ([action for action in left if action in HOT_ACTIONS], _why_not_hot(advice, risk)),
    ):
        if actions:
            found.append(f"Not proposed: {', '.join(actions)}: {why}.")
    return found


def _why_not_idle(advice: Advice, risk: float) -> str:
    known = [one.risk for one in advice.outcomes if one.risk is not None]
    if not known:
        return "no memory was idle for long enough, and seen for what followed"
    if min(known) > risk:
        return (
            f"of the memory that became idle {percent(min(known))} or more was accessed again "
            f"within {_time(SOON_NS)}, and --risk allows {percent(risk)}"
        )
    worst = max(advice.outcomes, key=lambda one: one.risk or 0)
    if any(
        one.risk is not None and one.risk <= risk and worth(one.given, one.share)
        for one in advice.outcomes
    ):
        return (
            f"of the memory that was idle for {_time(worst.least_ns)} {percent(worst.risk or 0)} "
            f"was accessed again within {_time(SOON_NS)}, and --risk allows {percent(risk)}: a "
            f"scheme may come so late, or later, by up to {_time(SOON_NS)}"
        )
    return "too little memory stays idle"


def _why_not_hot(advice: Advice, risk: float) -> str:
    known = [one.risk for one in advice.hot if one.risk is not None]
    if known and min(known) > risk:
        return (
            f"of the memory that became hot {percent(min(known))} or more was idle within "
            f"{_time(SOON_NS)}, and --risk allows {percent(risk)}"
        )
    return "too little memory is hot, in regions that are large enough"


def _about(recording: Recording, selected: Sequence[Selected], advice: Advice) -> Iterator[str]:
    for one in selected:
        for line in title_lines(one, len(recording.targets), Canvas(width=_WIDTH - 2)):
            yield f"# {line}"
    size = format_size(advice.monitored)
    yield from _comment(f"{_time(advice.length_ns)}, {size} monitored on average")


def _idle_table(advice: Advice) -> Iterator[str]:
    yield "# Memory that has been idle for T, given back for as long as it stays so:"
    chosen = {p.least_ns for p in advice.proposals if p.action in ("pageout", "lru_deprio")}
    rows = [
        [
            _time(one.least_ns),
            format_size(one.given),
            percent(one.share),
            "not seen" if one.risk is None else percent(one.risk),
            "<-" if one.least_ns in chosen else "",
        ]
        for one in _some(advice.outcomes, chosen)
    ]
    soon = f"accessed within {_time(SOON_NS)} after"
    head = ["T", "on average", "of monitored", soon, ""]
    yield from (f"#   {line}".rstrip() for line in table(head, rows, "rrrrl"))


def _some(outcomes: Sequence[Outcome], chosen: set[int]) -> list[Outcome]:
    """At most so many as are shown, those that were chosen among them, and no more of nothing."""
    outcomes = [one for one in outcomes if one.given > 0] or outcomes[:1]
    every = -(-len(outcomes) // _SHOWN)
    return [o for i, o in enumerate(outcomes) if i % every == 0 or o.least_ns in chosen]


def _figures(proposal: Proposal) -> str:
    size, risk, soon = format_size(proposal.size), percent(proposal.risk), _time(SOON_NS)
    if proposal.rate is not None:
        rate = percent(proposal.rate)
        what = f"{size} is accessed in {rate} of the samples or more, on average"
        if proposal.least_size > 4096:
            what += f", in regions of {format_size(proposal.least_size)} or more"
        return (
            f"{proposal.action}: {what}: {percent(proposal.share)} of all accesses. Of what became "
            f"so hot, {risk} was idle within {soon}."
        )
    did = {
        "pageout": "is given back",
        "lru_deprio": "is made the first to be reclaimed",
        "nohugepage": "gets no huge pages",
    }[proposal.action]
    return (
        f"{proposal.action}: memory that has been idle for {_time(proposal.least_ns)} {did}: "
        f"{size} on average, {percent(proposal.share)} of what was monitored. {risk} of it was "
        f"accessed again within {soon}."
    )


def advice_data(
    recording: Recording, selected: Sequence[Selected], advice: Advice, risk: float
) -> dict[str, Any]:
    """The same for programs: bytes, nanoseconds, shares of 0 … 1; null is what was not seen."""
    return {
        "recording": data.recording_data(recording),
        "targets": [data.target_data(one) for one in selected],
        "length_ns": advice.length_ns,
        "longest_idle_ns": advice.longest_ns,
        "monitored": round(advice.monitored),
        "risk_limit": risk,
        "idle": [asdict(one) | {"share": one.share, "risk": one.risk} for one in advice.outcomes],
        "hot": [asdict(one) | {"share": one.share, "risk": one.risk} for one in advice.hot],
        "proposals": [asdict(one) | {"scheme": scheme_text(one)} for one in advice.proposals],
        "not_proposed": reasons(advice, risk),
    }


def _has_mappings(recording: Recording, one: Selected) -> bool:
    target = one.view.target
    return target.operations == "paddr" or bool((recording.mappings.pid == target.pid).any())


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, _WIDTH - 2)]


def _time(ns: int) -> str:
    return format_time_us(round(ns / 1e3, -4))
