# SPDX-License-Identifier: GPL-2.0
"""The live reader on a stand-in for perf's module: its columns and its errors."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from live.fake_module import Lost, Other, Perf, Sample, sample
from perf_damon import live
from perf_damon.errors import DataError, Error
from perf_damon.live import module as module_
from perf_damon.live.module import ModuleReader, NoModuleError, perf_module


def test_the_columns_of_both_cpus_in_order_of_time() -> None:
    perf = Perf()
    with ModuleReader(perf, [500]) as reader:
        assert not reader.wait(0)
        perf.buffers[500][1] += [sample(30, start=0x3000), sample(50, start=0x5000)]
        perf.buffers[500][0] += [sample(20, start=0x2000, target_id=1), Other(), sample(40)]
        os.write(perf.ends[0], b"x")
        assert reader.wait(0)
        events = reader.read()
        assert events.columns["time"].tolist() == [20, 30, 40, 50]
        assert events.columns["start"].tolist() == [0x2000, 0x3000, 0x1000, 0x5000]
        assert events.columns["end"].tolist() == [0x3000, 0x4000, 0x2000, 0x6000]
        assert events.columns["nr_accesses"].tolist() == [3] * 4
        assert events.columns["age"].tolist() == [7] * 4
        assert events.columns["nr_regions"].tolist() == [2] * 4
        kinds = {name: column.dtype.name for name, column in events.columns.items()}
        wide = dict.fromkeys(("time", "start", "end"), "uint64")
        assert kinds == wide | dict.fromkeys(("nr_accesses", "age", "nr_regions"), "uint32")
        assert events.ordered
        assert [events.keys[i] for i in events.target] == [(500, 1), (500, 0), (500, 0), (500, 0)]
        assert len(reader.read().target) == 0
    assert not reader.wait(0) and reader.ended


def test_kernels_that_tell_no_age() -> None:
    perf = Perf()
    with ModuleReader(perf, [500]) as reader:
        one = sample(20)
        del one.age
        perf.buffers[500][0].append(one)
        assert set(reader.read().columns) == {"time", "start", "end", "nr_accesses", "nr_regions"}


def test_both_events_are_one_row_a_region_with_hits() -> None:
    perf = Perf()
    perf.region_number = 373
    with ModuleReader(perf, [500]) as reader:
        assert perf.opened == [373, 372]
        # What looks like a text to perf is one: 65, 0.
        for n, hits in enumerate((bytearray(b"\x01\xff"), "A", bytearray(b"\x09\x0a"))):
            start = 0x1000 * (n + 1)
            perf.buffers[500][0].append(sample(10 * n, start=start))
            told = sample(10 * n + 5, start=start, probe_hits=hits)
            perf.region_buffers[500][0].append(told)
        events = reader.read()
        assert events.columns["start"].tolist() == [0x1000, 0x2000, 0x3000]
        assert events.columns["probe_hits"].tolist() == [[1, 255], [65, 0], [9, 10]]
        perf.buffers[500][1].append(sample(40, start=0x4000))
        assert len(reader.read().target) == 0
        perf.region_buffers[500][1].append(sample(45, start=0x4000, probe_hits=bytearray(b"\1\2")))
        assert reader.read().columns["probe_hits"].tolist() == [[1, 2]]


def test_a_kernel_that_has_the_new_event_alone() -> None:
    perf = Perf()
    perf.number, perf.region_number = OSError(2, "none"), 373
    with ModuleReader(perf, [500]) as reader:
        perf.region_buffers[500][0].append(sample(5, probe_hits=bytearray(b"\3")))
        events = reader.read()
    assert events.columns["probe_hits"].tolist() == [[3]] and events.keys == [(500, 0)]


def test_lost_events_are_counted() -> None:
    perf = Perf()
    with ModuleReader(perf, [500]) as reader:
        perf.buffers[500][0] += [sample(1), Lost(5), sample(9)]
        perf.buffers[500][1].append(Lost(2))
        assert len(reader.read().target) == 2
        assert reader.lost == 7
    assert live.lost_line(7) == "7 events were lost: they were not read in time"
    assert live.lost_line(1) == "1 event was lost: they were not read in time"
    assert live.lost_line(0) == ""


def test_it_ends_when_all_kdamonds_have() -> None:
    perf = Perf(cpus=1)
    with ModuleReader(perf, [500, 501]) as reader:
        os.close(perf.ends[0])
        assert reader.wait(0)
        reader.read()
        assert not reader.ended, "another runs"
        assert not reader.wait(0), "what has ended is not told again"
        perf.buffers[501][0].append(sample(10, tid=501))
        os.close(perf.ends[1])
        assert reader.wait(0)
        assert reader.read().keys == [(501, 0)]
        assert reader.ended and not reader.wait(None)


def test_all_kdamonds_where_none_is_named() -> None:
    perf = Perf()
    with ModuleReader(perf) as reader:
        perf.buffers[-1][0] += [sample(10, tid=501), sample(20, tid=500)]
        assert reader.read().keys == [(500, 0), (501, 0)]


def test_a_module_without_libtraceevent() -> None:
    perf = Perf()
    with ModuleReader(perf, [500]) as reader:
        perf.buffers[500][0].append(Sample(500, 20))
        with pytest.raises(DataError, match="does not tell the fields") as caught:
            reader.read()
        assert "libtraceevent" in caught.value.hint and "linux-perf" in caught.value.hint


@pytest.mark.parametrize("number", [-1, FileNotFoundError(errno.ENOENT, "no")])
def test_no_such_event(number: int | OSError) -> None:
    perf = Perf()
    perf.number = number
    with pytest.raises(Error, match="damon:damon_aggregated cannot be found") as caught:
        ModuleReader(perf)
    assert "tracefs" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ESRCH, "kdamond 500 is gone"),
        (errno.EACCES, "may not listen"),
        (errno.EPERM, "may not listen"),
        (errno.EMFILE, "cannot listen to damon:damon_aggregated: Too many open files"),
    ],
)
def test_what_opening_says(number: int, words: str) -> None:
    perf = Perf()
    perf.error = OSError(number, os.strerror(number))
    with pytest.raises(Error, match=words):
        ModuleReader(perf, [500])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that modules of perf's are looked for in."""
    monkeypatch.delitem(sys.modules, "perf", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(module_, "_FOLDERS", ())
    return tmp_path


def test_no_module(place: Path) -> None:
    with pytest.raises(NoModuleError, match=r"Python 3\.\d+ has no module of perf's$") as caught:
        perf_module()
    assert "linux-perf" in caught.value.hint


def test_a_module_for_another_python(place: Path) -> None:
    (place / "perf.cpython-37m-x86_64-linux-gnu.so").touch()
    with pytest.raises(NoModuleError, match=r"is for Python 3\.7, and this is Python") as caught:
        perf_module()
    assert "/usr/bin/python3" in caught.value.hint


def test_a_damaged_module(place: Path) -> None:
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
    (place / f"perf.{tag}-x86_64-linux-gnu.so").write_bytes(b"not a library")
    with pytest.raises(NoModuleError, match=r"has no module of perf's \(.*too short|invalid"):
        perf_module()


def test_another_package_of_that_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "perf.py").write_text("def runner(): pass\n")
    with pytest.raises(NoModuleError, match=r"is not perf's: .*perf\.py has no cpu_map"):
        perf_module()
    monkeypatch.delitem(sys.modules, "perf", raising=False)


def test_neither_module_nor_perf(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    with pytest.raises(Error, match="perf is not installed") as caught:
        live.listen([500])
    assert "also Python" in caught.value.hint and "linux-perf" in caught.value.hint
