# SPDX-License-Identifier: GPL-2.0
"""`perf damon report` from its words to its output, against files of what it should print.

PERF_DAMON_GOLDEN=write writes the files anew: look at the difference before it is committed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
import recordings

import perf_damon
from perf_damon.analysis.darc import over_time, part, span
from perf_damon.analysis.darc import turns as darc_turns
from perf_damon.analysis.select import select
from perf_damon.commands import report
from perf_damon.commands.report_views import Options, Report
from perf_damon.errors import DataError, UsageError
from perf_damon.options import Parser
from perf_damon.parameters import Attributes, Kdamond, Parameters, Scheme
from perf_damon.recording import STARTED, Header, Losses
from perf_damon.render.reclaims import reclaim_lines, time_edges
from perf_damon.render.text import Canvas, text_width

GOLDEN = Path(__file__).parent / "render" / "golden"
MB = 1 << 20
ACTIONS = ("pageout", "hugepage", "nohugepage")
TEXTS = ("action=pageout size=4K-max accesses=0%-0% age=500ms-max", "", "")
HEAP, ANON, STACK = 0x555500000000, 0x7F0000000000, 0x7FFD00000000


def stairs() -> recordings.Target:
    """Ten MB of forty are hot, each for a quarter of six seconds; a program and its stack."""
    snapshots = []
    for i in range(60):
        hot = ANON + i // 15 * 10 * MB
        rows = [(HEAP, HEAP + 2 * MB, 1 if i % 10 == 0 else 0, 9)]
        if hot > ANON:
            rows.append((ANON, hot, 0, 14))
        rows.append((hot, hot + 10 * MB, 19 - i % 2, i % 15))
        if hot < ANON + 30 * MB:
            rows.append((hot + 10 * MB, ANON + 40 * MB, 0, 30))
        rows.append((STACK, STACK + 132 * 1024, 8, 3))
        snapshots.append((1000 + 100 * i, rows))
    return recordings.target(snapshots)


def memory() -> recordings.Target:
    """Physical memory on a kernel that tells no age, seen twice."""
    rows = [(1 << 30, 3 << 29, 2), (3 << 29, 2 << 30, 0)]
    return recordings.target(
        [(2000, rows), (2200, rows)],
        ages=False,
        kdamond=78,
        pid=None,
        comm=None,
        operations="paddr",
        attributes=Attributes(aggr_us=200_000, sample_us=10_000),
        inferred=True,
    )


def schemes() -> recordings.Recording:
    """The steps that have cooled down are paged out; of the step that is hot, half is huge."""
    rows = [(1000 + 100 * i, 1, HEAP, HEAP + MB) for i in range(5)]
    for step in range(1, 4):
        cold = ANON + (step - 1) * 10 * MB
        at = 1000 + 1500 * step
        rows += [(at + 500 + 100 * i, 0, cold, cold + (2 + 2 * i) * MB) for i in range(5)]
    rows.sort()
    told = Parameters(
        (Kdamond(77, "vaddr", recordings.DEFAULT, (1234,), tuple(map(Scheme, ACTIONS, TEXTS))),)
    )
    whole = both()
    return replace(whole, parameters=told, applied=recordings.applied(rows))


def reclaiming() -> recordings.Recording:
    """Two zones: one kept up, was outrun, and goes on; the other began before the recording."""
    turns = [
        (1400, 1, 2, 64 * MB, 90 * MB),
        (2000, 0, STARTED, 0, 127 * MB),
        (3500, 0, 0, 70 * MB, 193 * MB),
        (4000, 0, STARTED, 0, 120 * MB),
        (4200, 0, 1, 4 * MB, 49 * MB),
        (6500, 0, STARTED, 0, 126 * MB),
    ]
    reclaims = [(1100 + 100 * i, 1, i << 30, 10 * MB, (9 - 3 * i) * MB) for i in range(3)]
    reclaims += [(2100 + 100 * i, 0, i << 25, 8 * MB, 5 * MB) for i in range(14)]
    reclaims += [(4100, 0, 1 << 40, 4 * MB, 4 * MB), (6700, 0, 1 << 41, 3 * MB, 2 * MB)]
    return replace(both(), darc=recordings.darc(("0-Normal", "1-Movable"), turns, reclaims))


def both() -> recordings.Recording:
    maps = [
        (1234, HEAP, HEAP + 2 * MB, "[heap]"),
        (1234, ANON, ANON + 30 * MB, "//anon"),
        (1234, ANON + 30 * MB, ANON + 40 * MB, '/usr/lib/a "b",c.so'),
        (1234, STACK, STACK + 132 * 1024, "[stack]"),
    ]
    header = Header("lab", "6.12.0-test", "6.1.192", "x86_64", captured=1_790_000_000.0)
    return recordings.recording(
        stairs(), memory(), maps=maps, header=header, losses=Losses(1234, 5000, 6)
    )


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command with a recording and words; returns what it printed."""

    def command(recording, *words):
        monkeypatch.setattr("perf_damon.open", lambda path, force: recording)
        parser = Parser("perf damon report", report.USAGE, report.DESCRIPTION, report.EPILOG)
        report.configure(parser)
        assert report.run(parser.parse_args(words)) == 0
        return capsys.readouterr().out

    for name, value in (("COLUMNS", "80"), ("LINES", "24"), ("TZ", "UTC")):
        monkeypatch.setenv(name, value)
    time.tzset()
    return command


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("PERF_DAMON_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("summary.txt", []),
        ("summary.json", ["--format", "json"]),
        ("summary.csv", ["--format", "csv"]),
        ("heatmap.txt", ["heatmap", "--target", "1", "--height", "6"]),
        ("heatmap-mean.txt", ["heatmap", "--target", "1", "--height", "4", "--cell", "mean"]),
        ("heatmap.json", ["heatmap", "--format", "json", "--width", "20", "--height", "4"]),
        ("heatmap.csv", ["heatmap", "--format", "csv", "--width", "20", "--height", "4"]),
        ("heatmap-part.txt", ["heatmap", "--time", "1,2.5", "--address", "0x7f0000000000+20M"]),
        ("wss.txt", ["wss"]),
        ("wss-hot.txt", ["wss", "--min-rate", "50%", "--percentiles", "10,90", "--target", "77:0"]),
        ("wss.json", ["wss", "--format", "json", "--time", "0,0.5"]),
        ("wss.csv", ["wss", "--format", "csv"]),
        ("regions.txt", ["regions", "--time", "1.5,1.6"]),
        ("regions.csv", ["regions", "--time", "1,1.6", "--format", "csv"]),
        ("regions.json", ["regions", "--time", "1,1.6", "--format", "json"]),
    ],
)
def test_prints(run, name, words):
    check(name, run(both(), *words))


@pytest.mark.parametrize(
    ("name", "canvas"),
    [
        ("narrow-ascii.txt", Canvas(40, 12, 0, unicode=False)),
        ("colors-16.txt", Canvas(60, 14, 16)),
        ("colors-256.txt", Canvas(100, 20, 256)),
        ("colors-true.txt", Canvas(80, 14, 2**24)),
        ("colors-ascii.txt", Canvas(80, 14, 256, unicode=False)),
    ],
)
def test_draws_on_every_terminal(name, canvas):
    whole = both()
    text = "".join(Report(whole, select(whole, "1"), Options()).text(canvas))
    check(name, text)


def test_what_is_not_a_terminal_gets_no_escapes(run):
    for words in ([], ["heatmap"], ["wss"], ["regions"]):
        assert "\x1b" not in run(both(), *words)


NAMES = {"//anon": "/データ/" + "漢字" * 30, "[heap]": "🚀 rocket " + "e\u0301" * 40 + "के" * 9}
"""Names of mappings that are wider than they are long, and longer than they are wide."""


@pytest.mark.parametrize("colors", [0, 256])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_than_its_canvas(colors, unicode):
    whole = schemes()
    maps = [(1234, *ends, NAMES[name]) for *ends, name in ((HEAP, HEAP + MB, "[heap]"),)]
    maps += [(1234, ANON, ANON + 30 * MB, NAMES["//anon"])]
    renamed = replace(whole, mappings=recordings.mappings(maps))
    darc = reclaiming()
    zones = ("0-" + "漢字" * 30, "1-Movable")
    for width in (*range(20, 50), 60, 76, 80, 100, 133):
        canvas = Canvas(width, 24, colors, unicode)
        texts = [
            "".join(Report(one, select(one), Options(view=view)).text(canvas))
            for one in (whole, renamed)
            for view in ("summary", "heatmap", "wss", "schemes")
        ]
        texts += [
            "\n".join(reclaim_lines(one, span(darc), darc.start_time, canvas))
            for one in (darc.darc, replace(darc.darc, zones=zones), part(darc.darc, 0, 1))
        ]
        lines = [line for text in texts for line in canvas.plain(text).splitlines()]
        widths = [text_width(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in lines]
        assert max(widths) <= width


def test_columns_of_wide_names_stand_below_each_other():
    whole = both()
    maps = [(1234, ANON, ANON + 20 * MB, "漢字"), (1234, ANON + 20 * MB, ANON + 30 * MB, "🚀x")]
    whole = replace(whole, mappings=recordings.mappings(maps))
    text = "".join(Report(whole, select(whole, "1"), Options()).text(Canvas(width=100)))
    head, *rows = text[text.index("Share") :].splitlines()[:4]
    at = head.index("Mapping")
    assert [row[at:].split("+")[0] for row in rows] == ["漢字", "🚀x", "漢字"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("schemes.txt", ["schemes", "--target", "1", "--height", "6"]),
        ("schemes-part.txt", ["schemes", "--time", "0,3.5", "--address", "0x7f0000000000+15M"]),
        ("schemes.json", ["schemes", "--format", "json", "--width", "20", "--height", "4"]),
        ("schemes.csv", ["schemes", "--format", "csv", "--width", "20", "--height", "4"]),
        ("applied.txt", ["applied", "--time", "1.5,2.6"]),
        ("applied.csv", ["applied", "--time", "1.5,2.6", "--format", "csv"]),
        ("applied.json", ["applied", "--time", "1.5,2.6", "--format", "json"]),
    ],
)
def test_prints_what_schemes_did(run, name, words):
    check(name, run(schemes(), *words))


def test_schemes_that_did_nothing_and_were_not_recorded(run):
    none = replace(schemes(), applied=recordings.applied([]))
    text = run(none, "schemes", "--target", "1")
    assert "No scheme acted on this memory." in text
    assert "Installed: pageout, hugepage, nohugepage" in text
    (first, _) = json.loads(run(none, "schemes", "--format", "json"))["targets"]
    assert [scheme["regions"] for scheme in first["schemes"]] == [0, 0, 0]


@pytest.mark.parametrize("view", ["schemes", "applied", "darc"])
@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_what_was_not_recorded_is_an_error_in_every_format(run, capsys, view, form):
    with pytest.raises(DataError, match=r"does not tell what (schemes|DARC) did") as caught:
        run(both(), view, "--format", form)
    assert "perf damon record --" in caught.value.hint
    assert capsys.readouterr().out == ""


CHOICE = ("target", "time", "address")
USED = {
    "summary": {
        "text": (*CHOICE, "width", "height", "cell"),
        "json": (*CHOICE, "height"),
        "csv": (*CHOICE, "height"),
    },
    "wss": {
        "text": (*CHOICE, "width", "min-rate", "percentiles"),
        "json": (*CHOICE, "min-rate", "percentiles"),
        "csv": (*CHOICE, "min-rate"),
    },
    "regions": dict.fromkeys(("text", "json", "csv"), CHOICE),
    "applied": dict.fromkeys(("text", "json", "csv"), CHOICE),
    "schemes": dict.fromkeys(("text", "json", "csv"), (*CHOICE, "width", "height")),
    "darc": {"text": ("time", "width"), "json": ("time", "width"), "csv": ("time",)},
}
USED["heatmap"] = {
    "text": USED["summary"]["text"],
    **dict.fromkeys(("json", "csv"), (*CHOICE, "width", "height")),
}
OTHER = {
    "target": "2", "time": "0,1", "address": "0x7f0000000000+5M", "width": "33", "height": "3",
    "cell": "mean", "min-rate": "60%", "percentiles": "10",
}  # fmt: skip


@pytest.mark.parametrize("view", USED)
@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_an_option_changes_a_view_or_is_refused(run, view, form):
    whole = replace(schemes(), darc=reclaiming().darc)
    plain = run(whole, view, "--format", form)
    for option, value in OTHER.items():
        words = (view, "--format", form, f"--{option}", value)
        if option in USED[view][form]:
            assert run(whole, *words) != plain, option
        else:
            with pytest.raises(UsageError, match=f"^--{option} changes nothing") as caught:
                run(whole, *words)
            assert caught.value.hint


def test_an_option_with_its_default_is_refused_all_the_same(run):
    for words in (
        ["wss", "--cell", "hottest"],
        ["--min-rate", ""],
        ["regions", "--percentiles", ""],
    ):
        with pytest.raises(UsageError):
            run(both(), *words)
    for words in (["wss", "--min-rate", ""], ["wss", "--percentiles", ""]):
        with pytest.raises(UsageError, match="not a percentage"):
            run(both(), *words)


@pytest.mark.parametrize("view", ["summary", "heatmap", "wss", "regions", "schemes", "applied"])
def test_csv_names_the_same_things_alike_in_numbers_that_can_be_subtracted(run, view):
    rows = list(csv.DictReader(io.StringIO(run(schemes(), view, "--format", "csv"))))
    assert {(row["kdamond"], row["target"]) for row in rows} <= {("77", "0"), ("78", "0")}
    assert {row["pid"] for row in rows} <= {"1234", ""}
    words = {"pid", "action", "mapping", "age_s", "offset"}
    for row in rows:
        for name, value in row.items():
            assert name in words or float(value) is not None
        if "start" in row:
            assert int(row["end"]) - int(row["start"]) > 0


def test_darcs_csv_is_in_numbers(run):
    rows = list(csv.DictReader(io.StringIO(run(reclaiming(), "darc", "--format", "csv"))))
    taken = [row for row in rows if row["event"] == "reclaim"]
    assert sum(int(row["end"]) - int(row["start"]) for row in taken) == 149 * MB


def test_schemes_on_narrow_terminals_and_of_unknown_actions(run):
    unknown = replace(schemes(), parameters=None)
    for words in (["schemes", "--width", "40"], ["schemes", "--width", "100"]):
        lines = run(unknown, *words).splitlines()
        assert [line for line in lines if len(line) > int(words[-1])] == []
        assert sum("(unknown)" in line for line in lines) == 2
    assert " 0:0 - 0x" in run(unknown, "applied")


def test_what_was_done_in_the_first_interval_was_done_at_the_start(run):
    early = replace(both(), applied=recordings.applied([(950, 0, HEAP, HEAP + MB)]))
    assert re.search(r" 1\.0 MiB  0\.0 s  0\.0 s$", run(early, "schemes"), re.MULTILINE)
    assert run(early, "applied").splitlines()[1].split()[0] == "0.000000"


def test_data_can_be_read_back(run):
    whole = both()
    rows = list(csv.DictReader(io.StringIO(run(whole, "regions", "--format", "csv"))))
    assert len(rows) == sum(len(target.regions) for target in whole.targets)
    lines = [json.loads(line) for line in run(whole, "regions", "--format", "json").splitlines()]
    for row, line, start in zip(rows, lines, whole.targets[0].regions.start, strict=False):
        assert int(row["start"]) == line["start"] == int(start)
        assert row["mapping"] == (line["mapping"] or "")
    cells = list(csv.DictReader(io.StringIO(run(whole, "heatmap", "--format", "csv"))))
    assert {(cell["kdamond"], cell["target"]) for cell in cells} == {("77", "0"), ("78", "0")}


def test_nothing_accessed(run):
    cold = recordings.recording(recordings.target([(100, [(0, 4096, 0)]), (200, [(0, 4096, 0)])]))
    text = run(cold)
    assert "No access was seen." in text
    assert "·" * 50 in text


def test_one_snapshot_of_one_region_without_mappings_or_attributes(run):
    alone = recordings.target([(100, [(0, 4096, 3, 2)])], attributes=Attributes())
    text = run(recordings.recording(alone))
    assert "perf record -d -p PID" in text
    assert "Attributes   not known" in text
    assert "1 snapshot of 1 region\n" in text
    for words in (["heatmap"], ["wss"], ["regions"]):
        run(recordings.recording(alone), *words)


def test_incomplete_snapshots_are_told(run):
    whole = both()
    whole.targets[0].regions.nr_regions[:3] += 1
    assert "WARNING: 1 of 60 snapshots are incomplete" in run(whole)


def test_nothing_there_is_said(run):
    assert "Nothing was monitored" in run(both(), "--address", "0,4K")
    with pytest.raises(DataError, match="no snapshots"):
        run(both(), "--time", "0.01,0.02")


@pytest.mark.parametrize(
    "words",
    [
        ["--target", "9"],
        ["--time", "x"],
        ["--address", "y"],
        ["--width", "3"],
        ["--height", "0"],
        ["--min-rate", "200"],
        ["--percentiles", "1,x"],
    ],
)
def test_nonsense_is_a_usage_error(run, words):
    with pytest.raises(UsageError) as caught:
        run(both(), *words)
    assert caught.value.hint


def test_losses_are_told_where_people_look(run, capsys, monkeypatch):
    monkeypatch.setattr("perf_damon.open", lambda path, force: both())
    parser = Parser("perf damon report", report.USAGE)
    report.configure(parser)
    report.run(parser.parse_args(["--format", "json"]))
    captured = capsys.readouterr()
    assert "1,234 events were lost" in captured.err
    assert json.loads(captured.out)["recording"]["losses"]["events"] == 1234


def test_a_region_is_named_by_the_mapping_at_its_start_or_the_first_inside(run):
    rows = [(0, 10, 1), (10, 20, 1), (20, 30, 1), (30, 40, 1)]
    maps = [(1234, 5, 15, "/a"), (1234, 25, 30, "/b")]
    made = recordings.recording(recordings.target([(100, rows)]), maps=maps)
    names = [line.rsplit(" ", 1)[1] for line in run(made, "regions").splitlines()[1:]]
    assert names == ["/a", "/a", "/b", "-"]


def test_cells_of_a_hole_in_time_are_not_there(run):
    rows = [(0, 4096, 3)]
    made = recordings.recording(recordings.target([(100, rows), (200, rows), (9000, rows)]))
    text = run(made, "heatmap", "--format", "csv", "--width", "1", "--height", "9")
    assert len(text.splitlines()) == 1 + 2
    picture = json.loads(run(made, "heatmap", "--format", "json", "--width", "1", "--height", "9"))
    assert picture["targets"][0]["mean"] == [[0.15], *[[None]] * 7, [0.15]]


def test_a_real_recording(run):
    path = Path(__file__).parents[1] / "data" / "stairs.perf.data"
    whole = perf_damon.open(path)
    whole = replace(whole, path="perf.data", header=replace(whole.header, captured=None))
    check("real.txt", run(whole))


def test_a_real_recording_of_stairs_has_the_steps_that_were_taken(run):
    """tests/data/stairs.perf.data: 10 MB of a mapping at a time, 2.5 s each."""
    path = Path(__file__).parents[1] / "data" / "stairs.perf.data"
    found = json.loads(run(perf_damon.open(path), "--format", "json"))["targets"][0]
    steps = [0x7F6EBFC00000 + i * 10 * MB for i in range(-1, 2)]
    for step in steps[1:]:
        (area,) = [a for a in found["areas"] if abs(a["start"] - step) < MB and a["peak"] > 0.9]
        assert area["size"] == pytest.approx(10 * MB, rel=0.1)
        assert (area["mapping"], area["end"] - area["start"]) == (
            "anonymous",
            pytest.approx(10 * MB, rel=0.1),
        )
    assert found["working_set"]["50"] == pytest.approx(10 * MB, rel=0.1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("darc.txt", []),
        ("darc-part.txt", ["--time", "2,3", "--width", "44"]),
        ("darc.json", ["--format", "json", "--width", "12"]),
        ("darc.csv", ["--format", "csv"]),
    ],
)
def test_what_darc_did(run, name, words):
    check(name, run(reclaiming(), "darc", *words))


def test_darcs_sums_are_those_of_its_events(run):
    whole = json.loads(run(reclaiming(), "darc", "--format", "json"))["darc"]
    normal, movable = whole["zones"]
    assert (normal["starts"], normal["stops"]["above_high"], normal["stops"]["below_low"]) == (
        *(3, 1, 1),
    )
    assert normal["reclaimed"] == sum(whole["reclaimed"]["0-Normal"]) == (14 * 5 + 4 + 2) * MB
    assert movable["reclaimed"] == sum(whole["reclaimed"]["1-Movable"]) == 18 * MB
    assert movable["stops"]["disabled"] == 1 and movable["starts"] == 0
    first, *_, last = whole["turns"]
    assert (first["begin_ns"], first["end_ns"], first["why"]) == (None, 400_000_000, "disabled")
    assert (last["end_ns"], last["why"], last["reclaimed"]) == (None, None, 2 * MB)
    lines = list(csv.DictReader(io.StringIO(run(reclaiming(), "darc", "--format", "csv"))))
    assert sum(int(r["reclaimed"]) for r in lines if r["event"] == "reclaim") == 94 * MB
    assert [int(r["time_ns"]) for r in lines] == sorted(int(r["time_ns"]) for r in lines)


def test_darc_that_did_nothing_or_was_not_recorded(run):
    idle = replace(reclaiming(), darc=part(reclaiming().darc, 0, 1))
    assert "DARC reclaimed nothing" in run(idle, "darc")
    assert json.loads(run(idle, "darc", "--format", "json"))["darc"]["turns"] == []
    with pytest.raises(DataError, match="does not tell what DARC did") as caught:
        run(both(), "darc")
    assert "perf damon record --darc" in caught.value.hint
    for words in (["--target", "1"], ["--address", "1G,2G"]):
        with pytest.raises(UsageError, match="changes nothing of report darc"):
            run(reclaiming(), "darc", *words)


def test_an_end_that_was_lost():
    """The next start ends what began before; what is reclaimed counts once."""
    turns = [(1000, 0, STARTED, 0, 1), (2000, 0, STARTED, 0, 2), (3000, 0, 0, 7, 3)]
    reclaims = [(1500, 0, 0, 4096, 4096), (2500, 0, 4096, 8192, 8192)]
    first, second = darc_turns(recordings.darc(("0-Normal",), turns, reclaims))
    assert (first.end, first.tried, first.reclaimed) == (None, 4096, 4096)
    assert (second.tried, second.reclaimed, second.why) == (8192, 7, "above_high")


def test_the_last_moment_counts():
    darc = recordings.darc(
        ("0-Normal",),
        [(1000, 0, STARTED, 0, 1)],
        [(at, 0, 0, 4096, size) for at, size in ((1000, 1), (1999, 2), (2000, 4), (3000, 8))],
    )
    edges = time_edges((1000 * recordings.MS, 3000 * recordings.MS), 2)
    assert over_time(darc, edges)["0-Normal"].tolist() == [3, 12]
