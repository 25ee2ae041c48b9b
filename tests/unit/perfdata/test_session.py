# SPDX-License-Identifier: GPL-2.0
"""Reading through the session of perf's Python module: a stand-in of it, beside the real perf."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import perf_damon
from perf_damon.errors import DataError
from perf_damon.perfdata import session
from perf_damon.perfdata.script import ScriptReader

from .fake_session import Perf
from .test_script import SECOND, assert_alike, needs_perf, writer_of_everything
from .writer import Event, Writer, apply_event, damon_event, darc_events, dummy_event


@pytest.fixture
def module(monkeypatch):
    """perf's module with a session is there."""
    fake = Perf()
    monkeypatch.setitem(sys.modules, "perf", fake)
    return fake


def three(tmp_path, monkeypatch, writer):
    """What the three ways make of the same events: columns, perf script, session."""
    (tmp_path / "plain").write_bytes(writer.content())
    (tmp_path / "piped").write_bytes(writer.piped())
    columns = perf_damon.open(tmp_path / "plain")
    monkeypatch.setitem(sys.modules, "perf", SimpleNamespace(evlist=None))
    script = perf_damon.open(tmp_path / "piped")
    monkeypatch.setitem(sys.modules, "perf", fake := Perf())
    through = perf_damon.open(tmp_path / "piped")
    assert fake.read == [str(tmp_path / "piped")]
    return columns, script, through


def assert_tables_alike(one, other):
    """Tables of what schemes and DARC did."""
    assert (one is None) == (other is None)
    for name in one.__dataclass_fields__ if one is not None else ():
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, name)
        elif isinstance(a, tuple):
            assert a == b
        else:
            assert_tables_alike(a, b)


@needs_perf
def test_the_three_ways_give_the_same(tmp_path, monkeypatch, capfd):
    columns, script, through = three(tmp_path, monkeypatch, writer_of_everything())
    assert len(through.regions) == 300 and len(through.targets) == 2
    assert through.losses.events == 8 and len(through.mappings) == 3
    for other in (columns, script):
        assert_alike(through, other)
        assert through.losses == other.losses
        assert through.header.cmdline == other.header.cmdline
    assert through.comms == script.comms
    assert through.size == script.size
    assert capfd.readouterr().err == ""


@needs_perf
def test_of_schemes_and_of_darc_as_well(tmp_path, monkeypatch):
    acted, darc = apply_event(), darc_events()
    writer = Writer(events=[damon_event(), acted, *darc.values(), dummy_event()])
    for i in range(40):
        time = SECOND + i * SECOND // 10
        writer.regions(time=time, regions=[(0x10000, 0x20000, i % 5, i)], cpu=i % 2)
        writer.applied(time=time + 50, event=acted, region=(0x10000, 0x11000, 0, i), scheme=i % 3)
        zone = f"{i % 2}-Normal"
        values = {"free": i, "high": 9, "mid": 8, "low": 7}
        writer.darc(darc["darc_start"], time=time + 60, zone=zone, **values)
        writer.darc(darc["darc_stop"], time=time + 70, zone=zone, why=1, reclaimed=i, **values)
        taken = {"start": i << 12, "end": i + 1 << 12, "passed": 4096, "reclaimed": i}
        writer.darc(darc["darc_reclaim"], time=time + 65, zone=zone, **taken)
    columns, script, through = three(tmp_path, monkeypatch, writer)
    assert len(through.applied) == 40 and len(through.darc.turns.time) == 80
    for other in (columns, script):
        assert_alike(through, other)
        assert_tables_alike(through.applied, other.applied)
        assert_tables_alike(through.darc, other.darc)


@needs_perf
def test_a_time_that_cannot_be_is_left_out(tmp_path, monkeypatch):
    writer = writer_of_everything()
    writer.regions(time=1 << 63, regions=[(0x1000, 0x2000, 1, 0)])
    columns, script, through = three(tmp_path, monkeypatch, writer)
    assert through.losses.skipped_records == 1
    for other in (columns, script):
        assert_alike(through, other)
        assert through.losses == other.losses


@needs_perf
def test_samples_that_do_not_hold_what_they_should(tmp_path, monkeypatch):
    """Of a kernel without age; some of them cut off, some with nonsense."""
    event = damon_event(fields=tuple(f for f in damon_event().fields if "age" not in f[0]))
    writer = Writer(events=[event, dummy_event()])
    writer.regions(time=SECOND, regions=[(0x1000, 0x2000, 1, 0), (0x3000, 0x3000, 1, 0)])
    writer.sample(event, time=SECOND + 300, tid=500, raw=event.raw(500, {})[:20])
    (tmp_path / "plain").write_bytes(writer.content())
    (tmp_path / "piped").write_bytes(writer.piped())
    monkeypatch.setitem(sys.modules, "perf", Perf())
    columns, through = perf_damon.open(tmp_path / "plain"), perf_damon.open(tmp_path / "piped")
    assert through.regions.age is None
    assert list(through.regions.start) == [0x1000]
    assert through.losses == columns.losses and through.losses.skipped_records == 2


@needs_perf
@pytest.mark.parametrize("how", [(), ("-z",), ("--threads",), ("-o", "-")])
def test_what_stands_beside_the_samples_of_a_real_file(tmp_path, how):
    """Read alone, it is what it is among the samples."""
    made = tmp_path / "made"
    where = () if "-o" in how else ("-o", str(made))
    words = ["perf", "record", "-q", "-d", "-e", "cpu-clock", *how, *where, "--", "sh", "-c", ":"]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"perf record: {done.stderr}")
    if done.stdout:
        made.write_bytes(done.stdout)
    beside, among = ScriptReader(str(made)), ScriptReader(str(made))
    beside.read_beside()
    with pytest.raises(DataError, match="no damon:damon_aggregated events"):
        among.read()
    assert len(beside.mappings()) and "sh" in beside.comms.values()
    assert beside.comms == among.comms and beside.lost_events == among.lost_events
    assert_tables_alike(beside.mappings(), among.mappings())


@needs_perf
@pytest.mark.parametrize(("length", "kept"), [(48, 300), (47, 0)])
def test_raw_data_without_what_pads_them(tmp_path, module, length, kept):
    def change(sample):
        if sample.evsel.config == 500:
            sample.raw_buf = sample.raw_buf[:length]
        return sample

    module.change = change
    (tmp_path / "plain").write_bytes(writer_of_everything().content())
    (tmp_path / "piped").write_bytes(writer_of_everything().piped())
    through = perf_damon.open(tmp_path / "piped")
    assert (len(through.regions), through.losses.skipped_records) == (kept, 300 - kept)
    if kept:
        assert_alike(through, perf_damon.open(tmp_path / "plain"))


@needs_perf
def test_other_events_of_the_same_number(tmp_path, module):
    other = Event(type=4, config=500, ids=(70,), name="other")
    writer = Writer(events=[damon_event(), other, dummy_event()])
    writer.regions(time=SECOND, regions=[(0x1000, 0x2000, 1, 0)])
    writer.regions(time=SECOND, regions=[(0x3000, 0x4000, 1, 0)], event=other)
    (tmp_path / "piped").write_bytes(writer.piped())
    assert list(perf_damon.open(tmp_path / "piped").regions.start) == [0x1000]


@needs_perf
def test_perf_script_prints_no_samples_beside_a_session(tmp_path, module, monkeypatch):
    lines = []
    take = ScriptReader._take_other
    monkeypatch.setattr(
        ScriptReader, "_take_other", lambda self, line: (lines.append(line), take(self, line))
    )
    (tmp_path / "piped").write_bytes(writer_of_everything().piped())
    assert len(perf_damon.open(tmp_path / "piped").mappings) == 3
    assert lines and all(b"PERF_RECORD_" in line for line in lines)


@needs_perf
def test_many_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "_BATCH", 1000)
    assert_alike(*three(tmp_path, monkeypatch, writer_of_everything())[1:])


def without(name):
    def change(sample):
        delattr(sample, name)
        return sample

    return change


def shorter(sample):
    sample.raw_buf = None
    return sample


@needs_perf
@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        ({"breaks": OSError("cannot open")}, "OSError: cannot open"),
        ({"breaks": SystemError()}, "(SystemError)"),
        ({"change": without("raw_buf")}, "AttributeError"),
        ({"change": without("evsel")}, "AttributeError"),
        ({"change": shorter}, "TypeError"),
        ({"data": lambda: None}, "TypeError"),
        ({"session": lambda data: None}, "TypeError"),
        ({"session": None}, "TypeError"),
    ],
)
def test_a_module_that_is_not_as_described(tmp_path, module, capfd, break_it, why):
    """perf script reads the file then, and one line says why."""
    (tmp_path / "plain").write_bytes(writer_of_everything().content())
    (tmp_path / "piped\x1b").write_bytes(writer_of_everything().piped())
    for name, value in break_it.items():
        setattr(module, name, value)
    assert_alike(perf_damon.open(tmp_path / "piped\x1b"), perf_damon.open(tmp_path / "plain"))
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "\x1b" not in said
    assert "perf's Python module cannot read it" in said and why in said


@needs_perf
def test_ctrl_c_is_not_swallowed(tmp_path, module):
    def change(sample):
        return SimpleNamespace(evsel=SimpleNamespace(type=2, config=500), raw_buf=Pressed())

    class Pressed:
        def __len__(self):
            raise KeyboardInterrupt

    module.change = change
    (tmp_path / "piped").write_bytes(writer_of_everything().piped())
    with pytest.raises(KeyboardInterrupt):
        perf_damon.open(tmp_path / "piped")


def test_without_perf_only_what_stands_beside_is_missing(tmp_path, module, monkeypatch, capfd):
    """A module may be installed where perf is not."""
    (tmp_path / "plain").write_bytes(writer_of_everything().content())
    (tmp_path / "piped").write_bytes(writer_of_everything().piped())
    monkeypatch.setenv("PATH", str(tmp_path))
    plain, through = perf_damon.open(tmp_path / "plain"), perf_damon.open(tmp_path / "piped")
    np.testing.assert_array_equal(through.regions.start, plain.regions.start)
    assert not len(through.mappings)
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "perf is not installed: without it mappings and lost events are not known" in said


def test_a_session_and_a_perf_that_both_fail(tmp_path, module, monkeypatch, capfd):
    """perf's module says nothing of errors: a file without events may be one it cannot read."""
    (tmp_path / "piped").write_bytes(writer_of_everything().piped())
    perf = tmp_path / "perf"
    perf.write_text("#!/bin/sh\necho incompatible >&2\nexit 255\n")
    perf.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    module.change = lambda sample: SimpleNamespace(evsel=SimpleNamespace(type=1, config=9))
    with pytest.raises(DataError, match="perf script cannot read it: incompatible"):
        perf_damon.open(tmp_path / "piped")


@needs_perf
def test_files_of_other_users_and_of_other_machines_are_perf_scripts(tmp_path, module):
    (tmp_path / "piped").write_bytes(writer_of_everything().piped())
    perf_damon.open(tmp_path / "piped", force=True)
    assert module.read == []


def test_without_events_of_damon_nothing_is_read(tmp_path, module):
    switch = Event(config=372, ids=(40,), name="sched_switch", system="sched")
    writer = Writer(events=[switch])
    (tmp_path / "piped").write_bytes(writer.piped())
    with pytest.raises(DataError, match="it has sched:sched_switch"):
        perf_damon.open(tmp_path / "piped")
    assert module.read == []


@pytest.mark.parametrize(
    "found", [None, SimpleNamespace(evlist=None), SimpleNamespace(session=None)]
)
def test_only_a_module_that_has_a_session_is_taken(monkeypatch, found):
    monkeypatch.setitem(sys.modules, "perf", found)  # None: cannot be imported
    assert session.session_module() is None


@pytest.mark.parametrize("text", ["raise SystemError('initialization failed')", "import nothing_"])
def test_a_module_that_breaks_while_it_is_imported(tmp_path, monkeypatch, text):
    (tmp_path / "perf.py").write_text(text)
    monkeypatch.delitem(sys.modules, "perf", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert session.session_module() is None
