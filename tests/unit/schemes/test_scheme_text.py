# SPDX-License-Identifier: GPL-2.0
from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perf_damon.control.nodes import Dest, Filter, Goal, Range, Scheme, Watermarks, Weights
from perf_damon.errors import EXIT_USAGE, UsageError
from perf_damon.parameters import Attributes
from perf_damon.schemes.pattern import NO_LIMIT, NO_SIZE_LIMIT
from perf_damon.schemes.text import ACTIONS, format_scheme, parse_file, parse_scheme

PRCL = "4K max min min 5s max pageout"


def accesses(text: str, attributes: Attributes) -> tuple[int | None, int | None]:
    found = parse_scheme(f"action=stat accesses={text}", attributes).access_pattern.nr_accesses
    return found.min, found.max


def age(text: str) -> tuple[int | None, int | None]:
    found = parse_scheme(f"action=stat age={text}").access_pattern.age
    return found.min, found.max


def test_the_keys_of_the_everyday() -> None:
    scheme = parse_scheme("action=pageout size=4K-max accesses=0%-0% age=5s-max quota=100M/1s")
    assert scheme.action == "pageout" and scheme.filters == []
    assert scheme.access_pattern.sz == Range(min=4096, max=NO_SIZE_LIMIT)
    assert scheme.access_pattern.nr_accesses == Range(min=0, max=0)
    assert scheme.access_pattern.age == Range(min=50, max=NO_LIMIT)
    assert (scheme.quotas.bytes, scheme.quotas.ms) == (100 << 20, None)
    assert scheme.quotas.reset_interval_ms == 1000


def test_what_is_not_said_is_anything() -> None:
    access = parse_scheme("action=stat").access_pattern
    assert (access.sz.min, access.sz.max) == (0, NO_SIZE_LIMIT)
    assert (access.nr_accesses.min, access.nr_accesses.max) == (0, NO_LIMIT)
    assert (access.age.min, access.age.max) == (0, NO_LIMIT)
    assert format_scheme(parse_scheme("0 max min max 0s max stat")) == "action=stat"
    scheme = format_scheme(parse_scheme("action=stat size=1-max accesses=0%-100% age=0s-1s"))
    assert scheme == "action=stat size=1-max accesses=0%-100% age=0s-1s"


def test_columns_say_the_same_as_keys() -> None:
    assert parse_scheme(PRCL) == parse_scheme("action=pageout size=4K-max accesses=0% age=5s-max")


def test_a_file_of_ethp_and_prcl() -> None:
    text = f"""# ethp
min max 5% max min max hugepage   # hot
2M max min 5% 13s max nohugepage

{PRCL} 500M 1s [weights 0 3 7]
"""
    ethp, ethp2, prcl = parse_file(text, "schemes")
    assert (ethp.action, ethp.access_pattern.nr_accesses.min) == ("hugepage", 1)
    assert ethp2.access_pattern.nr_accesses == Range(min=0, max=1)
    assert ethp2.access_pattern.age.min == 130
    assert (prcl.quotas.bytes, prcl.quotas.reset_interval_ms) == (500 << 20, 1000)
    assert prcl.quotas.weights == Weights(sz_permil=0, nr_accesses_permil=3, age_permil=7)
    assert parse_file(f"{PRCL} 500M 1s weights 0 3 7", "schemes") == [prcl]
    assert parse_file(f"{PRCL} quota=500M/1s weights=0/3/7", "schemes") == [prcl]


@pytest.mark.parametrize(
    ("text", "aggr_us", "expected"),
    [
        ("0%-0%", 100_000, (0, 0)),
        ("80%-100%", 100_000, (16, 20)),
        ("81%-99%", 100_000, (17, 19)),
        ("5%", 100_000, (1, 1)),
        ("33.3%-66.7%", 15_000, (1, 2)),
        ("3samples-max", 100_000, (3, NO_LIMIT)),
        ("min-max", 100_000, (0, NO_LIMIT)),
        ("0-1sample", 100_000, (0, 1)),
    ],
)
def test_rates_are_rounded_into_their_bounds(
    text: str, aggr_us: int, expected: tuple[int, int]
) -> None:
    assert accesses(text, Attributes(sample_us=5_000, aggr_us=aggr_us)) == expected


def test_ages_are_rounded_into_their_bounds() -> None:
    assert age("150ms-250ms") == (2, 2)
    assert age("0s-2h") == (0, 72_000)
    assert age("5aggrs-max") == (5, NO_LIMIT)


def test_every_limit_filter_and_goal() -> None:
    scheme = parse_scheme(
        "action=migrate_cold apply=2s quota=10ms,1G/2s weights=1/2/3 dests=0:60,1:40 "
        "goal=some_mem_psi_us:10ms goal=user_input:10000:current=9000 "
        "goal=node_memcg_used_bp:99.7%:nid=1:path=/a:b tuner=temporal fail_charge=1/10 "
        "watermarks=free_mem_rate:50%:40%:200@5s "
        "filter=anon filter=reject not memcg:/a b filter=allow young filter=addr:1G-0x80000000 "
        "filter=allow not hugepage_size:2M-1G filter=reject target:2 max_snapshots=7"
    )
    assert (scheme.apply_interval_us, scheme.target_nid) == (2_000_000, None)
    quotas = scheme.quotas
    assert (quotas.ms, quotas.bytes, quotas.reset_interval_ms) == (10, 1 << 30, 2000)
    assert quotas.weights == Weights(sz_permil=1, nr_accesses_permil=2, age_permil=3)
    assert quotas.goals == [
        Goal(target_metric="some_mem_psi_us", target_value=10_000),
        Goal(target_metric="user_input", target_value=10_000, current_value=9_000),
        Goal(target_metric="node_memcg_used_bp", target_value=9970, nid=1, path="/a:b"),
    ]
    assert (quotas.goal_tuner, quotas.fail_charge_num, quotas.fail_charge_denom) == (
        "temporal",
        1,
        10,
    )
    assert scheme.watermarks == Watermarks(
        metric="free_mem_rate", high=500, mid=400, low=200, interval_us=5_000_000
    )
    assert scheme.filters == [
        Filter(type="anon", matching=True),
        Filter(type="memcg", matching=False, memcg_path="/a b"),
        Filter(type="young", matching=True, allow=True),
        Filter(type="addr", matching=True, addr_start=1 << 30, addr_end=1 << 31),
        Filter(type="hugepage_size", matching=False, allow=True, min=2 << 20, max=1 << 30),
        Filter(type="target", matching=True, damon_target_idx=2),
    ]
    assert scheme.dests == [Dest(id=0, weight=60), Dest(id=1, weight=40)]
    assert scheme.stats.max_nr_snapshots == 7
    assert parse_scheme(format_scheme(scheme)) == scheme


def test_goals_alone_have_an_interval() -> None:
    assert parse_scheme("action=stat goal=user_input:1").quotas.reset_interval_ms == 1000
    scheme = parse_scheme("action=stat goal=user_input:1 reset=5s")
    assert scheme.quotas.reset_interval_ms == 5000
    assert parse_scheme(format_scheme(scheme)) == scheme


@pytest.mark.parametrize(
    ("line", "caret", "words"),
    [
        ("4K max min min 5s max pageot", "pageot", "'pageot' is no action, is it pageout?"),
        ("4K max min min 5s", "", "7 columns or is made of key=value; here are 5 words"),
        ("5 4 0 0 0 0 stat", "5", r"the least size \(5\) is more than the most \(4\)"),
        ("action=stat accesses=7-9", "7-9", "'7' has no unit"),
        ("4K max 7 21 5s max stat", "21", "'21' samples are more than the 20"),
        ("4K max min min 5s max stat 100M", "100M", "a quota's interval is missing"),
        ("4K max min min 5s max stat 100M 1s 5", "5", "'5' is too much"),
        ("4K max min min 5 max pageout", "5 max", "'5' has no unit"),
        ("action=pageout agee=5s-max", "agee", "'agee' is no key, is it age?"),
        ("action=pageout age=5s-3s", "5s-3s", "more than the most"),
        ("action=pageout age=0s-200000h", "200000h", "more than the kernel can count"),
        ("action=pageout accesses=0-4294967296samples", "42949", "more than the kernel can count"),
        ("4K max min min 5s max stat 1M 1s [weights 0 3 7] 5", "5", "'5' is too much"),
        ("action=pageout age=10ms-50ms", "10ms", "no age lies from 10ms to 50ms"),
        ("action=pageout accesses=1%-4%", "1%", "no access rate lies from 1% to 4%"),
        ("action=pageout accesses=101%-max", "101%", "more than all samples"),
        ("action=pageout size=4X-max", "4X", "'4X' is not a size"),
        ("action=pageout action=stat", "action=stat", "action is given twice"),
        ("action=pageout size=", "size", "size has no value"),
        ("action=pageout now", "now", "'now' belongs to no key"),
        ("size=4K-max", "size", "a scheme needs an action"),
        ("action=pageout quota=0/1s", "0/1s", "a quota of 0 is none"),
        ("action=pageout quota=0ms/1s", "0ms", "a quota of 0 is none"),
        ("action=pageout quota=1M/0s", "1M/0s", "interval of 0"),
        ("action=pageout quota=2s/1s", "2s/1s", "a time quota of 2s is more than its interval"),
        ("action=pageout quota=500us/1s", "500us", "no whole number of milliseconds"),
        ("action=pageout quota=1M,2M/1s", "2M", "one size and one time"),
        ("action=pageout reset=1s quota=1M/1s", "1M", "has its interval already"),
        ("action=pageout weights=0/0/0", "0/0/0", "order nothing"),
        ("action=pageout weights=1/2", "1/2", "three weights"),
        ("action=pageout goal=user_inputt:1", "user_inputt", "is it user_input?"),
        ("action=pageout goal=user_input", "user_input", "a goal needs a value"),
        ("action=pageout goal=user_input:0", "0", "a goal of 0 cannot be reached"),
        ("action=pageout goal=node_mem_used_bp:50%", "node", "is of a memory node"),
        ("action=pageout watermarks=free_mem_rate:1:2:3@1s", "1:2", "must fall"),
        ("action=pageout watermarks=free_mem_rate:3:2@1s", "free", "three watermarks"),
        ("action=pageout watermarks=free_mem_rate:300%:2:1", "300%", "is no share"),
        ("action=pageout filter=reject", "reject", "a filter needs a type"),
        ("action=pageout filter=reject memcg:a", "a", "is no path of a memory cgroup"),
        ("action=pageout filter=addr:2G-1G", "2G", "more than"),
        ("action=pageout filter=anon:3", "3", "takes no value"),
        ("action=migrate_hot", "action", "to which"),
        ("action=migrate_hot nid=0 dests=0:1", "action", "contradict each other"),
        ("action=pageout nid=0", "action", "not for pageout"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_an_error_points_at_its_place(line: str, caret: str, words: str) -> None:
    good = "# a comment\n" + PRCL + "\n"
    with pytest.raises(UsageError, match=words) as caught:
        parse_file(f"{good}\t {line}  # why\n{PRCL}\n", "my.schemes")
    first, shown, pointer = caught.value.message.splitlines()
    column = pointer.index("^") - 2
    assert first.startswith(f"my.schemes:3:{column + 1}: ")
    assert shown == f"  \t {line}  # why"
    assert shown[2 + column :].startswith(caret)
    assert pointer.startswith("  \t"), "tabs stay, so that it stands below"
    assert caught.value.exit_code == EXIT_USAGE


def test_one_scheme_is_one_line() -> None:
    for text in ("", "# none", f"{PRCL}\n{PRCL}"):
        with pytest.raises(UsageError, match="where one is needed"):
            parse_scheme(text)


def test_what_others_have_set_up_is_shown() -> None:
    """Numbers that perf damon would not write: it shows them all the same."""
    scheme = Scheme(action="stat", filters=None)
    assert format_scheme(scheme) == "action=stat size=0-0 accesses=0%-0% age=0s-0s"
    scheme.access_pattern.nr_accesses = Range(min=30, max=2**64 - 1)
    assert "accesses=30samples-max" in format_scheme(scheme)
    scheme.core_filters = [Filter(type="target", matching=True, damon_target_idx=0, allow=False)]
    scheme.ops_filters = [Filter(type="young", matching=False, allow=True)]
    assert format_scheme(scheme).endswith(" filter=reject target:0 filter=allow not young")


@example("cold", (0, 0), (0, NO_LIMIT), (900720017, 900720017), 1, 9_999_999, (None, None))
@given(
    action=st.sampled_from([action for action in ACTIONS if "migrate" not in action]),
    sizes=st.tuples(st.integers(0, NO_SIZE_LIMIT), st.integers(0, NO_SIZE_LIMIT)),
    rates=st.tuples(st.integers(0, 2000), st.integers(0, 2000) | st.just(NO_LIMIT)),
    ages=st.tuples(st.integers(0, NO_LIMIT), st.integers(0, NO_LIMIT)),
    sample_us=st.integers(1, 10_000),
    aggr_us=st.integers(10_000, 10_000_000),
    quota=st.tuples(st.none() | st.integers(1, 5000), st.none() | st.integers(1, 2**63)),
)
def test_format_and_parse_are_inverse(
    action: str,
    sizes: tuple[int, int],
    rates: tuple[int, int],
    ages: tuple[int, int],
    sample_us: int,
    aggr_us: int,
    quota: tuple[int | None, int | None],
) -> None:
    attributes = Attributes(sample_us=sample_us, aggr_us=aggr_us)
    scheme = Scheme(action=action, filters=[])
    scheme.access_pattern.sz = Range(min=min(sizes), max=max(sizes))
    scheme.access_pattern.nr_accesses = Range(min=min(rates), max=max(rates))
    scheme.access_pattern.age = Range(min=min(ages), max=max(ages))
    scheme.quotas.ms, scheme.quotas.bytes = quota
    scheme.quotas.reset_interval_ms = 5000 if any(quota) else None
    assert parse_scheme(format_scheme(scheme, attributes), attributes) == scheme


GOOD = (
    "action=migrate_cold nid=0 size=4K-max accesses=5%-99.9% age=1s-2h quota=9ms,1G weights=1/2/3",
    "action=stat apply=5ms goal=user_input:3:current=2 goal=node_mem_used_bp:1:nid=0 reset=2s",
    "action=pageout goal=node_memcg_free_bp:9%:nid=0:path=/a:b tuner=temporal fail_charge=1/2",
    "action=cold watermarks=free_mem_rate:50%:40%:3@5s filter=memcg:/a filter=allow not young",
    "action=migrate_hot dests=0:1,1:2 filter=addr:4K-1G filter=hugepage_size:1-2 max_snapshots=1",
    "4K max min 5samples 5s 90aggrs pageout 500M 1s [weights 0 3 7] filter=reject target:1",
)


@given(
    text=st.sampled_from(GOOD),
    begin=st.integers(0, 90),
    length=st.integers(0, 9),
    new=st.sampled_from([*GOOD, *"=:-/,@%# 0٣²K\t\n\x0c\x00", ""]) | st.text(max_size=2),
)
@example(GOOD[3], GOOD[3].index("/a") + 1, 0, "\x00")
def test_no_text_is_worse_than_an_error(text: str, begin: int, length: int, new: str) -> None:
    assert len(parse_file(text, "x")) == 1
    changed = text[:begin] + new + text[begin + length :]
    try:
        found = parse_file(changed, "x")
    except UsageError as error:
        assert error.message.startswith("x:")
        return
    for scheme in found:
        assert parse_scheme(format_scheme(scheme)) == scheme
        assert format_scheme(scheme).replace("\t", " ").isprintable()
