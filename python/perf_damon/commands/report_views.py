# SPDX-License-Identifier: GPL-2.0
"""What `perf damon report` shows in which format."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from perf_damon.analysis.applied import Acts, acts, of_view
from perf_damon.analysis.report import Findings, examine, process_atlas
from perf_damon.analysis.select import Selected, select
from perf_damon.analysis.survey import PERCENTILES, Survey, survey
from perf_damon.analysis.wss import threshold
from perf_damon.commands import report_darc
from perf_damon.commands.selection import percentage
from perf_damon.errors import EXIT_OK, DataError, UsageError
from perf_damon.parameters import Scheme
from perf_damon.recording import Recording
from perf_damon.render import acts as acts_text
from perf_damon.render import applied, data, regions, summary, wss
from perf_damon.render.heatmap import columns, rows_per_line
from perf_damon.render.text import Canvas, wrap
from perf_damon.terminal import LEAST_WIDTH, MOST_WIDTH, say, screen

MIN_LINES, MAX_LINES = 8, 40
"""What the heatmap takes of a short and of a tall terminal."""
AROUND = 9
"""Lines of its heading, axes and legend, that fit on the terminal with it."""
MATRIX_WIDTH, MATRIX_HEIGHT = 80, 40
"""Resolution of a heatmap for programs."""
_CHOICE = ("target", "time", "address")
_USED = {
    "summary": (*_CHOICE, "width", "height", "cell"),
    "heatmap": (*_CHOICE, "width", "height", "cell"),
    "wss": (*_CHOICE, "width", "min_rate", "percentiles"),
    "regions": _CHOICE,
    "schemes": (*_CHOICE, "width", "height"),
    "applied": _CHOICE,
    "darc": ("time", "width"),
}
"""The options that change something of a view."""
_UNUSED = {
    ("summary", "json"): ("width", "cell"),
    ("summary", "csv"): ("width", "cell"),
    ("heatmap", "json"): ("cell",),
    ("heatmap", "csv"): ("cell",),
    ("wss", "json"): ("width",),
    ("wss", "csv"): ("width", "percentiles"),
    ("darc", "csv"): ("width",),
}
"""Of these, what changes nothing of a format."""
_NOTHING = "Nothing was monitored in the chosen time and addresses."


@dataclass(frozen=True, slots=True)
class Options:
    """The command line, checked."""

    view: str = "summary"
    format: str = "text"
    target: str | None = None
    time: str | None = None
    address: str | None = None
    width: int | None = None
    height: int | None = None
    cell: str = "hottest"
    min_rate: float | None = None
    percentiles: tuple[float, ...] = PERCENTILES

    @classmethod
    def of(cls, args: argparse.Namespace) -> Options:
        """Check what argparse cannot. Raises UsageError."""
        _refuse_unused(args)
        for name, value, least in (
            ("--width", args.width, LEAST_WIDTH if args.format == "text" else 1),
            ("--height", args.height, 1),
        ):
            if value is not None and not least <= value <= MOST_WIDTH:
                raise UsageError(f"{name} {value} cannot be drawn", f"{least} to {MOST_WIDTH} can")
        return cls(
            view=args.view,
            format=args.format,
            target=args.target,
            time=args.time,
            address=args.address,
            width=args.width,
            height=args.height,
            cell=args.cell or "hottest",
            min_rate=None if args.min_rate is None else percentage("--min-rate", args.min_rate),
            percentiles=PERCENTILES
            if args.percentiles is None
            else tuple(percentage("--percentiles", p) for p in args.percentiles.split(",")),
        )


def _refuse_unused(args: argparse.Namespace) -> None:
    unused = _UNUSED.get((args.view, args.format), ())
    for name in dict.fromkeys(name for names in _USED.values() for name in names):
        if getattr(args, name) is None:
            continue
        option = f"--{name.replace('_', '-')}"
        if name not in _USED[args.view]:
            views = ", ".join(view for view, names in _USED.items() if name in names)
            what = "the summary" if args.view == "summary" else f"report {args.view}"
            raise UsageError(f"{option} changes nothing of {what}", f"it is for: {views}")
        if name in unused:
            raise UsageError(
                f"{option} changes nothing of {args.view} in {args.format}",
                "hottest and mean are both there"
                if name == "cell" and args.view == "heatmap"
                else "it is for: --format text",
            )


def show(recording: Recording, options: Options) -> int:
    """Write a report of a recording to standard output."""
    if options.view == "darc":
        return report_darc.show(recording, options)
    acts_wanted = options.view in ("schemes", "applied")
    selected = select(recording, options.target, options.time, options.address, acts=acts_wanted)
    if acts_wanted and recording.applied is None:
        raise DataError(
            f"{recording.path}: does not tell what schemes did",
            "perf damon record --schemes records that",
        )
    report = Report(recording, selected, options)
    if options.format != "text":
        with screen(pager=False) as out:
            # What programs read is whole or not there: warnings go where people look.
            for line in summary.loss_lines(recording, Canvas(width=200)):
                say(line)
            for text in report.data():
                whole = text if out.unicode else text.encode("ascii", "backslashreplace").decode()
                out.stream.write(whole)
        return EXIT_OK
    with screen() as out:
        width = options.width or out.width
        canvas = Canvas(width, out.height, out.colors, out.unicode)
        for text in report.text(canvas):
            out.stream.write(text if canvas.unicode else canvas.plain(text))
    return EXIT_OK


@dataclass(frozen=True, slots=True)
class Report:
    """One report of one recording, in pieces of text."""

    recording: Recording
    selected: list[Selected]
    options: Options

    def text(self, canvas: Canvas) -> Iterator[str]:
        """Pieces of a report for people."""
        if self.options.view in ("regions", "applied"):
            for line in summary.loss_lines(self.recording, Canvas(width=200)):
                say(line)
        if self.options.view == "regions":
            yield regions.TEXT_HEAD
            yield from self._regions("text")
            return
        if self.options.view == "applied":
            yield applied.TEXT_HEAD
            yield from self._applied("text")
            return
        section = {
            "summary": self._summary,
            "heatmap": self._heatmap,
            "wss": self._wss,
            "schemes": self._schemes,
        }
        if self.options.view == "summary":
            opening = summary.recording_lines(self.recording, canvas)
        else:
            opening = summary.loss_lines(self.recording, canvas)
        lines = list(opening)
        targets = len(self.recording.targets or self.recording.acted)
        for one in self.selected:
            lines += [""] if lines and lines[-1] else []
            lines += summary.title_lines(one, targets, canvas)
            lines += section[self.options.view](one, canvas)
            yield "".join(line + "\n" for line in lines)
            lines = ["", ""]  # more space between targets than within

    def data(self) -> Iterator[str]:
        """Pieces of a report for programs."""
        view, form = self.options.view, self.options.format
        if view == "regions":
            yield regions.csv_head(self.recording.regions.nr_probes) if form == "csv" else ""
            yield from self._regions(form)
        elif view == "applied":
            yield applied.CSV_HEAD if form == "csv" else ""
            yield from self._applied(form)
        elif form == "json":
            describe = {
                "summary": self._summary_data,
                "heatmap": self._heatmap_data,
                "wss": self._wss_data,
                "schemes": self._schemes_data,
            }
            targets = [describe[view](one) for one in self.selected]
            whole = {"recording": data.recording_data(self.recording), "targets": targets}
            yield json.dumps(whole, separators=(",", ":")) + "\n"
        elif view == "wss":
            yield data.WSS_HEAD
            for one in self.selected:
                yield "".join(data.wss_csv(one, self._survey(one)))
        elif view == "schemes":
            yield data.ACTS_HEAD
            for one in self.selected:
                found = self._examine(one, *self._resolution())
                if found is not None:
                    yield from data.acts_csv(one, self._acts(one), found)
        else:
            write = data.heatmap_csv if view == "heatmap" else data.area_csv
            yield data.HEATMAP_HEAD if view == "heatmap" else data.AREA_HEAD
            for one in self.selected:
                found = self._examine(one, *self._resolution())
                if found is not None:
                    yield from write(one, found)

    def _summary(self, one: Selected, canvas: Canvas) -> Iterator[str]:
        found = self._picture_findings(one, canvas)
        if found is None:
            yield from wrap(_NOTHING, canvas.width)
            return
        yield from summary.target_lines(one, found, canvas)
        yield ""
        yield from summary.heatmap_section(found, self.options.cell, canvas)
        yield ""
        yield from summary.area_lines(found, canvas, one.view.interval_ns / 1e3)

    def _heatmap(self, one: Selected, canvas: Canvas) -> Iterator[str]:
        found = self._picture_findings(one, canvas)
        if found is None:
            yield from wrap(_NOTHING, canvas.width)
            return
        yield from summary.heatmap_section(found, self.options.cell, canvas)

    def _wss(self, one: Selected, canvas: Canvas) -> Iterator[str]:
        yield from wss.wss_lines(one.view, self._survey(one), self.options.percentiles, canvas)

    def _schemes(self, one: Selected, canvas: Canvas) -> Iterator[str]:
        yield from acts_text.act_lines(
            one.view, self._acts(one), self._picture_findings(one, canvas), canvas
        )

    def _summary_data(self, one: Selected) -> dict[str, Any]:
        return data.summary_data(one, self._examine(one, *self._resolution()))

    def _heatmap_data(self, one: Selected) -> dict[str, Any]:
        return data.heatmap_data(one, self._examine(one, *self._resolution()))

    def _wss_data(self, one: Selected) -> dict[str, Any]:
        return data.wss_data(one, self._survey(one), self.options.percentiles)

    def _schemes_data(self, one: Selected) -> dict[str, Any]:
        found = self._examine(one, *self._resolution())
        return data.schemes_data(one, self._acts(one), found)

    def _acts(self, one: Selected) -> list[Acts]:
        """What each scheme did."""
        assert self.recording.applied is not None
        return acts(of_view(one.view, self.recording.applied), self._known(one))

    def _known(self, one: Selected) -> tuple[Scheme, ...]:
        """A target's schemes, as far as the recording tells."""
        return self.recording.schemes_of(one.view.target.kdamond)

    def _applied(self, form: str) -> Iterator[str]:
        assert self.recording.applied is not None
        for one in self.selected:
            atlas = process_atlas(one.view, self.recording.mappings)
            rows = of_view(one.view, self.recording.applied)
            actions = [scheme.action for scheme in self._known(one)]
            yield from applied.applied_texts(one.view, rows, actions, atlas, form)

    def _regions(self, form: str) -> Iterator[str]:
        for one in self.selected:
            atlas = process_atlas(one.view, self.recording.mappings)
            yield from regions.region_texts(one.view, atlas, form)

    def _survey(self, one: Selected) -> Survey:
        return survey(one.view, threshold(one.view, self.options.min_rate))

    def _picture_findings(self, one: Selected, canvas: Canvas) -> Findings | None:
        height = self.options.height or min(MAX_LINES, max(MIN_LINES, canvas.height - AROUND))
        return self._examine(one, columns(canvas), height * rows_per_line(canvas))

    def _resolution(self) -> tuple[int, int]:
        return self.options.width or MATRIX_WIDTH, self.options.height or MATRIX_HEIGHT

    def _examine(self, one: Selected, width: int, height: int) -> Findings | None:
        return examine(one.view, self.recording.mappings, width, height)
