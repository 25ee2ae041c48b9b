#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make a large perf.data of a small one: its samples again and again, with moved time stamps.

    lab/benchmarks/grow.py small.perf.data 1000000 large.perf.data

What stands before and behind the data (attributes, features) is kept; so perf reads the result
like any recording. Other records (mappings, names) are kept once, at the front.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np

HEADER = struct.Struct("<8s8Q32s")
SAMPLE = 9
FINISHED_ROUND = 68
IDENTIFIER, IP, TID, TIME = 1 << 16, 1 << 0, 1 << 1, 1 << 2


def grow(source: Path, events: int, target: Path) -> int:
    """Write `target` with at least `events` samples of `source`; returns how many there are."""
    content = source.read_bytes()
    head = list(HEADER.unpack_from(content))
    attr_size, attrs_at, data_at, data_size = head[2], head[3], head[5], head[6]
    (sample_type,) = struct.unpack_from("<Q", content, attrs_at + 24)
    time_at = 1 + sum(1 for bit in (IDENTIFIER, IP, TID) if sample_type & bit)
    if attr_size < 80 or not sample_type & TIME:
        raise SystemExit(f"{source}: no time stamps")

    once, repeated, times, samples = [], [], [], 0
    at, word = data_at, 0
    while at < data_at + data_size:
        kind, _, size = struct.unpack_from("<IHH", content, at)
        record = content[at : at + size]
        if kind in (SAMPLE, FINISHED_ROUND):
            repeated.append(record)
            if kind == SAMPLE:
                times.append(word + time_at)
                samples += 1
            word += size // 8
        else:
            once.append(record)
        at += size
    if not samples:
        raise SystemExit(f"{source}: no samples")

    words = np.frombuffer(b"".join(repeated), dtype="<u8").copy()
    stamps = words[times]
    period = stamps.max() - stamps.min() + np.uint64(100_000_000)
    rounds = -(-events // samples)
    front = b"".join(once)
    head[6] = len(front) + rounds * words.nbytes
    moved = head[6] - data_size
    with target.open("wb") as file:
        file.write(HEADER.pack(*head))
        file.write(content[HEADER.size : data_at])
        file.write(front)
        for _ in range(rounds):
            file.write(words.tobytes())
            words[times] += period
        file.write(_tail(content, data_at + data_size, head[9], moved))
    return rounds * samples


def _tail(content: bytes, table_at: int, flags: bytes, moved: int) -> bytes:
    """Feature table and features, with the table's offsets moved."""
    count = int.from_bytes(flags, "little").bit_count()
    table = bytearray(content[table_at : table_at + 16 * count])
    for at in range(0, len(table), 16):
        (offset,) = struct.unpack_from("<Q", table, at)
        struct.pack_into("<Q", table, at, offset + moved)
    return bytes(table) + content[table_at + len(table) :]


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    print(grow(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])), "samples")
