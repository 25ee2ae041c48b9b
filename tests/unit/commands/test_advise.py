# SPDX-License-Identifier: GPL-2.0
"""advise from its words to a file of schemes, and to schemes that run on a fake kernel."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import recordings
from fake_kernel import FakeKernel, process

from perf_damon.commands import advise, advise_views
from perf_damon.control import monitor
from perf_damon.control.system import System
from perf_damon.errors import DataError, Error, UsageError
from perf_damon.options import Parser
from perf_damon.parameters import Attributes
from perf_damon.recording import Losses
from perf_damon.schemes.text import parse_file, parse_scheme

GOLDEN = Path(__file__).parents[1] / "render" / "golden"
MB = 1 << 20
BASE = 0x7F0000000000


def recorded(seconds: float = 60, **how: object) -> recordings.Recording:
    """10 MB are always hot, 10 are touched every 8 s, 80 never."""
    snapshots = []
    for i in range(round(seconds * 10)):
        after = i % 80
        rows = [
            (BASE, BASE + 10 * MB, 20, i),
            (BASE + 10 * MB, BASE + 20 * MB, 0 if after else 2, max(after - 1, 0)),
            (BASE + 20 * MB, BASE + 100 * MB, 0, i),
        ]
        snapshots.append((1000 + 100 * i, rows))
    maps = [(100, BASE, BASE + 100 * MB, "//anon")]
    values = {"pid": 100, "comm": "app", **how}
    return recordings.recording(recordings.target(snapshots, **values), maps=maps)


@pytest.fixture
def run(monkeypatch, capsys, system):
    """Runs the command with a recording and words; what it printed, and what it said."""
    monkeypatch.setattr(advise_views, "System", lambda: system)
    monkeypatch.setattr("time.sleep", lambda _: None)

    def command(recording, *words):
        monkeypatch.setattr("perf_damon.open", lambda path, force: recording)
        parser = Parser("perf damon advise", advise.USAGE)
        advise.configure(parser)
        assert advise.run(parser.parse_args(words)) == 0
        captured = capsys.readouterr()
        return captured.out, captured.err

    return command


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("PERF_DAMON_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_prints_a_file_of_schemes(run):
    text, said = run(recorded())
    check("advise.schemes", text)
    assert said == ""
    schemes = parse_file(text, "my.schemes")
    assert [scheme.action for scheme in schemes] == ["pageout", "hugepage", "nohugepage"]
    cold = schemes[0].access_pattern
    assert cold.age.min == 90 and cold.nr_accesses.max == 0 and cold.sz.min == 4096
    assert schemes[1].access_pattern.nr_accesses.min == 5
    assert all(len(line) <= 80 for line in text.splitlines())


def test_physical_memory(run):
    text, _ = run(recorded(operations="paddr", pid=None, comm=None))
    actions = [scheme.action for scheme in parse_file(text, "my.schemes")]
    assert actions == ["pageout", "lru_prio", "lru_deprio"]
    assert "has no mappings" not in text


def test_figures_for_programs(run):
    data = json.loads(run(recorded(), "--format", "json")[0])
    assert data["length_ns"] == 60 * 10**9 and data["longest_idle_ns"] == 20 * 10**9
    assert data["monitored"] == 100 * MB and data["risk_limit"] == 0.05
    (five,) = [one for one in data["idle"] if one["least_ns"] == 5 * 10**9]
    assert five["risk"] == pytest.approx(6 / 14) and five["judged"] == pytest.approx(140 * MB)
    first = data["proposals"][0]
    assert (first["action"], first["least_ns"]) == ("pageout", 9 * 10**9)
    assert parse_scheme(first["scheme"]).action == "pageout"
    assert data["not_proposed"] == [] and data["targets"][0]["pid"] == 100


def test_a_recording_that_is_too_short_says_so(run):
    for words in ([], ["--format", "json"]):
        text, said = run(recorded(9), *words)
        assert "too short to tell: it is 9 s long" in said
        if not words:
            assert parse_file(text, "my.schemes") == []
            assert "too short to tell" in text.replace("\n# ", " ")
    assert json.loads(text)["proposals"] == []


def test_what_is_not_proposed_is_said(run):
    text, said = run(recorded(), "--risk", "0%", "--time", "0,16", "--action", "pageout")
    assert parse_file(text, "my.schemes") == []
    assert "Not proposed: pageout: of the memory that became idle 11.1% or more" in said
    assert "--risk allows 0%" in said
    text, _ = run(recorded(), "--address", f"{BASE:#x}+10M")
    assert "Not proposed: pageout, nohugepage: no memory was idle" in text.replace("\n# ", " ")
    text, _ = run(recorded(), "--address", f"{BASE + 20 * MB:#x}+80M")
    assert "Not proposed: hugepage: too little memory is hot" in text.replace("\n# ", " ")


def test_what_would_be_wrong_a_little_later_is_said(run):
    """80 MB are never touched, 10 MB once, after 12 s: idle for 1 s, it is not yet so soon."""
    snapshots = []
    for i in range(330):
        after = i - 120
        rows = [
            (BASE, BASE + 80 * MB, 0, i),
            (BASE + 80 * MB, BASE + 90 * MB, 2 if not after else 0, i if after < 0 else after),
        ]
        snapshots.append((1000 + 100 * i, rows))
    maps = [(100, BASE, BASE + 90 * MB, "//anon")]
    target = recordings.target(snapshots, pid=100, comm="app")
    text, _ = run(recordings.recording(target, maps=maps), "--action", "pageout")
    assert parse_file(text, "my.schemes") == []
    said = text.replace("\n# ", " ")
    assert re.search(r"pageout: of the memory that was idle for \d+ s 10\.0% was accessed", said)
    assert "within 10 s, and --risk allows 5.0%: a scheme may come so late" in said


def test_only_what_is_asked_for(run):
    text, _ = run(recorded(), "--action", "nohugepage,hugepage")
    actions = [scheme.action for scheme in parse_file(text, "my.schemes")]
    assert actions == ["hugepage", "nohugepage"]
    text, _ = run(recorded(), "--action", "pageout", "--risk", "50")
    (scheme,) = parse_file(text, "my.schemes")
    assert scheme.access_pattern.age.min == 10


def test_without_mappings_that_is_said(run):
    bare = replace(recorded(), mappings=recordings.mappings())
    assert "has no mappings of the process" in run(bare)[0]


def test_losses_are_said(run):
    text, said = run(replace(recorded(), losses=Losses(1234)))
    assert "1,234 events were lost" in said and "lost" not in text


def test_the_schemes_are_started(run, system: System):
    _, said = run(recorded(attributes=Attributes(10_000, 200_000, 1_000_000, 10, 500)), "--apply")
    (slot,) = [slot for slot in monitor.overview(system).slots if slot.kdamond.running]
    assert slot.ours and slot.context is not None and slot.context.pids == (100,)
    assert slot.context.monitoring_attrs.intervals.aggr_us == 200_000
    assert slot.context.monitoring_attrs.nr_regions.max == 500
    schemes = slot.context.schemes or []
    assert [scheme.action for scheme in schemes] == ["pageout", "hugepage", "nohugepage"]
    assert schemes[0].access_pattern.age.min == 45, "9 s, in intervals of 200 ms"
    assert "monitors 100 (app)" in said


def test_physical_memory_is_started(run, system: System):
    run(recorded(operations="paddr", pid=None, comm=None), "--apply", "--action", "pageout")
    (slot,) = [slot for slot in monitor.overview(system).slots if slot.kdamond.running]
    assert slot.context is not None and slot.context.operations == "paddr"
    assert slot.context.targets and slot.context.targets[0].regions


def test_what_cannot_be_started(run, system: System):
    def nothing_runs() -> bool:
        assert isinstance(system.damon, FakeKernel)
        return (system.damon.root / "kdamonds/nr_kdamonds").read_text() == "0\n"

    with pytest.raises(Error, match="none of the recording's processes still runs"):
        run(recorded(pid=9999), "--apply")
    process(system.proc, 100, "another")
    with pytest.raises(Error, match="still runs"):
        run(recorded(), "--apply")
    with pytest.raises(Error, match="nothing to apply") as caught:
        run(recorded(9), "--apply")
    assert "too short" in caught.value.hint
    with pytest.raises(Error, match="the recording is fvaddr"):
        run(recorded(operations="fvaddr"), "--apply")
    assert nothing_runs()


@pytest.mark.parametrize(
    "words",
    [
        ["--action", "lru_prio"],
        ["--action", "pageuot"],
        ["--risk", "x"],
        ["--risk", "101"],
        ["--target", "7"],
        ["--apply", "--address", "0,1"],
    ],
    ids=" ".join,
)
def test_nonsense_is_a_usage_error(run, words):
    with pytest.raises(UsageError):
        run(recorded(), *words)


def test_targets_of_several_kinds_and_times_without_any(run):
    first, second = recorded(), recorded(operations="paddr", pid=None)
    both = replace(first, targets=(*first.targets, *second.targets))
    with pytest.raises(UsageError, match="several kinds") as caught:
        run(both)
    assert "--target" in caught.value.hint
    assert "lru_prio" in run(both, "--target", "2")[0]
    with pytest.raises(DataError, match="no snapshots"):
        run(first, "--time", "0.01,0.02")
