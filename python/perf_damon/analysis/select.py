# SPDX-License-Identifier: GPL-2.0
"""Which targets, which time and which addresses a report is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from perf_damon.analysis.view import View, view
from perf_damon.errors import DataError, UsageError
from perf_damon.recording import Recording, Target
from perf_damon.units import parse_address, parse_address_range, parse_size

_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(us|ms|s|m|h|)")
_SCALE = {"": 1e9, "s": 1e9, "ms": 1e6, "us": 1e3, "m": 60e9, "h": 3600e9}
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_TIME_HINT = "write it as in 5,10 (seconds since the start), 500ms,2s or 5, or 10%-20% or 10%/2"
_ADDRESS_HINT = "write it as in 7f0000000000-7f0000100000, 0x7f0000000000+16M or 1G,2G"


@dataclass(frozen=True, slots=True)
class Selected:
    """A target of the recording that was asked for."""

    number: int
    """1 for the recording's first target."""
    view: View


def select(
    recording: Recording,
    target: str | None = None,
    time: str | None = None,
    address: str | None = None,
    *,
    acts: bool = False,
) -> list[Selected]:
    """The chosen parts of a recording, those with snapshots.

    `acts`: what schemes acted on is wanted, which may be all that a recording has.

    Raises UsageError for words that choose nothing, DataError where no part has a snapshot.
    """
    targets = recording.targets or (recording.acted if acts else ())
    if not targets:
        raise nothing(recording)
    window = parse_addresses(address) if address else None
    stamps = parse_times(time, recording.start_time, recording.end_time) if time else None
    numbers = range(1, len(targets) + 1)
    if target:
        numbers = parse_targets(target, targets)
    found = [
        Selected(n, view(targets[n - 1], recording.start_time, stamps, window)) for n in numbers
    ]
    found = [one for one in found if one.view.nr_snapshots]
    if not found:
        length = (recording.end_time - recording.start_time) / 1e9
        raise DataError(
            f"{recording.path}: no snapshots in the chosen time",
            f"the recording is {length:.1f} seconds long",
        )
    return found


def nothing(recording: Recording) -> DataError:
    """Why a recording without damon_aggregated events shows nothing."""
    skipped, darc = recording.losses.skipped_records, recording.darc
    if darc is not None and (len(darc.turns) or len(darc.reclaims)):
        return DataError(
            f"{recording.path}: no damon:damon_aggregated events, only DARC's",
            "perf damon report darc shows these",
        )
    if recording.acted:
        return DataError(
            f"{recording.path}: no damon:damon_aggregated events, only what schemes acted on",
            "perf damon report schemes, or applied, shows that",
        )
    if skipped:
        return DataError(
            f"{recording.path}: nothing is left of it: {skipped:,} records made no sense",
            "the file is damaged; copy it again or record again",
        )
    if recording.losses.events:
        return DataError(
            f"{recording.path}: all {recording.losses.events:,} events were lost",
            "record with a larger buffer: perf damon record --perf -m 4M PID",
        )
    return DataError(
        f"{recording.path}: nothing was monitored while this was recorded",
        "perf damon record PID monitors and records; perf damon status tells what is monitored",
    )


def parse_targets(text: str, targets: tuple[Target, ...]) -> list[int]:
    """Numbers (from 1) of the targets that `N`, `PID` or `KDAMOND:ID` name; commas between."""
    return sorted({n for word in text.split(",") for n in _targets(word.strip(), targets)})


def _targets(word: str, targets: tuple[Target, ...]) -> list[int]:
    found: list[int] = []
    if re.fullmatch(r"\d+:\d+", word):
        kdamond, number = map(int, word.split(":"))
        found = [i for i, t in enumerate(targets, 1) if (t.kdamond, t.id) == (kdamond, number)]
    elif word.isdecimal():
        if 1 <= int(word) <= len(targets):
            found = [int(word)]
        else:
            found = [i for i, t in enumerate(targets, 1) if t.pid == int(word)]
    if not found:
        known = ", ".join(
            f"{i} ({t.kdamond}:{t.id}{'' if t.pid is None else f', pid {t.pid}'})"
            for i, t in enumerate(targets[:10], 1)
        )
        more = f" and {len(targets) - 10} more" if len(targets) > 10 else ""
        raise UsageError(f"no target '{word}' in the recording", f"there are: {known}{more}")
    return found


def parse_times(text: str, start: int, end: int) -> tuple[int, int]:
    """Nanoseconds first … last of `A,B`, `A,`, `,B`, `A%-B%` or `P%/N` of a recording.

    A and B count from the recording's start. `10%/2` is the second tenth, as in perf.
    """
    text = text.strip()
    first, comma, last = text.partition(",")
    if comma:
        low = start + _nanoseconds(first, 0, text)
        high = start + _nanoseconds(last, end - start, text)
    else:
        low_share, high_share = _shares(text)
        low = start + round((end - start) * low_share)
        high = start + round((end - start) * high_share)
    if low > end:
        length = (end - start) / 1e9
        raise UsageError(
            f"--time '{text}' begins after the recording's end", f"it is {length:.1f} s long"
        )
    if low > high:
        raise UsageError(f"--time '{text}' ends before it begins", _TIME_HINT)
    return low, high


def _nanoseconds(word: str, default: int, text: str) -> int:
    word = word.strip()
    if not word and text != ",":
        return default
    match = _SECONDS.fullmatch(word)
    if not match:
        raise UsageError(f"--time '{text}' is not a range of time", _TIME_HINT)
    return round(float(match[1]) * _SCALE[match[2]])


def _shares(text: str) -> tuple[float, float]:
    first, dash, last = text.partition("-")
    share, slash, count = text.partition("/")
    if dash and (low := _PERCENT.fullmatch(first)) and (high := _PERCENT.fullmatch(last)):
        shares = float(low[1]) / 100, float(high[1]) / 100
    elif match := _PERCENT.fullmatch(share):
        nth = int(count) if slash and count.isdecimal() else 0 if slash else 1
        width = float(match[1]) / 100
        shares = (nth - 1) * width, nth * width
    else:
        shares = -1.0, -1.0
    if shares[0] < 0 or shares[1] > 1 + 1e-9:
        raise UsageError(f"--time '{text}' is not a range of time", _TIME_HINT)
    return shares


def parse_addresses(text: str) -> tuple[int, int]:
    """First address and address after the last of `A,B`, `A-B`, `A+SIZE`, `A,` or `,B`."""
    match = re.fullmatch(r"\s*([^,+-]*?)\s*([,+-])\s*([^,+-]*?)\s*", text)
    if not match or not (match[1] or match[3]):
        raise UsageError(f"--address '{text}' is not a range of addresses", _ADDRESS_HINT)
    first, separator, last = match.groups()
    try:
        if separator == "+":
            low = parse_address(first) if first else 0
            high = min(low + parse_size(last), 2**64 - 1)
        elif first and last:
            low, high = parse_address_range(first, last)
        else:
            low = parse_address(first) if first else 0
            high = parse_address(last) if last else 2**64 - 1
    except UsageError as error:
        raise UsageError(f"--address '{text}': {error.message}", error.hint) from None
    if low >= high:
        raise UsageError(f"--address '{text}' is empty", _ADDRESS_HINT)
    return low, high
