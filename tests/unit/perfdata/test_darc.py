# SPDX-License-Identifier: GPL-2.0
"""What DARC did, read back: by columns and through perf script alike."""

import shutil

import pytest

from perf_damon.analysis.select import select
from perf_damon.errors import DataError
from perf_damon.recording import STARTED

from .writer import (
    CALLCHAIN,
    DARC_FIELDS,
    PERF_RECORD,
    Writer,
    damon_event,
    darc_events,
    dummy_event,
)

SECOND = 10**9
MB = 1 << 20
ZONES = ("0-DMA", "0-DMA32", "0-Normal", "1-Movable")
SIZES = ("free", "high", "mid", "low")
TURN = ("zone", "time", "why", "reclaimed", *SIZES)
RECLAIM = ("zone", "time", "start", "end", "passed", "reclaimed")


def write(events=None, count=24, cpus=2, regions=True):
    """A writer, and the turns and reclaims that it must give, by time."""
    darc = events or darc_events()
    first = [damon_event()] if regions else []
    words = ["perf", "record", "-e", "darc:darc_start", "-a"]
    writer = Writer(events=[*first, *darc.values(), dummy_event()], cmdline=words)
    turns, reclaims = [], []
    for cpu in range(cpus - 1, -1, -1):
        for i in range(cpu, count, cpus):
            time, zone = SECOND + i * 100_000_000, ZONES[i % len(ZONES)]
            if regions:
                writer.regions(time=time, regions=[(0x1000, 0x3000, i, 1)], cpu=cpu)
            sizes = dict(zip(SIZES, (i * MB, 9 * MB, 8 * MB, 7 * MB), strict=True))
            has_chain = darc["darc_start"].sample_type & CALLCHAIN
            key = {"zone": zone, "cpu": cpu, "chain": range(i % 5) if has_chain else ()}
            writer.darc(darc["darc_start"], time=time + 1, **key, **sizes)
            turns.append((zone, time + 1, STARTED, 0, *sizes.values()))
            for n in range(i % 3):
                start = (i << 30) + n * MB
                what = (start, start + MB, MB // 2, n * 4096)
                fields = dict(zip(("start", "end", "passed", "reclaimed"), what, strict=True))
                writer.darc(darc["darc_reclaim"], time=time + 2 + n, **key, **fields)
                reclaims.append((zone, time + 2 + n, *what))
            stop = {"why": i % 3, "reclaimed": i * 4096, **sizes}
            writer.darc(darc["darc_stop"], time=time + 9, **key, **stop)
            turns.append((zone, time + 9, i % 3, i * 4096, *sizes.values()))
    return writer, sorted(turns, key=lambda r: r[1]), sorted(reclaims, key=lambda r: r[1])


def rows(darc, table, names):
    columns = [getattr(table, name).tolist() for name in names]
    return [(darc.zones[row[0]], *row[1:]) for row in zip(*columns, strict=True)]


def check(recording, turns, reclaims):
    darc = recording.darc
    assert rows(darc, darc.turns, TURN) == turns
    assert rows(darc, darc.reclaims, RECLAIM) == reclaims
    assert recording.losses.skipped_records == 0
    assert [str(c.dtype) for c in (darc.turns.time, darc.turns.zone, darc.turns.why)] == [
        "uint64", "int32", "int8",
    ]  # fmt: skip


@pytest.mark.parametrize("cpus", [1, 2])
def test_columns_are_what_was_written_by_time(read, cpus):
    writer, *want = write(cpus=cpus)
    recording = read(writer.content())
    check(recording, *want)
    assert len(recording.regions) == 24


def test_without_any_regions(read):
    writer, *want = write(regions=False)
    recording = read(writer.content())
    check(recording, *want)
    assert len(recording.regions) == 0 and recording.targets == ()
    with pytest.raises(DataError, match="no damon:damon_aggregated events, only DARC's"):
        select(recording)


def test_samples_with_call_chains(read):
    writer, *want = write(darc_events(sample_type=PERF_RECORD | CALLCHAIN))
    check(read(writer.content()), *want)


def test_fields_may_lie_elsewhere(read):
    events = darc_events()
    for event in events.values():
        event.fields = [(d, offset + 24, *rest) for d, offset, *rest in DARC_FIELDS[event.name]]
    writer, *want = write(events)
    check(read(writer.content()), *want)


def test_a_long_recording(read):
    writer, *want = write(count=3000, cpus=1)
    check(read(writer.content()), *want)


def test_a_kernel_that_lacks_a_field(read):
    events = darc_events()
    events["darc_stop"].fields = DARC_FIELDS["darc_stop"][:-1]
    writer, *_ = write(events)
    with pytest.raises(DataError, match=r"darc:darc_stop lacks fields: it has nid, zone, why"):
        read(writer.content())


def test_texts_that_lie_nowhere_are_counted(read):
    writer, *want = write()
    event = writer.events[3]
    assert event.name == "darc_reclaim"
    good = {"start": 0, "end": 4096, "passed": 0, "reclaimed": 0, "nid": 0}
    for zone in (0, 48 | 900 << 16, 60000 | 4 << 16, 48 | 17 << 16):
        raw = event.raw(500, {**good, "zone": zone}) + b"Normal\0\0" * 3
        writer.sample(event, time=9 * SECOND, tid=500, raw=raw)
    writer.darc(event, time=9 * SECOND, start=4096, end=4096, passed=0, reclaimed=0)
    recording = read(writer.content())
    assert recording.losses.skipped_records == 5
    assert rows(recording.darc, recording.darc.reclaims, RECLAIM) == want[1]


def test_recorded_and_nothing_done_is_told_from_not_recorded(read):
    writer, *_ = write(count=0)
    writer.finished_round()
    recording = read(writer.content())
    assert len(recording.darc.turns) == 0 and recording.darc.zones == ()
    writer = Writer()
    writer.regions(time=SECOND, regions=[(0, 4096, 1, 1)])
    assert read(writer.content()).darc is None


@pytest.mark.skipif(not shutil.which("perf"), reason="perf is not installed")
@pytest.mark.parametrize("regions", [False, True])
def test_perf_script_gives_the_same(read, regions):
    writer, *want = write(regions=regions)
    recording = read(writer.piped())
    check(recording, *want)
    assert len(recording.regions) == (24 if regions else 0)
    assert len(read(write(count=0)[0].piped()).darc.turns) == 0
