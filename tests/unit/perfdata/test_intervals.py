# SPDX-License-Identifier: GPL-2.0
"""Intervals that were not what was asked for: ages, rates and what is said about them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import perf_damon
from perf_damon import distances
from perf_damon.analysis.view import view
from perf_damon.cli import main
from perf_damon.parameters import Attributes, Kdamond, Parameters, Scheme

from .writer import Writer, apply_event, damon_event, dummy_event

MS = 10**6
ATTRIBUTES = Attributes(5000, 100000, 1000000, 10, 1000)


def recorded(tmp_path, gaps_ms, *, attributes=ATTRIBUTES, most=20, age=10):
    """A recording whose snapshots are so far apart; every region has the age."""
    words = []
    if attributes is not None:
        kdamond = Kdamond(500, "vaddr", attributes, (77,), (Scheme("stat"),))
        words = Parameters((kdamond,), (), {77: "app"}).to_words()
    apply = apply_event()
    writer = Writer(
        events=[damon_event(), apply, dummy_event()], cmdline=["perf", "record", "--", *words]
    )
    time = 5000 * 1000 * MS
    for gap in (0, *gaps_ms):
        time += gap * MS
        rows = [
            (0x10000 * (n + 1), 0x10000 * (n + 2), count, age) for n, count in enumerate((0, most))
        ]
        writer.applied(time=time - 9, event=apply, region=rows[0])
        writer.regions(time=time, regions=rows)
    path = tmp_path / "perf.data"
    path.write_bytes(writer.content())
    return path


def said(path, capsys, *words):
    assert main(["report", "-i", str(path), *words]) == 0
    return " ".join(capsys.readouterr().out.split())


def ages(path, capsys):
    """Seconds: of the regions, of what schemes acted on, of the areas, and in pandas."""
    regions = json_lines(path, capsys, "regions")
    applied = json_lines(path, capsys, "applied")
    whole = json.loads(said(path, capsys, "--format", "json"))
    frame = pytest.importorskip("pandas") and perf_damon.open(path)
    return {
        "regions": [line["age_s"] for line in regions],
        "applied": [line["age_s"] for line in applied],
        "areas": [area["age_s"] for area in whole["targets"][0]["areas"]],
        "pandas": frame.to_pandas()["age"].tolist(),
        "applied in pandas": frame.applied_to_pandas()["age"].tolist(),
    }


def json_lines(path, capsys, view_):
    assert main(["report", "-i", str(path), view_, "--format", "json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("gap", [100, 102, 250])
def test_ages_follow_stretched_intervals(tmp_path, capsys, gap):
    """On a busy machine ten intervals of 100 ms take 2.5 s; 2 % more or less are no matter."""
    path = recorded(tmp_path, [gap] * 50)
    second = 2.5 if gap == 250 else 1.0
    for what, values in ages(path, capsys).items():
        assert values == pytest.approx([second] * len(values)), what
        assert values
    assert ("snapshots are 250 ms apart" in said(path, capsys)) == (gap == 250)
    assert "intervals changed" not in said(path, capsys)


def test_jitter_and_holes_are_no_intervals(tmp_path, capsys):
    gaps = [97, 103] * 20 + [5000] + [100] * 20
    for what, values in ages(recorded(tmp_path, gaps), capsys).items():
        assert values == pytest.approx([1.0] * len(values)), what


@pytest.mark.parametrize("tuned", [False, True])
def test_ages_follow_tuned_intervals(tmp_path, capsys, tuned):
    """DAMON converts ages when it changes intervals: they are in those of the moment."""
    attributes = Attributes(5000, 100000, 1000000, 10, 1000, tuned=tuned)
    path = recorded(tmp_path, [100] * 45 + [1000] * 45, attributes=attributes)
    found = ages(path, capsys)
    for what in ("regions", "applied", "pandas", "applied in pandas"):
        assert found[what][:20] == pytest.approx([1.0] * 20), what
        assert found[what][-20:] == pytest.approx([10.0] * 20), what
    # Weighted by time: 4.6 s with 1 s, 45 s with 10 s.
    assert found["areas"] == pytest.approx([9.16] * len(found["areas"]), rel=0.02)
    how = "tuned by DAMON" if tuned else "changed while it was recorded"
    assert f"intervals {how}: 100 ms … 1 s between snapshots" in said(path, capsys)
    target = json.loads(said(path, capsys, "--format", "json"))["targets"][0]
    assert target["intervals_tuned"] is True
    assert target["attributes"]["tuned"] is tuned
    recording = perf_damon.open(path)
    looked = view(recording.targets[0], recording.start_time)
    assert looked.duration[-40:].tolist() == [1000 * MS] * 40, "no holes"
    late = view(recording.targets[0][60:], recording.start_time)
    assert late.age_ns(np.array([3]), np.array([0])).tolist() == [3000 * MS]


def test_the_guess_of_20_samples_is_said(tmp_path, capsys):
    path = recorded(tmp_path, [100] * 30, attributes=None, most=17)
    assert "sample 5 ms (a guess: 20 samples an interval)" in said(path, capsys)
    target = json.loads(said(path, capsys, "--format", "json"))["targets"][0]
    assert (target["sample_guessed"], target["max_nr_accesses"]) == (True, 20)


def test_the_largest_count_corrects_the_guess(tmp_path, capsys):
    path = recorded(tmp_path, [100] * 30, attributes=None, most=37)
    text = said(path, capsys)
    assert "guess" not in text
    assert "rates are shares of the largest count seen, 37" in text
    target = json.loads(said(path, capsys, "--format", "json"))["targets"][0]
    assert (target["sample_guessed"], target["max_nr_accesses"]) == (False, 37)


def test_the_largest_count_corrects_what_was_told(tmp_path, capsys):
    """perf damon tune may have changed the intervals since."""
    path = recorded(tmp_path, [100] * 30, most=40)
    assert "largest count seen, 40" in said(path, capsys)
    assert {line["rate"] for line in json_lines(path, capsys, "regions")} == {0, 1}
    target = perf_damon.open(path).targets[0]
    assert (target.max_nr_accesses, target[:0].max_nr_accesses) == (40, 40)


def test_a_count_that_cannot_be_is_not_the_largest(tmp_path):
    path = recorded(tmp_path, [100] * 30, most=(1 << 32) - 1)
    assert perf_damon.open(path).targets[0].max_nr_accesses == 20


@pytest.mark.parametrize("gaps", [[], [3200], [3200, 3200, 6400, 12800] * 9])
def test_intervals_of_damons_own_monitoring(tmp_path, capsys, gaps):
    """DAMON_STAT tells no sampling interval, and an aggregation interval for the moment."""
    attributes = Attributes(aggr_us=3_174_080, tuned=True)
    path = recorded(tmp_path, gaps, attributes=attributes)
    (target,) = json.loads(said(path, capsys, "--format", "json"))["targets"]
    assert target["attributes"]["aggr_us"] == 3_174_080
    assert (target["attributes_inferred"], target["sample_guessed"]) == (False, True)
    assert (target["attributes"]["sample_us"], target["max_nr_accesses"]) == (158_704, 20)
    assert target["intervals_tuned"] is True
    text = said(path, capsys)
    assert "sample 158.7 ms (a guess: 20 samples an interval), aggregate 3.174 s" in text
    assert "intervals tuned by DAMON" in text
    looked = view(perf_damon.open(path).targets[0], 0)
    assert looked.duration[0] == (3200 if gaps else 3174.08) * MS
    # An age of 10 intervals.
    (first, *_) = ages(path, capsys)["regions"]
    assert first == pytest.approx(32.0 if gaps else 31.7408)
    assert "100 ms" not in text


def test_one_snapshot_tells_no_interval(tmp_path, capsys):
    """What is taken for it is said to be a guess."""
    text = said(recorded(tmp_path, [], attributes=None), capsys)
    assert "aggregate 100 ms (a guess: one snapshot does not tell)" in text
    text = said(recorded(tmp_path, [3200], attributes=None), capsys)
    assert "aggregate 3.2 s, concluded" in text and "does not tell" not in text


def test_known_and_met_intervals_need_no_words(tmp_path, capsys):
    text = said(recorded(tmp_path, [100] * 30), capsys)
    for word in ("guess", "largest count", "intervals tuned", "intervals changed", "apart"):
        assert word not in text


def test_distances_that_change():
    steady = np.array([100] * 40)
    assert not distances.changed(steady)
    assert not distances.changed(np.array([100, 9000] * 3))
    assert not distances.changed(np.array([], np.int64))
    assert distances.changed(np.append(steady, steady * 3))
    assert distances.local(np.append(steady, steady * 3)).tolist() == [100] * 40 + [300] * 40
    assert distances.age_units(np.array([], np.int64), 100, True) is None
