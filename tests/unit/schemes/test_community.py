# SPDX-License-Identifier: GPL-2.0
"""Scheme files of other tools: columns as the DAMON community has them, and damo's JSON.

Each is read to the same as what it means in keys.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf_damon.errors import UsageError
from perf_damon.parameters import Attributes
from perf_damon.schemes.text import format_scheme, parse_file, parse_scheme

COLD = "action=pageout size=4K-max accesses=0% age=5s-max"
PERCENT = "# <min/max size> <min/max frequency (0-100)> <min/max age> <action>\n"


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        # a size quota, a time quota, and both
        ("4K max min min 5s max pageout 64M 1s", f"{COLD} quota=64M/1s"),
        ("4K max 0 0 5s max pageout 20ms 2s", f"{COLD} quota=20ms/2s"),
        ("4K max 0 min 5s max pageout 20ms 64M 1s", f"{COLD} quota=20ms,64M/1s"),
        ("4K max 0 0 5s max pageout 20ms 0B 1s", f"{COLD} quota=20ms/1s"),
        ("4K max 0 0 5s max pageout 0ms 64M 1s", f"{COLD} quota=64M/1s"),
        ("4K max 0 0 5s max pageout 0 0B 1s", COLD),
        # weights without the word
        ("4K max 0 0 5s max pageout 64M 1s 1 3 7", f"{COLD} quota=64M/1s weights=1/3/7"),
        ("4K max 0 0 5s max pageout 9ms 0B 1s 0 0 0", f"{COLD} quota=9ms/1s"),
        ("4K max 0 0 5s max pageout 64M 1s [weights 1 3 7]", f"{COLD} quota=64M/1s weights=1/3/7"),
        # watermarks
        (
            "4K max 0 0 5s max pageout 9ms 0B 1s 0 3 7 free_mem_rate 5s 900 500 50",
            f"{COLD} quota=9ms/1s weights=0/3/7 watermarks=free_mem_rate:90%:50%:5%@5s",
        ),
        (
            "4K max 0 0 5s max pageout 64M 1s 0 3 7 free_mem_rate 2s 1000 999 0",
            f"{COLD} quota=64M/1s weights=0/3/7 watermarks=free_mem_rate:100%:99.9%:0%@2s",
        ),
        ("4K max 0 0 5s max pageout 64M 1s 0 0 0 none 0 0 0 0", f"{COLD} quota=64M/1s"),
        (
            "4K max 0 0 5s max pageout 64M 1s 0 0 1 filter=anon",
            f"{COLD} quota=64M/1s weights=0/0/1 filter=anon",
        ),
        # counts of samples, the oldest word for no limit, days
        ("2M max 3 12 min max hugepage", "action=hugepage size=2M-max accesses=3samples-12samples"),
        ("2M null 3 null null null hugepage", "action=hugepage size=2M-max accesses=3samples-max"),
        ("min max min 1 1d max cold", "action=cold accesses=0samples-1sample age=1d-max"),
        # as debugfs has them
        ("4096 18446744073709551615 0 0 50 4294967295 2", COLD),
        (
            "4096 18446744073709551615 0 0 50 184467440737095 2 67108864 1000",
            f"{COLD} quota=64M/1s",
        ),
        (
            "4096 18446744073709551615 0 0 50 4294967295 2 67108864 1000 0 3 7",
            f"{COLD} quota=64M/1s weights=0/3/7",
        ),
        (
            "4096 18446744073709551615 0 0 50 4294967295 2 67108864 1000 0 3 7 1 5000000 900 500 9",
            f"{COLD} quota=64M/1s weights=0/3/7 watermarks=free_mem_rate:90%:50%:9@5s",
        ),
        (
            "4096 18446744073709551615 0 0 50 4294967295 2 9 0 1000 0 0 0 0 0 0 0 0",
            f"{COLD} quota=9ms/1s",
        ),
        ("0 0 5 20 0 0 3", "action=hugepage size=0-0 accesses=25%-100% age=0s-0s"),
    ],
)
def test_columns(line: str, keys: str) -> None:
    assert parse_scheme(line) == parse_scheme(keys)
    assert parse_scheme(format_scheme(parse_scheme(line))) == parse_scheme(keys)


def test_a_file_says_that_its_frequencies_are_percentages() -> None:
    (scheme,) = parse_file(f"{PERCENT}min max 5 max min max hugepage\n", "x")
    assert scheme == parse_scheme("action=hugepage accesses=5%-max")
    (scheme,) = parse_file(f"{PERCENT}2M max 80 100 min max hugepage\n", "x")
    assert scheme == parse_scheme("action=hugepage size=2M-max accesses=80%-100%")
    (scheme,) = parse_file("min max 5 max min max hugepage\n", "x")
    assert scheme == parse_scheme("action=hugepage accesses=5samples-max")


@pytest.mark.parametrize(
    ("line", "caret", "words"),
    [
        ("2M max 80 max min max hugepage", "80", "'80' samples are more than the 20"),
        ("2M max 1.5 max min max hugepage", "1.5", "is no access rate"),
        ("4K max 0 0 5s max pageout 64M", "64M", "a quota's interval is missing"),
        ("4K max 0 0 5s max pageout 64M filter=anon", "64M", "a quota's interval is missing"),
        ("4K max 0 0 5s max pageout 9ms 0B 1s 0 3", "0 3", "'0' is too much"),
        (
            "4K max 0 0 5s max pageout 64M 1s free_mem_rate 5s 9 8",
            "free",
            "watermarks are a metric",
        ),
        ("4K max 0 0 5s max pageout 64M 1s free_mem_rate 5s 7 8 9", "7", "watermarks must fall"),
        ("4K max 0 0 5s max pageout 9ms 9ms 1s", "9ms 1s", "one size and one time"),
        ("4K max 0 0 5s max pageout 9s 0B 1s", "1s", "more than its interval"),
        ("0 0 0 0 0 0 5", "5", "5 was stat before Linux 6.0, and is lru_prio since"),
        ("0 0 0 0 0 0 2 1", "1", "has 7, 9, 12, 17 or 18 of them; here are 8"),
        ("9 0 0 0 0 0 2", "9", r"the least \(9\) is more than the most \(0\)"),
        ("0 0 0 0 0 0 2 1 0", "0", "interval of 0"),
        ("0 0 0 0 0 0 2 1 9 0 0 0 7 1 1 1 1", "7", "no watermark metric 7"),
    ],
)
def test_what_columns_cannot_say(line: str, caret: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_scheme(line)
    _, shown, pointer = caught.value.message.splitlines()
    assert shown[pointer.index("^") :].startswith(caret)


def in_json(**how: Any) -> dict[str, Any]:
    """A scheme that gives back cold memory, as damo prints one."""
    return {
        "action": "pageout",
        "access_pattern": {
            "sz_bytes": {"min": "4.000 KiB", "max": "max"},
            "nr_accesses": {"min": "0 %", "max": "0 %"},
            "age": {"min": "5 s", "max": "max"},
        },
        **how,
    }


def quotas(**how: Any) -> dict[str, Any]:
    return {
        "quotas": {"time_ms": "0 ns", "sz_bytes": "64.000 MiB", "reset_interval_ms": "1 s", **how}
    }


@pytest.mark.parametrize(
    ("scheme", "keys"),
    [
        (in_json(), COLD),
        (in_json(name="0", comment="cold", stats={"nr_tried": 3}, tried_regions=[]), COLD),
        (in_json(apply_interval_us="0 us", target_nid=-1, dests=[], max_nr_snapshots=0), COLD),
        (in_json(target_nid=0), COLD),
        (in_json(apply_interval_us=2_000_000), f"{COLD} apply=2s"),
        (in_json(filters=None, quotas=None), COLD),
        # access patterns
        ({"action": "stat"}, "action=stat"),
        (
            {
                "action": "stat",
                "access_pattern": {
                    "sz_bytes": {"min": 4096, "max": "1,048,576"},
                    "nr_accesses": {"min": "3 samples", "max": 12},
                    "age": {"min": "50 aggr_intervals", "max": "1 m 30.5 s"},
                },
            },
            "action=stat size=4K-1M accesses=3samples-12samples age=50aggrs-90500ms",
        ),
        (
            {
                "action": "stat",
                "access_pattern": {
                    "sz_bytes": {"min": "min", "max": "16.000 EiB"},
                    "nr_accesses_unit": "percent",
                    "nr_accesses": {"min": 10, "max": "max"},
                    "age_unit": "usec",
                    "age": {"min": 200_000, "max": "1 d"},
                },
            },
            "action=stat accesses=10%-max age=200ms-1d",
        ),
        (
            {
                "action": "stat",
                "access_pattern": {
                    "nr_accesses": [0, "2 sample_intervals"],
                    "age_unit": "aggr_intervals",
                    "age": ["3", "max"],
                },
            },
            "action=stat accesses=0-2samples age=3aggrs-max",
        ),
        # quotas
        (in_json(**quotas()), f"{COLD} quota=64M/1s"),
        (in_json(**quotas(time_ms=20, sz_bytes=0)), f"{COLD} quota=20ms/1s"),
        (in_json(**quotas(sz_bytes="0 B", reset_interval_ms="max")), COLD),
        (
            in_json(
                **quotas(
                    weights={
                        "sz_permil": "0 %",
                        "nr_accesses_permil": "0.3 %",
                        "age_permil": "0.7 %",
                    }
                )
            ),
            f"{COLD} quota=64M/1s weights=0/3/7",
        ),
        (
            in_json(**quotas(weight_sz_permil=1, weight_age_permil=2)),
            f"{COLD} quota=64M/1s weights=1/0/2",
        ),
        (
            in_json(
                **quotas(
                    goals=[
                        {"metric": "some_mem_psi_us", "target_value": "10 ms", "current_value": 1},
                        {"metric": "user_input", "target_value": "1,000", "current_value": 900},
                        {"metric": "node_mem_used_bp", "target_value": "99.5 %", "nid": 0},
                        {
                            "target_metric": "node_memcg_free_bp",
                            "target_value": 50,
                            "nid": 1,
                            "memcg_path": "/a b",
                        },
                    ],
                    goal_tuner="temporal",
                    fail_charge_num=1,
                    fail_charge_denom=9,
                    effective_sz_bytes="4 KiB",
                )
            ),
            f"{COLD} quota=64M/1s goal=some_mem_psi_us:10ms goal=user_input:1000:current=900 "
            "goal=node_mem_used_bp:99.5%:nid=0 goal=node_memcg_free_bp:50:nid=1:path=/a b "
            "tuner=temporal fail_charge=1/9",
        ),
        # watermarks
        (in_json(watermarks={"metric": "none", "interval_us": "0 ns", "high_permil": "0 %"}), COLD),
        (
            in_json(
                watermarks={
                    "metric": "free_mem_rate",
                    "interval_us": "5 s",
                    "high_permil": "100 %",
                    "mid_permil": "99.9 %",
                    "low_permil": 50,
                }
            ),
            f"{COLD} watermarks=free_mem_rate:100%:99.9%:5%@5s",
        ),
        # filters
        (
            in_json(
                filters=[
                    {"name": "0", "filter_type": "anon", "matching": "Y"},
                    {"filter_type": "memcg", "memcg_path": "/jobs", "matching": True},
                    {"type": "young", "matching": False, "allow": True},
                ],
                core_filters=[
                    {"type": "addr", "address_range": {"start": "1.000 GiB", "end": "0x80000000"}},
                    {"type": "addr", "matching": "N", "address_range": [4096, "8,192"]},
                    {"type": "addr", "addr_start": 0, "addr_end": "4 KiB"},
                    {"type": "target", "damon_target_idx": 2, "allow": False},
                ],
                ops_filters=[
                    {"type": "hugepage_size", "hugepage_size": ["2 MiB", "1 GiB"], "allow": "Y"},
                    {"type": "hugepage_size", "min": 1, "max": 2},
                ],
            ),
            f"{COLD} filter=anon filter=memcg:/jobs filter=allow not young "
            "filter=addr:1G-2G filter=not addr:0x1000-0x2000 filter=addr:0-4K filter=target:2 "
            "filter=allow hugepage_size:2M-1G filter=hugepage_size:1-2",
        ),
        # migration
        ({"action": "migrate_hot", "target_nid": 0}, "action=migrate_hot nid=0"),
        (
            {
                "action": "migrate_cold",
                "dests": [{"id": 1, "weight": 60}, {"nid": 2, "weight": 40}],
            },
            "action=migrate_cold dests=1:60,2:40",
        ),
        ({"action": "stat", "max_nr_snapshots": 5}, "action=stat max_snapshots=5"),
    ],
)
def test_json(scheme: dict[str, Any], keys: str) -> None:
    assert parse_file(json.dumps([scheme]), "x.json") == [parse_scheme(keys)]


@pytest.mark.parametrize("indent", [None, 4])
def test_what_schemes_may_stand_in(indent: int | None) -> None:
    one, other = in_json(), in_json(action="cold")
    context = {"ops": "vaddr", "targets": [], "intervals": {}, "schemes": [one, other]}
    around = (
        [one, other],
        {"schemes": [one, other]},
        {"kdamonds": [{"state": "on", "pid": "7", "contexts": [context]}]},
        {"kdamonds": [{"contexts": [{"schemes": [one]}]}, {"contexts": [{"schemes": [other]}]}]},
        [{"contexts": [context]}],
    )
    for whole in around:
        text = f"\n {json.dumps(whole, indent=indent)}\n"
        assert [scheme.action for scheme in parse_file(text, "x")] == ["pageout", "cold"]
    assert parse_file(json.dumps({"kdamonds": [{"contexts": [{"schemes": []}]}]}), "x") == []
    assert parse_scheme(json.dumps(one)) == parse_scheme(COLD)


def test_rates_and_ages_are_of_the_attributes_given() -> None:
    (scheme,) = parse_file(
        json.dumps(
            [in_json(access_pattern={"nr_accesses": ["10 %", "50 %"], "age": ["2 s", "max"]})]
        ),
        "x",
        Attributes(sample_us=10_000, aggr_us=1_000_000),
    )
    access = scheme.access_pattern
    assert (access.nr_accesses.min, access.nr_accesses.max, access.age.min) == (10, 50, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"action": "stat",]', r"x\.json:1:\d+: .*this is no JSON"),
        ("[" * 100_000, "this is no JSON"),
        ("[3]", r"x\.json\[0\]: 3 is no scheme"),
        ('{"a": 1}', r"x\.json: there is no scheme in it"),
        (json.dumps([in_json(acton=1)]), r'x\.json\[0\]: the key "acton" is not known'),
        (json.dumps([in_json(), in_json(action="pagout")]), r"x\.json\[1\]: 'pagout' is no action"),
        (json.dumps([in_json(action="stat quota=1M/1s")]), "action: .* is no action"),
        (json.dumps([{"access_pattern": {}}]), "a scheme needs an action"),
        (json.dumps([in_json(access_pattern={"age": {"min": 5}})]), r"age: min: 5 has no unit"),
        (json.dumps([in_json(access_pattern={"age": {"min": "5 y"}})]), '"5 y" is no time'),
        (json.dumps([in_json(access_pattern={"age": ["9 s", "1 s"]})]), "the least age"),
        (json.dumps([in_json(access_pattern={"nr_accesses": ["101 %", "max"]})]), "more than all"),
        (json.dumps([in_json(access_pattern={"nr_accesses": {"min": True}})]), "true is no value"),
        (json.dumps([in_json(access_pattern={"sz_bytes": ["2M", "1M"]})]), "least size is more"),
        (json.dumps([in_json(access_pattern={"sz_bytes": "4 K"})]), "is no object"),
        (json.dumps([in_json(**quotas(reset_interval_ms="max"))]), "never given again"),
        (json.dumps([in_json(quotas={"sz_bytes": 5})]), "needs its reset_interval_ms"),
        (json.dumps([in_json(**quotas(time_ms="2 s"))]), r"\[0\]: a time quota of 2s is more"),
        (json.dumps([in_json(**quotas(time_ms="500 us"))]), "no whole number of ms"),
        (json.dumps([in_json(watermarks={"metric": "free_mem_rate"})]), "watermarks need"),
        (json.dumps([in_json(filters=[{"type": "memcg"}])]), r"filters\[0\]: .*does not say which"),
        (json.dumps([in_json(filters=[{"type": "addr"}])]), "filter addr does not say which"),
        (json.dumps([in_json(filters=[{"type": "old"}])]), r"\[0\]: 'old' is no filter"),
        (json.dumps([in_json(filters=[{"matching": True}])]), "a filter needs a type"),
        (
            json.dumps([in_json(filters=[{"type": "memcg", "memcg_path": "/a action=stat"}])]),
            "looks like keys",
        ),
        (json.dumps([in_json(filters=[{"type": "memcg", "memcg_path": "/\x1b[2J"}])]), "printed"),
        (json.dumps([in_json(dests=[{"id": 0}])]), "not for pageout"),
        (json.dumps([{"action": "migrate_hot"}]), "to which"),
        (json.dumps([{"action": "migrate_hot", "dests": [{"weight": 1}]}]), "needs the id"),
    ],
)
def test_what_json_cannot_say(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_file(text, "x.json")
    assert caught.value.message.startswith("x.json")
    assert caught.value.message.isprintable()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 2**65)
    | st.floats()
    | st.sampled_from(["min", "max", "5 %", "3 s", "4 KiB", "none", "anon", "", "\x1b", "/a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "min",
                    "max",
                    "sz_bytes",
                    "age",
                    "metric",
                    "type",
                    "target_value",
                    "weights",
                    "id",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


SECTIONS = (
    *("action", "access_pattern", "quotas", "watermarks", "filters", "dests", "target_nid"),
    *("apply_interval_us", "max_nr_snapshots", "schemes", "kdamonds"),
)


@given(
    key=st.sampled_from(SECTIONS),
    value=VALUES,
)
def test_no_json_is_worse_than_an_error(key: str, value: Any) -> None:
    try:
        found = parse_file(json.dumps([in_json(**{key: value})]), "x.json")
    except UsageError as error:
        assert error.message.startswith("x.json") and error.message.isprintable()
        return
    for scheme in found:
        assert parse_scheme(format_scheme(scheme)) == scheme


def test_a_file_for_start(tmp_path: Path) -> None:
    from perf_damon.commands import scheme_options

    file = tmp_path / "my.json"
    file.write_text(json.dumps([in_json()]))
    (found,) = scheme_options.read([("--schemes", str(file))], Attributes(5_000, 100_000)) or ()
    assert found == parse_scheme(COLD)
