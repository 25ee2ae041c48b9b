# SPDX-License-Identifier: GPL-2.0
"""lab/bench schemes without booting guests: what it makes of their results."""

import json
from pathlib import Path

import numpy as np
import pytest
from lab.benchmarks import guests, schemes
from lab.benchmarks import schemes_score as score

MB = 1 << 20
S = 10**9
COLD, HOT = 64 * MB, 128 * MB
"""Where the regions begin; each has 4 MB."""


@pytest.fixture
def plan(tmp_path):
    both = tuple(
        guests.Side(name, Path("/nonexistent"), tmp_path / name) for name in ("ours", "upstream")
    )
    return schemes.Plan(both, 1, 20)


def sample(seconds, cold=4 * MB, **figures):
    regions = {str(HOT): 2 * MB, str(HOT + 2 * MB): 2 * MB, str(COLD): cold // 2}
    regions[str(COLD + 2 * MB)] = cold - cold // 2
    return {
        "time": seconds * S,
        "present": 4 * MB + cold,
        "regions": regions,
        "back_late": 0,
        "swapped_in": 0,
        "swapped_out": 0,
        "zram": 0,
        "kdamond_ns": 0,
        **figures,
    }


def write(path, samples, passes=100, begin=2, kdamond=1):
    """A setting: passes in each of 20 phases of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"begin": begin * S, "kdamond": kdamond and kdamond * S, "samples": samples}
    path.write_text(json.dumps(told))
    lines = [
        {"type": "region", "region": name, "start": at, "end": at + 4 * MB, "kind": "anonymous",
         "path": "", "thp": "off"}
        for name, at in (("cold1", COLD), ("hot", HOT))
    ]  # fmt: skip
    touch = {"region": "hot", "start": HOT, "end": HOT + 4 * MB, "access": "read", "every": 0}
    lines += [
        {"type": "phase", "loop": 0, "phase": 0, "begin": i * S, "end": (i + 1) * S,
         "touches": [touch | {"passes": passes if i >= begin else 1}]}
        for i in range(20)
    ]  # fmt: skip
    text = "".join(json.dumps(line | {"pid": 1, "process": "main"}) + "\n" for line in lines)
    path.with_suffix(".truth").write_text(text)


def test_memory_is_given_back_from_when_there_was_a_kdamond(tmp_path):
    samples = [sample(0), sample(2), sample(5, cold=MB), sample(11, cold=0), sample(20)]
    write(tmp_path / "a.json", samples)
    watched = score.watched(tmp_path / "a.json")
    assert watched.size("cold") == watched.size("hot") == 4 * MB
    assert watched.given_back("cold", 4) == 0.75
    assert watched.given_back("cold", 10) == 1
    assert watched.given_back("hot", 10) == 0


def test_only_what_was_measured_counts(tmp_path):
    samples = [sample(0, kdamond_ns=0, zram=9), sample(2, kdamond_ns=S, zram=1)]
    write(tmp_path / "a.json", [*samples, sample(12, kdamond_ns=2 * S, zram=3)])
    watched = score.watched(tmp_path / "a.json")
    assert watched.speed == 100
    assert watched.kdamond_share == 0.1
    assert watched.mean("zram") == 2


def test_who_comes_back_late_was_not_wrong(tmp_path):
    samples = [
        sample(0, swapped_in=5 * MB, swapped_out=MB),
        sample(1, swapped_in=7 * MB, swapped_out=2 * MB),
        sample(3, swapped_in=8 * MB, swapped_out=9 * MB),
        sample(20, swapped_in=11 * MB, swapped_out=9 * MB, back_late=2 * MB),
    ]
    write(tmp_path / "a.json", samples)
    watched = score.watched(tmp_path / "a.json")
    assert watched.wrong == 2 * MB
    assert watched.paged_out == 7 * MB


def test_windows_are_laid_as_the_kernel_lays_them():
    # In each window of 1000 from 130 on, there are 10: together at the begin of it, or at the end.
    times = np.array([140, 150, 2100, 2110, 2140, 2150, 3500, 4900])
    amounts = np.array([4, 6, 5, 5, 9, 1, 10, 10])
    assert score.windows(times, amounts.cumsum(), 1000).tolist()[:3] == [10, 10, 10]
    # There is none for this.
    times = np.array([140, 150, 700, 900, 1800, 2500])
    assert score.windows(times, (np.ones(6) * 10).cumsum(), 1000).max() >= 20
    with pytest.raises(ValueError, match="too short"):
        score.windows(times[:2], amounts[:2], 1000)


TRACE = """\
# tracer: nop
 kdamond.0-61  [000] ..... {time:.6f}: damos_before_apply: ctx_idx=0 scheme_idx=0 \
target_idx=0 nr_regions=13 4096-{end}: 0 10
"""


def test_a_trace_is_summed_by_window(tmp_path):
    text = "".join(TRACE.format(time=7.3 + i * 0.5, end=4096 * (i % 2 + 2)) for i in range(9))
    (tmp_path / "t").write_text(text)
    assert score.tried(tmp_path / "t")[:2].tolist() == [
        [7_300_000_000, 4096],
        [7_800_000_000, 8192],
    ]
    assert set(score.size_windows(tmp_path / "t", S)) == {3 * 4096}


def test_time_is_what_comes_on_top_until_all_is_done(tmp_path):
    # Each 100 ms: 2 ms of monitoring, and each second 100 ms for 10 MB, 5 seconds long.
    def rows(acts):
        used, out = 7 * S, 0
        for i in range(100):
            work = acts and i % 10 == 5 and i < 50
            used += 2_000_000 + work * 100_000_000
            out += work * 10 * MB
            yield i * S // 10, used, out

    for name, acts in (("none", False), ("scheme", True)):
        (tmp_path / name).write_text(json.dumps({"samples": list(rows(acts))}))
    sums = score.time_windows(tmp_path / "none", tmp_path / "scheme", S)
    assert sums == pytest.approx([S // 10] * len(sums)) and len(sums) >= 3


def outcome(folder, number, wrong, speed, left):
    """None and scheme, of which `left` bytes of the cold ones are left after 10 s."""
    write(folder / f"none.{number}.json", [sample(2), sample(20)], kdamond=None)
    samples = [sample(0), sample(2), sample(11, cold=left), sample(20, swapped_in=wrong, cold=left)]
    write(folder / f"scheme.{number}.json", samples, passes=speed)


def test_prcl_is_measured_by_the_last_kernel(plan, monkeypatch):
    def measure(plan, part):
        for side, values in zip(plan.sides, [(MB, 97, 0), (3 * MB, 99, MB)], strict=True):
            outcome(side.folder / part, 1, *values)

    monkeypatch.setattr(schemes, "measure", measure)
    measure(plan, "prcl")
    head, names, ours, upstream = schemes.prcl_part(plan)
    assert head.startswith("prcl") and names.split()[:3] == ["kernel", "saved", "cold"]
    assert ours.split()[:6] == ["ours", "33.3%", "100.0%", "97.0%", "0.00%", "0.0"]
    assert "goal cold 90%: met; goal speed 97.0%: met; goal wrong 1.5 MB: met" in ours
    assert upstream.split()[2] == "75.0%" and "goal" not in upstream
    outcome(plan.sides[0].folder / "prcl", 1, 2 * MB, 96, MB)
    assert schemes.prcl_part(plan)[2].count("missed") == 3


def test_ethp_tells_shares_of_what_huge_pages_cost_and_gain(plan):
    for side, (memory, speed) in zip(plan.sides, [(30, 160), (60, 150)], strict=True):
        for name, present, passes in (
            ("none", 20, 100),
            ("always", 120, 200),
            ("scheme", memory, speed),
        ):
            samples = [sample(2, present=present * MB), sample(20, present=present * MB)]
            write(side.folder / "ethp" / f"{name}.1.json", samples, passes)
    _, _, ours, upstream = schemes.ethp_part(plan)
    assert " 90.0%   60.0% " in ours and ours.count(": met") == 3
    assert " 60.0%   50.0% " in upstream


def test_a_quota_that_is_not_kept_is_told(plan, tmp_path):
    for side, megabytes in zip(plan.sides, (10, 12), strict=True):
        (side.folder / "size").mkdir(parents=True)
        lines = [TRACE.format(time=i, end=4096 + megabytes * MB) for i in range(9)]
        (side.folder / "size" / "scheme.1.trace").write_text("".join(lines))
    _, _, ours, upstream = schemes.size_part(plan)
    assert "100.0%   100.0%   100.0%" in ours and "goal within 1%: met" in ours
    assert "120.0%   120.0%   120.0%" in upstream
