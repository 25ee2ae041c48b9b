# SPDX-License-Identifier: GPL-2.0
"""Kernels from Linux 5.18, the first with the sysfs tree, to 7.3: each has what it has.

What a kernel has not is not written as long as it is not needed; where it is, the error names the
Linux that has it, and nothing has changed.
"""

from __future__ import annotations

import argparse
import errno
import json
from pathlib import Path

import pytest
from fake_kernel import RELEASES, FakeKernel, has, machine

from perf_damon.commands import schemes, start, status, tune
from perf_damon.control import journal, monitor
from perf_damon.control.sysfs import Sysfs
from perf_damon.control.system import System
from perf_damon.errors import Error
from perf_damon.options import Parser
from perf_damon.render.text import Canvas

PRCL = "action=pageout size=4K-max accesses=0% age=5s-max quota=100M/1s weights=0/3/7"
MANY = f"{PRCL} watermarks=free_mem_rate:50%:40%:20%@5s"
NEEDS = (
    ("5.19", "100 --ops fvaddr --regions 1G-2G", ""),
    ("6.0", "paddr", "action=lru_prio"),
    ("6.0", "paddr", "action=lru_deprio"),
    ("6.3", "paddr", "action=pageout filter=anon"),
    ("6.3", "paddr", "action=pageout filter=reject not memcg:/jobs"),
    ("6.6", "100", "action=pageout filter=addr:1G-2G"),
    ("6.6", "100", "action=pageout filter=target:0"),
    ("6.7", "100", "action=pageout apply=1s"),
    ("6.8", "100", "action=pageout goal=user_input:2:current=1"),
    ("6.9", "100", "action=pageout goal=some_mem_psi_us:10ms"),
    ("6.10", "paddr", "action=pageout filter=young"),
    ("6.11", "paddr", "action=migrate_hot nid=0"),
    ("6.11", "paddr", "action=migrate_cold nid=0"),
    ("6.14", "paddr", "action=pageout filter=allow anon"),
    ("6.14", "100", "action=pageout filter=allow addr:1G-2G"),
    ("6.15", "paddr", "action=pageout filter=active"),
    ("6.15", "paddr", "action=pageout filter=unmapped"),
    ("6.15", "paddr", "action=pageout filter=hugepage_size:2M-2M"),
    ("6.16", "paddr", "action=pageout goal=node_mem_used_bp:50%:nid=0"),
    ("6.16", "paddr", "action=pageout goal=node_mem_free_bp:50%:nid=0"),
    ("6.17", "100", "action=migrate_hot dests=0:1"),
    ("6.17", "100", "action=migrate_cold nid=0"),
    ("6.17", "paddr", "action=migrate_hot dests=0:1"),
    ("6.18", "100", "action=pageout filter=anon"),
    ("6.18", "100", "action=pageout filter=young"),
    ("6.19", "paddr", "action=pageout goal=node_memcg_used_bp:50%:nid=0:path=/jobs"),
    ("6.19", "paddr", "action=pageout goal=node_memcg_free_bp:50%:nid=0:path=/jobs"),
    ("7.0", "100", "action=pageout goal=active_mem_bp:50%"),
    ("7.0", "100", "action=pageout goal=inactive_mem_bp:50%"),
    ("7.0", "100", "action=stat max_snapshots=5"),
    ("7.1", "100", "action=pageout goal=user_input:2 tuner=temporal"),
    ("7.2", "100", "action=pageout goal=node_eligible_mem_bp:50%:nid=0"),
    ("7.2", "100", "action=pageout fail_charge=1/10"),
    ("7.2", "100", "action=collapse"),
)
"""Since when, for which target, which scheme."""


def a_machine(root: Path, release: str, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setattr("time.sleep", lambda _: None)
    system = machine(root, release)
    (system.cgroup / "jobs").mkdir(parents=True)
    (system.nodes / "node0").mkdir(parents=True)
    return system


def kernel(system: System) -> FakeKernel:
    assert isinstance(system.damon, FakeKernel)
    return system.damon


def run(module: object, system: System, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(f"{module.__name__}.System", lambda: system)  # type: ignore[attr-defined]
    parser = Parser("perf damon x", "")
    module.configure(parser)  # type: ignore[attr-defined]
    args: argparse.Namespace = parser.parse_args(list(words))
    args.command = None
    assert module.run(args) == 0  # type: ignore[attr-defined]


def stop(system: System) -> None:
    for slot in monitor.overview(system).slots:
        if slot.ours:
            monitor.stop(system, slot)


@pytest.mark.parametrize("release", RELEASES)
def test_from_start_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, release: str
) -> None:
    """With a scheme that needs nothing new, for processes and for physical memory."""
    system = a_machine(tmp_path, release, monkeypatch)
    before = kernel(system).snapshot()
    run(status, system, monkeypatch)
    run(start, system, monkeypatch, "--scheme", MANY, "100")
    run(start, system, monkeypatch, "--scheme", MANY, "paddr")
    capsys.readouterr()
    run(status, system, monkeypatch, "--json")
    told = json.loads(capsys.readouterr().out)
    first, second, *_ = told["kdamonds"]
    assert (first["operations"], second["operations"]) == ("vaddr", "paddr")
    assert first["schemes"] == ["pageout"] and "schemes" in told["features"]
    assert ("fvaddr" in told["features"]) == has(release, "5.19")
    run(status, system, monkeypatch)
    slots = schemes.installed(system)
    text = "\n".join(schemes.to_lines(system, slots, Canvas(width=80)))
    assert text.count("quota=100M/1s") == 2
    assert json.dumps(schemes.to_json(system, slots))
    if has(release, "5.19"):
        tuned = ("-k", "0", "--aggr", "200ms", "--quota", "5M/1s", "100", "101")
        run(tune, system, monkeypatch, *tuned)
        context = monitor.overview(system).slots[0].context
        assert context is not None and context.pids == (100, 101)
        assert context.schemes[0].quotas.bytes == 5 << 20
    stop(system)
    assert kernel(system).snapshot() == before
    assert journal.read(system).entries == []


@pytest.mark.parametrize("release", ["5.18", "6.6", "7.3"])
def test_what_somebody_set_up_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    system = a_machine(tmp_path, release, monkeypatch)
    damon = kernel(system)
    damon.put("kdamonds/nr_kdamonds", "1")
    damon.put("kdamonds/0/contexts/nr_contexts", "1")
    damon.put("kdamonds/0/contexts/0/schemes/nr_schemes", "1")
    damon.put("kdamonds/0/contexts/0/schemes/0/quotas/ms", "7")
    before = damon.snapshot()
    run(start, system, monkeypatch, "--scheme", PRCL, "100")
    stop(system)
    assert damon.snapshot() == before


def asked(target: str, scheme: str) -> list[str]:
    return [*target.split(), *(["--scheme", scheme] if scheme else [])]


@pytest.mark.parametrize(("since", "target", "scheme"), NEEDS, ids=str)
def test_what_a_kernel_needs_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, since: str, target: str, scheme: str
) -> None:
    """The first Linux that has it takes it; the one before, and the first of all, say so."""
    at = RELEASES.index(since)
    for release in {RELEASES[0], RELEASES[at - 1]}:
        older = a_machine(tmp_path / release, release, monkeypatch)
        before = kernel(older).snapshot()
        with pytest.raises(Error) as caught:
            run(start, older, monkeypatch, *asked(target, scheme))
        assert f"since Linux {since}" in caught.value.hint, caught.value.message
        assert "this kernel" in caught.value.message
        assert kernel(older).snapshot() == before
    run(start, a_machine(tmp_path / since, since, monkeypatch), monkeypatch, *asked(target, scheme))


@pytest.mark.parametrize(
    "scheme",
    [
        "action=pageout apply=0s",
        "action=pageout tuner=consist",
        "action=pageout max_snapshots=0",
    ],
)
def test_what_says_no_more_than_an_old_kernel_does_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    run(start, a_machine(tmp_path, "5.18", monkeypatch), monkeypatch, "--scheme", scheme, "100")


def test_a_kernel_that_cannot_be_tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = a_machine(tmp_path, "5.18", monkeypatch)
    run(start, system, monkeypatch, "100")
    before, written = kernel(system).snapshot(), len(kernel(system).written)
    with pytest.raises(Error, match="cannot change monitoring while it runs") as caught:
        run(tune, system, monkeypatch, "--aggr", "200ms")
    assert "since Linux 5.19" in caught.value.hint
    assert kernel(system).snapshot() == before and len(kernel(system).written) == written


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """sysfs refuses to make files with EACCES, which would read as a lack of rights."""
    with pytest.raises(OSError) as caught:
        Sysfs(tmp_path).put("not_there", "1")
    assert caught.value.errno == errno.ENOENT and not (tmp_path / "not_there").exists()
    (tmp_path / "there").write_text("a long text\n")
    Sysfs(tmp_path).put("there", "1")
    assert (tmp_path / "there").read_text() == "1"
