# SPDX-License-Identifier: GPL-2.0
"""The scoring of recordings against a truth that is made up, where the right answer is plain."""

import random
from itertools import pairwise

import numpy as np
import pytest
import recordings
from lab.benchmarks import score
from lab.workloads.truth import Phase, Process, Region, Touch
from recordings import MS

MB = 1 << 20
HOT, HALF, COLD = 20, 10, 9
"""Of the 20 samples of an aggregation."""
MEMORY = (100 * MB, 200 * MB)


def process(*phases, regions=(MEMORY,)):
    """A process of (begin in ms, end in ms, hot ranges) phases."""
    return Process(
        1234,
        "main",
        {
            str(i): Region(str(i), start, end, "anonymous", "", "off")
            for i, (start, end) in enumerate(regions)
        },
        [
            Phase(
                begin * MS,
                end * MS,
                0,
                number,
                tuple(Touch("0", start, stop, "read", 0, 1) for start, stop in hot),
            )
            for number, (begin, end, hot) in enumerate(phases)
        ],
    )


def scored(snapshots, truth, **options):
    return score.score(recordings.target(snapshots, **options), truth)


STEADY = process((0, 10_000, [(110 * MB, 120 * MB)]))


def test_what_is_recorded_as_it_was_has_a_score_of_one():
    rows = [(100 * MB, 110 * MB, 0), (110 * MB, 120 * MB, HOT), (120 * MB, 200 * MB, 0)]
    result = scored([(1000, rows), (1100, rows)], STEADY)
    assert (result.precision, result.recall, result.f1) == (1, 1, 1)
    assert result.real == pytest.approx(10 * MB * 0.2)
    assert result.seconds == pytest.approx(0.2)
    assert result.regions == 3


def test_too_wide_is_less_precise_and_too_narrow_recalls_less():
    result = scored([(1000, [(110 * MB, 130 * MB, HOT)])], STEADY)
    assert (result.precision, result.recall) == (0.5, 1)
    result = scored([(1000, [(115 * MB, 120 * MB, HOT)])], STEADY)
    assert (result.precision, result.recall) == (1, 0.5)
    assert result.f1 == pytest.approx(2 / 3)


def test_hot_is_at_least_half_of_the_samples():
    rows = [(110 * MB, 115 * MB, HALF), (115 * MB, 120 * MB, COLD)]
    assert scored([(1000, rows)], STEADY).recall == 0.5


def test_regions_side_by_side_are_hot_memory_once():
    rows = [(105 * MB, 112 * MB, HOT), (112 * MB, 118 * MB, HALF), (118 * MB, 125 * MB, HOT)]
    result = scored([(1000, rows)], STEADY)
    assert (result.both, result.recorded) == pytest.approx((10 * MB * 0.1, 20 * MB * 0.1))


def test_what_lies_outside_of_the_workloads_mappings_does_not_count():
    program_text = (1 * MB, 3 * MB, HOT)
    # One region from before the mapping into it.
    astride = (90 * MB, 120 * MB, HOT)
    result = scored([(1000, [program_text, astride])], STEADY)
    assert result.recorded == pytest.approx(20 * MB * 0.1)
    assert result.recall == 1


def test_an_aggregation_belongs_to_the_phase_of_its_middle():
    truth = process((0, 1040, [(110 * MB, 120 * MB)]), (1040, 5000, [(150 * MB, 160 * MB)]))
    first, second = [(110 * MB, 120 * MB, HOT)], [(150 * MB, 160 * MB, HOT)]
    assert scored([(1000, first), (1100, second)], truth).f1 == 1
    assert scored([(1000, first), (1100, first)], truth).f1 == 0.5


def test_a_longer_aggregation_weighs_more():
    hot = [(110 * MB, 120 * MB, HOT)]
    result = scored([(1000, hot), (1300, hot), (1400, [(110 * MB, 120 * MB, COLD)])], STEADY)
    assert result.recall == pytest.approx(0.4 / 0.5)
    assert result.aggregation_ms == pytest.approx(500 / 3)


def test_what_was_recorded_before_and_after_the_pattern_does_not_count():
    truth = process((500, 900, [(110 * MB, 120 * MB)]))
    rows = [(110 * MB, 120 * MB, HOT)]
    result = scored([(time, rows) for time in range(300, 1200, 100)], truth)
    assert (result.precision, result.recall) == (1, 1)
    assert result.seconds == pytest.approx(0.4)


def test_an_idle_phase_has_no_hot_memory():
    truth = process((0, 5000, []))
    result = scored([(1000, [(100 * MB, 101 * MB, HOT)])], truth)
    assert (result.precision, result.recall, result.f1) == (0, 0, 0)


def test_nothing_recorded_scores_zero():
    for result in (
        scored([], STEADY),
        scored([(1000, [(100 * MB, 200 * MB, 0)])], STEADY),
    ):
        assert (result.precision, result.recall, result.f1) == (0, 0, 0)


SPOTS = [(110 * MB, 118 * MB), (150 * MB, 158 * MB)]
TWO_SPOTS = process((0, 10_000, SPOTS))


def found(*snapshots):
    return score.found_after(recordings.target(snapshots), TWO_SPOTS)


def test_spots_are_found_when_all_are_seen_at_once():
    first, second = ((start, end, HOT) for start, end in SPOTS)
    assert found((1000, [first]), (1100, [second]), (1200, [first, second])) == pytest.approx(0.3)
    assert found((1000, [first]), (1100, [second])) is None
    assert found() is None


@pytest.mark.parametrize(
    ("region", "is_found"),
    [
        ((150 * MB, 154 * MB), True),
        ((150 * MB, 153 * MB), False),
        ((146 * MB, 162 * MB), True),
        # All is hot: that tells nothing.
        ((146 * MB, 163 * MB), False),
        ((120 * MB, 140 * MB), False),
    ],
)
def test_a_spot_is_found_by_half_of_it_and_not_much_else(region, is_found):
    result = found((1000, [(110 * MB, 118 * MB, HOT), (*region, HOT)]))
    assert (result is not None) == is_found


def test_ranges_against_sets_of_bytes():
    chance = random.Random(1)

    def some_ranges():
        return [
            (start, start + chance.randrange(1, 12))
            for start in (chance.randrange(60) for _ in range(chance.randrange(6)))
        ]

    def members(ranges):
        return {byte for start, end in ranges for byte in range(start, end)}

    for _ in range(500):
        some, others = some_ranges(), some_ranges()
        a, b = (score.joined(np.array(r, dtype=np.int64)) for r in (some, others))
        assert members(a.tolist()) == members(some)
        assert all(left[1] < right[0] for left, right in pairwise(a))
        both = score.shared(a, b)
        assert members(both.tolist()) == members(some) & members(others)
        assert score.size(both) == len(members(some) & members(others))
