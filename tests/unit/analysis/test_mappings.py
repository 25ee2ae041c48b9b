# SPDX-License-Identifier: GPL-2.0
"""Mappings laid over each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import recordings
from hypothesis import given
from hypothesis import strategies as st

from perf_damon.analysis.mappings import UNKNOWN, atlas, mapping_offset

NAMES = ("[heap]", "//anon", "/lib/a.so", "/lib/b.so")


def names_at(made, addresses):
    return [made.name_of(i) for i in made.find(np.array(addresses, np.uint64)).tolist()]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20), st.sampled_from(NAMES)), max_size=25)
)
def test_a_later_mapping_replaces_what_it_covers(rows):
    made = atlas(recordings.mappings([(7, a, a + size, name) for a, size, name in rows]), 7)
    expected = [UNKNOWN] * 90
    for a, size, name in rows:
        expected[a : a + size] = [name.replace("//anon", "anonymous")] * size
    assert names_at(made, range(90)) == expected
    assert (made.start[1:] >= made.end[:-1]).all()


def test_offsets_follow_what_is_left_of_a_mapping():
    rows = recordings.mappings([(7, 0x1000, 0x9000, "/data"), (7, 0x3000, 0x4000, "[heap]")])
    made = atlas(replace(rows, offset=np.array([0x100, 0], np.uint64)), 7)
    assert list(zip(made.start.tolist(), made.offset.tolist(), strict=True)) == [
        (0x1000, 0x100),
        (0x3000, 0),
        (0x4000, 0x3100),
    ]
    assert mapping_offset(made, 2, 0x4010) == ("/data", 0x3110)
    assert mapping_offset(made, 1, 0x3010) == ("[heap]", 0x10)
    assert mapping_offset(made, -1, 0x10) == (None, None)


def test_neighbours_of_one_file_join_only_where_their_offsets_go_on():
    rows = recordings.mappings([(7, 0, 10, "/a"), (7, 10, 20, "/a"), (7, 20, 30, "/a")])
    made = atlas(replace(rows, offset=np.array([0, 10, 99], np.uint64)), 7)
    assert made.start.tolist() == [0, 20]
    heap = recordings.mappings([(7, 0, 10, "[heap]"), (7, 10, 20, "[heap]")])
    assert atlas(heap, 7).end.tolist() == [20]


def test_other_processes_and_later_mappings_do_not_count():
    rows = recordings.mappings(
        [(7, 0, 10, "/a"), (8, 0, 10, "/b"), (7, 0, 10, "/c")], time=[0, 0, 500]
    )
    assert names_at(atlas(rows, 7, until=499), [5]) == ["/a"]
    assert names_at(atlas(rows, 7, until=500), [5]) == ["/c"]
    assert names_at(atlas(rows, 9), [5]) == [UNKNOWN]
    assert names_at(atlas(rows, None), [5]) == [UNKNOWN]
