# SPDX-License-Identifier: GPL-2.0
"""DARC's sysfs tree: what it says, and changing it: all of a change, or nothing.

A class a folder and a field a file, with the names of the ABI document. The kernel refuses a write
that breaks the order of a zone's watermarks, even for the moment between two writes. So those that
are to change are tried in turn until all are written: where the outcome is in order there is always
one that can be next.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import pairwise

from perf_damon import signals
from perf_damon.control.sysfs import Sysfs, SysfsError
from perf_damon.control.system import System
from perf_damon.errors import Error, UsageError, not_put_back
from perf_damon.units import format_size, format_time_us

MARKS = ("high", "mid", "low")
DEFAULT = "default"
"""Instead of a watermark: the one that the kernel chooses."""
LEAST_MIN_AGE_US, MOST_MIN_AGE_US = 100_000, 3_600_000_000
MOST_RESET_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Quotas:
    """quotas/; 0 is no bound."""

    bytes: int
    ms: int
    reset_interval_ms: int
    some_mem_psi_us: int


@dataclass(frozen=True, slots=True)
class Zone:
    """zones/NAME/: sizes in bytes."""

    name: str
    """Node and zone, as in 0-Normal."""
    high: int
    mid: int
    low: int
    written: tuple[str, ...]
    """Those of the three that somebody has written; the others are the kernel's."""
    free: int
    managed: int
    zone_high: int
    state: str
    """disabled, idle, watching, reclaiming or yielding."""
    started: int
    stopped_above_high: int
    stopped_below_low: int
    tried: int
    reclaimed: int
    refaulted: int
    effective_min_age_us: int
    kdamond_pid: int
    """-1 while none monitors the zone."""
    cpu_us: int

    @property
    def has_room(self) -> bool:
        """Whether there is room for watermarks above the zone's own; else it is left alone."""
        return self.low < self.managed


@dataclass(frozen=True, slots=True)
class Darc:
    """All of the tree."""

    enabled: bool
    min_age_us: int
    quotas: Quotas
    zones: tuple[Zone, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What to write; what is not in it stays as it is."""

    enabled: bool | None = None
    files: Mapping[str, int] = field(default_factory=dict)
    """min_age_us and quotas/…, by path."""
    marks: Mapping[str, Mapping[str, int | str]] = field(default_factory=dict)
    """For each zone its watermarks in bytes, or DEFAULT."""


def load(system: System) -> Darc:
    """Read all; a zone that goes meanwhile is left out. Raises Error."""
    sysfs = system.darc
    zones = []
    for name in sorted(sysfs.names("zones"), key=_by_node):
        try:
            zones.append(load_zone(sysfs, name))
        except SysfsError as error:
            if error.errno not in (errno.ENODEV, errno.ENOENT) or sysfs.is_dir(f"zones/{name}"):
                raise
    return Darc(
        enabled=sysfs.read("enabled") == "Y",
        min_age_us=_number(sysfs, "min_age_us"),
        quotas=Quotas(*(_number(sysfs, f"quotas/{item.name}") for item in fields(Quotas))),
        zones=tuple(zones),
    )


def load_zone(sysfs: Sysfs, name: str) -> Zone:
    """Read a zone's folder; raises SysfsError."""
    values: dict[str, int | str | tuple[str, ...]] = {}
    for item in fields(Zone):
        path = f"zones/{name}/{item.name}"
        if item.name == "state":
            values["state"] = sysfs.read(path)
        elif item.name == "written":
            values["written"] = tuple(sysfs.read(path).split())
        elif item.name != "name":
            values[item.name] = _number(sysfs, path)
    return Zone(name=name, **values)  # type: ignore[arg-type]


def apply(system: System, change: Change) -> Darc:
    """Write a change, disabling first and enabling last; returns what the tree says then.

    After an error all is as it was before. Raises UsageError for what cannot be, Error for what
    the kernel does not take.
    """
    before = load(system)
    check(before, change)
    with signals.held():
        try:
            _write(system.darc, change)
        except BaseException as error:
            try:
                _put_back(system.darc, before, change)
            except Error as second:
                raise not_put_back(error, second, "see: perf damon darc status") from None
            raise
    return load(system)


def check(darc: Darc, change: Change) -> None:
    """Raise UsageError for what the kernel would refuse, with a word of why."""
    if change.files:
        _check_files(darc, change.files)
    zones = {zone.name: zone for zone in darc.zones}
    for name, marks in change.marks.items():
        if name not in zones:
            raise UsageError(f"there is no zone {name}", f"there are {', '.join(zones)}")
        _check_marks(zones[name], marks)


def _check_files(darc: Darc, files: Mapping[str, int]) -> None:
    quotas = darc.quotas
    interval_ms = files.get("quotas/reset_interval_ms", quotas.reset_interval_ms)
    interval = format_time_us(interval_ms * 1000)
    if not 1 <= interval_ms <= MOST_RESET_MS:
        raise UsageError(f"quotas cannot be for {interval}", "for 1ms to 1h they can")
    ms = files.get("quotas/ms", quotas.ms)
    if ms > interval_ms:
        raise UsageError(
            f"a time quota of {format_time_us(ms * 1000)} is more than its interval, {interval}",
            f"as in --time {max(1, interval_ms // 100)}ms/{interval_ms}ms",
        )
    psi_us = files.get("quotas/some_mem_psi_us", quotas.some_mem_psi_us)
    if psi_us > interval_ms * 1000:
        raise UsageError(
            f"waiting for {format_time_us(psi_us)} is more than the interval, {interval}",
            "--goal none is for any pressure",
        )
    age = files.get("min_age_us", darc.min_age_us)
    if not LEAST_MIN_AGE_US <= age <= MOST_MIN_AGE_US:
        raise UsageError(f"a minimum age of {format_time_us(age)} cannot be", "100ms to 1h can")


def _check_marks(zone: Zone, marks: Mapping[str, int | str]) -> None:
    if not zone.has_room:
        raise UsageError(
            f"zone {zone.name} is left alone: its own high watermark is "
            f"{format_size(zone.zone_high)}, and no room is left for more",
            "vm.min_free_kbytes and vm.watermark_scale_factor decide about that",
        )
    # What the default ones are is known to the kernel alone.
    known = {mark: marks.get(mark, getattr(zone, mark)) for mark in MARKS}
    ladder: list[tuple[str, int | str]] = [
        ("the zone's own high watermark", zone.zone_high),
        *((mark, known[mark]) for mark in reversed(MARKS)),
    ]
    for (lower, low), (upper, high) in pairwise(ladder):
        if isinstance(low, int) and isinstance(high, int) and high <= low:
            raise UsageError(
                f"zone {zone.name}: {upper} ({format_size(high)}) has to be more than {lower} "
                f"({format_size(low)})",
                _ladder_hint(zone),
            )
    high = known["high"]
    if isinstance(high, int) and high > zone.managed:
        raise UsageError(
            f"zone {zone.name}: high ({format_size(high)}) is more than the zone has "
            f"({format_size(zone.managed)})",
            _ladder_hint(zone),
        )


def _ladder_hint(zone: Zone) -> str:
    marks = ", ".join(f"{mark} {format_size(getattr(zone, mark))}" for mark in MARKS)
    return (
        f"it has {format_size(zone.managed)}, and now {marks}, "
        f"its own high watermark {format_size(zone.zone_high)}"
    )


def _write(sysfs: Sysfs, change: Change) -> None:
    if change.enabled is False:
        sysfs.write("enabled", "N")
    for path, value in change.files.items():
        _write_explained(sysfs, path, value)
    for name, marks in change.marks.items():
        _write_marks(sysfs, name, marks)
    if change.enabled:
        _write_explained(sysfs, "enabled", "Y")


def _write_explained(sysfs: Sysfs, path: str, value: int | str) -> None:
    try:
        sysfs.write_checked(path, value)
    except SysfsError as error:
        raise _explain(error) from None


def _write_marks(sysfs: Sysfs, name: str, marks: Mapping[str, int | str]) -> None:
    left = [mark for mark in MARKS if mark in marks]
    while left:
        refused: list[str] = []
        for mark in left:
            try:
                sysfs.write(f"zones/{name}/{mark}", marks[mark])
            except SysfsError as error:
                if error.errno != errno.EINVAL:
                    raise _explain(error) from None
                refused.append(mark)
        if len(refused) == len(left):
            words = ", ".join(f"{mark} {_words(marks[mark])}" for mark in refused)
            raise Error(
                f"zone {name}: the kernel does not take {words}: watermarks would be out of order",
                _ladder_hint(load_zone(sysfs, name)),
            )
        left = refused


def _put_back(sysfs: Sysfs, before: Darc, change: Change) -> None:
    """Raises Error where something did not go back; the rest does."""
    failed: list[Error] = []
    zones = {zone.name: zone for zone in before.zones}
    try:
        if not before.enabled and sysfs.read("enabled") == "Y":
            sysfs.write("enabled", "N")
    except Error as error:
        failed.append(error)
    for name, marks in change.marks.items():
        try:
            _put_marks_back(sysfs, zones[name], marks)
        except Error as error:
            failed.append(error)
    was = {"min_age_us": before.min_age_us}
    was |= {f"quotas/{item.name}": getattr(before.quotas, item.name) for item in fields(Quotas)}
    for path in change.files:
        try:
            if _number(sysfs, path) != was[path]:
                sysfs.write(path, was[path])
        except Error as error:
            failed.append(error)
    try:
        if before.enabled and sysfs.read("enabled") == "N":
            sysfs.write("enabled", "Y")
    except Error as error:
        failed.append(error)
    if failed:
        raise failed[0]


def _put_marks_back(sysfs: Sysfs, zone: Zone, marks: Mapping[str, int | str]) -> None:
    def own(zone: Zone) -> dict[str, int | str]:
        return {m: getattr(zone, m) if m in zone.written else DEFAULT for m in marks}

    was = own(zone)
    if own(load_zone(sysfs, zone.name)) != was:
        _write_marks(sysfs, zone.name, was)


def _explain(error: SysfsError) -> Error:
    if error.errno == errno.EOPNOTSUPP and error.path == "quotas/some_mem_psi_us":
        return Error(
            "this kernel has no pressure stall information, so DARC cannot keep to --goal",
            "CONFIG_PSI=y, and psi=1 on the kernel's command line; or --goal none",
        )
    if error.errno == errno.ENOMEM:
        return Error(f"the kernel is out of memory: {error.message}", "try again later")
    if error.errno in (errno.ENODEV, errno.ENOENT) and error.path.startswith("zones/"):
        return Error(f"zone {error.path.split('/')[1]} has just gone", "memory was unplugged")
    return error


def _number(sysfs: Sysfs, path: str) -> int:
    return int(sysfs.read(path), 0)


def _by_node(name: str) -> tuple[int, str]:
    node, _, zone = name.partition("-")
    return (int(node) if node.isdigit() else 0), zone


def _words(value: int | str) -> str:
    return format_size(value) if isinstance(value, int) else value
