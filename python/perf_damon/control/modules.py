# SPDX-License-Identifier: GPL-2.0
"""The kernel's own users of DAMON: each runs a kdamond outside of the sysfs tree, and alone.

While one runs, nobody else can start a kdamond; while any kdamond runs, none of them can be turned
on. Its parameters stay in the module, so to turn it on again brings back what there was.
"""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from dataclasses import dataclass

from perf_damon.control import journal as journals
from perf_damon.control.journal import Journal
from perf_damon.control.sysfs import SysfsError
from perf_damon.control.system import System
from perf_damon.errors import Error
from perf_damon.parameters import Attributes

MODULES = ("damon_reclaim", "damon_lru_sort", "damon_stat")
_TRIES = 25
_WAIT_S = 0.02
_FILES = {
    "sample_us": ("sample_interval",),
    "aggr_us": ("aggr_interval_us", "aggr_interval"),
    "min_nr_regions": ("min_nr_regions",),
    "max_nr_regions": ("max_nr_regions",),
}
"""Parameters that say how it monitors, as the modules name them."""


@dataclass(frozen=True, slots=True)
class Module:
    """One that runs. It monitors physical memory."""

    name: str
    tid: int | None
    """Its kdamond; None where that cannot be told."""
    attributes: Attributes
    """As far as it tells them. Those of DAMON_STAT, which tunes itself, are of this moment."""

    @property
    def title(self) -> str:
        """As people write it: DAMON_STAT."""
        return self.name.upper()


class NotTurnedOn(Error):
    """All has been undone but for this: one is off that was on before."""


def running(system: System) -> list[Module]:
    """Those that run now. The kernel lets it be one at most."""
    return [_load(system, name) for name in MODULES if _is_on(system, name)]


def switch(name: str) -> str:
    """The path of what turns a module on and off, below /sys/module."""
    return f"{name}/parameters/enabled"


def in_the_way(system: System) -> Error | None:
    """The error that says who keeps everybody else out; None where none of them does."""
    for module in running(system):
        kdamond = "" if module.tid is None else f" (thread {module.tid})"
        return Error(
            f"the kernel's own {module.title}{kdamond} is using DAMON, and lets nobody else",
            "--take-over of start and record turns it off, and on again afterwards;\n"
            "  'perf damon record' without a target listens to it\n"
            f"  to turn it off for good: echo N > {system.modules.root / switch(module.name)}",
        )
    return None


def take(system: System, journal: Journal) -> None:
    """Turn off those that run, and write down that they have to be turned on again.

    Raises Error where one cannot be turned off: then it runs as before.
    """
    for module in running(system):
        path = switch(module.name)
        if not system.modules.is_writable(path):
            raise Error(
                f"{module.title} is using DAMON, and cannot be turned off: "
                f"{system.modules.root / path} is read-only",
                "without a target, perf damon record listens to it",
            )
        if module.name not in journal.taken:
            # Written first: should we be killed in between, the next command undoes it.
            journal.taken.append(module.name)
            journals.write(system, journal)
        system.modules.write(path, "N")
        for _ in range(_TRIES):
            if module.tid is None or system.started(module.tid) is None:
                break
            time.sleep(_WAIT_S)


def give_back(system: System, journal: Journal) -> None:
    """Turn on again what take() turned off. No kdamond of ours may run any more.

    What could not be turned on stays in the journal, and NotTurnedOn is raised.
    """
    failed: list[NotTurnedOn] = []
    for name in list(journal.taken):
        try:
            _turn_on(system, name)
        except Error as error:
            hint = "perf damon stop tries it again: the kernel takes it once no kdamond runs"
            why = f"{name.upper()} could not be turned on again: {error.message}"
            failed.append(NotTurnedOn(why, hint))
        else:
            journal.taken.remove(name)
            journals.write(system, journal)
    if failed:
        raise failed[0]


def _turn_on(system: System, name: str) -> None:
    path = switch(name)
    if not system.modules.exists(path) or _is_on(system, name):
        # It has gone, or somebody was faster.
        return
    for tries_left in reversed(range(_TRIES)):
        try:
            system.modules.write(path, "Y")
            break
        except SysfsError as error:
            # A kdamond may be about to end.
            if error.errno != errno.EIO or not tries_left:
                raise
        time.sleep(_WAIT_S)
    if not _is_on(system, name):
        raise Error(f"{system.modules.root / path} does not say Y")


def _is_on(system: System, name: str) -> bool:
    with suppress(SysfsError):
        return system.modules.read(switch(name)) == "Y"
    return False


def _load(system: System, name: str) -> Module:
    values = {what: _first_number(system, name, files) for what, files in _FILES.items()}
    tuned = name == "damon_stat"
    with suppress(SysfsError):
        tuned = tuned or _parameter(system, name, "autotune_monitoring_intervals") == "Y"
    return Module(name, _kdamond(system, name), Attributes(**values, tuned=tuned))


def _parameter(system: System, name: str, parameter: str) -> str:
    return system.modules.read(f"{name}/parameters/{parameter}")


def _first_number(system: System, name: str, parameters: tuple[str, ...]) -> int | None:
    for parameter in parameters:
        with suppress(SysfsError, ValueError):
            # 0 is what DAMON_STAT says before its first aggregation interval has ended.
            return int(_parameter(system, name, parameter)) or None
    return None


def _kdamond(system: System, name: str) -> int | None:
    try:
        tid = int(_parameter(system, name, "kdamond_pid"))
    except SysfsError:
        # DAMON_STAT tells it since Linux 7.2. There is no other kdamond while it runs.
        found = [pid for pid in system.processes() if _is_kdamond(system, pid)]
        return found[0] if len(found) == 1 else None
    except ValueError:
        return None
    return tid if tid > 0 else None


def _is_kdamond(system: System, pid: int) -> bool:
    name = system.comm(pid) or ""
    return name.startswith("kdamond.") and not system.has_memory(pid)
