# SPDX-License-Identifier: GPL-2.0
"""What perf damon has changed in DAMON's tree, written down before it is changed.

So each command knows which kdamonds are its own, and undoes what one that was killed left behind.
The file lies in /run: it is gone after a reboot, as the changes are. Two versions of perf damon may
use it at a time, where one was upgraded while it recorded: what one does not know it keeps.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from perf_damon.control.system import System
from perf_damon.errors import Error


@dataclass
class Entry:
    """A slot (folder kdamonds/N) that we took."""

    slot: int
    owner: int
    """Process that has to give it back; 0 when it stays until `perf damon stop`."""
    owner_started: int
    tid: int = 0
    """The kdamond; 0 while it has not been started."""
    tid_started: int = 0
    pids: list[int] = field(default_factory=list)
    """Processes of the targets; empty for physical memory."""
    operations: str = ""
    saved: dict[str, Any] | None = None
    """What the slot held before, to be put back; None where it was empty."""
    rest: dict[str, Any] = field(default_factory=dict)
    """What another version wrote, by name."""


@dataclass
class Journal:
    """All that we changed."""

    boot_id: str
    entries: list[Entry] = field(default_factory=list)
    found: int | None = None
    """nr_kdamonds before we made room; None if we did not."""
    taken: list[str] = field(default_factory=list)
    """The kernel's own users of DAMON that we turned off: modules, to be turned on again when the
    last kdamond of ours has ended."""
    features: list[str] = field(default_factory=list)
    """What the kernel was seen to offer."""
    rest: dict[str, Any] = field(default_factory=dict)
    """What another version wrote, by name."""

    @property
    def changed(self) -> bool:
        """There is something to be undone."""
        return bool(self.entries or self.taken) or self.found is not None

    def entry(self, slot: int) -> Entry | None:
        """Our entry for a slot."""
        return next((entry for entry in self.entries if entry.slot == slot), None)


def read(system: System) -> Journal:
    """The journal as it stands, without waiting for writers; empty where there is none."""
    empty = Journal(boot_id=system.boot_id())
    try:
        data = json.loads((system.run / "journal").read_text(encoding="utf-8"))
        entries = [_known(Entry, entry) for entry in data.pop("entries")]
        journal = _known(Journal, {**data, "entries": entries})
    except FileNotFoundError:
        return empty
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        path = system.run / "journal"
        raise Error(
            f"{path} cannot be read ({error})", f"look at it, then remove it: rm {path}"
        ) from None
    return journal if journal.boot_id == empty.boot_id else empty


_Kind = TypeVar("_Kind", Entry, Journal)


def _known(kind: type[_Kind], data: dict[str, Any]) -> _Kind:
    names = {each.name for each in fields(kind)} - {"rest"}
    rest = {name: value for name, value in data.items() if name not in names}
    return kind(**{name: data[name] for name in data if name in names}, rest=rest)


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """The opposite of _known()."""
    return {**data.pop("rest"), **data}


def write(system: System, journal: Journal) -> None:
    """Put the journal in place, whole or not at all; with nothing to tell it goes away."""
    path = system.run / "journal"
    if not journal.changed and not journal.features and not any(journal.rest.values()):
        path.unlink(missing_ok=True)
        return
    new = system.run / "journal.new"
    data = asdict(journal)
    data["entries"] = [_plain(entry) for entry in data["entries"]]
    new.write_text(json.dumps(_plain(data)), encoding="utf-8")
    new.rename(path)


@contextmanager
def locked(system: System) -> Iterator[Journal]:
    """The journal, ours alone until the end of the block. Call write() after each change."""
    try:
        system.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(system.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Error(f"cannot use {system.run}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield read(system)
    finally:
        os.close(lock)
