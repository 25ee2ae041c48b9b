# SPDX-License-Identifier: GPL-2.0
"""Reading through perf script: the real one where there is one, else what it prints."""

import os
import shutil
import subprocess
import textwrap
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

import perf_damon
from perf_damon.cli import main
from perf_damon.commands import advise, report
from perf_damon.errors import DataError
from perf_damon.options import Parser
from perf_damon.parameters import Attributes, Kdamond, Parameters
from perf_damon.perfdata import container
from perf_damon.perfdata.tracing import parse_tracing_data

from .writer import Event, Writer, apply_event, big_endian, damon_event, dummy_event

SECOND = 10**9
needs_perf = pytest.mark.skipif(not shutil.which("perf"), reason="perf is not installed")


def writer_of_everything():
    told = Parameters((Kdamond(500, "vaddr", Attributes(5000, 100000), (77,)),), ("app",), {})
    other = Event(config=372, ids=(40,), name="sched_switch", system="sched")
    writer = Writer(
        events=[damon_event(), other, dummy_event()],
        cmdline=["perf", "record", "--", "sh", *told.to_words()],
    )
    writer.comm(77, "an app")
    writer.mmap2(77, 0x10000, 0x8000, "/bin/an app")
    writer.fork(77, 78, time=5)
    writer.mmap2(78, 0x90000, 0x1000, "[heap]", time=9)
    for i in range(30):
        rows = [(0x10000 + n * 0x1000, 0x11000 + n * 0x1000, n, i) for n in range(4)]
        rows.append((0xFFFFFFFFFFFF0000, 0xFFFFFFFFFFFFF000, 20, 1))
        for tid in (501, 500):
            time = SECOND + i * SECOND // 10 + (500 - tid) * 10000
            writer.regions(time=time, regions=rows, tid=tid, cpu=i % 2)
        writer.sample(other, time=SECOND + i * SECOND // 10 + 9, tid=3, raw=other.raw(3, {}))
    writer.lost(8)
    return writer


def assert_alike(one, other):
    for name in ("time", "start", "end", "nr_accesses", "age", "nr_regions"):
        a, b = getattr(one.regions, name), getattr(other.regions, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, name)
    for a, b in zip(one.targets, other.targets, strict=True):
        assert (a.kdamond, a.id, a.rows, a.pid, a.attributes, a.comm, a.pid_inferred) == (
            *(b.kdamond, b.id, b.rows, b.pid, b.attributes, b.comm, b.pid_inferred),
        )
        np.testing.assert_array_equal(a.offsets, b.offsets)
    for name in ("time", "pid", "start", "end", "offset", "name"):
        a, b = getattr(one.mappings, name), getattr(other.mappings, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, name)
    assert one.mappings.names == other.mappings.names
    assert one.parameters == other.parameters
    assert one.losses.events == other.losses.events


@needs_perf
def test_a_piped_file_gives_what_a_plain_one_gives(tmp_path):
    writer = writer_of_everything()
    (tmp_path / "plain").write_bytes(writer.content())
    (tmp_path / "piped").write_bytes(writer.piped())
    plain, piped = perf_damon.open(tmp_path / "plain"), perf_damon.open(tmp_path / "piped")
    assert len(piped.regions) == 300
    assert_alike(plain, piped)
    assert piped.comms.items() >= plain.comms.items()
    assert piped.header.hostname == "box"
    assert piped.header.cmdline == plain.header.cmdline


@needs_perf
def test_age_may_be_missing(tmp_path):
    event = damon_event(fields=tuple(f for f in damon_event().fields if "age" not in f[0]))
    writer = Writer(events=[event, dummy_event()])
    writer.regions(time=SECOND, regions=[(0x1000, 0x2000, 1, 0)])
    (tmp_path / "piped").write_bytes(writer.piped())
    recording = perf_damon.open(tmp_path / "piped")
    assert recording.regions.age is None
    assert list(recording.regions.end) == [0x2000]


@needs_perf
def test_a_piped_file_without_damon_events(tmp_path):
    switch = Event(config=372, ids=(40,), name="sched_switch", system="sched")
    writer = Writer(events=[switch])
    writer.sample(switch, time=SECOND, tid=3, raw=switch.raw(3, {}))
    (tmp_path / "piped").write_bytes(writer.piped())
    with pytest.raises(DataError, match=r"no damon:damon_aggregated events; it has sched:sched_s"):
        perf_damon.open(tmp_path / "piped")


def fake_perf(tmp_path, monkeypatch, body):
    """Put a perf that does as `body` says in front of PATH; returns a piped file."""
    perf = tmp_path / "bin" / "perf"
    perf.parent.mkdir()
    perf.write_text("#!/bin/sh\n" + textwrap.dedent(body))
    perf.chmod(0o755)
    monkeypatch.setenv("PATH", f"{perf.parent}:/usr/bin:/bin")
    (tmp_path / "piped").write_bytes(b"PERFILE2" + bytes([16, *[0] * 7]))
    return tmp_path / "piped"


LINE = "  500     1.000000000: damon:damon_aggregated: target_id=0 nr_regions=1 4096-8192: 3 4"


def test_perf_fails(tmp_path, monkeypatch):
    path = fake_perf(tmp_path, monkeypatch, "echo x Ignoring. >&2; echo no way >&2; exit 255")
    with pytest.raises(DataError, match="perf script cannot read it: no way"):
        perf_damon.open(path)


BARE = """\
case "$*" in
*version*) echo "         libtraceevent: [ OFF ]  # HAVE_LIBTRACEEVENT" ;;
*) echo "  500     1.000000000: damon:damon_aggregated: "; exit $STATUS ;;
esac
"""


@pytest.mark.parametrize("status", ["0", "255"])
def test_a_perf_that_knows_no_tracepoints(tmp_path, monkeypatch, status):
    """It is not said that nothing was monitored, or that the file is damaged."""
    path = fake_perf(tmp_path, monkeypatch, BARE)
    monkeypatch.setenv("STATUS", status)
    with pytest.raises(DataError, match="/bin/perf is built without libtraceevent") as caught:
        perf_damon.open(path)
    assert "linux-perf" in caught.value.hint and "NO_LIBTRACEEVENT" in caught.value.hint


OTHERS = f"""\
case "$*" in
*--force*) echo '{LINE}' ;;
*) echo "File perf.data not owned by current user or root (use -f to override)" >&2; exit 255 ;;
esac
"""


@pytest.mark.parametrize("command", [report, advise])
def test_a_file_of_another_user(tmp_path, monkeypatch, capsys, command):
    """perf refuses these, unless it is told to; which option it has to be is said."""
    path = fake_perf(tmp_path, monkeypatch, OTHERS)
    with pytest.raises(DataError, match="because it is another user's") as caught:
        perf_damon.open(path)
    assert "--force" in caught.value.hint
    assert len(perf_damon.open(path, force=True).regions) == 1
    for words, read in (([], False), (["-f"], True), (["--force"], True)):
        parser = Parser("perf damon x", "")
        command.configure(parser)
        args = parser.parse_args([*words, "-i", str(path)])
        if not read:
            with pytest.raises(DataError, match="another user's"):
                command.run(args)
        else:
            assert command.run(args) == 0


@needs_perf
@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_the_real_perf_and_a_file_of_another_user(tmp_path):
    path = tmp_path / "piped"
    path.write_bytes(writer_of_everything().piped())
    os.chown(path, 12345, 12345)
    with pytest.raises(DataError, match="because it is another user's"):
        perf_damon.open(path)
    assert len(perf_damon.open(path, force=True).regions) == 300


def test_perf_gives_up_in_the_middle(tmp_path, monkeypatch):
    path = fake_perf(tmp_path, monkeypatch, f"echo '{LINE}'; exit 255")
    recording = perf_damon.open(path)
    assert len(recording.regions) == 1
    assert recording.losses.skipped_records == 1


def test_perf_prints_something_else(tmp_path, monkeypatch):
    path = fake_perf(tmp_path, monkeypatch, f"echo '{LINE} 99'")
    with pytest.raises(DataError, match="in a form that is not known"):
        perf_damon.open(path)


def test_perf_changes_its_mind(tmp_path, monkeypatch):
    path = fake_perf(tmp_path, monkeypatch, f"echo '{LINE}'; echo '{LINE} 5'")
    with pytest.raises(DataError, match="more than one form"):
        perf_damon.open(path)


def test_perf_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr("perf_damon.perfdata.script._PATIENCE_S", 0.2)
    path = fake_perf(tmp_path, monkeypatch, f"echo '{LINE}'; exec sleep 1000")
    with pytest.raises(DataError, match="perf script says nothing"):
        perf_damon.open(path)


def test_perf_is_missing(tmp_path, monkeypatch):
    path = fake_perf(tmp_path, monkeypatch, "")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="perf is not installed") as caught:
        perf_damon.open(path)
    assert "linux-perf" in caught.value.hint


@needs_perf
def test_a_foreign_file_that_perf_cannot_read_either(tmp_path):
    (tmp_path / "foreign").write_bytes(b"2ELIFREP" + bytes(96))
    with pytest.raises(DataError, match="foreign: the data are said to begin at byte 0"):
        perf_damon.open(tmp_path / "foreign")


@needs_perf
@pytest.mark.parametrize("option", ["-b", "--buildid-all"])
def test_a_file_with_build_ids_that_perf_put_in(tmp_path, option):
    """perf inject of perf 6.1 writes records of build ids that are 100 bytes long."""
    writer = writer_of_everything()
    program = shutil.which("perf")
    for pid in (77, 78):
        writer.mmap2(pid, 0x5000000, 0x8000, os.path.realpath(program))
        writer.mmap2(pid, 0x6000000, 0x8000, os.path.realpath("/bin/sh"))
    writer.records = writer.records[-4:] + writer.records[:-4]
    (tmp_path / "plain").write_bytes(writer.content())
    words = ["inject", option, "-i", tmp_path / "plain", "-o", tmp_path / "injected"]
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"perf inject: {done.stderr}")
    plain, injected = perf_damon.open(tmp_path / "plain"), perf_damon.open(tmp_path / "injected")
    assert len(injected.regions) == 300
    for name in ("time", "start", "end", "nr_accesses", "age", "nr_regions"):
        np.testing.assert_array_equal(*(getattr(r.regions, name) for r in (plain, injected)), name)
    # perf writes its own command line into the file: the parameters are gone.
    assert injected.parameters is None
    assert injected.mappings.names == plain.mappings.names
    assert not injected.losses.skipped_records
    assert not injected.losses.truncated_bytes


@needs_perf
def test_a_file_of_the_other_byte_order(tmp_path):
    """With header and parameters, as a plain one of this machine's order."""
    (tmp_path / "plain").write_bytes(writer_of_everything().content())
    with big_endian():
        (tmp_path / "other").write_bytes(writer_of_everything().content())
    plain, other = perf_damon.open(tmp_path / "plain"), perf_damon.open(tmp_path / "other")
    assert len(other.regions) == 300
    assert_alike(plain, other)
    assert other.parameters is not None
    assert replace(other.header, captured=None) == replace(plain.header, captured=None)


@pytest.mark.parametrize("order", [nullcontext, big_endian])
@pytest.mark.parametrize("piped", [False, True])
def test_the_header_of_every_kind_of_file(tmp_path, piped, order):
    """perf 6.1 itself reads no samples of piped files of the other byte order."""
    plain = tmp_path / "plain"
    plain.write_bytes(writer_of_everything().content())
    with order():
        writer = writer_of_everything()
        writer.events[0].clockid = 1
        content = writer.piped() if piped else writer.content()
    (tmp_path / "other").write_bytes(content)
    with (tmp_path / "other").open("rb") as file:
        parse = container.parse_pipe if piped else container.parse
        parts = parse(file, "other")
        header = container.header(file, parts)
        formats = parse_tracing_data(parts.feature(file, container.TRACING_DATA))
    want = perf_damon.open(plain)
    assert replace(header, captured=None, clockid=None) == replace(want.header, captured=None)
    assert header.clockid == 1
    assert Parameters.from_words(header.cmdline) == want.parameters
    assert [event.name for event in formats] == ["damon_aggregated", "sched_switch"]
    events = [(one.type, one.config, one.ids, one.sample_id_all) for one in parts.attrs]
    assert events == [(one.type, one.config, one.ids, True) for one in writer.events]


def empty_of(*events):
    writer = Writer(events=[*events, dummy_event()])
    writer.comm(77, "app")
    return writer


def of_others(**events):
    """A writer of events that are not DAMON's: names by type and config."""
    made = [
        Event(config=config, ids=(n + 1,), type=type_, name=name)
        for n, (name, (type_, config)) in enumerate(events.items())
    ]
    return empty_of(*made)


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("order", [nullcontext, big_endian])
def test_what_a_file_has_instead(tmp_path, monkeypatch, piped, order):
    """perf is not asked: the header tells."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with order():
        told = of_others(a=(0, 0), b=(1, 0), c=(4, 0x1C2))
        told.names = {
            "a": "cycles:ppp",
            "b": "cpu-clock",
            "c": "cpu/event=0xc2/",
            "dummy": "dummy:u",
        }
        untold = of_others(a=(0, 0), b=(1, 0), c=(4, 0x1C2), d=(3, 5))
        switch = empty_of(Event(372, (1,), name="sched_switch", system="sched"))
        nothing = empty_of()
        many = of_others(**{f"e{n}": (4, n) for n in range(9)})
    for writer, names in (
        (told, r"cycles:ppp, cpu-clock, cpu/event=0xc2/"),
        (untold, r"cycles, cpu-clock, event 0x1c2 of type 4, event 0x5 of type 3"),
        (switch, r"sched:sched_switch"),
        (many, r"event 0x0 of type 4, .*event 0x4 of type 4 and 4 more"),
        (nothing, r"none"),
    ):
        with order():
            content = writer.piped() if piped else writer.content()
        (tmp_path / "perf.data").write_bytes(content)
        with pytest.raises(DataError, match=rf"no damon:damon_aggregated events; it has {names}$"):
            perf_damon.open(tmp_path / "perf.data")


@needs_perf
@pytest.mark.parametrize("how", [(), ("-z",), ("--threads",), ("-o", "-")])
def test_what_a_real_file_has_instead(tmp_path, how):
    if "-o" not in how:
        how = (*how, "-o", str(tmp_path / "made"))
    words = ["perf", "record", "-q", "-e", "cpu-clock", *how, "--", "true"]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"perf record: {done.stderr}")
    if done.stdout:
        (tmp_path / "made").write_bytes(done.stdout)
    with pytest.raises(DataError, match=r"no damon:damon_aggregated events; it has cpu-clock"):
        perf_damon.open(tmp_path / "made")


@pytest.mark.parametrize("piped", [False, pytest.param(True, marks=needs_perf)])
@pytest.mark.parametrize("view", ["summary", "regions", "schemes", "applied"])
def test_an_empty_recording(tmp_path, capsys, piped, view):
    """Nothing was monitored, which is not a matter of the chosen time."""
    for writer in (empty_of(damon_event()), empty_of(damon_event(), apply_event())):
        content = writer.piped() if piped else writer.content()
        (tmp_path / "perf.data").write_bytes(content)
        assert main(["report", "-i", str(tmp_path / "perf.data"), view]) == 255
        assert "nothing was monitored while this was recorded" in capsys.readouterr().err
