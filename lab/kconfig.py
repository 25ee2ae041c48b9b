# SPDX-License-Identifier: GPL-2.0
"""Did a kernel's configuration take what was asked of it?

Kconfig drops, without a word, an option whose dependencies are not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lab.common import LabError

DAMON = ("CONFIG_DAMON_", "CONFIG_DAMOS_", "CONFIG_DARC")
"""Options of DAMON: ours has some that upstream's has not, and the other way round."""
ON_BOTH_SIDES = ("CONFIG_DAMON", "CONFIG_DAMON_VADDR", "CONFIG_DAMON_PADDR", "CONFIG_DAMON_SYSFS")


def parse(text: str) -> dict[str, str]:
    """Option -> value of a configuration or a part of one; n for what it says is not set."""
    found = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"(CONFIG_\w+)=(.*?)\s*", line):
            found[match[1]] = match[2]
        elif match := re.fullmatch(r"# (CONFIG_\w+) is not set", line):
            found[match[1]] = "n"
    return found


def not_taken(wanted: dict[str, str], taken: dict[str, str], there: set[str]) -> list[str]:
    """What was asked and did not come about; `there` are the options that the kernel has.

    Of DAMON's options, a kernel need not have those that only one side has.
    """
    return [
        f"{option}={value}"
        for option, value in wanted.items()
        if taken.get(option, "n") != value
        and not (option.startswith(DAMON) and option not in ON_BOTH_SIDES and option not in there)
    ]


def options(kconfigs: Iterable[Path]) -> set[str]:
    """The options that Kconfig files define."""
    define = re.compile(r"^\s*(?:menu)?config\s+(\w+)", re.MULTILINE)
    return {f"CONFIG_{name}" for path in kconfigs for name in define.findall(path.read_text())}


def check(fragments: Iterable[Path], config: Path, kconfigs: Iterable[Path]) -> None:
    """Raise LabError, naming the options, when a configuration lacks what fragments ask."""
    wanted: dict[str, str] = {}
    for fragment in fragments:
        wanted |= parse(fragment.read_text())
    missing = not_taken(wanted, parse(config.read_text()), options(kconfigs))
    if missing:
        raise LabError(
            f"the kernel's configuration did not take {', '.join(missing)}: "
            "something that it depends on is missing, or has another name in this kernel"
        )
