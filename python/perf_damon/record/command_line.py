# SPDX-License-Identifier: GPL-2.0
"""perf record's command line, in the header of its file also where perf has not put it there.

perf 7.2 writes but its own path. The parameters of the monitoring travel in that line (see
parameters.py), so it is completed when perf has ended its file: behind all that is there, and only
then does the table of the header's features name it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from perf_damon.parameters import PARAMETERS_WORD
from perf_damon.perfdata.container import CMDLINE, HEADER_SIZE, feature_bits, is_pipe, parse

_ALIGN = 64


def complete(path: str, words: Sequence[str]) -> bool:
    """Put perf record's command line into a file that lacks the parameters; whether it was done.

    Raises OSError, and DataError for a file that is none of perf's. A file that was piped, is not
    finished, or has no place for a command line stays as it is.
    """
    with Path(path).open("r+b") as file:
        head = os.pread(file.fileno(), HEADER_SIZE, 0)
        if is_pipe(head):
            return False
        parts = parse(file, path)
        if CMDLINE not in parts.features:
            return False
        if PARAMETERS_WORD.encode() in parts.feature(file, CMDLINE):
            return False
        place = feature_bits(head, parts.order).index(CMDLINE)
        entry = parts.data.offset + parts.data.size + 16 * place
        content = _content(words, parts.order)
        _write(file.fileno(), content, parts.size)
        _write(file.fileno(), struct.pack(f"{parts.order}2Q", parts.size, len(content)), entry)
    return True


def _content(words: Sequence[str], order: str) -> bytes:
    """As perf has it: the number of words, then each with its size, padded with zeros."""
    parts = [struct.pack(f"{order}I", len(words))]
    for word in words:
        text = os.fsencode(word) + b"\0"
        size = -(-len(text) // _ALIGN) * _ALIGN
        parts += [struct.pack(f"{order}I", size), text.ljust(size, b"\0")]
    return b"".join(parts)


def _write(fd: int, content: bytes, offset: int) -> None:
    while content:
        done = os.pwrite(fd, content, offset)
        content, offset = content[done:], offset + done
