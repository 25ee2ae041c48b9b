# SPDX-License-Identifier: GPL-2.0
"""Files of known content, read back."""

import re
import struct

import numpy as np
import pytest

import perf_damon
from perf_damon.errors import DataError
from perf_damon.parameters import PARAMETERS_WORD, Attributes, Kdamond, Parameters
from perf_damon.perfdata import tracing

from .writer import (
    CALLCHAIN,
    ID,
    IDENTIFIER,
    PATCHED_FIELDS,
    PERF_RECORD,
    RAW,
    READ,
    TIME,
    Event,
    Writer,
    damon_event,
    dummy_event,
)

SECOND = 10**9


def snapshot(count=4, base=0x10000, age=3):
    return [(base + i * 0x1000, base + (i + 1) * 0x1000, i % 21, age) for i in range(count)]


@pytest.fixture
def read(tmp_path):
    def read_(writer, **kwargs):
        path = tmp_path / "perf.data"
        path.write_bytes(writer if isinstance(writer, bytes) else writer.content(**kwargs))
        return perf_damon.open(path)

    return read_


def empty(events):
    """A file without samples."""
    writer = Writer(events=events)
    writer.finished_round()
    return writer


def rows(regions):
    columns = [regions.time, regions.start, regions.end, regions.nr_accesses, regions.nr_regions]
    columns.append(regions.age if regions.age is not None else [None] * len(regions))
    return list(zip(*(list(column) for column in columns), strict=True))


def expected(snapshots, step=100):
    return [
        (time + i * step, start, end, accesses, len(regions), age)
        for time, regions in snapshots
        for i, (start, end, accesses, age) in enumerate(regions)
    ]


def test_columns_are_what_was_written(read):
    writer = Writer()
    snapshots = [(SECOND + i * SECOND // 10, snapshot(4 + i % 3, age=i)) for i in range(30)]
    for time, regions in snapshots:
        writer.regions(time=time, regions=regions)
    recording = read(writer)
    assert rows(recording.regions) == expected(snapshots)
    (target,) = recording.targets
    assert (target.kdamond, target.id, target.nr_snapshots) == (500, 0, 30)
    assert list(np.diff(target.offsets)) == [4 + i % 3 for i in range(30)]
    assert list(target.snapshot_time) == [time for time, _ in snapshots]
    assert not recording.losses
    assert recording.regions.time.dtype == np.uint64
    assert recording.regions.nr_accesses.dtype == np.uint32


def test_one_target_is_a_view_of_all_rows(read):
    writer = Writer()
    writer.regions(time=1, regions=snapshot())
    recording = read(writer)
    assert np.shares_memory(recording.targets[0].regions.start, recording.regions.start)


def test_header(read):
    recording = read(empty([damon_event(clockid=1)]))
    assert recording.header.hostname == "box"
    assert recording.header.os_release == "6.12.0"
    assert recording.header.perf_version == "6.1.192"
    assert recording.header.arch == "x86_64"
    assert recording.header.cmdline == ("perf", "record", "-e", "damon:damon_aggregated")
    assert recording.header.clockid == 1
    assert recording.targets == ()
    assert (recording.start_time, recording.end_time) == (0, 0)


def test_rings_of_several_cpus_are_put_in_order(read):
    writer = Writer()
    regions = snapshot(6)
    late = [(SECOND, regions[:3]), (3 * SECOND, regions)]
    for time, part in late:
        writer.regions(time=time, regions=part, nr_regions=6, cpu=1)
    writer.regions(time=SECOND + 300, regions=regions[3:], nr_regions=6, cpu=0)
    writer.regions(time=2 * SECOND, regions=regions, nr_regions=6, cpu=0)
    recording = read(writer)
    assert rows(recording.regions) == expected(
        [(SECOND, regions), (2 * SECOND, regions), (3 * SECOND, regions)]
    )
    assert list(recording.targets[0].offsets) == [0, 6, 12, 18]


def test_kdamonds_with_equal_target_ids_are_kept_apart(read):
    writer = Writer()
    want = {(501, 0): [], (500, 1): [], (500, 0): []}
    for i in range(5):
        for n, (tid, id_) in enumerate(want):
            regions = snapshot(3 + n, base=0x100000 * (n + 1))
            time = SECOND + i * SECOND // 10 + n * 1000
            writer.regions(time=time, regions=regions, tid=tid, target_id=id_)
            want[tid, id_].append((time, regions))
    recording = read(writer)
    assert [(t.kdamond, t.id) for t in recording.targets] == [(500, 0), (500, 1), (501, 0)]
    for target in recording.targets:
        assert rows(target.regions) == expected(want[target.kdamond, target.id])
        assert rows(recording.regions[target.rows]) == rows(target.regions)
        assert target.nr_snapshots == 5


def test_events_of_two_kdamonds_interleaved_one_by_one_and_out_of_order(read):
    writer = Writer()
    regions = snapshot(40)
    for cpu in (1, 0):
        for i in range(20):
            for tid in (500, 501):
                region = regions[2 * i + cpu]
                time = SECOND + (2 * i + cpu) * 10
                writer.regions(time=time, regions=[region], nr_regions=40, tid=tid, cpu=cpu)
    recording = read(writer)
    for target in recording.targets:
        assert rows(target.regions) == [
            (SECOND + i * 10, *region[:3], 40, region[3]) for i, region in enumerate(regions)
        ]
        assert target.nr_snapshots == 1


def test_many_targets(read):
    writer = Writer()
    for i in range(300):
        writer.regions(time=SECOND + i, regions=snapshot(1), tid=1000 - i, target_id=i % 7)
    recording = read(writer)
    assert [t.kdamond for t in recording.targets] == list(range(701, 1001))
    assert [int(t.regions.time[0]) for t in recording.targets] == [
        SECOND + 1000 - t.kdamond for t in recording.targets
    ]


def test_age_may_be_missing(read):
    event = damon_event(fields=tuple(f for f in damon_event().fields if "age" not in f[0]))
    writer = Writer(events=[event, dummy_event()])
    writer.regions(time=SECOND, regions=snapshot())
    recording = read(writer)
    assert recording.regions.age is None
    assert list(recording.regions.nr_accesses) == [0, 1, 2, 3]


def test_fields_of_patched_kernels_lie_elsewhere(read):
    writer = Writer(events=[damon_event(fields=PATCHED_FIELDS), dummy_event()])
    writer.regions(time=SECOND, regions=snapshot(5), target_id=9)
    recording = read(writer)
    assert rows(recording.regions) == expected([(SECOND, snapshot(5))])
    assert recording.targets[0].id == 9


def test_a_kernel_without_a_needed_field(read):
    fields = tuple(f for f in damon_event().fields if "nr_accesses" not in f[0])
    with pytest.raises(DataError, match=r"lacks fields: it has target_id, nr_regions, start"):
        read(empty([damon_event(fields=fields)]))


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_type": PERF_RECORD & ~IDENTIFIER},
        {"sample_type": PERF_RECORD & ~IDENTIFIER | ID},
        {"sample_type": PERF_RECORD | READ},
        {"sample_type": PERF_RECORD | READ, "read_format": 1 | 2 | 4 | 16},
        {"sample_type": PERF_RECORD | READ | CALLCHAIN, "read_format": 1 | 4 | 8},
        {"sample_type": PERF_RECORD | CALLCHAIN},
    ],
    ids=["no id", "id", "read", "read all", "group and chain", "chain"],
)
def test_layouts_of_samples(read, changes):
    writer = Writer(events=[damon_event(**changes), dummy_event()])
    regions = snapshot(50)
    for i, region in enumerate(regions):
        more = {"chain": range(i % 5), "group": range(1 + i % 3)}
        writer.regions(time=SECOND + i, regions=[region], nr_regions=50, **more)
    recording = read(writer)
    assert rows(recording.regions) == [
        (SECOND + i, *region[:3], 50, region[3]) for i, region in enumerate(regions)
    ]
    assert not recording.losses


@pytest.mark.parametrize("missing", [RAW, TIME])
def test_samples_that_lack_what_is_needed(read, missing):
    with pytest.raises(DataError, match="lack thread, time or raw data"):
        read(empty([damon_event(sample_type=PERF_RECORD & ~missing)]))


@pytest.mark.parametrize("sample_type", [PERF_RECORD, PERF_RECORD & ~IDENTIFIER])
def test_other_events_in_the_same_file(read, sample_type):
    switch = Event(
        config=372,
        ids=(40, 90),
        name="sched_switch",
        system="sched",
        sample_type=sample_type,
        fields=(("char prev_comm[16]", 8, 16, 0), ("long x", 24, 8, 0)),
    )
    twin = Event(config=373, ids=(91,), name="twin", system="x", sample_type=sample_type)
    damon = damon_event(ids=(32, 77), sample_type=sample_type)
    writer = Writer(events=[switch, damon, twin, dummy_event()])
    snapshots = []
    for i in range(60):
        time = SECOND + i * SECOND // 10
        snapshots.append((time, snapshot(8)))
        writer.regions(time=time, regions=snapshot(8), event=damon, cpu=i % 2)
        for n in range(i % 4):
            writer.sample(switch, time=time + 900 + n, tid=3, raw=switch.raw(3, {}))
            writer.regions(time=time + 950, regions=snapshot(2), event=twin)
    recording = read(writer)
    assert rows(recording.regions) == expected(snapshots)
    assert recording.targets[0].nr_snapshots == 60
    assert not recording.losses


def test_mappings_and_names(read):
    writer = Writer()
    writer.comm(77, "sh")
    writer.mmap2(77, 0x10000, 0x2000, "/usr/bin/cat")
    writer.fork(77, 78, time=5)
    writer.comm(78, "app", misc=1 << 13)
    writer.mmap2(78, 0x50000, 0x1000, "[heap]", time=7)
    writer.comm(78, "worker", tid=79)
    writer.mmap(-1, 0xFFFFFFFF81000000, 0x1000, "[kernel.kallsyms]_text")
    writer.fork(78, 90, time=9)
    writer.regions(time=SECOND, regions=snapshot())
    recording = read(writer)
    mappings = recording.mappings
    table = [
        (int(t), int(p), int(s), int(e), mappings.names[n])
        for t, p, s, e, n in zip(
            mappings.time, mappings.pid, mappings.start, mappings.end, mappings.name, strict=True
        )
    ]
    assert table == [
        (0, 77, 0x10000, 0x12000, "/usr/bin/cat"),
        (5, 78, 0x10000, 0x12000, "/usr/bin/cat"),
        (7, 78, 0x50000, 0x51000, "[heap]"),
        (9, 90, 0x50000, 0x51000, "[heap]"),
    ]
    assert list(mappings.offset) == [4096] * 4
    assert recording.comms == {77: "sh", 78: "app"}


def test_parameters_decide_over_what_times_say(read):
    told = Parameters(
        kdamonds=(
            Kdamond(500, "vaddr", Attributes(1000, 20000, 1000000, 10, 100), (77, 78)),
            Kdamond(501, "paddr", Attributes(5000, 100000, 1000000, 10, 1000)),
        ),
        command=("app",),
        comms={78: "told"},
    )
    writer = Writer(cmdline=["perf", "record", "--", "sh", *told.to_words()])
    writer.comm(77, "seen")
    writer.mmap2(99, 0, 1 << 40, "/all")
    for tid, id_ in ((500, 0), (500, 1), (501, 0), (502, 0)):
        writer.regions(time=SECOND, regions=snapshot(), tid=tid, target_id=id_)
    recording = read(writer)
    assert recording.parameters == told
    assert recording.header.cmdline[4] == PARAMETERS_WORD
    first, second, physical, plain = recording.targets
    assert (first.pid, first.comm, first.operations) == (77, "seen", "vaddr")
    assert (second.pid, second.comm) == (78, "told")
    assert (physical.pid, physical.comm, physical.operations) == (None, None, "paddr")
    assert first.attributes.max_nr_accesses == 20
    assert not (first.attributes_inferred or first.pid_inferred)
    assert (plain.pid, plain.pid_inferred, plain.operations) == (99, True, "vaddr")
    assert plain.attributes_inferred


def test_losses_are_counted_once(read):
    writer = Writer()
    writer.lost(5)
    writer.lost(7)
    writer.lost_samples(11)
    writer.lost_samples(100, misc=1 << 15)
    writer.lost_samples(100, id_=dummy_event().ids[0])
    writer.regions(time=SECOND, regions=snapshot())
    assert read(writer).losses.events == 12
    writer.lost_samples(20)
    assert read(writer).losses.events == 31


def test_regions_that_cannot_be_are_passed_over(read):
    writer = Writer()
    writer.regions(time=SECOND, regions=snapshot(3))
    writer.regions(time=SECOND * 2, regions=[(0x3000, 0x3000, 1, 1), (0x5000, 0x4000, 1, 1)])
    writer.regions(time=SECOND * 3, regions=snapshot(3))
    recording = read(writer)
    assert rows(recording.regions) == expected([(SECOND, snapshot(3)), (SECOND * 3, snapshot(3))])
    assert recording.losses.skipped_records == 2


def test_end_of_the_data_inside_of_a_record(read, monkeypatch):
    # Cut off, the file has lost its formats: the kernel that runs may know them.
    monkeypatch.setattr(tracing, "running_kernel_format", lambda *_: _format(500))
    writer = Writer()
    writer.regions(time=SECOND, regions=snapshot(10))
    whole = writer.content()
    (data_at, data_size) = struct.unpack_from("<2Q", whole, 40)
    recording = read(whole[: data_at + data_size - 50])
    assert rows(recording.regions) == [
        (time, *row, 10, age) for time, *row, _, age in expected([(SECOND, snapshot(10))])[:9]
    ]
    assert recording.losses.truncated_bytes == len(writer.records[-1])


def _format(id_):
    from .writer import FIELDS, format_text

    return tracing.parse_format(format_text("damon_aggregated", id_, FIELDS))


def test_killed_perf_record(read, monkeypatch):
    writer = Writer()
    writer.regions(time=SECOND, regions=snapshot(10))
    monkeypatch.setattr(tracing, "running_kernel_format", lambda *_: None)
    with pytest.raises(DataError, match="formats are missing: perf record did not finish it"):
        read(writer, finished=False)
    monkeypatch.setattr(tracing, "running_kernel_format", lambda *_: _format(501))
    with pytest.raises(DataError, match="formats are missing"):
        read(writer, finished=False)
    monkeypatch.setattr(tracing, "running_kernel_format", lambda *_: _format(500))
    recording = read(writer, finished=False)
    assert rows(recording.regions) == expected([(SECOND, snapshot(10))])
    assert not recording.losses


def test_without_damon_events(read):
    switch = Event(config=1, ids=(1,), name="sched_switch", system="sched")
    with pytest.raises(DataError, match=r"no damon:damon_aggregated events; it has sched:sched_s"):
        read(empty([switch, dummy_event()]))
    cycles = Event(config=0, ids=(1,), type=0)
    with pytest.raises(DataError, match=r"it has cycles$") as caught:
        read(empty([cycles]))
    assert "perf damon record" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"PERFILE2" + b"\x68" + bytes(30), "header is cut off: 39 of 104"),
        (b"PER", "header is cut off: 3 of 104"),
        (b"#!/bin/sh\n" * 20, "not a perf.data file"),
        (b"PERFILE2" + b"\xff" * 200, "data are said to begin at byte"),
        (b"PERFILE2" + struct.pack("<8Q", 104, 7, 104, 0, 104, 0, 0, 0) + bytes(99), "attributes"),
    ],
)
def test_what_is_no_recording(read, content, message):
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read(content)
    assert caught.value.hint


def test_what_is_no_file(tmp_path):
    with pytest.raises(DataError, match="is a directory"):
        perf_damon.open(tmp_path)
    with pytest.raises(FileNotFoundError):
        perf_damon.open(tmp_path / "none")
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        perf_damon.open(tmp_path / "pipe")


def test_long_runs_of_another_event_are_no_damage(read):
    twin = Event(config=373, ids=(91,), name="twin", system="x")
    writer = Writer(events=[damon_event(), twin, dummy_event()])
    for i in range(4):
        writer.regions(time=SECOND * (i + 1), regions=snapshot(600), event=writer.events[i % 2])
    recording = read(writer)
    assert rows(recording.regions) == expected(
        [(SECOND, snapshot(600)), (3 * SECOND, snapshot(600))]
    )
    assert not recording.losses


def test_names_are_as_long_as_the_kernel_can_make_them(read):
    """PATH_MAX; a record has room for 60,000 characters of nonsense."""
    writer = Writer()
    writer.mmap2(500, 0x10000, 0x2000, "/" + "x" * 60_000)
    writer.comm(500, "y" * 60_000)
    writer.regions(time=1, regions=snapshot())
    recording = read(writer)
    assert recording.mappings.names == ("/" + "x" * 4094,)
    assert recording.comms == {500: "y" * 63}
