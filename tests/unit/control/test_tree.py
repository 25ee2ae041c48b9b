# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import errno

import pytest
from fake_kernel import FakeKernel

from perf_damon.control import tree
from perf_damon.control.nodes import Context, Filter, Goal, Kdamond, Region, Scheme, Target
from perf_damon.control.state import Command, command
from perf_damon.control.sysfs import SysfsError
from perf_damon.control.system import System
from perf_damon.errors import Error


@pytest.fixture
def damon(system: System) -> FakeKernel:
    kernel = system.damon
    assert isinstance(kernel, FakeKernel)
    kernel.put("kdamonds/nr_kdamonds", "1")
    kernel.put("kdamonds/0/contexts/nr_contexts", "1")
    return kernel


def whole_context() -> Context:
    context = Context(operations="paddr")
    context.monitoring_attrs.intervals.sample_us = 1000
    context.monitoring_attrs.nr_regions.max = 77
    context.targets = [
        Target(pid_target=1, regions=[Region(start=0, end=4096), Region(start=8192, end=2**63)]),
        Target(pid_target=2, regions=[]),
    ]
    scheme = Scheme(action="pageout", apply_interval_us=5, target_nid=0)
    scheme.access_pattern.sz.min, scheme.access_pattern.sz.max = 4096, 2**64 - 1
    scheme.access_pattern.age.min = 50
    scheme.quotas.ms, scheme.quotas.bytes, scheme.quotas.reset_interval_ms = 10, 1 << 20, 1000
    scheme.quotas.weights.age_permil = 1000
    scheme.quotas.goals = [Goal(target_metric="some_mem_psi_us", target_value=9, current_value=1)]
    scheme.watermarks.metric, scheme.watermarks.high = "free_mem_rate", 500
    scheme.filters = [
        Filter(type="memcg", matching=True, memcg_path="/a"),
        Filter(type="target", matching=False, damon_target_idx=1),
    ]
    context.schemes = [scheme, Scheme()]
    return context


def test_what_is_stored_is_loaded(damon: FakeKernel) -> None:
    tree.store(whole_context(), damon, "kdamonds/0/contexts/0")
    loaded = tree.load(Context, damon, "kdamonds/0/contexts/0")
    assert loaded.monitoring_attrs.intervals.sample_us == 1000
    assert loaded.monitoring_attrs.intervals.aggr_us == 100_000, "None leaves the kernel's default"
    assert loaded.pids == (), "physical memory has no pids"
    assert loaded.targets is not None and loaded.schemes is not None
    assert [len(target.regions or []) for target in loaded.targets] == [2, 0]
    assert loaded.targets[0].regions[1].end == 2**63
    first = loaded.schemes[0]
    assert (first.action, first.target_nid, first.access_pattern.sz.max) == (
        "pageout",
        0,
        2**64 - 1,
    )
    assert first.quotas.weights.age_permil == 1000
    assert first.quotas.goals[0].target_metric == "some_mem_psi_us"
    assert first.watermarks.high == 500
    assert [(f.type, f.matching) for f in first.filters] == [("memcg", True), ("target", False)]
    assert first.filters[0].memcg_path == "/a"
    assert first.stats.qt_exceeds == 0 and first.tried_bytes == 0 and first.tried_regions == []
    assert loaded.schemes[1].action == "stat"
    assert loaded.extra == {}


def test_every_file_of_the_abi_is_a_field(damon: FakeKernel) -> None:
    tree.store(whole_context(), damon, "kdamonds/0/contexts/0")
    kdamond = tree.load_kdamonds(damon)[0]
    assert kdamond.extra == {}
    assert (kdamond.state, kdamond.pid) == ("off", -1)
    context = kdamond.contexts[0]
    for node in (context, *context.targets, *context.schemes, *context.schemes[0].filters):
        assert node.extra == {}


def test_files_of_newer_kernels_are_kept(damon: FakeKernel) -> None:
    base = damon.root / "kdamonds/0/contexts/0"
    goal = base / "monitoring_attrs/intervals/intervals_goal"
    goal.mkdir()
    (goal / "access_bp").write_text("400\n")
    (base / "addr_unit").write_text("1\n")
    (damon.root / "kdamonds/0/refresh_ms").write_text("0\n")
    tree.store(Context(schemes=[Scheme()]), damon, "kdamonds/0/contexts/0")
    (base / "schemes/0/tried_regions/0").mkdir()
    (base / "schemes/0/tried_regions/0/start").write_text("4096\n")
    (base / "schemes/0/tried_regions/0/sz_filter_passed").write_text("1\n")

    kdamond = tree.load(Kdamond, damon, "kdamonds/0")
    assert kdamond.extra == {"refresh_ms": "0"}
    context = kdamond.contexts[0]
    assert context.extra == {"addr_unit": "1"}
    assert context.monitoring_attrs.intervals.extra == {"intervals_goal/access_bp": "400"}
    assert context.schemes[0].tried_regions[0].start == 4096
    assert context.schemes[0].tried_regions[0].extra == {"sz_filter_passed": "1"}

    (goal / "access_bp").write_text("1\n")
    (base / "addr_unit").write_text("8\n")
    context.extra["addr_unit"] = "4"
    context.targets = context.schemes = None
    tree.store(context, damon, "kdamonds/0/contexts/0")
    assert (goal / "access_bp").read_text().strip() == "400", "written back"
    assert (base / "addr_unit").read_text().strip() == "4"


def test_dictionaries_hold_what_can_be_written(damon: FakeKernel) -> None:
    context = whole_context()
    assert tree.from_dict(Context, tree.to_dict(context)) == context
    tree.store(context, damon, "kdamonds/0/contexts/0")
    saved = tree.to_dict(tree.load(Kdamond, damon, "kdamonds/0"))
    before = damon.snapshot()
    damon.put("kdamonds/0/contexts/nr_contexts", "0")
    tree.store(tree.from_dict(Kdamond, saved), damon, "kdamonds/0")
    assert {k: v.strip() for k, v in damon.snapshot().items()} == {
        k: v.strip() for k, v in before.items()
    }


def test_several_contexts_are_put_back(damon: FakeKernel) -> None:
    contexts = damon.root / "kdamonds/0/contexts"
    (contexts / "max_nr_contexts").write_text("2\n")
    damon.put("kdamonds/0/contexts/nr_contexts", "2")
    saved = tree.load(Kdamond, damon, "kdamonds/0")
    damon.put("kdamonds/0/contexts/nr_contexts", "1")
    damon.put("kdamonds/0/contexts/max_nr_contexts", "1")
    tree.store(saved, damon, "kdamonds/0")
    assert (contexts / "1").is_dir()
    assert (contexts / "max_nr_contexts").read_text().strip() == "2"


def test_an_extra_file_that_the_kernel_lacks(damon: FakeKernel) -> None:
    with pytest.raises(Error, match=r"no .*/pause"):
        tree.store(Context(extra={"pause": "N"}), damon, "kdamonds/0/contexts/0")


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EINVAL, "does not take it"), (errno.EBUSY, "in use"), (errno.EPERM, "not allow")],
)
def test_errors_say_file_and_meaning(
    damon: FakeKernel, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    damon.fail["kdamonds/0/contexts/0/operations"] = number
    with pytest.raises(SysfsError, match=words) as caught:
        tree.store(Context(operations="vaddr"), damon, "kdamonds/0/contexts/0")
    assert "contexts/0/operations" in caught.value.message
    assert caught.value.errno == number


def test_busy_is_tried_again(damon: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            damon.fail.clear()

    monkeypatch.setattr("time.sleep", sleep)
    damon.fail["kdamonds/nr_kdamonds"] = errno.EBUSY
    damon.write("kdamonds/nr_kdamonds", 2)
    assert len(waits) == 3
    assert damon.is_dir("kdamonds/1")


def test_a_value_that_the_kernel_changes_is_an_error(damon: FakeKernel) -> None:
    class Rounding(FakeKernel):
        def put(self, path: str, text: str) -> None:
            super().put(path, "0" if path.endswith("sample_us") else text)

    rounding = Rounding(damon.root)
    context = Context()
    context.monitoring_attrs.intervals.sample_us = 5
    with pytest.raises(SysfsError, match="took '0' for '5'"):
        tree.store(context, rounding, "kdamonds/0/contexts/0")


def test_commands_go_to_the_kdamonds_state(damon: FakeKernel) -> None:
    with pytest.raises(SysfsError, match="the kernel does not take it"):
        command(damon, 0, Command.COMMIT)
    command(damon, 0, Command.ON)
    command(damon, 0, Command.COMMIT)
    assert damon.written[-1] == ("kdamonds/0/state", "commit")
    command(damon, 0, Command.OFF)
    assert damon.read("kdamonds/0/state") == "off"
