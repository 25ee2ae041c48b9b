# SPDX-License-Identifier: GPL-2.0
"""Recordings that make no sense: every view and format ends well, without numpy's warnings."""

from __future__ import annotations

import json
import sys

import fuzz_files
import fuzz_report
import numpy as np
import pytest
import recordings
from fuzz_report import MEMORY
from hypothesis import given, settings
from hypothesis import strategies as st

from perf_damon import cli
from perf_damon.analysis.advice import advise
from perf_damon.analysis.select import select
from perf_damon.commands.report_views import Options, Report
from perf_damon.parameters import Attributes
from perf_damon.render.advice import advice_data, advice_text
from perf_damon.render.text import Canvas
from perf_damon.schemes.text import parse_file

U32, U64 = 2**32 - 1, 2**64 - 1
ADDRESS = st.integers(0, U64) | st.integers(0, 1 << 20) | st.sampled_from([0, 4096, U64 - 1, U64])
ROWS = st.lists(
    st.tuples(ADDRESS, ADDRESS, st.integers(0, 25) | st.just(U32), st.integers(0, U32)),
    min_size=1,
    max_size=12,
)
SNAPSHOTS = st.lists(
    st.tuples(st.sampled_from([0, 1, 100, 100, 100, 5000, 10**9]), ROWS), min_size=1, max_size=9
)
ACTS = st.lists(
    st.tuples(st.integers(0, 10**10), st.integers(0, 3) | st.just(U32), ADDRESS, ADDRESS).map(
        lambda row: (*row[:2], min(row[2:]), max(row[2:]))
    ),
    max_size=9,
).map(sorted)
MAPPINGS = st.lists(
    st.tuples(
        st.just(1234), ADDRESS, ADDRESS, st.sampled_from(["", "[heap]", "/a\x1b,b", "漢\udc80"])
    ),
    max_size=6,
)


@pytest.mark.filterwarnings("error")
@settings(max_examples=120, deadline=None)
@given(
    snapshots=SNAPSHOTS,
    maps=MAPPINGS,
    acts=ACTS,
    ages=st.booleans(),
    attributes=st.sampled_from(
        [recordings.DEFAULT, Attributes(), Attributes(0, 0), Attributes(7, 3)]
    ),
    window=st.none() | st.tuples(ADDRESS, ADDRESS),
    view=st.sampled_from(["summary", "heatmap", "wss", "regions", "schemes", "applied"]),
    canvas=st.builds(
        Canvas,
        st.sampled_from([40, 80, 233]),
        st.sampled_from([1, 24, 99]),
        st.sampled_from([0, 16, 256, 2**24]),
        st.booleans(),
    ),
)
def test_every_view_ends_well(snapshots, maps, acts, ages, attributes, window, view, canvas):
    time, stamped = 0, []
    for distance, rows in snapshots:
        time += distance
        stamped.append((time, rows))
    target = recordings.target(stamped, ages=ages, attributes=attributes)
    # The reader lets no empty range through.
    applied = recordings.applied([act for act in acts if act[2] < act[3]])
    whole = recordings.recording(target, maps=maps, applied=applied)
    address = f"{min(window):#x},{max(window):#x}" if window and window[0] != window[1] else None
    chosen = select(whole, address=address)
    views = [one.view for one in chosen if one.view.nr_snapshots]
    advice = advise(views, whole.mappings, "vaddr")
    written = advice_text(whole, chosen, advice, 0.05)
    assert len(parse_file(written, "x")) == len(advice.proposals)
    json.dumps(advice_data(whole, chosen, advice, 0.05), allow_nan=False)
    report = {}
    for form in ("text", "json", "csv"):
        report[form] = Report(whole, select(whole, address=address), Options(view, form))
    text = "".join(report["text"].text(canvas))
    assert "\x1b,b" not in text
    assert text.encode("utf-8")
    for line in "".join(report["json"].data()).splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
    width = None
    for line in "".join(report["csv"].data()).splitlines():
        width = width or line.count(",")
        assert line.count(",") >= width
    assert np.geterr()["over"] == "warn"


@pytest.mark.parametrize("part", range(6))
def test_files_with_damaged_fields(tmp_path, part):
    """What make fuzz-report does, with some hundred files that are always the same."""
    for number in range(100):
        words, what = fuzz_report.try_one(f"unit {part}:{number}", tmp_path / "perf.data")
        assert not what, f"file {number} of seed 'unit {part}': perf damon {' '.join(words)}"


def test_the_fuzzer_draws_the_same_file_again():
    assert fuzz_files.draw("1:2") == fuzz_files.draw("1:2")
    assert fuzz_files.draw("1:2") != fuzz_files.draw("1:3")


def test_the_fuzzer_finds_what_goes_wrong(monkeypatch, tmp_path, capsys):
    """A traceback, a warning of numpy, too much memory, more than one error."""

    def overflow():
        return np.array([2e300]) * np.array([2e300])

    faults = {
        "ZeroDivisionError": lambda: 1 // 0,
        "RuntimeWarning": overflow,
        "out of memory": lambda: np.ones(2 * MEMORY, np.uint8),
        "more than one": lambda: print("Error: a\nError: b", file=sys.stderr),
    }
    for word, fault in faults.items():
        monkeypatch.setattr(cli, "_dispatch", lambda _, fault=fault: (fault(), 255)[1])
        assert word in fuzz_report.try_one("1:1", tmp_path / "perf.data")[1]
    monkeypatch.setattr(sys, "argv", ["fuzz-report", "--files", "2", "--seed", "7"])
    assert fuzz_report.main() == 1
    assert "make fuzz-report SEED=7 ONLY=1" in capsys.readouterr().out
