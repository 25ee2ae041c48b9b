# SPDX-License-Identifier: GPL-2.0
"""A command line that perf has not put into its file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from perfdata.writer import Writer

from perf_damon import open as open_recording
from perf_damon.errors import DataError
from perf_damon.parameters import Attributes, Kdamond, Parameters
from perf_damon.record.command_line import complete

PARAMETERS = Parameters((Kdamond(500, "paddr", Attributes(5000, 100000, 1000000, 10, 1000)),))
WORDS = ["perf", "record", "-o", "a b ü", "--", "sh", "-c", "x" * 64, *PARAMETERS.to_words()]


def writer(*cmdline: str) -> Writer:
    made = Writer(cmdline=cmdline)
    made.regions(time=10**9, regions=[(0x1000, 0x2000, 3, 7)])
    return made


@pytest.mark.parametrize("cmdline", [(), ("/usr/bin/perf",), ("perf", "record", "-a")])
def test_it_is_completed_and_nothing_else_changes(tmp_path: Path, cmdline: tuple) -> None:
    path = tmp_path / "perf.data"
    before = writer(*cmdline).content()
    path.write_bytes(before)
    plain = open_recording(str(path))
    assert complete(str(path), WORDS)
    recording = open_recording(str(path))
    assert recording.header.cmdline == tuple(WORDS)
    assert recording.targets[0].operations == "paddr"
    assert recording.header.hostname == plain.header.hostname
    assert recording.header.perf_version == plain.header.perf_version
    assert len(recording.regions) == len(plain.regions) == 1
    after = path.read_bytes()
    changed = [at for at in range(len(before)) if before[at] != after[at]]
    assert changed and changed[-1] - changed[0] < 16, "one entry of the table"
    assert not complete(str(path), WORDS), "it is there now"
    assert path.read_bytes() == after


def test_what_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "perf.data"
    for content in (
        writer("perf", *PARAMETERS.to_words()).content(),
        writer("perf").content(finished=False),
        writer("perf").piped(),
    ):
        path.write_bytes(content)
        assert not complete(str(path), WORDS)
        assert path.read_bytes() == content


def test_what_is_no_recording_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "perf.data"
    path.write_bytes(b"nonsense")
    with pytest.raises(DataError):
        complete(str(path), WORDS)
    path.unlink()
    with pytest.raises(OSError):
        complete(str(path), WORDS)


@pytest.mark.parametrize("most", [1, 7])
def test_writes_that_do_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    path = tmp_path / "perf.data"
    path.write_bytes(writer("perf").content())
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:most], at))
    assert complete(str(path), WORDS)
    assert open_recording(str(path)).header.cmdline == tuple(WORDS)
