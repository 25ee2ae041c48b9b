# SPDX-License-Identifier: GPL-2.0
"""The live reader on what perf record writes into a pipe."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from perfdata.writer import PATCHED_FIELDS, Writer, damon_event, dummy_event, region_event

from perf_damon import live
from perf_damon.control.system import System
from perf_damon.errors import DataError, Error
from perf_damon.live import module
from perf_damon.live.pipe import PipeReader, Stream

LOST, LOST_SAMPLES = 2, 13


def content(event=None) -> bytes:
    writer = Writer(events=[event or damon_event(), dummy_event()])
    writer.regions(time=2000, tid=500, regions=[(0x1000, 0x2000, 3, 7), (0x2000, 0x4000, 0, 9)])
    writer.record(LOST, struct.pack("<QQ", 32, 4))
    writer.regions(time=1000, tid=501, regions=[(0x5000, 0x6000, 1, 2)])
    writer.record(LOST_SAMPLES, struct.pack("<Q", 3))
    return writer.piped()


def check(stream: Stream) -> None:
    events = stream.events()
    assert events.columns["time"].tolist() == [1000, 2000, 2100]
    assert events.columns["start"].tolist() == [0x5000, 0x1000, 0x2000]
    assert events.columns["end"].tolist() == [0x6000, 0x2000, 0x4000]
    assert events.columns["nr_accesses"].tolist() == [1, 3, 0]
    assert events.columns["age"].tolist() == [2, 7, 9]
    assert [events.keys[i][0] for i in events.target] == [501, 500, 500]
    assert events.ordered and stream.lost == 7


@pytest.mark.parametrize("event", [damon_event(), damon_event(fields=PATCHED_FIELDS)])
def test_the_columns(event) -> None:
    stream = Stream("perf record")
    stream.feed(content(event))
    check(stream)
    assert len(stream.events().target) == 0 and not stream.waiting


def test_it_comes_in_pieces() -> None:
    stream = Stream("perf record")
    whole = content()
    got = []
    for at in range(0, len(whole), 7):
        stream.feed(whole[at : at + 7])
        got += stream.events().columns["start"].tolist()
    assert got == [0x1000, 0x2000, 0x5000] and stream.lost == 7


@pytest.mark.parametrize("both", [True, False])
def test_probes_hits(both: bool) -> None:
    """However the stream is cut, each region is given once."""
    damon, region = damon_event(), region_event()
    writer = Writer(events=[damon, region, dummy_event()] if both else [region, dummy_event()])
    for i in range(4):
        for n in range(2):
            row = [(0x1000 * (n + 1), 0x1000 * (n + 2), 1, i)]
            at = 1000 * i + 100 * n
            if both:
                writer.regions(time=at, regions=row, nr_regions=2, event=damon)
            hits = [bytes((i, n))]
            writer.probed(time=at + 50, regions=row, nr_regions=2, event=region, hits=hits)
    whole = writer.piped()
    for step in (7, 100, len(whole)):
        stream, rows = Stream("perf record"), []
        for at in range(0, len(whole), step):
            stream.feed(whole[at : at + step])
            columns = stream.events(last=at + step >= len(whole)).columns
            # Of the first row it is not known that hits follow: it may be given without them.
            table = columns.get("probe_hits")
            found = [None] * len(columns["age"]) if table is None else table.tolist()
            places = (columns["start"] // 0x1000 - 1).tolist()
            rows += zip(columns["age"].tolist(), places, found, strict=True)
        assert [row[:2] for row in rows] == [(i, n) for i in range(4) for n in range(2)]
        assert [row[2] for row in rows[1:]] == [list(row[:2]) for row in rows[1:]]


def test_what_is_not_perfs() -> None:
    stream = Stream("perf record")
    stream.feed(b"Usage: perf record [<options>]")
    with pytest.raises(DataError, match="is not perf's"):
        stream.events()
    stream = Stream("perf record")
    stream.feed(content() + b"\0" * 8)
    with pytest.raises(DataError, match="a record of 0 bytes"):
        stream.events()


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Make a perf that does as told; $data is a recording."""

    def make(what: str) -> str:
        (tmp_path / "data").write_bytes(content())
        path = tmp_path / "perf"
        path.write_text(f"#!/bin/sh\ndata={tmp_path}/data\n{what}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        ((), "damon:damon_aggregated"),
        (("damon_aggregated",), "damon:damon_aggregated"),
        (("damon_region_aggregated",), "damon:damon_region_aggregated"),
        (
            ("damon_aggregated", "damon_region_aggregated"),
            "damon:damon_region_aggregated,damon:damon_aggregated",
        ),
    ],
)
def test_a_perf_that_ends(
    program: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    asked: str,
) -> None:
    monkeypatch.setattr(System, "region_events", lambda _: names)
    words = 'echo "$*" >"${data%/*}/words"; cat "$data"'
    path = program(words)
    got = 0
    with PipeReader([500, 501], path) as reader:
        while not reader.ended or reader.wait(0):
            reader.wait(None)
            got += len(reader.read().target)
        assert reader.lost == 7
    assert got == 3
    told = (Path(path).parent / "words").read_text()
    assert f"-o - -e {asked} -p 500,501 --no-buffering" in told


def test_a_perf_that_goes_on_is_ended(program: Callable[[str], str]) -> None:
    reader = PipeReader([], program('cat "$data"; exec sleep 1000'))
    assert reader.wait(None)
    process = reader._process
    assert process.poll() is None
    reader.close()
    reader.close()
    assert process.poll() is not None


def test_a_perf_that_fails(program: Callable[[str], str]) -> None:
    path = program('[ "$1" = record ] && { echo "No permission to do it" >&2; exit 3; }')
    with pytest.raises(Error, match=r"perf record failed \(exit status 3\): No permission"):
        PipeReader([500], path)


def test_a_perf_without_libtraceevent(program: Callable[[str], str]) -> None:
    path = program('[ "$1" = record ] && exit 129; echo "  libtraceevent: [ OFF ]"')
    with pytest.raises(Error, match="is built without libtraceevent") as caught:
        PipeReader([500], path)
    assert "linux-perf" in caught.value.hint


def test_it_is_taken_where_there_is_no_module(
    program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise module.NoModuleError("no module", "install it")

    monkeypatch.setattr(live, "perf_module", none)
    monkeypatch.setenv("PATH", str(Path(program('cat "$data"')).parent) + ":/usr/bin:/bin")
    with live.listen([500]) as reader:
        assert isinstance(reader, PipeReader) and "pipe" in reader.source


@pytest.mark.parametrize(("newer", "reader"), [(True, "PipeReader"), (False, "ModuleReader")])
def test_it_is_taken_where_the_module_does_not_tell_fields(
    monkeypatch: pytest.MonkeyPatch, newer: bool, reader: str
) -> None:
    """As that of perf 7.2 does not."""
    perf = ModuleType("perf")
    if newer:
        perf.pmus = lambda: []  # type: ignore[attr-defined]
    monkeypatch.setattr(live, "perf_module", lambda: perf)
    monkeypatch.setattr(live, "PipeReader", lambda tids: ("PipeReader", tids))
    monkeypatch.setattr(live, "ModuleReader", lambda module, tids: ("ModuleReader", tids))
    assert live.listen([500]) == (reader, [500])
