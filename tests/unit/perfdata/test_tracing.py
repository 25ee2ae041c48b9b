# SPDX-License-Identifier: GPL-2.0
"""Event formats, from the text that the kernel writes."""

import pytest

from perf_damon.perfdata import tracing
from perf_damon.perfdata.tracing import Field, parse_format, parse_tracing_data
from perf_damon.tracepoints import APPLY_EVENT

from .writer import APPLY_FIELDS, FIELDS, Event, Writer, format_text


def test_fields():
    parsed = parse_format(format_text("damon_aggregated", 612, FIELDS))
    assert (parsed.system, parsed.name, parsed.id) == ("damon", "damon_aggregated", 612)
    assert parsed.fields["common_type"] == Field(0, 2, False)
    assert parsed.fields["common_pid"] == Field(4, 4, True)
    assert parsed.fields["end"] == Field(32, 8, False)
    assert parsed.fields["end"].end == 40


def test_forms_of_declarations():
    text = (
        "name: x\nID: 7\nformat:\n"
        "\tfield:char prev_comm[TASK_COMM_LEN];\toffset:8;\tsize:16;\tsigned:0;\n"
        "\tfield:__data_loc char[] name;\toffset:24;\tsize:4;\tsigned:1;\n"
        "\tfield:const struct page * page;\toffset:32;\tsize:8;\n"
    )
    assert parse_format(text).fields == {
        "prev_comm": Field(8, 16, False),
        "name": Field(24, 4, True, located=True),
        "page": Field(32, 8, False),
    }


@pytest.mark.parametrize("text", ["", "name: x\n", "ID: 3\n", "name: x\nID: y\n"])
def test_what_is_no_format(text):
    assert parse_format(text) is None


def test_tracing_data_of_several_systems():
    switch = Event(config=3, ids=(1,), name="sched_switch", system="sched")
    wake = Event(config=4, ids=(2,), name="sched_wakeup", system="sched")
    writer = Writer(events=[switch, wake, *Writer().events])
    formats = parse_tracing_data(writer.tracing_data())
    assert [(f.system, f.name, f.id) for f in formats] == [
        ("sched", "sched_switch", 3),
        ("sched", "sched_wakeup", 4),
        ("damon", "damon_aggregated", 500),
    ]


def test_tracing_data_cut_off_gives_what_is_whole():
    content = Writer().tracing_data()
    counts = [len(parse_tracing_data(content[:size])) for size in range(len(content))]
    assert set(counts) == {0, 1}
    assert counts == sorted(counts)


def test_running_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "TRACEFS", (tmp_path / "none", tmp_path))
    assert tracing.running_kernel_format() is None
    event = tmp_path / "events/damon/damon_aggregated"
    event.mkdir(parents=True)
    (event / "format").write_text(format_text("damon_aggregated", 9, FIELDS))
    assert tracing.running_kernel_format().id == 9
    assert tracing.running_kernel_format(APPLY_EVENT) is None
    (event.parent / "damos_before_apply").mkdir()
    text = format_text("damos_before_apply", 10, APPLY_FIELDS)
    (event.parent / "damos_before_apply/format").write_text(text)
    assert tracing.running_kernel_format(APPLY_EVENT).id == 10
