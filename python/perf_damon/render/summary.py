# SPDX-License-Identifier: GPL-2.0
"""The default report: what was recorded, a picture of it, the hottest memory."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from perf_damon.analysis.areas import Areas
from perf_damon.analysis.mappings import UNKNOWN, Atlas, mapping_offset
from perf_damon.analysis.report import Findings
from perf_damon.analysis.select import Selected
from perf_damon.analysis.survey import PERCENTILES, percentiles
from perf_damon.analysis.view import View, interval_ns
from perf_damon.recording import Column, Recording, Target
from perf_damon.render.heatmap import heatmap_lines
from perf_damon.render.text import Canvas, clean, fitted, percent, shorten, table, text_width, wrap
from perf_damon.units import format_count, format_size, format_time_us

MAX_AREAS = 12
"""Rows of the table of hottest memory."""
_NARROW = 40
"""Columns that names of facts take a line of their own below."""
_LEAST_NAME = 9
"""Columns that a mapping's name has at least."""
MIN_SHARE = 0.001
"""Areas with a smaller share of the accesses are only counted."""


def recording_lines(recording: Recording, canvas: Canvas) -> Iterator[str]:
    """The file: when, where, which command, and what is missing."""
    header = recording.header
    machine = ", ".join(
        clean(word)
        for word in (
            header.hostname,
            f"Linux {header.os_release}" if header.os_release else None,
            header.arch,
        )
        if word
    )
    facts = [("Recording", f"{clean(recording.path)}, {format_size(recording.size)}")]
    if header.captured:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(header.captured))
        facts.append(("Captured", stamp))
    if machine:
        facts.append(("Machine", machine))
    if recording.parameters and recording.parameters.command:
        facts.append(("Command", clean(" ".join(recording.parameters.command))))
    yield from _facts(facts, canvas)
    yield from loss_lines(recording, canvas)


def loss_lines(recording: Recording, canvas: Canvas) -> Iterator[str]:
    """A warning for all that is missing from a recording; nothing when nothing is."""
    losses = recording.losses
    if losses.events:
        yield from _warning(
            f"{format_count(losses.events)} events were lost, because perf's buffer was full: what "
            "follows has holes. A larger buffer helps: -m 16M for perf record",
            canvas,
        )
    if losses.truncated_bytes:
        yield from _warning(
            f"{format_size(losses.truncated_bytes)} at the end of the file could not be read: the "
            "recording was cut off",
            canvas,
        )
    if losses.skipped_records:
        yield from _warning(
            f"{format_count(losses.skipped_records)} records made no sense and were passed over",
            canvas,
        )


def title_lines(selected: Selected, of: int, canvas: Canvas) -> list[str]:
    """Which target: `Target 1 of 2: redis-server, pid 1234 (kdamond 77:0)`."""
    return [canvas.bold(line) for line in wrap(_title(selected, of), canvas.width)]


def _title(selected: Selected, of: int) -> str:
    target = selected.view.target
    place = f"kdamond {target.kdamond}:{target.id}"
    if target.operations == "paddr":
        name = f"physical memory ({place})"
    elif target.pid is None and not target.comm:
        name = f"{place}, process not known"
    else:
        words = [clean(target.comm or "unknown process")]
        if target.pid is not None:
            words.append(f"pid {target.pid}")
        told = "; process concluded from the mappings" if target.pid_inferred else ""
        name = f"{', '.join(words)} ({place}{told})"
    return f"Target {selected.number} of {of}: {name}" if of > 1 else f"Target: {name}"


def target_lines(selected: Selected, findings: Findings, canvas: Canvas) -> Iterator[str]:
    """What was monitored of one target, how, and how much of it was used."""
    view, target = selected.view, selected.view.target
    per_snapshot = np.diff(view.offsets)
    low, middle, high = (int(np.percentile(per_snapshot, p)) for p in (0, 50, 100))
    regions = _plural(low, "region")
    if low != high:
        regions = f"{low:,} … {high:,} (median {middle:,}) regions"
    facts = [
        (
            "Time",
            f"{_span_of_time(view)}, {_plural(view.nr_snapshots, 'snapshot')} of {regions}",
        ),
        ("Attributes", attributes_text(target)),
        ("Monitored", _amount(findings.survey.monitored, view.duration)),
    ]
    yield from _facts(facts, canvas)
    sizes = percentiles(findings.survey.working_set, view.duration, PERCENTILES)
    head = [
        "Working set",
        *("min" if p == 0 else "max" if p == 100 else f"{p}%" for p in PERCENTILES),
    ]
    lines = table(head, [["of the time", *map(format_size, sizes)]], "lrrrrr")
    if text_width(lines[0]) > canvas.width:
        pairs = [f"{name} {format_size(size)}" for name, size in zip(head[1:], sizes, strict=True)]
        lines = list(_facts([("Working set", ", ".join(pairs))], canvas))
    else:
        lines[1] = " " * 11 + lines[1][11:]
    yield from lines
    incomplete = int((view.regions.nr_regions[view.offsets[:-1]] != per_snapshot).sum())
    if incomplete:
        yield from _warning(
            f"{format_count(incomplete)} of {_plural(view.nr_snapshots, 'snapshot')} "
            "are incomplete",
            canvas,
        )


def attributes_text(target: Target) -> str:
    """The monitoring attributes, in words; what is not known is left out."""
    known = target.attributes
    words = []
    for what, us in (
        ("sample", known.sample_us),
        ("aggregate", known.aggr_us),
        ("update", known.update_us),
    ):
        if us is not None:
            guess = " (a guess: 20 samples an interval)" if what == "sample" else ""
            words.append(f"{what} {format_time_us(us)}{guess if target.sample_guessed else ''}")
    if known.aggr_us is None and target.attributes_inferred and target.nr_snapshots < 2:
        taken = format_time_us(interval_ns(target) / 1e3)
        words.append(f"aggregate {taken} (a guess: one snapshot does not tell)")
    if known.min_nr_regions is not None and known.max_nr_regions is not None:
        words.append(f"{known.min_nr_regions} … {known.max_nr_regions} regions")
    if target.attributes_inferred:
        words.append("concluded from the events, for the recording does not say")
    words = words or ["not known"]
    if known.max_nr_accesses is None or target.largest > known.max_nr_accesses:
        words.append(f"rates are shares of the largest count seen, {target.max_nr_accesses:,}")
    if target.intervals_tuned:
        how = "tuned by DAMON" if known.tuned else "changed while it was recorded"
        words.append(f"intervals {how}{_measured(target)}")
    elif target.age_unit is not None:
        words.append(f"snapshots are {format_time_us(round(target.age_unit[0] / 1e3))} apart")
    return ", ".join(words)


def _measured(target: Target) -> str:
    """How long aggregation intervals were."""
    if target.age_unit is None:
        return ""
    low, high = (round(float(ns) / 1e3) for ns in (target.age_unit.min(), target.age_unit.max()))
    text = format_time_us(low)
    return f": {text if low == high else f'{text} … {format_time_us(high)}'} between snapshots"


WHAT = {
    "hottest": "hottest region of each cell",
    "mean": "mean of each cell",
}


def heatmap_section(findings: Findings, cell: str, canvas: Canvas) -> Iterator[str]:
    """The heatmap with its heading; cell is hottest or mean."""
    for line in wrap(f"Access rate, {WHAT[cell]}", canvas.width):
        yield canvas.bold(line)
    atlas = findings.atlas
    yield from heatmap_lines(
        findings.heatmap,
        findings.heatmap.mean if cell == "mean" else findings.heatmap.hottest,
        canvas,
        findings.view.origin,
        (lambda start, end: span_names(atlas, start, end)) if len(atlas) else None,
    )


def span_names(atlas: Atlas, start: int, end: int) -> list[str]:
    """What is mapped between two addresses, the largest first: `anonymous`, `libc.so.6`."""
    low = np.searchsorted(atlas.end, np.uint64(start), "right")
    high = np.searchsorted(atlas.start, np.uint64(end), "left")
    sizes: dict[str, int] = {}
    for i in range(int(low), int(high)):
        name = clean(base_name(atlas.name_of(i)))
        size = min(end, int(atlas.end[i])) - max(start, int(atlas.start[i]))
        sizes[name] = sizes.get(name, 0) + size
    return sorted(sizes, key=lambda name: -sizes[name])


def base_name(name: str) -> str:
    """A path's last part; other names as they are."""
    return name.rsplit("/", 1)[-1] or name if name.startswith("/") else name


def area_name(areas: Areas, atlas: Atlas, i: int, width: int) -> str:
    """The mapping of an area, with the offset where it begins in it if there is room for that."""
    name, offset = mapping_offset(atlas, int(areas.mapping[i]), int(areas.start[i]))
    text = clean(base_name(name or UNKNOWN))
    whole = f"{text}+0x{offset:x}" if offset else text
    return whole if text_width(whole) <= width else shorten(text, width)


def area_lines(findings: Findings, canvas: Canvas, aggr_us: float) -> Iterator[str]:
    """The table of the hottest memory."""
    areas, target = findings.areas, findings.view.target
    physical = target.operations == "paddr"
    for line in wrap("Hottest memory" + ("" if physical else ", by mapping"), canvas.width):
        yield canvas.bold(line)
    if not len(areas) or areas.share[0] <= 0:
        yield "No access was seen."
        return
    shown = [i for i in range(min(len(areas), MAX_AREAS)) if areas.share[i] >= MIN_SHARE]
    columns = {
        "Share": [percent(areas.share[i]) for i in shown],
        "Rate": [percent(areas.rate[i]) for i in shown],
    }
    if canvas.width >= 60:
        columns["Peak"] = [percent(areas.peak[i]) for i in shown]
    columns["Size"] = [format_size(areas.size[i]) for i in shown]
    if areas.age is not None and canvas.width >= 60:
        columns["Age"] = [format_time_us(round(areas.age[i] * aggr_us, -5)) for i in shown]
    if canvas.width >= 96:
        columns["Address"] = [f"0x{areas.start[i]:x}-0x{areas.end[i]:x}" for i in shown]
    elif canvas.width >= 70 or physical:
        columns["Address"] = [f"0x{areas.start[i]:x}" for i in shown]
    if not physical:
        # Their room is what the others leave.
        used = sum(max(map(text_width, (name, *cells))) + 2 for name, cells in columns.items())
        room = canvas.width - used
        # Without it the table becomes paragraphs, in which there is.
        room = room if room >= _LEAST_NAME else canvas.width
        columns["Mapping"] = [area_name(areas, findings.atlas, i, room) for i in shown]
    yield from fitted(columns, (), ("Address", "Mapping"), canvas)
    rest = len(areas) - len(shown)
    if rest:
        share = float(areas.share.sum() - areas.share[shown].sum())
        text = f"{percent(share)} of the accesses are in {_plural(rest, 'colder area')}"
        text = text if share > 0 else f"{_plural(rest, 'more area')} without accesses"
        yield from (canvas.dim(line) for line in wrap(text, canvas.width))
    if not physical and len(findings.atlas) == 0:
        yield ""
        yield from wrap(
            "The recording has no mappings of this process, so that memory has no names: "
            "perf damon record stores them, and so does perf record -d -p PID.",
            canvas.width,
        )


def _span_of_time(view: View) -> str:
    length = int(view.time[-1] - view.time[0] + view.duration[0])
    begin = int(view.time[0] - view.origin)
    text = format_time_us(round(length / 1e3, -3) if length > 10_000_000 else length / 1e3)
    return text if begin <= 0 else f"{text} from {format_time_us(begin / 1e3)} on"


def _plural(count: int, word: str) -> str:
    return f"{format_count(count)} {word}{'' if count == 1 else 's'}"


def _amount(sizes: Column, weight: Column) -> str:
    low, middle, high = percentiles(sizes, weight, (0, 50, 100))
    if low == high:
        return format_size(low)
    return f"{format_size(low)} … {format_size(high)} (median {format_size(middle)})"


def _facts(facts: list[tuple[str, str]], canvas: Canvas) -> Iterator[str]:
    for name, value in facts:
        if canvas.width < _NARROW:
            yield name
            yield from (f"  {line}" for line in wrap(value, canvas.width - 2))
            continue
        first, *more = wrap(value, canvas.width - 13)
        yield f"{name:<11}  {first}"
        yield from (" " * 13 + line for line in more)


def _warning(text: str, canvas: Canvas) -> Iterator[str]:
    for line in wrap(f"WARNING: {text}", canvas.width):
        yield canvas.warning(line)
