# SPDX-License-Identifier: GPL-2.0
"""What DARC does: a zone's free memory as a bar against its watermarks, and what it took."""

from __future__ import annotations

from collections.abc import Iterator

from perf_damon.control.darc import MARKS, Darc, Zone
from perf_damon.render.text import Canvas, clean, percent, wrap
from perf_damon.units import format_count, format_size, format_time_us

_LETTERS = {"zone_high": "z", "low": "l", "mid": "m", "high": "h"}
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_MOST_WIDTH = 100
_SCALE = 1.5
"""What a bar's end stands for, in the zone's high watermark."""


def darc_lines(darc: Darc, canvas: Canvas) -> list[str]:
    """All of it, as lines of at most the width."""
    lines = [canvas.bold(line) for line in wrap(_head(darc), canvas.width)]
    lines += [canvas.dim(line) for line in wrap(_legend(), canvas.width)]
    left_alone = [zone for zone in darc.zones if not zone.has_room]
    for zone in darc.zones:
        if zone.has_room:
            lines += ["", *zone_lines(zone, darc.min_age_us, canvas)]
    if left_alone:
        names = ", ".join(clean(zone.name) for zone in left_alone)
        lines += ["", *wrap(f"Left alone, too small for watermarks: {names}", canvas.width)]
    return lines


def _head(darc: Darc) -> str:
    if not darc.enabled:
        return f"DARC is disabled. Enabled it would take {limits(darc)}"
    return f"DARC is enabled: it takes {limits(darc)}"


def limits(darc: Darc) -> str:
    """What it may take, in words."""
    quotas = darc.quotas
    amounts = [format_size(quotas.bytes)] if quotas.bytes else []
    amounts += [format_time_us(quotas.ms * 1000)] if quotas.ms else []
    words = [f"what has hardly been accessed for {format_time_us(darc.min_age_us)}"]
    interval = format_time_us(quotas.reset_interval_ms * 1000)
    if amounts:
        words.append(f"at most {' and '.join(amounts)} of each zone in {interval}")
    else:
        words.append("without a quota")
    if quotas.some_mem_psi_us:
        words.append(
            f"while tasks wait for memory for {format_time_us(quotas.some_mem_psi_us)} in "
            f"{interval} at most"
        )
    else:
        words.append("whatever the memory pressure is")
    return ", ".join(words)


def _legend() -> str:
    return (
        "Bars: free memory. z: the zone's own high watermark, l, m, h: DARC's low, mid, high. "
        "It begins below m, and stops above h or below l."
    )


def zone_lines(zone: Zone, min_age_us: int, canvas: Canvas) -> Iterator[str]:
    """A zone: bar, watermarks, what was done, what it costs."""
    free = f"{format_size(zone.free)} free of {format_size(zone.managed)}"
    for line in wrap(f"{clean(zone.name)}: {clean(zone.state)}, {free}", canvas.width):
        yield canvas.bold(line)
    width = max(10, min(canvas.width, _MOST_WIDTH) - 4)
    yield "  " + bar(zone, width, canvas)
    yield "  " + canvas.dim(ruler(zone, width))
    marks = ", ".join(f"{mark} {format_size(getattr(zone, mark))}" for mark in reversed(MARKS))
    facts = [
        f"zone's own {format_size(zone.zone_high)}, {marks}",
        f"started {_times(zone.started)}; stopped {_times(zone.stopped_above_high)} above high, "
        f"{_times(zone.stopped_below_low)} below low",
        f"tried {format_size(zone.tried)}, reclaimed {format_size(zone.reclaimed)}, "
        f"refaulted {format_size(zone.refaulted)}{_share(zone)}",
        _cost(zone),
    ]
    if zone.state == "yielding":
        facts.append(
            f"memory is too short for it: the kernel's own reclaim is to act. It goes on when "
            f"more than {format_size(zone.low)} is free"
        )
    if zone.effective_min_age_us > min_age_us:
        times = zone.effective_min_age_us / max(1, min_age_us)
        facts.append(
            f"careful: takes only what is {times:.3g} times as old, "
            f"{format_time_us(zone.effective_min_age_us)}"
        )
    for fact in facts:
        for line in wrap(fact, canvas.width - 2):
            yield f"  {line}"


def scale(zone: Zone) -> int:
    """Bytes that the end of a zone's bar stands for: what matters is around the watermarks."""
    return max(1, min(zone.managed, int(zone.high * _SCALE)))


def bar(zone: Zone, width: int, canvas: Canvas) -> str:
    """Free memory as a bar of exactly `width` columns; at its end + where it goes on."""
    end = scale(zone)
    eighths = min(zone.free, end) * width * 8 // end
    whole, part = divmod(eighths, 8)
    if canvas.unicode:
        text = "█" * whole + (_EIGHTHS[part] if part else "")
        text = text.ljust(width, "·")
    else:
        text = ("#" * whole + ("-" if part >= 4 else "")).ljust(width, ".")
    return text[: width - 1] + "+" if zone.free > end else text


def ruler(zone: Zone, width: int) -> str:
    """Letters below the bar where the watermarks are; those too close stand side by side."""
    end, places = scale(zone), []
    for name in _LETTERS:
        at = min(width - 1, getattr(zone, name) * width // end)
        places.append(max(at, places[-1] + 1) if places else at)
    # Pushed out at the right they go left, in order.
    for index in reversed(range(len(places))):
        places[index] = min(places[index], width - len(places) + index)
    line = [" "] * width
    for letter, at in zip(_LETTERS.values(), places, strict=True):
        line[at] = letter
    return "".join(line).rstrip()


def _share(zone: Zone) -> str:
    return f" ({percent(zone.refaulted / zone.reclaimed)})" if zone.reclaimed else ""


def _cost(zone: Zone) -> str:
    cost = f"cost {format_time_us(zone.cpu_us)} of CPU time"
    if zone.kdamond_pid > 0:
        return f"{cost}, monitored by thread {zone.kdamond_pid}"
    return f"{cost}, not monitored now"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{format_count(number)} times"
