# SPDX-License-Identifier: GPL-2.0
"""lab/bench accuracy without booting guests: what it makes of their results."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from lab import kernels, vm
from lab.benchmarks import accuracy, guests
from lab.benchmarks.score import Score
from lab.common import LabError


@pytest.fixture
def plan(tmp_path):
    both = tuple(
        guests.Side(name, Path("/nonexistent"), tmp_path / name) for name in ("ours", "upstream")
    )
    return accuracy.Plan(both, ("stairs", "hopper"), 3, 20, exact=False)


def test_the_same_kernel_twice_has_two_names(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "image", lambda name: Path("/cache") / name)
    sides = guests.sides(["a", "b", "a"], tmp_path)
    assert [side.name for side in sides] == ["a", "b", "a-2"]
    assert [side.image.name for side in sides] == ["a", "b", "a"]


def test_an_image_is_kept_when_another_build_replaces_it(tmp_path, monkeypatch):
    image = tmp_path / "build" / "bzImage"
    image.parent.mkdir()
    image.write_text("old")
    monkeypatch.setattr(kernels, "image", lambda name: image)
    monkeypatch.setattr(guests, "BUILD", tmp_path / "build")
    for content in ("old", "new"):
        [side] = guests.sides(["ours"], tmp_path / "build" / "bench")
        new = tmp_path / "new"
        new.write_text("new")
        new.replace(image)
        assert side.image.read_text() == content


def job(limit_s=60, exact=True):
    return guests.Job(lambda side, out: ["echo", side.name, out], "part", exact, "1G", limit_s)


def test_every_side_gets_its_command_and_an_empty_folder(plan, monkeypatch):
    def run(guest, command, stdout, stderr):
        assert guest.instruction_clock and guest.cpus == 1
        (guest.out / "said").write_text(" ".join(command))
        return 0

    monkeypatch.setattr(vm, "run", run)
    for side in plan.sides:
        (side.folder / "part").mkdir(parents=True)
        (side.folder / "part" / "stale").touch()
    guests.run(job(), plan.sides)
    for side in plan.sides:
        [path] = (side.folder / "part").iterdir()
        assert path.read_text() == f"echo {side.name} {side.folder / 'part'}"


@pytest.mark.parametrize("exact", [True, False])
def test_one_side_that_fails_ends_the_other(plan, monkeypatch, exact, capfd):
    def run(guest, command, stdout, stderr):
        if command[1] == "ours":
            raise LabError("the guest died")
        time.sleep(600)

    monkeypatch.setattr(vm, "run", run)
    with pytest.raises(LabError, match="part on ours failed: status 125"):
        guests.run(job(exact=exact), plan.sides)
    assert "ours: the guest died" in capfd.readouterr().err
    assert not multiprocessing.active_children()


def test_a_job_that_takes_too_long_is_ended(plan, monkeypatch):
    monkeypatch.setattr(vm, "run", lambda *_: time.sleep(600))
    with pytest.raises(LabError, match="part has taken 0 s"):
        guests.run(job(0), plan.sides)


def test_a_signal_is_not_lost_while_a_process_begins(plan, monkeypatch):
    """The handler that is inherited raises, which is ignored there. Both sides get a signal:
    any of them may be the first to end."""
    monkeypatch.setattr(vm, "run", lambda *_: 0)
    beginning = [True]
    os.register_at_fork(after_in_child=lambda: beginning and os.kill(os.getpid(), signal.SIGTERM))

    def handler(number, _):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(LabError, match=r"part on (ours|upstream) failed: status 143"):
            guests.run(job(), plan.sides)
    finally:
        # What is registered stays.
        beginning.clear()
        signal.signal(signal.SIGTERM, before)


def score_of(f1):
    return Score(real=1, recorded=1, both=f1, seconds=20, aggregations=160, regions=40)


def test_accuracy_is_a_median_against_the_last_kernels(plan, monkeypatch):
    figures = {
        ("ours", "stairs"): (0.97, 0.10, 0.99),
        ("upstream", "stairs"): (0.96, 0.96, 0.96),
        ("ours", "hopper"): (0.70, 0.79, 0.90),
        ("upstream", "hopper"): (0.50, 0.40, 0.60),
    }
    monkeypatch.setattr(accuracy, "measure", lambda plan, part: None)
    monkeypatch.setattr(
        accuracy,
        "scores",
        lambda side, part, pattern: [score_of(f1) for f1 in figures[side.name, pattern]],
    )
    _, _, ours, upstream, hopper, _ = accuracy.accuracy_part(plan)
    assert ours.split()[:4] == ["stairs", "ours", "0.970", "(0.100…0.990)"]
    assert ours.split()[6:9] == ["40", "125", "ms"]
    assert ours.endswith("goal upstream's: met")
    assert upstream.split()[:2] == ["upstream", "0.960"]
    assert "goal" not in upstream
    assert hopper.endswith("goal upstream's: met; goal 0.80: missed")


def write_cost(path, kdamond_ns, share):
    """A workload that ran `share` of 10 s, 2 pages each millisecond of its CPU time."""
    watched = {"elapsed_ns": 10**10, "workload_ns": int(share * 10**10)}
    alone = {"elapsed_ns": 10**9, "workload_ns": 10**9, "workload_total_ns": 10**9}
    figures = {
        **watched, "kdamond_ns": kdamond_ns, "workload_total_ns": 2 * 10**10, "alone": alone,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(figures))
    for suffix, passes in ((".truth", 20_000), (".alone.truth", 1_000)):
        touch = {
            "region": "m", "start": 4096, "end": 3 * 4096, "access": "read", "every": 0,
            "passes": passes,
        }  # fmt: skip
        line = {
            "type": "phase", "pid": 7, "process": "main", "loop": 0, "phase": 0, "begin": 0,
            "end": 1, "touches": [touch],
        }  # fmt: skip
        path.with_suffix(suffix).write_text(json.dumps(line) + "\n")


def test_cost_is_a_ratio_to_the_last_kernels(plan, monkeypatch):
    def measure(plan, part):
        for number, factor in ((1, 1.0), (2, 5.0), (3, 0.9)):
            for side, ms in zip(plan.sides, (200, 500), strict=True):
                for pattern in plan.patterns:
                    path = side.folder / part.name / f"{pattern}.{number}.x"
                    write_cost(path, int(ms * factor * 1e6), 0.9)

    monkeypatch.setattr(accuracy, "measure", measure)
    _, _, ours, upstream, *_ = accuracy.cost_part(plan)
    assert ours.split()[1:5] == ["ours", "200", "(180…1000)", "0.40"]
    assert ours.split()[5] == "90.0%"
    assert ours.endswith("goal 0.5 of upstream: met")
    assert upstream.split() == ["upstream", "500", "(450…2500)", "90.0%"]


def test_scale_tells_how_often_the_spots_were_found(plan, monkeypatch):
    found = {"ours": [0.4, 0.3, 0.5], "upstream": [None, 2.0, None]}
    monkeypatch.setattr(accuracy, "measure", lambda plan, part: None)
    monkeypatch.setattr(accuracy, "cost", lambda side, *_: accuracy.Cost(100, 0.9))
    monkeypatch.setattr(
        accuracy, "compared", lambda side, part, pattern, number: (side.name, number - 1)
    )
    monkeypatch.setattr(accuracy, "score", lambda *_: score_of(1))
    monkeypatch.setattr(accuracy, "found_after", lambda name, i: found[name][i])
    _, _, ours, upstream, *others = accuracy.scale_part(plan)
    assert len(others) == 2 * (len(accuracy.SCALE) - 1)
    assert ours.split()[:5] == ["sparse-100m", "ours", "40", "0.4", "(0.3…0.5)"]
    assert upstream.split()[:6] == ["upstream", "40", "2.0", "(2.0…2.0),", "1", "of"]


def test_a_recording_that_ended_early_is_an_error(plan, monkeypatch):
    monkeypatch.setattr(accuracy, "compared", lambda *_: ())
    monkeypatch.setattr(accuracy, "score", lambda: score_of(1))
    part = accuracy.Part("accuracy", "record", ("stairs",), 1, 25)
    with pytest.raises(LabError, match=r"ours, stairs, run 1: only 20\.0 s"):
        accuracy.scores(plan.sides[0], part, "stairs")
