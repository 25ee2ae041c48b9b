# SPDX-License-Identifier: GPL-2.0
"""Change a kdamond of ours while it runs: all of the change, or nothing.

Linux 6.12 does not tell the writer of `commit` that the kdamond did not like what it found, and
ends the kdamond. So after each commit it is asked for something else, which only one that runs
answers; one that has ended is started again, as it was.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass

from perf_damon import signals
from perf_damon.control import journal as journals
from perf_damon.control import monitor, tree, versions
from perf_damon.control.features import available_operations
from perf_damon.control.journal import Entry
from perf_damon.control.monitor import Slot
from perf_damon.control.nodes import Context
from perf_damon.control.state import Command, command
from perf_damon.control.sysfs import SysfsError
from perf_damon.control.system import System
from perf_damon.errors import Error, not_put_back

_HINT = "the kernel does not say what is wrong with it; dmesg may"


@dataclass(frozen=True, slots=True)
class _Before:
    """What is put back."""

    context: Context
    tid: int


def tune(system: System, slot: Slot, change: Context) -> Slot:
    """Write what is not None of `change` to a slot of ours, and commit it.

    Lists replace those that were there. After an error all is as it was before, files and
    kdamond; only if the kernel has ended the kdamond, it is another thread that goes on.
    Raises Error.
    """
    with signals.held(), journals.locked(system) as journal:
        entry = journal.entry(slot.index)
        folder = f"kdamonds/{slot.index}"
        if entry is None or not _runs(system, entry):
            raise Error(f"kdamond {slot.index} has ended meanwhile", "see: perf damon status")
        context = f"{folder}/contexts/0"
        if available_operations(system.damon, context) is None:
            raise Error(
                "this kernel cannot change monitoring while it runs",
                f"since Linux {versions.COMMIT}; or perf damon stop, then perf damon start anew",
            )
        loaded = tree.load(Context, system.damon, context)
        # Only what can be written, as it is going to be.
        before = _Before(tree.from_dict(Context, tree.to_dict(loaded)), entry.tid)
        try:
            monitor.store_context(system.damon, context, change, entry.operations)
            _commit(system, entry, change)
        except BaseException as error:
            try:
                _put_back(system, entry, before)
            except Error as second:
                hint = "see: perf damon status, perf damon stop"
                raise not_put_back(error, second, hint) from None
            finally:
                journals.write(system, journal)
            if entry.tid != before.tid and isinstance(error, Error):
                error.hint = "\n  ".join(
                    filter(None, (error.hint, f"it runs as it did before, as thread {entry.tid}"))
                )
            raise
        if change.targets is not None:
            entry.pids = list(Context(operations=entry.operations, targets=change.targets).pids)
        journals.write(system, journal)
        return monitor.load_slot(system, journal, slot.index)


def _commit(system: System, entry: Entry, change: Context) -> None:
    try:
        command(system.damon, entry.slot, Command.COMMIT)
    except SysfsError as error:
        if error.errno == errno.EINVAL and _runs(system, entry):
            folder = f"kdamonds/{entry.slot}/contexts/0"
            if why := monitor.too_few_regions(tree.load(Context, system.damon, folder)):
                raise why from None
            raise Error("the kernel does not take the change (EINVAL)", _HINT) from None
        if _runs(system, entry):
            raise
    # Its answer does not matter, only that there is somebody to wait for it.
    with suppress(SysfsError):
        command(system.damon, entry.slot, Command.UPDATE_SCHEMES_STATS)
    if _runs(system, entry):
        return
    targets = Context(operations=entry.operations, targets=change.targets).pids
    gone = [str(pid) for pid in targets or entry.pids if system.started(pid) is None]
    if gone:
        raise Error(f"process {', '.join(gone)} ended while its monitoring was being changed")
    raise Error("the kernel ended the kdamond instead of taking the change", _HINT)


def _runs(system: System, entry: Entry) -> bool:
    folder = f"kdamonds/{entry.slot}"
    return (
        system.damon.read(f"{folder}/state") == "on"
        and int(system.damon.read(f"{folder}/pid")) == entry.tid
    )


def _put_back(system: System, entry: Entry, before: _Before) -> None:
    """Files and, should the kdamond have ended, the kdamond; raises Error."""
    tree.store(before.context, system.damon, f"kdamonds/{entry.slot}/contexts/0")
    if _runs(system, entry):
        # A part may have been taken: so that the kernel has what the files say.
        with suppress(SysfsError):
            command(system.damon, entry.slot, Command.COMMIT)
    if not _runs(system, entry):
        monitor.command_on(system, entry, before.context)
