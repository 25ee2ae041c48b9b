# SPDX-License-Identifier: GPL-2.0
"""damon_region_aggregated and probes' hits: alone, beside damon_aggregated, lost, damaged."""

import csv
import io
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import perf_damon
from perf_damon.cli import main
from perf_damon.errors import DataError
from perf_damon.perfdata import probes, tracing
from perf_damon.perfdata.events import join
from perf_damon.recording import UNTOLD

from .fake_session import Perf
from .writer import (
    CALLCHAIN,
    PERF_RECORD,
    REGION_FIELDS,
    Writer,
    big_endian,
    damon_event,
    dummy_event,
    region_event,
)

SECOND = 10**9
MS = 10**6
COUNT = 5
needs_perf = pytest.mark.skipif(not shutil.which("perf"), reason="perf is not installed")


def regions_of(snapshot, count=COUNT):
    return [(n << 20, (n + 1) << 20, n % 3, snapshot) for n in range(1, count + 1)]


def hits_of(snapshot, row, width=2):
    return bytes((snapshot * 16 + row + 100 * probe) % 256 for probe in range(width))


def both_writer(**kwargs):
    return Writer(events=[damon_event(), region_event(**kwargs), dummy_event()])


def snapshot(writer, number, *, old=True, new=True, width=2, lost_old=(), lost_new=(), **key):
    """Both events of each region of a snapshot, in the kernel's order; some may be lost."""
    cpu = key.pop("cpu", number % 2)
    damon = writer.events[0]
    region = next(e for e in writer.events if e.name == "damon_region_aggregated")
    count = key.pop("count", COUNT)
    rows = regions_of(number, count)
    for n, row in enumerate(rows):
        at = SECOND + number * 100 * MS + n * 1000 + 100_000 * key.get("target_id", 0)
        fixed = {"regions": [row], "nr_regions": count, "cpu": cpu, **key}
        if old and n not in lost_old:
            writer.regions(time=at, event=damon, **fixed)
        if new and n not in lost_new:
            hits = [hits_of(number, n, width)]
            writer.probed(time=at + 50, event=region, hits=hits, **fixed)


def rows(recording):
    """(snapshot, row) of each row, and its hits as a list; None where there are no probes."""
    regions = recording.regions
    hits = [None] * len(regions)
    if regions.probe_hits is not None:
        hits = regions.probe_hits.tolist()
    numbers = zip(regions.age.tolist(), (regions.start // 2**20 - 1).tolist(), strict=True)
    return list(zip(numbers, hits, strict=True))


def expected(snapshots, width=2):
    return [((i, n), list(hits_of(i, n, width))) for i in range(snapshots) for n in range(COUNT)]


def whole(recording, snapshots):
    """Each snapshot is there once, and whole."""
    (target,) = recording.targets
    assert target.nr_snapshots == snapshots
    assert np.diff(target.offsets).tolist() == [COUNT] * snapshots
    assert not recording.losses.skipped_records


@pytest.fixture(
    params=[
        "columns",
        pytest.param("perf script", marks=needs_perf),
        pytest.param("session", marks=needs_perf),
    ]
)
def open_(request, read, monkeypatch):
    """Open what a writer has written, in one of the three ways."""
    if request.param == "columns":
        return lambda writer: read(writer.content())
    module = Perf() if request.param == "session" else SimpleNamespace(evlist=None)
    monkeypatch.setitem(sys.modules, "perf", module)

    def open_(writer):
        recording = read(writer.piped())
        assert getattr(module, "read", []) == [recording.path] * (request.param == "session")
        return recording

    return open_


def test_only_the_old_event(open_):
    writer = both_writer()
    for i in range(6):
        snapshot(writer, i, new=False)
    recording = open_(writer)
    whole(recording, 6)
    assert recording.regions.probe_hits is None and recording.regions.nr_probes == 0


def test_only_the_new_event(open_):
    writer = Writer(events=[region_event(), dummy_event()])
    for i in range(6):
        snapshot(writer, i, old=False)
    recording = open_(writer)
    whole(recording, 6)
    assert rows(recording) == expected(6)
    assert recording.regions.probe_hits.dtype == np.int16 and recording.regions.nr_probes == 2
    assert recording.regions.nr_regions.tolist() == [COUNT] * 30
    assert recording.regions.nr_accesses.tolist() == [n % 3 for n in range(1, 6)] * 6


def test_both_are_one_row_a_region(open_):
    writer = both_writer()
    for i in range(6):
        snapshot(writer, i)
    recording = open_(writer)
    whole(recording, 6)
    assert rows(recording) == expected(6)


def test_hits_of_values_that_are_letters_in_hexadecimal(open_):
    writer = both_writer()
    hits = [bytes((0, 9, 10, 0x1F)), bytes((0xAB, 0xFF, 0x99, 0x0C))]
    rows_ = regions_of(1, 2)
    writer.probed(time=SECOND, event=writer.events[1], regions=rows_, hits=hits)
    assert open_(writer).regions.probe_hits.tolist() == [list(one) for one in hits]


def test_some_of_either_event_are_lost(open_):
    writer = both_writer()
    for i in range(9):
        snapshot(writer, i, lost_old={i % 4}, lost_new={i % 3, 4} if i % 2 else ())
    recording = open_(writer)
    (target,) = recording.targets
    want = []
    for (i, n), hits in expected(9):
        told_new = not i % 2 or n not in (i % 3, 4)
        if told_new:
            want.append(((i, n), hits))
        elif n != i % 4:
            want.append(((i, n), [UNTOLD, UNTOLD]))
    assert rows(recording) == want
    assert target.nr_snapshots == 9


def test_all_of_one_event_are_lost_for_a_while(open_):
    writer = both_writer()
    for i in range(9):
        snapshot(writer, i, old=i not in (2, 3), new=i not in (5, 6))
    recording = open_(writer)
    whole(recording, 9)
    want = [(row, [UNTOLD] * 2 if row[0] in (5, 6) else hits) for row, hits in expected(9)]
    assert rows(recording) == want


def test_the_same_number_of_either_is_lost(open_):
    """As many rows of both events, and not the same regions."""
    writer = both_writer()
    for i in range(4):
        snapshot(writer, i, lost_old={1}, lost_new={3})
    recording = open_(writer)
    whole(recording, 4)
    want = [(row, [UNTOLD] * 2 if row[1] == 3 else hits) for row, hits in expected(4)]
    assert rows(recording) == want


def test_a_single_region_whose_events_alternate_in_being_lost(open_):
    """The old event of one aggregation and the new one of the next are two aggregations."""
    writer = both_writer()
    for i in range(8):
        snapshot(writer, i, count=1, old=i % 2 == 0, new=i % 2 == 1, cpu=0)
    recording = open_(writer)
    assert [row for row, _ in rows(recording)] == [(i, 0) for i in range(8)]
    assert recording.targets[0].nr_snapshots == 8


def test_several_targets_of_which_some_have_probes(open_):
    writer = both_writer()
    for i in range(5):
        for target in range(3):
            snapshot(writer, i, target_id=target, width=2)
        snapshot(writer, i, tid=600, new=False)
        snapshot(writer, i, tid=700, old=False, width=1)
    recording = open_(writer)
    assert [(t.kdamond, t.id) for t in recording.targets] == [
        *((500, 0), (500, 1), (500, 2), (600, 0), (700, 0))
    ]
    for target in recording.targets:
        assert np.diff(target.offsets).tolist() == [COUNT] * 5
        hits = target.regions.probe_hits.tolist()
        want = [hits for _, hits in expected(5)]
        if target.kdamond == 600:
            want = [[UNTOLD] * 2] * len(want)
        elif target.kdamond == 700:
            want = [[one, UNTOLD] for one, _ in want]
        assert hits == want


@pytest.mark.parametrize("old", [False, True])
def test_the_number_of_probes_changes(open_, old):
    """None, one, three, none, two: what there was no probe for is not zero."""
    writer = both_writer()
    widths = [0, 1, 3, 0, 2]
    for i, width in enumerate(widths):
        snapshot(writer, i, old=old or not width, new=width > 0, width=width)
    recording = open_(writer)
    whole(recording, 5)
    assert rows(recording) == [
        ((i, n), [*hits_of(i, n, width), *[UNTOLD] * (3 - width)])
        for i, width in enumerate(widths)
        for n in range(COUNT)
    ]


def test_an_event_of_a_context_without_probes(open_):
    """A later kernel may tell all by the new event."""
    writer = both_writer()
    for i in range(3):
        snapshot(writer, i, old=False, width=0)
    recording = open_(writer)
    whole(recording, 3)
    assert recording.regions.probe_hits is None


def test_more_probes_than_are_kept(open_):
    writer = both_writer()
    snapshot(writer, 0, width=probes.MAX_PROBES + 3)
    recording = open_(writer)
    assert rows(recording) == [
        (row, hits[: probes.MAX_PROBES]) for row, hits in expected(1, probes.MAX_PROBES + 3)
    ]


def test_fields_may_lie_elsewhere(read):
    fields = [(d, offset + 16 * (offset > 8), *rest) for d, offset, *rest in REGION_FIELDS]
    writer = Writer(events=[damon_event(), region_event(fields=fields), dummy_event()])
    for i in range(3):
        snapshot(writer, i)
    assert rows(read(writer.content())) == expected(3)


def test_samples_with_call_chains(read):
    writer = both_writer(sample_type=PERF_RECORD | CALLCHAIN)
    region = writer.events[1]
    for i in range(6):
        hits = [hits_of(i, n) for n in range(COUNT)]
        writer.probed(
            *(),
            time=SECOND + i * 100 * MS,
            event=region,
            regions=regions_of(i),
            hits=hits,
            chain=range(i),
        )
    assert rows(read(writer.content())) == expected(6)


@needs_perf
def test_a_machine_of_the_other_byte_order(read):
    with big_endian():
        writer = both_writer()
        for i in range(4):
            snapshot(writer, i, width=3)
        content = writer.content()
    recording = read(content)
    whole(recording, 4)
    assert rows(recording) == expected(4, 3)


@pytest.mark.parametrize(
    "location",
    [
        *(48 | 60000 << 16, 60000 | 2 << 16, 65535 | 65535 << 16),  # beyond the record
        *(0 | 2 << 16, 44 | 2 << 16),  # within the fields
        48 | 9 << 16,  # a byte beyond what the raw data hold
    ],
)
def test_damaged_locations(read, location):
    """Such a sample is passed over and counted; the rows around it stand."""
    writer = both_writer()
    for i in range(4):
        snapshot(writer, i, old=False)
        rows_ = [((40 + i) << 20, (41 + i) << 20, 1, i)]
        fixed = {"event": writer.events[1], "regions": rows_, "hits": [b"\x01\x02"]}
        writer.probed(time=SECOND + i * 100 * MS + 9000, location=location, **fixed)
    recording = read(writer.content())
    assert rows(recording) == expected(4)
    assert recording.losses.skipped_records == 4


def test_a_damaged_sample_at_the_end_of_the_data(read):
    """The bytes that it announces would lie behind all that was read."""
    writer = both_writer()
    snapshot(writer, 0)
    fixed = {"event": writer.events[1], "regions": [(9 << 20, 10 << 20, 1, 0)]}
    writer.probed(time=2 * SECOND, hits=[b"\x01"], location=48 | 4000 << 16, **fixed)
    recording = read(writer.content())
    assert rows(recording) == expected(1)
    assert recording.losses.skipped_records == 1


def test_a_damaged_sample_leaves_the_other_events_row(read):
    writer = both_writer()
    for i in range(3):
        snapshot(writer, i, lost_new={2})
        row = regions_of(i)[2]
        at = SECOND + i * 100 * MS + 2050
        fixed = {"event": writer.events[1], "regions": [row], "hits": [b"\x01\x02"], "cpu": i % 2}
        writer.probed(time=at, location=4 << 16, nr_regions=COUNT, **fixed)
    recording = read(writer.content())
    assert rows(recording) == [
        (row, [UNTOLD] * 2 if row[1] == 2 else hits) for row, hits in expected(3)
    ]
    assert recording.losses.skipped_records == 3


def test_wrong_time_stamps_are_dropped_with_their_hits(read):
    writer = both_writer()
    for i in range(30):
        snapshot(writer, i, cpu=0)
    fixed = {"event": writer.events[1], "regions": [(9 << 20, 10 << 20, 1, 0)], "hits": [b"\x63"]}
    writer.probed(time=1 << 63, **fixed)
    for i in range(30, 60):
        snapshot(writer, i, cpu=0)
    recording = read(writer.content())
    assert rows(recording) == expected(60)
    assert recording.losses.skipped_records == 1


def test_a_long_recording(read):
    """More than a chunk of data, so that columns are filled in parts."""
    writer = both_writer()
    for i in range(2500):
        snapshot(writer, i, width=1 if i < 2000 else 4, cpu=i // 1250)
    recording = read(writer.content())
    whole(recording, 2500)
    table = recording.regions.probe_hits
    assert table.shape == (2500 * COUNT, 4)
    for i in (0, 1249, 1250, 1999, 2000, 2499):
        width = 1 if i < 2000 else 4
        for n in range(COUNT):
            assert table[i * COUNT + n].tolist() == [
                *(*hits_of(i, n, width), *[UNTOLD] * (4 - width))
            ]


def test_formats_that_are_missing(read, monkeypatch):
    """perf was killed: the running kernel's formats serve."""
    writer = both_writer()
    formats = {one.name: one for one in tracing.parse_tracing_data(writer.tracing_data())}
    monkeypatch.setattr(
        tracing, "running_kernel_format", lambda name, system="damon": formats.get(name)
    )
    for i in range(3):
        snapshot(writer, i)
    recording = read(writer.content(finished=False))
    assert rows(recording) == expected(3)


def test_a_format_without_probes(read):
    """A field that does not tell where hits are is not taken for one that does."""
    fields = (*REGION_FIELDS[:-1], ("unsigned int probe_hits", 44, 4, 0))
    writer = Writer(events=[region_event(fields=fields), dummy_event()])
    values = {"target_id": 0, "nr_regions": 1, "start": 4096, "end": 8192, "age": 1}
    raw = writer.events[0].raw(500, {**values, "nr_accesses": 1, "probe_hits": 0xFFFFFFFF})
    writer.sample(writer.events[0], time=SECOND, tid=500, raw=raw)
    recording = read(writer.content())
    assert len(recording.regions) == 1 and recording.regions.probe_hits is None


def test_a_format_that_lacks_fields(read):
    writer = Writer(events=[region_event(fields=REGION_FIELDS[1:]), dummy_event()])
    writer.comm(1, "x")
    with pytest.raises(DataError, match="damon_region_aggregated lacks fields: it has start, end"):
        read(writer.content())


@pytest.mark.parametrize("lacking", ["damon_aggregated", "damon_region_aggregated"])
def test_one_of_both_lacks_fields(read, capsys, lacking):
    """A kernel that changes one of them is read by the other."""
    writer = both_writer()
    for i in range(3):
        snapshot(writer, i)
    for event in writer.events[:2]:
        if event.name == lacking:
            event.fields = [one for one in event.fields if not one[0].endswith("nr_accesses")]
    recording = read(writer.content())
    whole(recording, 3)
    assert (recording.regions.probe_hits is None) == (lacking == "damon_region_aggregated")
    assert f"this kernel's damon:{lacking} lacks fields: it has" in capsys.readouterr().err


def test_rows_of_one_time_stamp():
    """A coarse clock gives a snapshot one stamp: each region still meets its own."""
    time = np.repeat(np.arange(1, 4, dtype=np.uint64) * np.uint64(SECOND), COUNT)
    start = np.tile(np.arange(COUNT, dtype=np.uint64) << np.uint64(20), 3)
    columns = {"time": time, "start": start, "end": start + np.uint64(1 << 20)}
    columns |= {name: np.ones(len(time), np.uint32) for name in ("nr_accesses", "age")}
    columns["nr_regions"] = np.full(len(time), COUNT, np.uint32)
    target = np.zeros(len(time), np.uint16)
    kept = np.arange(len(time)) != 4
    some = {name: column[kept] for name, column in columns.items()}
    one, other = probes.doubled((columns, some), (target, target[kept]))
    assert one.tolist() == [i for i in range(len(time)) if i != 4]
    assert other.tolist() == list(range(len(time) - 1))


def test_the_same_region_of_two_targets():
    """One target's last event and the next one's first are of two targets, whatever they say."""
    columns = {name: np.ones(1, np.uint32) for name in ("end", "nr_accesses", "nr_regions")}
    columns |= {"start": np.zeros(1, np.uint64), "age": np.zeros(1, np.uint32)}
    one = columns | {"time": np.array([5], np.uint64)}
    other = columns | {"time": np.array([9], np.uint64)}
    for second, rows in ((0, 1), (1, 0)):
        targets = (np.array([0], np.uint16), np.array([second], np.uint16))
        assert len(probes.doubled((one, other), targets)[0]) == rows


def test_too_many_targets():
    keys = [(1, i) for i in range(3)]
    with pytest.raises(DataError, match="more than 4 targets"):
        probes.joined_keys(keys, [(2, 0), (2, 1)], 4)
    assert probes.joined_keys(keys, [(1, 2), (2, 1)], 4)[1].tolist() == [2, 3]


def test_nothing_to_join(read):
    from perf_damon.perfdata.events import no_events

    empty = no_events()
    assert len(join(empty, no_events()).target) == 0


@needs_perf
def test_both_ways_give_the_same(tmp_path):
    writer = both_writer()
    for i in range(40):
        width = 1 + i // 20
        snapshot(writer, i, width=width, lost_old={i % 5}, lost_new={i % 7}, target_id=i % 2)
    (tmp_path / "plain").write_bytes(writer.content())
    (tmp_path / "piped").write_bytes(writer.piped())
    plain, piped = perf_damon.open(tmp_path / "plain"), perf_damon.open(tmp_path / "piped")
    for name in plain.regions.__dataclass_fields__:
        a, b = getattr(plain.regions, name), getattr(piped.regions, name)
        assert a.dtype == b.dtype, name
        np.testing.assert_array_equal(a, b, name)


@pytest.fixture
def two_probes(tmp_path):
    """A file of three snapshots; of the last one's second region the hits were lost."""
    writer = both_writer()
    for i in range(3):
        snapshot(writer, i, lost_new={1} if i == 2 else (), width=1 + (i > 0))
    (tmp_path / "probed").write_bytes(writer.content())
    return tmp_path / "probed"


def wanted(i, n):
    hits = list(hits_of(i, n, 1 + (i > 0)))
    return [None, None] if (i, n) == (2, 1) else [*hits, *[None] * (2 - len(hits))]


def test_csv(two_probes, capsys):
    assert main(["report", "regions", "-i", str(two_probes), "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(table[0])[-3:] == ["mapping", "probe_0", "probe_1"]
    told = [[row[f"probe_{p}"] for p in range(2)] for row in table]
    want = [wanted(i, n) for i in range(3) for n in range(COUNT)]
    assert told == [["" if one is None else str(one) for one in hits] for hits in want]


def test_json(two_probes, capsys):
    assert main(["report", "regions", "-i", str(two_probes), "--format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["probe_hits"] for line in lines] == [
        wanted(i, n) for i in range(3) for n in range(COUNT)
    ]


def test_some_addresses_and_times(two_probes, capsys):
    """What is chosen of the rows is chosen of their hits."""
    choice = ["--address", f"{3 << 20:#x},{5 << 20:#x}", "--time", "0.1,0.15"]
    assert main(["report", "regions", "-i", str(two_probes), "--format", "json", *choice]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["probe_hits"] for line in lines] == [wanted(1, n) for n in (2, 3)]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_without_probes_nothing_is_added(tmp_path, capsys, form):
    writer = both_writer()
    snapshot(writer, 0, new=False)
    (tmp_path / "old").write_bytes(writer.content())
    assert main(["report", "regions", "-i", str(tmp_path / "old"), "--format", form]) == 0
    assert "probe" not in capsys.readouterr().out


def test_pandas(two_probes):
    pandas = pytest.importorskip("pandas")
    table = perf_damon.open(two_probes).to_pandas()
    assert list(table.columns)[-2:] == ["probe_0", "probe_1"]
    told = [
        [None if pandas.isna(one) else one for one in row]
        for row in table[["probe_0", "probe_1"]].to_numpy(object).tolist()
    ]
    assert told == [wanted(i, n) for i in range(3) for n in range(COUNT)]


def test_slices_keep_the_hits(two_probes):
    (target,) = perf_damon.open(two_probes).targets
    assert target[1].regions.probe_hits.tolist() == [wanted(1, n) for n in range(COUNT)]
    assert target.regions[3].probe_hits.tolist() == [[hits_of(0, 3, 1)[0], UNTOLD]]
