# SPDX-License-Identifier: GPL-2.0
"""Schemes on a real kernel: cold memory is given back, and tuning changes that while it runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from half import COLD, HOT, PATTERN, given_back, half, rss, swap
from interactive_shell import PROMPT, Shell

from guest import ADMIN, IS_OURS, damon, environment, kdamonds, ok, tree, wait_until
from perf_damon.control import monitor
from perf_damon.control.nodes import Context, MonitoringAttrs, Range
from perf_damon.control.system import System
from perf_damon.control.tune import tune
from perf_damon.errors import Error

__all__ = ["half", "swap"]

PRCL = "action=pageout size=4K-max accesses=0%-0% age=2s-max"
# Nothing but one page a second: as good as nothing at all.
TRICKLE = f"{PRCL} quota=4K/1s"


def file(name: str) -> str:
    """What a file of the kdamond's context says."""
    return (ADMIN / "kdamonds/0/contexts/0" / name).read_text().strip()


def schemes() -> list[dict]:
    (kdamond,) = json.loads(ok("schemes", "--json"))["kdamonds"]
    assert kdamond["owner"] == "perf damon"
    return kdamond["schemes"]


@pytest.mark.feature("schemes")
def test_prcl_gives_cold_memory_back(here: Path, half: int) -> None:
    before = rss(half)
    assert before > HOT + COLD
    started = damon("start", "--scheme", f"{PRCL} quota=100M/1s", half)
    assert started.returncode == 0 and "schemes: pageout" in started.stderr
    wait_until(lambda: given_back(half, before), "the cold memory is given back")
    (scheme,) = schemes()
    stats = scheme["stats"]
    assert stats["sz_tried"] >= stats["sz_applied"] >= 0.9 * COLD
    assert stats["nr_tried"] >= stats["nr_applied"] > 0
    # Linux 6.9 and later tell it.
    told = (ADMIN / "kdamonds/0/contexts/0/schemes/0/quotas/effective_bytes").exists()
    if told:
        assert 0 < scheme["effective_bytes"] <= 100 << 20
    else:
        assert scheme["effective_bytes"] is None
    assert scheme["scheme"] == f"{PRCL} quota=100M/1s"
    assert rss(half) > HOT, "what is hot stays"

    lines = ok("schemes").splitlines()
    assert lines[0].endswith(f"{half} (workload)") and f"thread {kdamonds()[0]}" in lines[0]
    assert lines[1] == f"0  {PRCL} quota=100M/1s"
    assert lines[-1].split()[:2] == ["0", "pageout"] and lines[-1].endswith("/1s" if told else "-")
    assert max(map(len, lines)) <= 80
    ok("stop")
    assert ok("schemes") == "no schemes are installed\n"


def test_the_columns_of_a_file(here: Path, half: int) -> None:
    """ethp and prcl together: three lines."""
    Path("three").write_text(
        "min max 5% max min max hugepage\n2M max min 5% 13s max nohugepage\n"
        "4K max min min 2s max pageout 100M 1s [weights 0 3 7]\n"
    )
    before = rss(half)
    ok("start", "--schemes", "three", half)
    wait_until(lambda: given_back(half, before), "the cold memory is given back")
    assert [scheme["files"]["action"] for scheme in schemes()] == [
        "hugepage", "nohugepage", "pageout",
    ]  # fmt: skip
    ok("stop")


@pytest.mark.feature("tune")
def test_tune_a_quota(here: Path, half: int) -> None:
    before = rss(half)
    ok("start", "--scheme", TRICKLE, half)
    tids = kdamonds()
    wait_until(lambda: schemes()[0]["stats"]["qt_exceeds"] > 2, "the quota holds it back")
    assert rss(half) > before - 0.2 * COLD
    result = damon("tune", "--quota", "100M/1s")
    assert result.returncode == 0, result.stderr
    wait_until(lambda: given_back(half, before), "the new quota lets it")
    assert schemes()[0]["scheme"] == f"{PRCL} quota=100M/1s"
    assert kdamonds() == tids, "it is the same one"
    ok("stop")


def test_tune_everything_else(
    here: Path, half: int, workload: Callable[..., subprocess.Popen]
) -> None:
    other = workload(PATTERN, "--duration", "30m").pid
    before, others = rss(half), rss(other)
    ok("start", half)
    tids = kdamonds()
    ok("tune", "--aggr", "200ms", "--update", "500ms", "--max-regions", "300")
    assert file("monitoring_attrs/intervals/sample_us") == "5000"
    assert file("monitoring_attrs/intervals/aggr_us") == "200000"
    assert file("monitoring_attrs/nr_regions/max") == "300"

    ok("tune", "--scheme", PRCL)
    assert file("schemes/0/access_pattern/age/min") == "10"
    wait_until(lambda: given_back(half, before), "a scheme that came later works")
    ok("tune", "-p", other)
    wait_until(lambda: given_back(other, others), "and for a target that came later")
    ok("tune", "--aggr", "100ms")
    assert schemes()[0]["scheme"] == PRCL, "it means what it meant"
    assert file("schemes/0/access_pattern/age/min") == "20"
    ok("tune", "--schemes", "/dev/null")
    assert file("schemes/nr_schemes") == "0"
    assert kdamonds() == tids
    ok("stop")


def unchanged(before: dict[str, str], after: dict[str, str], but: str = "/stats/") -> bool:
    """Whether the files are the same, but for statistics."""
    return all(after[name] == before[name] for name in before | after if but not in name)


LACKING = (
    (["--aggr", "1s", "--scheme", "action=collapse"], 255, "does not know the action"),
    (
        ["--aggr", "1s", "--scheme", "action=stat filter=young"],
        255,
        "has no filter young for vaddr",
    ),
)
"""Of upstream's 6.12"""


def test_a_bad_tune_changes_nothing(here: Path, half: int) -> None:
    ok("start", "--scheme", TRICKLE, half)
    before, tids = tree(), kdamonds()
    Path("bad").write_text("action=cold\n4K max min min 5s max pageot\n")
    for words, code, said in (
        (["--aggr", "1s", "--schemes", "bad"], 129, "bad:2:23: 'pageot' is no action"),
        (["--aggr", "1s", "--scheme", "action=lru_prio"], 255, "vaddr cannot do lru_prio"),
        (["--aggr", "1s", "--scheme", "action=cold filter=young"], 255, "young is for pages"),
        *(() if IS_OURS else LACKING),
        (["--aggr", "1s", "-p", "4194000"], 255, "no process with pid 4194000"),
    ):
        result = damon("tune", *words)
        assert (result.returncode, said in result.stderr) == (code, True), result.stderr
        assert unchanged(before, tree()) and kdamonds() == tids
    ok("stop")


@pytest.mark.feature("tune")
def test_what_the_kernel_itself_refuses(here: Path, half: int) -> None:
    """Past all checks of ours. Linux 6.12 says nothing, and ends its kdamond."""
    before_rss = rss(half)
    ok("start", "--scheme", PRCL, half)
    before = tree()
    (slot,) = [slot for slot in monitor.overview(System()).slots if slot.ours]
    too_few = Context(monitoring_attrs=MonitoringAttrs(nr_regions=Range(min=1, max=2)))
    with pytest.raises(Error) as caught:
        tune(System(), slot, too_few)
    print(caught.value.message, caught.value.hint)
    after = tree()
    assert len(kdamonds()) == 1
    assert {name for name in before if before[name] != after[name]} <= {
        name for name in before if name.endswith("/pid")
    }
    wait_until(lambda: given_back(half, before_rss), "it goes on as it was")
    ok("stop")


@pytest.mark.feature("schemes")
def test_schemes_for_physical_memory(here: Path) -> None:
    """The example, and what it is not for."""
    ok("start", "--schemes", "lru_sort", "paddr")
    assert [scheme["files"]["action"] for scheme in schemes()] == ["lru_prio", "lru_deprio"]
    text = ok("schemes")
    assert "watermarks=free_mem_rate:20%:15%:5%@5s" in text
    ok("stop")
    result = damon("start", "--schemes", "ethp", "paddr")
    assert result.returncode == 255 and "paddr cannot do hugepage" in result.stderr
    result = damon("start", "--scheme", "action=stat filter=reject memcg:/no/such", "paddr")
    assert result.returncode == 255 and "memory cgroup" in result.stderr


def test_watch_on_a_terminal(here: Path, half: int) -> None:
    ok("start", "--scheme", PRCL, half)
    shell = Shell(environment(), 180)
    try:
        shell.run("TERM=xterm perf damon schemes -w 500ms")
        for _ in range(3):
            shell.read_until("\x1b[H")
            shell.read_until("#  action")
        shell.type("\x03")
        shell.read_until(PROMPT)
        assert shell.status() == 0
        shell.read_until(PROMPT)
        shell.run("perf damon schemes -w 500ms | head -n 12 | cat -A")
        shown = shell.read_until(PROMPT)
        assert shown.count("kdamond 0") > 1 and "^[" not in shown
    finally:
        shell.close()
    ok("stop")
