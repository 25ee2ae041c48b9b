# SPDX-License-Identifier: GPL-2.0
"""Damaged files: a DataError or what is left of the recording, never anything else."""

import random
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import perf_damon
from perf_damon.analysis import darc as analysis
from perf_damon.errors import DataError
from perf_damon.perfdata import container, tracing
from perf_damon.recording import UNTOLD
from perf_damon.render.reclaims import reclaim_lines, reclaims_csv
from perf_damon.render.text import Canvas

from .writer import Event, Writer, apply_event, damon_event, darc_events, dummy_event, region_event


def sound_file() -> bytes:
    other = Event(config=372, ids=(40,), name="sched_switch", system="sched")
    apply = apply_event()
    darc = darc_events()
    region = region_event()
    writer = Writer(events=[damon_event(), region, other, apply, *darc.values(), dummy_event()])
    writer.comm(77, "app")
    writer.mmap2(77, 0x10000, 0x8000, "/bin/app")
    writer.fork(77, 78)
    for i in range(40):
        rows = [(0x10000 + n * 0x1000, 0x11000 + n * 0x1000, n, i) for n in range(6)]
        writer.regions(time=10**9 + i * 10**8, regions=rows, tid=500 + i % 2, cpu=i % 2)
        hits = [bytes((n, i)) for n in range(6)]
        if i % 2:
            at = 10**9 + i * 10**8 + 50
            writer.probed(time=at, regions=rows, hits=hits, event=region, tid=501, cpu=1)
        if i % 3 == 0:
            writer.applied(time=10**9 + i * 10**8 - 9, event=apply, region=rows[0], cpu=i % 2)
        if i % 4 == 0:
            sizes = dict.fromkeys(("free", "high", "mid", "low"), 4096 * i)
            at, zone = 10**9 + i * 10**8, f"{i % 2}-Normal"
            writer.darc(darc["darc_start"], time=at, zone=zone, **sizes)
            taken = {"start": i << 20, "end": (i + 1) << 20, "passed": 8192, "reclaimed": 4096}
            writer.darc(darc["darc_reclaim"], time=at + 5, zone=zone, cpu=i % 2, **taken)
            sizes |= {"why": i % 3, "reclaimed": 4096}
            writer.darc(darc["darc_stop"], time=at + 9, zone=zone, **sizes)
        if i % 5 == 0:
            writer.sample(other, time=10**9 + i, tid=1, raw=other.raw(1, {}))
            writer.finished_round()
    writer.lost(3)
    return writer.content()


SOUND = sound_file()
FILE = st.just(SOUND)
VALUES = [0, 1, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 64) - 1]


@st.composite
def flipped(draw):
    content = bytearray(SOUND)
    for _ in range(draw(st.integers(1, 8))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


@st.composite
def with_numbers(draw):
    """Whole fields overwritten with numbers that tend to break something."""
    content = bytearray(SOUND)
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.sampled_from([2, 4, 8]))
        at = draw(st.integers(0, (len(content) - 8) // size)) * size
        value = draw(st.sampled_from(VALUES)) & (1 << 8 * size) - 1
        content[at : at + size] = value.to_bytes(size, "little")
    return bytes(content)


@st.composite
def spliced(draw):
    cuts = sorted(draw(st.lists(st.integers(0, len(SOUND)), min_size=4, max_size=4)))
    a, b, c, d = cuts
    order = draw(st.permutations([SOUND[:a], SOUND[a:b], SOUND[b:c], SOUND[c:d], SOUND[d:]]))
    return b"".join(order)


@st.composite
def in_the_header(draw):
    content = bytearray(SOUND)
    at = draw(st.integers(0, 60)) * 8
    content[at : at + 8] = draw(st.sampled_from(VALUES)).to_bytes(8, "little")
    return bytes(content)


DAMAGED = st.one_of(
    flipped(),
    with_numbers(),
    in_the_header(),
    spliced(),
    st.integers(0, len(SOUND)).map(lambda n: SOUND[:n]),
    st.binary(max_size=2000),
    st.binary(max_size=2000).map(lambda b: SOUND[:400] + b),
    st.binary(max_size=300).map(lambda b: b"PERFILE2\x68\0\0\0\0\0\0\0" + b),
)


@pytest.fixture(autouse=True, scope="module")
def formats_of_this_kernel():
    """Files that lost their formats are read on as well."""
    writer = Writer(events=[damon_event(), region_event(), apply_event(), *darc_events().values()])
    parsed = {event.name: event for event in tracing.parse_tracing_data(writer.tracing_data())}
    patch = pytest.MonkeyPatch()
    patch.setattr(
        tracing, "running_kernel_format", lambda name=tracing.EVENT, system="": parsed[name]
    )
    yield
    patch.undo()


def check(recording):
    """What holds for every recording, damaged or not."""
    regions = recording.regions
    assert (regions.start < regions.end).all()
    assert (regions.nr_regions > 0).all()
    if (hits := regions.probe_hits) is not None:
        assert hits.shape == (len(regions), regions.nr_probes)
        assert ((hits >= UNTOLD) & (hits <= 255)).all()
    assert sum(len(t.regions) for t in recording.targets) == len(regions)
    for target in recording.targets:
        assert target.offsets[0] == 0
        assert target.offsets[-1] == len(target.regions)
        assert (np.diff(target.offsets) > 0).all()
        time = target.regions.time
        assert (time[1:] >= time[:-1]).all()
    if (applied := recording.applied) is not None:
        assert (applied.start < applied.end).all()
        assert (applied.time[1:] >= applied.time[:-1]).all()
    if (darc := recording.darc) is not None:
        assert (darc.reclaims.start < darc.reclaims.end).all()
        for rows in (darc.turns, darc.reclaims):
            assert (rows.time[1:] >= rows.time[:-1]).all()
            assert ((rows.zone >= 0) & (rows.zone < max(1, len(darc.zones)))).all()
        assert ((darc.turns.why >= -1) & (darc.turns.why <= 3)).all()
        assert len(list(reclaims_csv(darc, 0))) == 1 + len(darc.turns) + len(darc.reclaims)
        assert len("".join(reclaim_lines(darc, analysis.span(recording), 0, Canvas())))
    mappings = recording.mappings
    assert (mappings.start < mappings.end).all()
    assert ((mappings.name >= 0) & (mappings.name < max(1, len(mappings.names)))).all()
    assert recording.losses.truncated_bytes >= 0


def test_the_sound_file_is_sound(tmp_path):
    (tmp_path / "sound").write_bytes(SOUND)
    recording = perf_damon.open(tmp_path / "sound")
    check(recording)
    assert len(recording.regions) == 240
    assert recording.regions.nr_probes == 2
    assert (recording.regions.probe_hits[:, 0] != UNTOLD).sum() == 120
    assert len(recording.applied) == 14
    assert (len(recording.darc.turns), len(recording.darc.reclaims)) == (20, 10)
    assert recording.losses.events == 3


@settings(max_examples=400, deadline=None)
@given(content=DAMAGED)
def test_damaged_files(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        recording = perf_damon.open(path)
    except DataError as error:
        assert str(path) in error.message
        assert "\n" not in error.message
    else:
        check(recording)


def test_every_length(tmp_path):
    """Cut off at any byte, the file gives whole events or an error."""
    counts = set()
    for size in random.Random(1).sample(range(len(SOUND)), 300):
        (tmp_path / "cut").write_bytes(SOUND[:size])
        try:
            recording = perf_damon.open(tmp_path / "cut")
        except DataError:
            continue
        check(recording)
        counts.add(len(recording.regions))
    assert len(counts) > 50


def test_many_targets_and_many_processes(tmp_path, monkeypatch):
    """Each with each would take minutes: then no process is concluded."""
    writer = Writer()
    for pid in range(400):
        writer.mmap2(1000 + pid, 0x10000, 0x9000, "/lib/x")
    for target in range(400):
        writer.regions(time=10**9 + target, regions=[(0x10000, 0x11000, 1, 1)], target_id=target)
    (tmp_path / "many").write_bytes(writer.content())
    module = sys.modules["perf_damon.perfdata.assemble"]
    monkeypatch.setattr(module, "infer_pid", lambda *_: pytest.fail("compared"))
    assert len(perf_damon.open(tmp_path / "many").targets) == 400


def test_attributes_that_all_claim_the_whole_file(tmp_path):
    """What is read of a file for its ids is no more than the file."""
    events = [damon_event(), *(Event(config=n, ids=(n,), type=1) for n in range(200))]
    writer = Writer(events=events)
    writer.regions(time=10**9, regions=[(0x1000, 0x2000, 1, 1)])
    content = bytearray(writer.content())
    for n in range(1, 201):
        struct.pack_into("<2Q", content, 104 + 144 * n + 128, 0, len(content) & ~7)
    path = tmp_path / "claims"
    path.write_bytes(content)
    with path.open("rb") as file:
        parts = container.parse(file, str(path))
    assert sum(len(attr.ids) for attr in parts.attrs) * 8 <= len(content)
    assert len(perf_damon.open(path).regions) == 1
