# SPDX-License-Identifier: GPL-2.0
"""What schemes acted on, read back: by columns and through perf script alike."""

import json
import shutil

import numpy as np
import pytest

import perf_damon
from perf_damon.cli import main
from perf_damon.errors import DataError
from perf_damon.parameters import PARAMETERS_WORD, Attributes, Kdamond, Parameters, Scheme
from perf_damon.recording import Applied

from .writer import APPLY_FIELDS, CALLCHAIN, PERF_RECORD, Writer, apply_event, damon_event
from .writer import dummy_event as dummy

SECOND = 10**9
MS = 10**6
NAMES = tuple(Applied.__dataclass_fields__)
TOLD = Parameters(
    (
        Kdamond(
            *(500, "vaddr", Attributes(5000, 100000), (77,)),
            schemes=(Scheme("pageout"), Scheme("hugepage")),
        ),
    ),
    (),
    {},
)


def write(event=None, count=40, cpus=2):
    """A writer, and the rows that it must give: (time, tid, context, scheme, target, region…)."""
    event = event or apply_event()
    words = ["perf", "record", "-e", "damon:damos_before_apply", "--", "sh", *TOLD.to_words()]
    writer = Writer(events=[damon_event(), event, dummy()], cmdline=words)
    want = []
    for cpu in range(cpus - 1, -1, -1):
        for i in range(cpu, count, cpus):
            time = SECOND + i * 100 * MS
            regions = [(n << 20, (n + 1) << 20, n % 3, i) for n in range(1, 6)]
            writer.regions(time=time, regions=regions, cpu=cpu)
            for n in range(i % 4):
                region = ((n + 1) << 20, (n + 2) << 20, n, 7 * i)
                tid, key = 500 + i % 2, {"scheme": n % 2, "target": n, "context": n // 2}
                at = time - (9 - n) * MS
                writer.applied(time=at, event=event, region=region, tid=tid, cpu=cpu, **key)
                want.append((at, tid, n // 2, n % 2, n, *region))
    return writer, sorted(want)


def rows(applied):
    return list(zip(*(getattr(applied, name).tolist() for name in NAMES), strict=True))


@pytest.mark.parametrize("cpus", [1, 2])
def test_columns_are_what_was_written_by_time(read, cpus):
    writer, want = write(cpus=cpus)
    recording = read(writer.content())
    assert rows(recording.applied) == want
    assert len(recording.regions) == 200
    assert recording.losses.skipped_records == 0
    kinds = [getattr(recording.applied, name).dtype for name in NAMES]
    assert kinds == ["u8", "i4", "u4", "u4", "u8", "u8", "u8", "u4", "u4"]


def test_fields_may_lie_elsewhere(read):
    moved = [
        (declaration, offset + 24 if offset < 24 else offset + 8 if offset >= 40 else offset, *rest)
        for declaration, offset, *rest in APPLY_FIELDS
    ]
    places = {"start": 8, "end": 16}
    moved = [(d, places.get(d.split()[-1], offset), *rest) for d, offset, *rest in moved]
    writer, want = write(apply_event(fields=moved))
    assert rows(read(writer.content()).applied) == want


def test_samples_with_call_chains(read):
    writer, want = write(apply_event(sample_type=PERF_RECORD | CALLCHAIN))
    assert rows(read(writer.content()).applied) == want


def test_a_long_recording_whose_events_alternate(read):
    writer, want = write(count=6000, cpus=1)
    recording = read(writer.content())
    assert rows(recording.applied) == want
    assert len(recording.regions) == 30000


def test_recorded_and_nothing_done_is_told_from_not_recorded(read):
    writer, _ = write(count=1)
    assert len(read(writer.content()).applied) == 0
    writer = Writer()
    writer.regions(time=SECOND, regions=[(0, 4096, 1, 1)])
    assert read(writer.content()).applied is None


def test_a_kernel_that_lacks_a_field(read):
    writer, _ = write(apply_event(fields=APPLY_FIELDS[:-2] + APPLY_FIELDS[-1:]))
    with pytest.raises(DataError, match=r"damos_before_apply lacks fields: it has context_idx"):
        read(writer.content())


def test_samples_that_make_no_sense_are_counted(read):
    event = apply_event()
    writer, want = write(event)
    writer.applied(time=9 * SECOND, event=event, region=(8192, 4096, 0, 0))
    recording = read(writer.content())
    assert rows(recording.applied) == want
    assert recording.losses.skipped_records == 1


@pytest.mark.skipif(not shutil.which("perf"), reason="perf is not installed")
def test_perf_script_gives_the_same(read):
    writer, want = write()
    recording = read(writer.piped())
    assert rows(recording.applied) == want
    kinds = [getattr(recording.applied, name).dtype for name in NAMES]
    assert kinds == ["u8", "i4", "u4", "u4", "u8", "u8", "u8", "u4", "u4"]
    assert len(recording.regions) == 200
    writer, _ = write(count=1)
    assert len(read(writer.piped()).applied) == 0


def test_parameters_name_the_actions(read):
    recording = read(write()[0].content())
    assert recording.parameters == TOLD
    assert recording.action_of(500, 1) == "hugepage"
    assert recording.action_of(500, 2) is None and recording.action_of(501, 0) is None


def test_parameters_of_before_there_were_schemes_are_read():
    words = TOLD.to_words()
    data = json.loads(words[1])
    del data["kdamonds"][0]["schemes"]
    told = Parameters.from_words([PARAMETERS_WORD, json.dumps(data)])
    assert told is not None and told.kdamonds[0].schemes == ()


def test_pandas(read):
    pytest.importorskip("pandas")
    writer, want = write()
    frame = read(writer.content()).applied_to_pandas()
    assert len(frame) == len(want)
    first = frame.iloc[0]
    time, tid, context, scheme, target, start, end, nr_accesses, _ = want[0]
    assert first["time"] == pytest.approx((time - SECOND) / 1e9)
    key = [first[name] for name in ("kdamond", "context", "scheme", "target", "nr_accesses")]
    assert key == [tid, context, scheme, target, nr_accesses]
    assert (first["start"], first["end"], first["size"]) == (start, end, end - start)
    known = frame[(frame.kdamond == 500) & (frame.target == 0)]
    assert set(known.action) == {"pageout"} and set(known.pid) == {77}
    assert np.isclose(known.age.iloc[0], 7 * 2 * 0.1)
    assert frame[frame.kdamond == 501].action.isna().all()
    writer = Writer()
    writer.regions(time=SECOND, regions=[(0, 4096, 1, 1)])
    assert len(read(writer.content()).applied_to_pandas()) == 0


@pytest.mark.parametrize("told", [False, True])
def test_a_recording_of_schemes_alone(tmp_path, capsys, told):
    """perf record -e damon:damos_before_apply: what schemes did is shown, the rest named."""
    event = apply_event()
    attributes = Attributes(5000, 100000, 1000000, 10, 1000)
    given = Parameters((Kdamond(500, "vaddr", attributes, (77, 78), (Scheme("stat"),)),), (), {})
    words = given.to_words() if told else []
    writer = Writer(events=[event, dummy()], cmdline=["perf", "record", *words])
    writer.mmap2(77, 0x10000, 0x100000, "[heap]")
    for i in range(40):
        for n in range(3):
            region = (0x10000 + n * 0x2000, 0x11000 + n * 0x2000, n, 10)
            time = 100 * SECOND + i * SECOND // 10 + n * 1000
            writer.applied(time=time, event=event, region=region, target=n % 2, cpu=i % 2)
    path = tmp_path / "perf.data"
    path.write_bytes(writer.content())
    recording = perf_damon.open(path)
    assert (len(recording.targets), len(recording.acted), len(recording.applied)) == (0, 2, 120)
    assert [target.nr_snapshots for target in recording.acted] == [40, 40]
    assert [target.pid for target in recording.acted] == ([77, 78] if told else [77, 77])
    assert main(["report", "-i", str(path), "schemes"]) == 0
    out = capsys.readouterr().out
    assert "Target 2 of 2" in out
    assert ("stat" in out) == told
    assert "Scheme 0" in out
    assert main(["report", "-i", str(path), "schemes", "--format", "json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert [target["schemes"][0]["regions"] for target in whole["targets"]] == [80, 40]
    assert main(["report", "-i", str(path), "schemes", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 10
    assert main(["report", "-i", str(path), "applied", "--time", "1,2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 30 <= len(lines) <= 34
    for words in (["report"], ["report", "wss"], ["report", "regions"], ["advise"]):
        assert main([*words, "-i", str(path)]) == 255
        assert "only what schemes acted on" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("perf"), reason="perf is not installed")
def test_a_piped_recording_of_schemes_alone(tmp_path):
    event = apply_event()
    writer = Writer(events=[event, dummy()])
    writer.applied(time=9 * SECOND, event=event, region=(4096, 8192, 0, 0))
    (tmp_path / "piped").write_bytes(writer.piped())
    recording = perf_damon.open(tmp_path / "piped")
    assert (len(recording.targets), len(recording.acted), len(recording.applied)) == (0, 1, 1)
