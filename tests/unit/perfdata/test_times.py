# SPDX-License-Identifier: GPL-2.0
"""Damaged time stamps: the sample counts as damaged and is told, all else is as it was."""

import shutil
import struct

import numpy as np
import pytest

import perf_damon
from perf_damon.cli import main
from perf_damon.perfdata import times

from .writer import (
    CPU,
    IDENTIFIER,
    IP,
    PERIOD,
    RAW,
    TID,
    TIME,
    Writer,
    apply_event,
    damon_event,
    darc_events,
    dummy_event,
)

S = 10**9
START = 5000 * S
HOUR = 3600 * S


def content(damage=None, *, cpus=2, step=S // 10, count=30, at_end=False, events=None, piped=False):
    """A file of `count` snapshots of 4 regions; damage(index of the sample, time) -> time."""
    events = events or [damon_event(), apply_event(), *darc_events().values(), dummy_event()]
    writer = Writer(events=events)
    kinds = {event.name: event for event in events}
    records = []
    for i in range(count):
        cpu, time = i // 3 % cpus, START + i * step
        rows = [(0x10000 * (n + 1), 0x10000 * (n + 2), n, i) for n in range(4)]
        writer.regions(time=time, regions=rows, cpu=cpu)
        if "damos_before_apply" in kinds:
            event = kinds["damos_before_apply"]
            writer.applied(time=time - 9, event=event, region=rows[0], cpu=cpu)
            taken = {"start": i << 20, "end": (i + 1) << 20, "passed": 8192, "reclaimed": 4096}
            writer.darc(kinds["darc_reclaim"], time=time + 5, cpu=cpu, **taken)
        records += [(cpu, i, n, record) for n, record in enumerate(writer.records)]
        writer.records = []
    if at_end:  # perf got to the buffers when the recording ended
        records.sort(key=lambda record: record[0])
    at = time_at(events[0])
    for index, (*_, record) in enumerate(records):
        if damage is not None:
            (time,) = struct.unpack_from("<Q", record, at)
            record = record[:at] + struct.pack("<Q", damage(index, time)) + record[at + 8 :]
        writer.records.append(record)
    return writer.piped() if piped else writer.content()


def time_at(event):
    """Where a sample has its time."""
    return 8 + 8 * sum(bool(event.sample_type & bit) for bit in (IDENTIFIER, IP, TID))


def rows_of(recording):
    counts = [len(recording.regions)]
    if recording.applied is not None:
        counts += [len(recording.applied), len(recording.darc.reclaims)]
    return sum(counts)


def span(recording):
    columns = [recording.regions.time]
    if recording.applied is not None:
        columns += [recording.applied.time, recording.darc.reclaims.time]
    return min(map(np.min, columns)), max(map(np.max, columns))


WRONG = {
    "top bit": lambda time: time | 1 << 63,
    "zero": lambda time: 0,
    "2^62": lambda time: 1 << 62,
    "all ones": lambda time: (1 << 64) - 1,
    "two days later": lambda time: time + 48 * HOUR,
    "an hour later": lambda time: time + HOUR,
    "an hour earlier": lambda time: time - HOUR,
}


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("index", [0, 1, 4, 5, 6, 77, 100, 178, 179])
@pytest.mark.parametrize("how", WRONG)
def test_one_wrong_stamp(tmp_path, how, index, at_end):
    path = tmp_path / "perf.data"
    path.write_bytes(content(lambda i, t: WRONG[how](t) if i == index else t, at_end=at_end))
    recording = perf_damon.open(path)
    assert recording.losses.skipped_records == 1
    assert rows_of(recording) == 179
    first, last = span(recording)
    assert START - 9 <= first <= START + 1000
    assert START + 29 * S // 10 - 9 <= last <= START + 29 * S // 10 + 1000


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", ["text", "json", "csv"])
@pytest.mark.parametrize(
    "view", ["summary", "heatmap", "wss", "regions", "schemes", "applied", "darc"]
)
def test_every_view_says_it(tmp_path, capsys, view, form):
    path = tmp_path / "perf.data"
    path.write_bytes(content(lambda i, t: t | 1 << 63 if i in (9, 50, 52) else t))
    assert main(["report", "-i", str(path), "--format", form, view]) == 0
    out, err = capsys.readouterr()
    assert "3 records made no sense" in out + err
    assert "Error" not in err
    assert "e+15" not in out
    assert main(["advise", "-i", str(path)]) == 0


def test_many_wrong_stamps(tmp_path):
    path = tmp_path / "perf.data"
    far = {n: 1 << 40 + n % 20 for n in range(3, 180, 11)}
    path.write_bytes(content(lambda i, t: t ^ far.get(i, 0)))
    recording = perf_damon.open(path)
    first, last = span(recording)
    assert first >= START - S
    assert last <= START + 4 * S
    assert recording.losses.skipped_records == len(far)


@pytest.mark.parametrize("view", ["summary", "schemes", "applied", "darc"])
def test_all_stamps_wrong(tmp_path, capsys, view):
    path = tmp_path / "perf.data"
    path.write_bytes(content(lambda i, t: t | 1 << 63))
    main(["report", "-i", str(path), view])
    assert "180 records made no sense" in "".join(capsys.readouterr())


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("until", [S // 2, 2 * S, 5 * S // 2])
def test_a_pause_is_no_damage(tmp_path, until, at_end):
    """What is before a pause, and what is after it, is kept, in whatever order it was written."""
    path = tmp_path / "perf.data"
    path.write_bytes(content(lambda i, t: t + 20 * HOUR * (t > START + until), at_end=at_end))
    recording = perf_damon.open(path)
    assert recording.losses.skipped_records == 0
    assert rows_of(recording) == 180


@pytest.mark.parametrize("kind", [IP | TID | TIME | PERIOD | RAW, IP | TID | TIME | CPU | RAW])
@pytest.mark.parametrize("how", WRONG)
def test_samples_without_an_id(tmp_path, how, kind):
    path = tmp_path / "perf.data"
    event = damon_event(sample_type=kind)
    path.write_bytes(
        content(lambda i, t: WRONG[how](t) if i == 50 else t, events=[event], at_end=True)
    )
    recording = perf_damon.open(path)
    assert recording.losses.skipped_records == 1
    first, last = span(recording)
    assert first >= START
    assert last <= START + 3 * S


def test_a_clock_that_began_at_zero():
    time = np.arange(50, dtype=np.uint64) * np.uint64(S // 100)
    assert not times.doubtful([time])
    assert not times.wrong([time], [time * np.uint64(0)])[0].any()


def test_what_is_in_order_is_never_wrong():
    """However unevenly the stamps of a buffer lie."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        steps = rng.integers(0, 1 << rng.integers(1, 45), 200, dtype=np.uint64)
        time = np.cumsum(steps) + np.uint64(START)
        bad = np.zeros(200, bool)
        times._mark_unordered(time, rng.integers(0, 4, 200), bad)
        assert not bad.any()


@pytest.mark.skipif(not shutil.which("perf"), reason="perf is not installed")
@pytest.mark.parametrize("how", ["top bit", "zero", "two days later"])
def test_a_piped_file(tmp_path, how):
    """perf script has sorted the samples, and nothing is known of buffers."""
    path = tmp_path / "perf.data"
    path.write_bytes(content(lambda i, t: WRONG[how](t) if i == 70 else t, piped=True))
    recording = perf_damon.open(path)
    assert recording.losses.skipped_records == 1
    assert rows_of(recording) == 179
    first, last = span(recording)
    assert first >= START - 9
    assert last <= START + 3 * S
