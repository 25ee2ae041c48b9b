# SPDX-License-Identifier: GPL-2.0
"""The text form of schemes, one a line:

    action=pageout size=4K-max accesses=0%-0% age=5s-max quota=100M/1s    keys, in any order
    4K max min min 5s max pageout 100M 1s                                 columns: see classic.py

parse_file() reads both, with `#` comments, and damo's JSON (damo.py); format_scheme() writes keys.
The manual page lists them all. Access rates and ages depend on the attributes of the monitoring:
see pattern.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from perf_damon.control.nodes import Quotas, Scheme
from perf_damon.errors import UsageError
from perf_damon.parameters import Attributes
from perf_damon.schemes import classic, damo, filters, limits, pattern
from perf_damon.schemes.words import Part, Problem
from perf_damon.units import parse_time_us

ACTIONS = (
    "willneed",
    "cold",
    "pageout",
    "hugepage",
    "nohugepage",
    "collapse",
    "lru_prio",
    "lru_deprio",
    "migrate_hot",
    "migrate_cold",
    "stat",
)
DEFAULT_ATTRIBUTES = Attributes(sample_us=5_000, aggr_us=100_000)
"""The kernel's, and those of perf damon start."""
_EXAMPLE = "action=pageout size=4K-max accesses=0%-0% age=5s-max"
_COMMENT = re.compile(r"(?:^|\s)#.*")
_KEY = re.compile(r"(?:^|(?<=\s))([A-Za-z_]+)=")


def parse_scheme(
    text: str, attributes: Attributes = DEFAULT_ATTRIBUTES, name: str = "scheme"
) -> Scheme:
    """The scheme that one line says, in the kernel's units for these attributes.

    Raises UsageError, which begins with `name:line:column`.
    """
    schemes = parse_file(text, name, attributes)
    if len(schemes) != 1:
        raise UsageError(f"{name}: {len(schemes) or 'no'} schemes, where one is needed", _EXAMPLE)
    return schemes[0]


def parse_file(text: str, name: str, attributes: Attributes = DEFAULT_ATTRIBUTES) -> list[Scheme]:
    """The schemes of a text, one a line, in the kernel's units for these attributes.

    Raises UsageError for the first line that is wrong; then nothing of the text is to be used.
    """
    if text.lstrip()[:1] in ("[", "{"):
        return _parse_json(text, name, attributes)
    schemes = []
    percent = classic.says_percent(text)
    # Lines as editors count them.
    for number, line in enumerate(text.split("\n"), 1):
        if content := _COMMENT.sub("", line).rstrip():
            try:
                schemes.append(_parse_line(Part(content, 0), attributes, percent))
            except Problem as problem:
                raise problem.at(name, number, line) from None
    return schemes


def _parse_json(text: str, name: str, attributes: Attributes) -> list[Scheme]:
    schemes = []
    for where, scheme in damo.parse(text, name, attributes):
        # What contradicts itself does so in both forms.
        try:
            schemes.append(_parse_line(Part(format_scheme(scheme, attributes), 0), attributes))
        except Problem as problem:
            raise UsageError(f"{where}: {problem.message}", problem.hint) from None
    return schemes


def format_scheme(scheme: Scheme, attributes: Attributes = DEFAULT_ATTRIBUTES) -> str:
    """A scheme as one line of keys, which parse_scheme() reads back to the same."""
    access = scheme.access_pattern
    words = [f"action={scheme.action}"]
    # What is not said is anything.
    if not pattern.is_anything(access.sz, pattern.NO_SIZE_LIMIT):
        words.append(f"size={pattern.format_sizes(access.sz)}")
    if not pattern.is_anything(access.nr_accesses, pattern.NO_LIMIT):
        words.append(f"accesses={pattern.format_accesses(access.nr_accesses, attributes)}")
    if not pattern.is_anything(access.age, pattern.NO_LIMIT):
        words.append(f"age={pattern.format_ages(access.age, attributes)}")
    if scheme.apply_interval_us:
        words.append(f"apply={pattern.format_exact_time(scheme.apply_interval_us)}")
    words += limits.format_limits(scheme.quotas, scheme.watermarks)
    # Set up by others, they may be in the folders of their own that newer kernels have.
    for group in (scheme.core_filters, scheme.ops_filters, scheme.filters):
        words += [f"filter={filters.format_filter(shown)}" for shown in group or ()]
    if scheme.dests:
        words.append(f"dests={filters.format_dests(scheme.dests)}")
    elif is_migration(scheme) and scheme.target_nid is not None:
        words.append(f"nid={scheme.target_nid}")
    if scheme.stats.max_nr_snapshots:
        words.append(f"max_snapshots={scheme.stats.max_nr_snapshots}")
    return " ".join(words)


def parse_quota(text: str, name: str = "quota") -> Quotas:
    """The value of a quota= alone, or `none`; only ms, bytes and the interval are set.

    Raises UsageError.
    """
    quotas = Quotas()
    try:
        if text != "none":
            limits.parse_quota(Part(text, 0), quotas)
    except Problem as problem:
        raise problem.at(name, 1, text) from None
    return replace(quotas, ms=quotas.ms or 0, bytes=quotas.bytes or 0)


def is_migration(scheme: Scheme) -> bool:
    """Whether the action moves memory to another node."""
    return scheme.action in ("migrate_hot", "migrate_cold")


def _parse_line(line: Part, attributes: Attributes, percent: bool = False) -> Scheme:
    for column, character in enumerate(line.text):
        if not character.isprintable() and character != "\t":
            raise Problem(column, f"a character that cannot be printed, {character!r}")
    scheme = Scheme(access_pattern=pattern.any_pattern(), filters=[])
    words = line.words()
    if _KEY.match(words[0].text):
        _parse_keys(line, scheme, attributes)
    else:
        _parse_columns(line, words, scheme, attributes, percent)
    if scheme.action is None:
        line.slice(0).problem("a scheme needs an action", f"action=pageout; {_list_actions()}")
    if scheme.quotas.goals and scheme.quotas.reset_interval_ms is None:
        scheme.quotas.reset_interval_ms = limits.RESET_INTERVAL_MS
    _check_migration(line.slice(0), scheme)
    return scheme


def _parse_columns(
    line: Part, words: list[Part], scheme: Scheme, attributes: Attributes, percent: bool
) -> None:
    if len(words) < 7:
        hint = f"{_EXAMPLE}, or the columns {classic.COLUMNS}"
        end = Part("", line.column + len(line.text))
        (words[0] if len(words) == 1 else end).problem(
            f"a scheme has 7 columns or is made of key=value; here are {len(words)} words", hint
        )
    rest = classic.parse(words, scheme, attributes, ACTIONS, percent)
    if rest:
        tail = line.slice(rest[0].column - line.column)
        if not _KEY.match(tail.text):
            tail.problem(f"'{rest[0].text}' is too much", f"the columns are {classic.COLUMNS}")
        _parse_keys(tail, scheme, attributes)


def _parse_keys(line: Part, scheme: Scheme, attributes: Attributes) -> None:
    """`key=value …`; what has no key of its own belongs to the value before it."""
    found = list(_KEY.finditer(line.text))
    seen = set()
    for at, following in zip(found, [*found[1:], None], strict=True):
        key = line.slice(*at.span(1))
        value = line.slice(at.end(), following.start() if following else None)
        key.choice("key", _KEYS)
        if key.text in seen and key.text not in ("filter", "goal"):
            key.problem(f"{key.text} is given twice")
        if not value.text:
            key.problem(f"{key.text} has no value")
        seen.add(key.text)
        if key.text in _ONE_WORD and len(value.words()) > 1:
            value.words()[1].problem(f"'{value.words()[1].text}' belongs to no key")
        _KEYS[key.text](value, scheme, attributes)


def _bounds(part: Part) -> tuple[Part, Part]:
    low, high = part.partition("-")
    return low, low if high is None else high


def _parse_action(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.action = part.choice("action", ACTIONS)


def _parse_size(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.access_pattern.sz = pattern.parse_sizes(*_bounds(part))


def _parse_accesses(part: Part, scheme: Scheme, attributes: Attributes) -> None:
    scheme.access_pattern.nr_accesses = pattern.parse_accesses(*_bounds(part), attributes)


def _parse_age(part: Part, scheme: Scheme, attributes: Attributes) -> None:
    scheme.access_pattern.age = pattern.parse_ages(*_bounds(part), attributes)


def _parse_apply(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.apply_interval_us = part.parse(parse_time_us)


def _parse_tuner(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.quotas.goal_tuner = part.choice("tuner", limits.TUNERS)


def _parse_goal(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.quotas.goals = [*(scheme.quotas.goals or ()), limits.parse_goal(part)]


def _parse_weights(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.quotas.weights = limits.parse_weights(part.split("/"), part)


def _parse_watermarks(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.watermarks = limits.parse_watermarks(part)


def _parse_filter(part: Part, scheme: Scheme, _: Attributes) -> None:
    assert scheme.filters is not None
    scheme.filters.append(filters.parse_filter(part))


def _parse_nid(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.target_nid = part.number("node", 2**31 - 1)


def _parse_dests(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.dests = filters.parse_dests(part)


def _parse_max_snapshots(part: Part, scheme: Scheme, _: Attributes) -> None:
    scheme.stats.max_nr_snapshots = part.number("number")


_KEYS: dict[str, Callable[[Part, Scheme, Attributes], None]] = {
    "action": _parse_action,
    "size": _parse_size,
    "accesses": _parse_accesses,
    "age": _parse_age,
    "apply": _parse_apply,
    "quota": lambda part, scheme, _: limits.parse_quota(part, scheme.quotas),
    "reset": lambda part, scheme, _: limits.parse_reset(part, scheme.quotas),
    "weights": _parse_weights,
    "goal": _parse_goal,
    "tuner": _parse_tuner,
    "fail_charge": lambda part, scheme, _: limits.parse_fail_charge(part, scheme.quotas),
    "watermarks": _parse_watermarks,
    "filter": _parse_filter,
    "nid": _parse_nid,
    "dests": _parse_dests,
    "max_snapshots": _parse_max_snapshots,
}
_ONE_WORD = set(_KEYS) - {"filter", "goal"}


def _list_actions() -> str:
    return f"actions: {', '.join(ACTIONS)}"


def _check_migration(line: Part, scheme: Scheme) -> None:
    where = f"{scheme.action} moves memory to another node"
    if is_migration(scheme):
        if scheme.target_nid is None and not scheme.dests:
            line.problem(f"{where}: to which?", "nid=N, or dests=N:WEIGHT,N:WEIGHT")
        if scheme.target_nid is not None and scheme.dests:
            line.problem("nid and dests contradict each other", "give one of them")
    elif scheme.target_nid is not None or scheme.dests:
        line.problem(f"nid and dests are for migrate_hot and migrate_cold, not for {scheme.action}")
