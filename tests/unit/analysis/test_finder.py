# SPDX-License-Identifier: GPL-2.0
"""The address table against a search."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perf_damon.analysis.finder import Finder


@given(
    spans=st.lists(
        st.tuples(st.integers(1, 1 << 40), st.integers(1, 1 << 34)), min_size=1, max_size=5
    ),
    cuts=st.lists(st.floats(0, 1, exclude_max=True), max_size=40),
    near=st.lists(st.integers(0, 2000), max_size=20),
    count=st.sampled_from([0, 100, 10**4, 10**7]),
    top=st.booleans(),
)
def test_finds_what_a_search_finds(spans, cuts, near, count, top):
    placed, at = [], 0
    for gap, size in spans:
        placed.append((at + gap, at + gap + size))
        at += gap + size
    if top:  # the end of the address space must not wrap
        shift = 2**64 - 1 - at
        placed = [(start + shift, end + shift) for start, end in placed]
    edges = {edge for span in placed for edge in span}
    edges |= {start + int((end - start) * cut) for start, end in placed for cut in cuts}
    edges |= {min(placed[0][0] + offset, placed[0][1]) for offset in near}
    points = np.array(sorted(edges), np.uint64)
    addresses = np.array(
        [a for p in edges for a in (p - 1, p, p + 1) if any(s <= a < e for s, e in placed)],
        np.uint64,
    )
    found = Finder(points, placed, count).find(addresses)
    assert found.tolist() == (np.searchsorted(points, addresses, "right") - 1).tolist()
