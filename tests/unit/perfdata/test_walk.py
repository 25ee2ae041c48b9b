# SPDX-License-Identifier: GPL-2.0
"""Walks over data of known records: every place is found, by whichever way."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perf_damon.perfdata.container import Section
from perf_damon.perfdata.walk import Walk

CHUNK = 1 << 17


def record(size, kind=9, misc=1, fill=b"\0"):
    return struct.pack("<IHH", kind, misc, size) + fill * (size - 8)


def walk(path, data, before=0, **kwargs):
    """Offsets and headers of all records, and the walk."""
    path.write_bytes(bytes(before) + data)
    found = []
    with path.open("rb", buffering=0) as file:
        steps = Walk(file, Section(before, len(data)), CHUNK, **kwargs)
        for block in steps:
            assert (block.words[block.places()] == block.headers).all()
            found.append(block.headers.copy())
    headers = np.concatenate(found) if found else np.zeros(0, dtype=np.uint64)
    return headers, steps


def headers_of(records):
    return [struct.unpack_from("<Q", r)[0] for r in records]


def kind(header):
    return header & 0xFFFFFFFF


PATTERNS = {
    "one size": [record(112)] * 20000,
    "two sizes in turn": [record(112), record(136)] * 5000,
    "rounds between": ([record(112)] * 100 + [record(8, kind=68, misc=0)]) * 100,
    "sizes that never repeat": [record(16 + 8 * (i * 7919 % 61)) for i in range(20000)],
    "smallest": [record(8)] * 40000,
    "others between": [
        *[record(112)] * 100,
        record(64, kind=3),
        *[record(112)] * 200,
        record(112, misc=2),
        record(8, kind=68),
    ]
    * 60,
    "two runs in turn": ([record(112)] * 150 + [record(120)] * 150) * 40,
    "longest": [record(65528)] * 10,
    "long and short": [record(65528), *[record(112)] * 300] * 10,
    "headers inside of records": [
        record(112, fill=b"\0"),
        struct.pack("<IHH", 9, 1, 128) + struct.pack("<IHH", 9, 1, 112) * 15,
    ]
    * 5000,
    "size that changes": [record(112)] * 9000 + [record(120)] * 9000 + [record(64)] * 9000,
    "kinds of one size": [record(64, kind=9 + i % 3) for i in range(9000)],
}


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("before", [104, 108])
def test_every_record_is_found(tmp_path, name, before):
    records = PATTERNS[name]
    headers, steps = walk(tmp_path / "data", b"".join(records), before)
    # Samples keep their order; of others it does not matter, and perf's own may be left out.
    want, found = headers_of(records), headers.tolist()
    assert [h for h in found if kind(h) == 9] == [h for h in want if kind(h) == 9]
    assert sorted(h for h in found if kind(h) < 64) == sorted(h for h in want if kind(h) < 64)
    assert (steps.truncated_bytes, steps.skipped_records) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40).map(lambda n: n * 8), min_size=1, max_size=40),
    repeat=st.integers(1, 400),
    cut=st.integers(0, 64),
    fill=st.binary(min_size=8, max_size=8),
)
def test_any_mix_of_sizes(tmp_path_factory, sizes, repeat, cut, fill):
    records = [
        (struct.pack("<IHH", 9, 1, size) + fill * (size // 8))[:size] for size in sizes
    ] * repeat
    data = b"".join(records)
    cut = min(cut, len(data))
    headers, steps = walk(tmp_path_factory.getbasetemp() / "mix", data[: len(data) - cut])
    whole, end = len(records), len(data)
    while end > len(data) - cut:
        whole -= 1
        end -= len(records[whole])
    assert headers.tolist() == headers_of(records[:whole])
    assert steps.truncated_bytes == len(data) - cut - end
    assert steps.skipped_records == 0


@pytest.mark.parametrize("size", [0, 4, 12, 113])
def test_the_way_back_after_nonsense(tmp_path, size):
    sound = [record(112)] * 1000
    bad = struct.pack("<IHH", 9, 1, size) + b"\xff" * 104
    headers, steps = walk(tmp_path / "data", b"".join([*sound, bad, *sound]))
    assert headers.tolist() == headers_of(sound * 2)
    assert steps.skipped_records == 1
    assert steps.truncated_bytes == 0


def test_nonsense_to_the_end(tmp_path):
    sound = [record(112)] * 1000
    headers, steps = walk(tmp_path / "data", b"".join(sound) + bytes(1 << 20))
    assert headers.tolist() == headers_of(sound)
    assert steps.skipped_records == 1


def test_damage_everywhere_is_given_up(tmp_path):
    data = (record(112) + bytes(8)) * 5000
    headers, steps = walk(tmp_path / "data", data)
    assert 0 < len(headers) < 5000
    assert steps.truncated_bytes > 0


def build_id(size):
    """What perf inject -b puts in: its length is the name's, rounded to 64, and 36."""
    return record(size, kind=67, misc=2, fill=b"\x09")


UNEVEN = {
    "at the beginning": [build_id(100)] * 3 + [record(112)] * 3000,
    "at the end": [record(112)] * 3000 + [build_id(100)],
    "here and there": ([record(112)] * 700 + [build_id(100)] + [record(64, kind=10)] * 3) * 20,
    "alone": [build_id(100)],
    "of every length": [build_id(8 + i) for i in range(4000)] + [record(112)],
    "between all": [record(112), build_id(101)] * 4000,
    "the kernel's": [record(112), record(61, kind=3), record(115), record(112)] * 2000,
    "across the chunks": [record(60000), build_id(60001), record(60008, kind=10)] * 20,
}


@pytest.mark.parametrize("name", UNEVEN)
@pytest.mark.parametrize("before", [104, 105])
def test_records_that_are_no_multiple_of_8_long(tmp_path, name, before):
    """The next record begins where the last one ends, as perf has it."""
    records = UNEVEN[name]
    headers, steps = walk(tmp_path / "data", b"".join(records), before)
    want = [h for h in headers_of(records) if kind(h) < 64]
    assert sorted(h for h in headers.tolist() if kind(h) < 64) == sorted(want)
    assert [h for h in headers.tolist() if kind(h) == 9] == [h for h in want if kind(h) == 9]
    assert (steps.truncated_bytes, steps.skipped_records) == (0, 0)


@pytest.mark.parametrize("cut", [1, 7, 50, 99])
def test_a_cut_off_record_that_is_no_multiple_of_8_long(tmp_path, cut):
    data = b"".join([record(112)] * 500 + [build_id(100)])
    headers, steps = walk(tmp_path / "data", data[: len(data) - cut])
    assert len(headers) == 500
    assert (steps.truncated_bytes, steps.skipped_records) == (100 - cut, 0)


def test_the_way_back_where_records_are_no_multiple_of_8_long(tmp_path):
    sound = [*[record(112)] * 300, build_id(100), *[record(112)] * 10]
    bad = struct.pack("<IHH", 9, 1, 113) + b"\xff" * 103
    headers, steps = walk(tmp_path / "data", b"".join([*sound, bad, *sound]))
    assert [h for h in headers.tolist() if kind(h) == 9] == headers_of([record(112)] * 620)
    assert steps.skipped_records == 1
