# SPDX-License-Identifier: GPL-2.0
"""Which mapping an address belongs to: perf's mmap events, laid over each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perf_damon.recording import Column, Mappings

UNKNOWN = "(unknown)"
ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Atlas:
    """The mappings of one process: m ranges, ordered, that do not overlap."""

    start: Column
    """uint64 (m,)."""
    end: Column
    """uint64 (m,)."""
    offset: Column
    """uint64 (m,): offset in the file of each range's first byte."""
    name: Column
    """int64 (m,): index into names."""
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.start)

    def find(self, address: Column) -> Column:
        """int64 (n,): index of the range that holds each address (uint64 (n,)), -1 for none."""
        if len(self) == 0:
            return np.full(len(address), -1)
        at = np.searchsorted(self.start, address, "right") - 1
        return np.where((at >= 0) & (address < self.end[at]), at, -1)

    def name_index(self, start: Column, end: Column) -> Column:
        """int64 (n,): index of each range's name, len(names) for none.

        The name is that of the mapping at the range's start, or of the first one inside of it.
        """
        none = len(self.names)
        if len(self) == 0:
            return np.full(len(start), none)
        at = np.searchsorted(self.end, start, "right")
        inside = np.minimum(at, len(self) - 1)
        held = (at < len(self)) & (self.start[inside] < end)
        return np.where(held, self.name[inside], none)

    def names_of(self, start: Column, end: Column) -> Column:
        """object (n,): the name of the mapping that each range belongs to, None for none."""
        names = np.empty(len(self.names) + 1, object)
        names[:-1] = self.names
        return names[self.name_index(start, end)]

    def name_of(self, index: int) -> str:
        """The name of a range; -1 is the name of what is not known."""
        return self.names[self.name[index]] if index >= 0 else UNKNOWN


def atlas(mappings: Mappings, pid: int | None, until: int | None = None) -> Atlas:
    """The mappings of a process as they were at time `until` (nanoseconds; None is the end).

    perf tells of every mmap, but of no munmap: what was unmapped stays until something else is
    mapped over it.
    """
    chosen = mappings.pid == (-1 if pid is None else pid)
    if until is not None:
        chosen &= mappings.time <= np.uint64(until)
    rows = np.flatnonzero(chosen & (mappings.end > mappings.start))
    rows = _last_of_equal(mappings.start, mappings.end, rows)
    start, end, offset = mappings.start[rows], mappings.end[rows], mappings.offset[rows]
    name = mappings.name[rows].astype(np.int64)
    begin, stop, owner = _overlay(start, end)
    offset = offset[owner] + (begin - start[owner])
    return _join(begin, stop, offset, name[owner], tuple(map(show_name, mappings.names)))


def show_name(name: str) -> str:
    """A mapping's name as people know it."""
    if name in ("", "//anon", "/dev/zero", "/dev/zero (deleted)"):
        return ANONYMOUS
    return name


def mapping_offset(atlas: Atlas, index: int, address: int) -> tuple[str | None, int | None]:
    """Name of a range, and the offset of an address: in the file, or in memory of no file.

    (None, None) for what is in no mapping (index -1).
    """
    if index < 0:
        return None, None
    name = atlas.name_of(index)
    offset = address - int(atlas.start[index])
    return name, offset + int(atlas.offset[index]) if name.startswith("/") else offset


def _last_of_equal(start: Column, end: Column, rows: Column) -> Column:
    """Of rows with the same range only the last: a program that maps and unmaps has many."""
    order = rows[np.lexsort((rows, end[rows], start[rows]))]
    same = (start[order][1:] == start[order][:-1]) & (end[order][1:] == end[order][:-1])
    return np.sort(order[~np.append(same, False)]) if len(order) else order


def _overlay(start: Column, end: Column) -> tuple[Column, Column, Column]:
    """Disjoint ranges and, for each, the last of the given ranges that covers it."""
    order = np.argsort(start, kind="stable")
    if (start[order][1:] >= end[order][:-1]).all():
        return start[order], end[order], order
    edges = np.unique(np.concatenate((start, end)))
    first, last = np.searchsorted(edges, start), np.searchsorted(edges, end)
    owner = np.full(len(edges) - 1, -1)
    for i, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        owner[a:b] = i
    held = np.flatnonzero(owner >= 0)
    return edges[held], edges[held + 1], owner[held]


def _join(
    start: Column, end: Column, offset: Column, name: Column, names: tuple[str, ...]
) -> Atlas:
    """Neighbours that are one mapping to a reader become one range."""
    anonymous = np.array([n == ANONYMOUS or n.startswith("[") for n in names], bool)
    if len(start):
        follows = (start[1:] == end[:-1]) & (name[1:] == name[:-1])
        follows &= anonymous[name[1:]] | (offset[1:] == offset[:-1] + (end[:-1] - start[:-1]))
        first = np.append(0, np.flatnonzero(~follows) + 1)
        last = np.append(first[1:], len(start)) - 1
        start, end, offset, name = start[first], end[last], offset[first], name[first]
    return Atlas(start, end, offset, name, names)
