# SPDX-License-Identifier: GPL-2.0
"""Advice on recordings of known truth: what is idle for how long, and what comes back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import recordings

from perf_damon.analysis.advice import advise, candidates, longest
from perf_damon.analysis.hot import hot, matched
from perf_damon.analysis.idle import follow, gaps, outcome, watch
from perf_damon.analysis.view import view
from perf_damon.parameters import Attributes

MB = 1 << 20
SECOND = 10**9
BASE = 0x10000000
NO_MAPPINGS = recordings.mappings()


class Block:
    """Memory that is accessed in some snapshots, as DAMON tells of it."""

    def __init__(self, size, touched=lambda i: False, rate=1):
        self.size, self.touched, self.rate, self.age = size, touched, rate, 0

    def row(self, start, i):
        hit = self.touched(i)
        # An age counts from where the access pattern has changed.
        changed = i > 0 and hit != self.touched(i - 1)
        self.age = 0 if changed else self.age + 1
        return (start, start + self.size, self.rate if hit else 0, self.age)


def every(seconds, phase=0):
    """Touched in one snapshot of a tenth of a second in so many seconds."""
    return lambda i: (i + phase) % round(seconds * 10) == 0


def look(blocks, seconds=60, ages=True, **how):
    snapshots = []
    for i in range(round(seconds * 10)):
        rows, at = [], BASE
        for block in blocks:
            rows.append(block.row(at, i))
            at += block.size
        snapshots.append((1000 + 100 * i, rows))
    return view(recordings.target(snapshots, ages=ages, **how), 1000 * recordings.MS)


def hot_block(size=10 * MB):
    return Block(size, lambda i: True, rate=20)


def proposed(advice):
    return {one.action: one for one in advice.proposals}


@pytest.mark.parametrize("period", [3, 8, 12.5])
def test_what_is_touched_every_so_often_is_left_alone(period):
    seen = look([hot_block(), Block(10 * MB, every(period)), Block(80 * MB)])
    one = proposed(advise([seen], NO_MAPPINGS, "vaddr"))["pageout"]
    assert period * SECOND < one.least_ns < 1.5 * period * SECOND
    assert one.size == pytest.approx(80 * MB)
    assert one.share == pytest.approx(0.8) and one.risk == 0


def test_what_comes_back_is_counted():
    """Of 90 MB that become idle at once, 10 come back: after each 8 s again."""
    seen = look([hot_block(), Block(10 * MB, every(8)), Block(80 * MB)])
    watched = watch(seen, NO_MAPPINGS)
    found = outcome(watched, 5 * SECOND)
    # Idle for 5 s at 5, 13, 21, 29, 37, 45 s; what follows after 50 s is not seen for long enough.
    assert found.judged == pytest.approx((80 + 6 * 10) * MB)
    assert found.returned == pytest.approx(6 * 10 * MB)
    assert found.risk == pytest.approx(60 / 140)
    # From the fifth second on: all of the 80, and of each 8 s of the 10 not quite the last 3.
    assert found.given == pytest.approx((80 + 10 * 2.95 / 8) * MB, rel=0.01)
    assert found.monitored == pytest.approx(100 * MB)


def test_ten_seconds_are_the_limit():
    """Touched every 25 s: given back after 10 s it is not missed for 15, after 18 s for 7."""
    watched = watch(look([Block(10 * MB, every(25)), hot_block()], 120), NO_MAPPINGS)
    assert outcome(watched, 10 * SECOND).risk == 0
    assert outcome(watched, 18 * SECOND).risk == 1
    assert outcome(watched, 26 * SECOND).risk is None


def test_a_higher_risk_may_be_taken():
    seen = look([hot_block(), Block(10 * MB, every(8)), Block(80 * MB)])
    bold = proposed(advise([seen], NO_MAPPINGS, "vaddr", risk=0.5))["pageout"]
    assert bold.least_ns < 8 * SECOND and 0.4 < bold.risk < 0.5
    never = advise([look([Block(50 * MB, every(3)), hot_block()])], NO_MAPPINGS, "vaddr")
    assert "pageout" not in proposed(never) and never.outcomes


def test_gaps_are_the_idle_times_that_ended():
    watched = watch(look([hot_block(), Block(10 * MB, every(4)), Block(MB, every(9))]), NO_MAPPINGS)
    found = gaps(watched, (1, 50, 100))
    assert found == pytest.approx([3.9 * SECOND, 3.9 * SECOND, 8.9 * SECOND])
    assert gaps(watch(look([hot_block(), Block(MB)]), NO_MAPPINGS), (50,)) == []


def test_candidates_are_longer_than_the_gaps_and_shorter_than_a_third():
    watched = watch(look([hot_block(), Block(10 * MB, every(8))]), NO_MAPPINGS)
    found = candidates([watched])
    assert any(8 * SECOND < time < 10 * SECOND for time in found)
    assert found == sorted(set(found)) and found[-1] <= 20 * SECOND
    assert longest(60 * SECOND) == 20 * SECOND
    assert longest(13 * SECOND) == 3 * SECOND, "what follows has to be seen"
    assert longest(10 * SECOND) == 0


@pytest.mark.parametrize("seconds", [0.1, 5, 10.5])
def test_a_recording_that_is_too_short_speaks_for_nothing(seconds):
    found = advise([look([hot_block(), Block(80 * MB)], seconds)], NO_MAPPINGS, "vaddr")
    assert found.outcomes == found.proposals == () and found.longest_ns == 0


def test_what_was_idle_before_the_recording_counts_by_its_age():
    old = Block(80 * MB)
    old.age = 600
    seen = look([hot_block(), old], 30)
    found = outcome(watch(seen, NO_MAPPINGS), 9 * SECOND)
    assert found.judged == pytest.approx(80 * MB), "at once, not after 9 s"
    assert watch(seen, NO_MAPPINGS).idle.max() == pytest.approx((60 + 30) * SECOND)
    ageless = look([hot_block(), old], 30, ages=False)
    assert watch(ageless, NO_MAPPINGS).idle.max() == pytest.approx(30 * SECOND)


def test_what_is_not_mapped_cannot_be_given_back():
    seen = look([hot_block(), Block(80 * MB)])
    maps = recordings.mappings([(1234, BASE, BASE + 40 * MB, "[heap]")])
    found = advise([seen], maps, "vaddr")
    assert found.monitored == pytest.approx(40 * MB)
    assert proposed(found)["pageout"].size == pytest.approx(30 * MB)


def test_what_was_not_monitored_for_a_while_is_not_idle_for_it():
    rows = [(BASE, BASE + MB, 0, 0)]
    times = [*range(1000, 6000, 100), *range(60_000, 66_000, 100)]
    seen = view(recordings.target([(time, rows) for time in times], ages=False), 0)
    assert watch(seen, NO_MAPPINGS).idle.max() == pytest.approx(5.9 * SECOND, rel=0.02)


def test_long_recordings_are_looked_at_in_steps():
    blocks = [hot_block(), Block(10 * MB, every(8)), Block(80 * MB)]
    seen = look(blocks, 600)
    watched = watch(seen, NO_MAPPINGS)
    assert len(watched.edges) - 1 == 2000 and watched.step == 300 * recordings.MS
    one = proposed(advise([seen], NO_MAPPINGS, "vaddr"))["pageout"]
    assert 8 * SECOND < one.least_ns < 12 * SECOND and one.size == pytest.approx(80 * MB)


def test_targets_are_added_up():
    first = look([hot_block(), Block(80 * MB)])
    second = look([Block(20 * MB, every(8)), Block(20 * MB)], id=1)
    found = advise([first, second], NO_MAPPINGS, "vaddr")
    assert found.monitored == pytest.approx(130 * MB)
    one = proposed(found)["pageout"]
    assert one.size == pytest.approx(100 * MB) and one.least_ns > 8 * SECOND


def test_hot_memory_that_stays_hot_gets_huge_pages():
    seen = look([hot_block(), Block(30 * MB, every(4)), Block(MB, lambda i: True, rate=20)])
    found = proposed(advise([seen], NO_MAPPINGS, "vaddr"))
    one = found["hugepage"]
    assert one.rate == 0.25 and one.least_size == 2 * MB
    assert one.size == pytest.approx(10 * MB), "a region of 1 MB has no room for a huge page"
    assert one.share == pytest.approx(10 / 11, rel=0.01) and one.risk == 0


def test_hot_memory_that_cools_down_gets_none():
    """Hot for 3 s, then idle for 3."""
    seen = look([Block(10 * MB, lambda i: i // 30 % 2 == 0, rate=20), Block(40 * MB)])
    watched = watch(seen, NO_MAPPINGS)
    found = hot(seen, NO_MAPPINGS, watched, 0.25, 2 * MB)
    assert found.size == pytest.approx(5 * MB)
    # It becomes hot at 0, 6, 12 … 48 s.
    assert found.judged == pytest.approx(9 * 10 * MB) and found.risk == 1
    assert "hugepage" not in proposed(advise([seen], NO_MAPPINGS, "vaddr"))


def test_cold_memory_gets_no_huge_pages():
    small = [Block(MB, every(4, 7 * n)) for n in range(3)]
    seen = look([hot_block(), *small, Block(60 * MB)])
    one = proposed(advise([seen], NO_MAPPINGS, "vaddr"))["nohugepage"]
    assert one.least_size == 2 * MB and one.size == pytest.approx(60 * MB, rel=0.02)
    ageless = look([hot_block(), *small, Block(60 * MB)], ages=False)
    assert "nohugepage" not in proposed(advise([ageless], NO_MAPPINGS, "vaddr"))


def test_physical_memory_is_sorted():
    blocks = [hot_block(), Block(10 * MB, every(8)), Block(70 * MB)]
    seen = look(blocks, operations="paddr", pid=None)
    found = proposed(advise([seen], NO_MAPPINGS, "paddr"))
    assert set(found) == {"pageout", "lru_prio", "lru_deprio"}
    assert found["lru_prio"].least_size == 4096
    assert found["lru_deprio"].least_ns < 8 * SECOND < found["pageout"].least_ns
    only = advise([seen], NO_MAPPINGS, "paddr", actions=["pageout"])
    assert set(proposed(only)) == {"pageout"} and only.hot == ()
    unknown = advise([seen], NO_MAPPINGS, None)
    assert set(proposed(unknown)) == {"pageout"}


def test_little_memory_is_not_worth_a_scheme():
    seen = look([hot_block(200 * MB), Block(MB)])
    assert "pageout" not in proposed(advise([seen], NO_MAPPINGS, "vaddr"))


def test_rows_are_weighed_by_bytes_and_time():
    rows = [(0, 10, 4), (10, 40, 1)]
    seen = view(recordings.target([(100, rows), (200, rows), (400, rows)]), 0)
    size, heat, all_heat = matched(seen, seen.regions.nr_accesses == 4)
    assert size == pytest.approx(10)
    # The third snapshot speaks of 200 ms.
    assert heat == pytest.approx(10 * 4 * 400e6) and all_heat == pytest.approx(70 * 400e6)
    cut = replace(seen, window=(0, 5))
    assert matched(cut, seen.regions.nr_accesses == 4)[0] == pytest.approx(5)


def test_following_is_what_a_loop_finds():
    rng = np.random.default_rng(3)
    edges = np.cumsum(rng.integers(1, 4, 61)) * SECOND
    begun, event = rng.random((60, 7)) < 0.2, rng.random((60, 7)) < 0.1
    size = rng.integers(1, 100, 7).astype(np.float64)
    judged = soon = 0.0
    for t, k in zip(*np.nonzero(begun), strict=True):
        if edges[t + 1] + 10 * SECOND <= edges[-1]:
            judged += size[k]
            after = [s for s in range(t + 1, 60) if event[s, k]]
            soon += size[k] * any(edges[s] - edges[t + 1] < 10 * SECOND for s in after)
    assert follow(edges, begun, event, size) == (judged, soon)
    assert 0 < soon < judged


def test_intervals_may_be_unknown():
    blocks = [hot_block(), Block(80 * MB)]
    seen = look(blocks, attributes=Attributes())
    assert "pageout" in proposed(advise([seen], NO_MAPPINGS, "vaddr"))


def test_hot_for_less_than_half_of_a_step_is_not_hot():
    for share, judged in ((1, 0), (2, 10 * MB)):
        seen = look([Block(10 * MB, lambda i, n=share: i % 3 < n, rate=20), Block(MB)], 600)
        watched = watch(seen, NO_MAPPINGS)
        assert watched.step == 300 * recordings.MS
        assert hot(seen, NO_MAPPINGS, watched, 0.25, 2 * MB).judged == judged
