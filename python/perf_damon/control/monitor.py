# SPDX-License-Identifier: GPL-2.0
"""Start and stop kdamonds, in slots that are free, and put back what was there.

The kernel lets nobody change nr_kdamonds while any kdamond runs, and changing it forgets what all
of them were set to. So: an empty slot is used where there is one; where there are no slots at
all we make a few, so that a second start finds room; where somebody has left theirs stopped and
nothing runs, one is borrowed and put back. A running kdamond of somebody else is never touched.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass

from perf_damon import signals
from perf_damon.control import journal as journals
from perf_damon.control import modules, tree, versions
from perf_damon.control.features import available_operations, context_features
from perf_damon.control.journal import Entry, Journal
from perf_damon.control.nodes import Context, Kdamond
from perf_damon.control.schemes import check_kernel, explain
from perf_damon.control.state import Command, command
from perf_damon.control.sysfs import Sysfs, SysfsError
from perf_damon.control.system import System
from perf_damon.errors import Error, not_put_back

_ROOM = 4
"""Slots that the first start makes."""
_REFUSALS = {
    errno.EINVAL: (
        "the kernel does not take this monitoring, with these schemes (EINVAL)",
        "it does not say what of it is wrong",
    ),
    errno.ENOENT: ("the kernel finds no memory cgroup of a name that a scheme's filter has",),
    errno.EOPNOTSUPP: (
        "the kernel has no pressure stall information, which a scheme's goal asks for",
        "it takes CONFIG_PSI=y, and psi=1 on its command line",
    ),
}
"""What it means that a kdamond with schemes is not turned on: message and hint."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A folder kdamonds/N as it stands, and whose it is."""

    index: int
    kdamond: Kdamond
    entry: Entry | None = None
    """What the journal says of it, if it is ours."""

    @property
    def context(self) -> Context | None:
        """Its (first) context."""
        return self.kdamond.contexts[0] if self.kdamond.contexts else None

    @property
    def free(self) -> bool:
        """Nobody has set it up."""
        return not self.kdamond.running and not self.kdamond.contexts and self.entry is None

    @property
    def ours(self) -> bool:
        """Its running kdamond is one that we started."""
        return (
            self.kdamond.running
            and self.entry is not None
            and self.entry.tid != 0
            and self.entry.tid == self.kdamond.pid
        )


@dataclass(frozen=True, slots=True)
class Overview:
    """All slots, and what the kernel offers as far as it has been seen."""

    slots: list[Slot]
    features: list[str]
    taken: list[str]
    """The kernel's own users of DAMON that perf damon has turned off for now."""


def overview(system: System) -> Overview:
    """What there is, read only."""
    journal = journals.read(system)
    slots = _slots(system, journal)
    features = journal.features
    for slot in slots:
        if slot.context is not None:
            features = context_features(system.damon, f"kdamonds/{slot.index}/contexts/0")
            break
    return Overview(slots, features, journal.taken)


def start(system: System, context: Context, owner: int, take_over: bool = False) -> Slot:
    """Set up a free slot with this context and turn its kdamond on.

    owner is the process that will call stop(), 0 for nobody. take_over turns off the kernel's own
    users of DAMON first, until the last of our kdamonds has ended. After an error everything is
    as it was. Raises Error.
    """
    with signals.held(), journals.locked(system) as journal:
        _clean_up(system, journal, turn_on=not take_over)
        index, saved = _find_room(system, journal)
        entry = Entry(
            slot=index,
            owner=owner,
            owner_started=system.started(owner) or 0,
            pids=list(context.pids),
            operations=context.operations or "",
            saved=saved,
        )
        journal.entries.append(entry)
        journals.write(system, journal)
        try:
            if take_over:
                modules.take(system, journal)
            _turn_on(system, journal, entry, context)
        except BaseException as error:
            try:
                _give_back(system, journal, entry)
                _give_back_modules(system, journal)
            except Error as second:
                raise not_put_back(error, second, second.hint) from None
            raise
        journals.write(system, journal)
        return load_slot(system, journal, index)


def stop(system: System, slot: Slot) -> None:
    """Turn off a kdamond that start() returned and give its slot back; raises Error.

    A kdamond that has ended by itself is no error. One of the kernel's own users of DAMON that
    cannot be turned on again is, after all else has been done.
    """
    with signals.held(), journals.locked(system) as journal:
        entry = journal.entry(slot.index)
        if entry is not None and slot.entry is not None and entry.tid == slot.entry.tid:
            _give_back(system, journal, entry)
            _give_back_modules(system, journal)


def clean_up(system: System) -> list[Entry]:
    """Give back what ended by itself or was left by a command that died; returns those.

    Where one of the kernel's own users of DAMON cannot be turned on again yet, the journal keeps
    it, and the next call tries again.
    """
    journal = journals.read(system)
    if not journal.changed:
        return []
    with signals.held(), journals.locked(system) as journal:
        return _clean_up(system, journal)


def _clean_up(system: System, journal: Journal, turn_on: bool = True) -> list[Entry]:
    left = [entry for entry in journal.entries if _is_left_over(system, entry)]
    for entry in left:
        _give_back(system, journal, entry)
    if not journal.entries and journal.found is not None:
        # Killed between making room and using it.
        _give_back_room(system.damon, journal)
        journals.write(system, journal)
    if turn_on:
        with suppress(Error):
            _give_back_modules(system, journal)
    return left


def _give_back_modules(system: System, journal: Journal) -> None:
    """Raises modules.NotTurnedOn where one does not come back; it stays in the journal."""
    if not journal.entries:
        modules.give_back(system, journal)


def _is_left_over(system: System, entry: Entry) -> bool:
    if entry.owner and system.started(entry.owner) != entry.owner_started:
        return True
    return not entry.owner and (not entry.tid or system.started(entry.tid) != entry.tid_started)


def _find_room(system: System, journal: Journal) -> tuple[int, dict | None]:
    slots = _slots(system, journal)
    for slot in slots:
        if slot.free:
            return slot.index, None
    running = [slot for slot in slots if slot.kdamond.running]
    if not slots:
        # Written first: should we be killed in between, the next command undoes it.
        journal.found = 0
        journals.write(system, journal)
        try:
            system.damon.write("kdamonds/nr_kdamonds", _ROOM)
        except Error:
            journal.found = None
            journals.write(system, journal)
            raise
        return 0, None
    others = [slot for slot in slots if slot.entry is None]
    if running or not others:
        names = ", ".join(_describe(system, slot) for slot in running)
        raise Error(
            f"DAMON has no free slot: {names}",
            "the kernel adds slots only while no kdamond runs: stop one "
            "(perf damon stop for ours; others with the tool that started them)",
        )
    borrowed = others[-1]
    return borrowed.index, tree.to_dict(borrowed.kdamond)


def _describe(system: System, slot: Slot) -> str:
    whose = "perf damon" if slot.ours else "something else"
    for_whom = ""
    if slot.context is not None:
        pids = [f"{pid} ({system.comm(pid) or 'ended'})" for pid in slot.context.pids]
        for_whom = f" for {', '.join(pids) or 'physical memory'}"
    return f"kdamond {slot.index} (thread {slot.kdamond.pid}) runs for {whose}{for_whom}"


def _turn_on(system: System, journal: Journal, entry: Entry, context: Context) -> None:
    damon, folder = system.damon, f"kdamonds/{entry.slot}"
    damon.write_checked(f"{folder}/contexts/nr_contexts", 1)
    journal.features = context_features(damon, f"{folder}/contexts/0")
    available = available_operations(damon, f"{folder}/contexts/0")
    if available is not None and context.operations not in available:
        option = "CONFIG_DAMON_PADDR" if context.operations == "paddr" else "CONFIG_DAMON_VADDR"
        raise Error(
            f"this kernel cannot monitor {context.operations}: it offers {', '.join(available)}",
            f"it was built without {option}",
        )
    if available is None and context.operations == "fvaddr":
        raise Error(
            "this kernel cannot monitor fvaddr", f"since Linux {versions.OPERATIONS['fvaddr']}"
        )
    store_context(damon, f"{folder}/contexts/0", context, context.operations)
    command_on(system, entry, context)


def command_on(system: System, entry: Entry, context: Context) -> None:
    """Turn the kdamond of a slot on, and note its thread in the entry; raises Error."""
    try:
        command(system.damon, entry.slot, Command.ON)
    except SysfsError as error:
        raise _explain_on(system, context, error) from None
    tid = int(system.damon.read(f"kdamonds/{entry.slot}/pid"))
    if tid <= 0:
        raise ended_at_once(system, context)
    entry.tid, entry.tid_started = tid, system.started(tid) or 0


def store_context(damon: Sysfs, folder: str, context: Context, operations: str) -> None:
    """Write what is not None of a context, read it back, and say what the kernel lacks for it.

    Raises Error.
    """
    schemes = context.schemes or []
    try:
        if schemes:
            damon.write_checked(f"{folder}/schemes/nr_schemes", len(schemes))
            check_kernel(damon, folder, schemes, operations)
        tree.store(context, damon, folder)
    except SysfsError as error:
        raise explain(error, schemes, operations) from None


def _explain_on(system: System, context: Context, error: SysfsError) -> Error:
    gone = [pid for pid in context.pids if system.started(pid) is None]
    if gone:
        return ended_at_once(system, context)
    if error.errno == errno.EBUSY:
        return modules.in_the_way(system) or Error(
            "DAMON is in use by something else in the kernel (EBUSY)", "see: perf damon status"
        )
    if error.errno == errno.EINVAL and (why := too_few_regions(context)):
        return why
    if context.schemes and error.errno in _REFUSALS:
        return Error(*_REFUSALS[error.errno])
    return error


def too_few_regions(context: Context) -> Error | None:
    """The error of a kernel that keeps nr_regions/max, where that cannot be kept; or None."""
    nr, most = context.nr_ranges, context.monitoring_attrs.nr_regions.max
    if most is None or nr <= most:
        return None
    what = "processes" if nr == len(context.pids) else "ranges of addresses"
    return Error(
        f"{nr} {what} take at least {nr} regions, and nr_regions/max is {most}",
        f"--max-regions {nr} or more, or monitor less",
    )


def ended_at_once(system: System, context: Context) -> Error:
    """Why a kdamond that has just been told to run does not."""
    gone = [str(pid) for pid in context.pids if system.started(pid) is None]
    if gone:
        return Error(f"process {', '.join(gone)} ended while monitoring was being started")
    return Error("the kdamond ended right after it was started", "see: dmesg | grep -i damon")


def _give_back(system: System, journal: Journal, entry: Entry) -> None:
    """Undo an entry as far as the slot is still ours, and forget it."""
    damon, folder = system.damon, f"kdamonds/{entry.slot}"
    if damon.is_dir(folder) and _still_ours(damon, folder, entry):
        # off fails with EPERM where the kdamond has just ended by itself.
        if damon.read(f"{folder}/state") == "on":
            with suppress(SysfsError):
                command(damon, entry.slot, Command.OFF)
        if entry.saved is None:
            damon.write(f"{folder}/contexts/nr_contexts", 0)
        else:
            tree.store(tree.from_dict(Kdamond, entry.saved), damon, folder)
    journal.entries.remove(entry)
    if not journal.entries and journal.found is not None:
        _give_back_room(damon, journal)
    journals.write(system, journal)


def _still_ours(damon: Sysfs, folder: str, entry: Entry) -> bool:
    """Whether a slot is as we left it: somebody may have taken it since our kdamond ended."""
    running = damon.read(f"{folder}/state") == "on"
    if running and entry.tid:
        return int(damon.read(f"{folder}/pid")) == entry.tid
    if not running and not entry.tid:
        # Still being set up: whatever is there is ours.
        return True
    contexts = tree.load(Kdamond, damon, folder).contexts or []
    return bool(contexts) and (
        contexts[0].operations == entry.operations and list(contexts[0].pids) == entry.pids
    )


def _give_back_room(damon: Sysfs, journal: Journal) -> None:
    slots = [Slot(i, kdamond) for i, kdamond in enumerate(tree.load_kdamonds(damon))]
    # Somebody may have begun to use the room that we made: then it is theirs.
    if len(slots) == _ROOM and all(slot.free for slot in slots):
        damon.write("kdamonds/nr_kdamonds", journal.found or 0)
    journal.found = None


def _slots(system: System, journal: Journal) -> list[Slot]:
    kdamonds = tree.load_kdamonds(system.damon)
    return [Slot(i, kdamond, journal.entry(i)) for i, kdamond in enumerate(kdamonds)]


def load_slot(system: System, journal: Journal, index: int) -> Slot:
    """A slot as it stands; raises SysfsError."""
    kdamond = tree.load(Kdamond, system.damon, f"kdamonds/{index}")
    return Slot(index, kdamond, journal.entry(index))
