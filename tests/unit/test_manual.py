# SPDX-License-Identifier: GPL-2.0
"""The manual page says of each kernel what the code says of it."""

from __future__ import annotations

import re
from pathlib import Path

from perf_damon.control import versions

MANUAL = Path(__file__).parents[2] / "tools/perf/Documentation/perf-damon.txt"


def since() -> dict[str, str]:
    """By release what the section KERNELS says of it, in one line."""
    _, _, rest = MANUAL.read_text().partition("\nKERNELS\n-------\n")
    section = re.split(r"\n[A-Z ]+\n-{3,}\n", rest)[0]
    found = re.findall(r"^(\d+\.\d+)::\n((?:\t.*\n)+)", section, flags=re.MULTILINE)
    return {release: " ".join(text.split()) for release, text in found}


def first(word: str) -> str:
    """The first release of the section that has the word."""
    return next(release for release, text in since().items() if re.search(rf"\b{word}\b", text))


def test_what_came_with_which_kernel() -> None:
    tables = {**versions.ACTIONS, **versions.FILTERS, **versions.METRICS, **versions.OPERATIONS}
    later = {word: release for word, release in tables.items() if release != versions.FIRST}
    assert {word: first(word) for word in later} == later
    for file in ("apply_interval_us", "nr_dests", "max_nr_snapshots", "goal_tuner", "allow"):
        word, release = versions.FILES[file]
        assert first(word.split()[-1]) == release
    assert first("fail_charge") == versions.FILES["fail_charge_num"][1]
    assert first("tune") == versions.COMMIT
    told = since()
    assert "migrate_hot and migrate_cold for vaddr" in told[versions.VIRTUAL_MIGRATION]
    assert "for vaddr and fvaddr" in told[versions.VIRTUAL_PAGE_FILTERS]


def test_releases_are_in_order_and_named_there_alone() -> None:
    releases = list(since())
    assert releases == sorted(releases, key=lambda text: [int(part) for part in text.split(".")])
    text = MANUAL.read_text()
    begin = text.index("\nKERNELS\n")
    rest = text[:begin] + text[text.index("\nPLAIN PERF\n", begin) :]
    assert not re.findall(r"\bsince (?:Linux )?\d+\.\d+|Linux [67]\.\d+", rest)
