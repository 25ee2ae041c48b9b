# SPDX-License-Identifier: GPL-2.0
"""Processes that do with their memory what they are told."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar


class Obedient:
    """A process that evaluates lines, in a program that ends with evaluating them."""

    def __init__(self, program: str, *arguments: object) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.popen.pid

    def begin(self, call: str) -> None:
        """Have it do something that takes its time, or that it does not come back from."""
        assert self.popen.stdin
        self.popen.stdin.write(f"{call}\n")
        self.popen.stdin.flush()

    def do(self, call: str) -> int | None:
        self.begin(call)
        assert self.popen.stdout
        return eval(self.popen.stdout.readline())

    def join(self, memcg: Path) -> None:
        """Be in a cgroup from now on."""
        (memcg / "cgroup.procs").write_text(str(self.pid))

    def smaps(self, memory: range, field: str) -> int:
        """Bytes by a field of smaps, of mappings that lie in a range."""
        total, counts = 0, False
        for line in Path(f"/proc/{self.pid}/smaps").read_text().splitlines():
            if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                start, end = (int(text, 16) for text in match.groups())
                counts = memory.start <= start and end <= memory.stop
            elif counts and (match := re.match(rf"{field}: +(\d+) kB", line)):
                total += int(match[1]) << 10
        return total

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()


Kind = TypeVar("Kind", bound=Obedient)


@contextmanager
def maker(kind: Callable[..., Kind]) -> Iterator[Callable[..., Kind]]:
    """Makes processes of a kind, which end with it."""
    made: list[Kind] = []

    def make(*arguments: object) -> Kind:
        made.append(kind(*arguments))
        return made[-1]

    yield make
    for process in made:
        process.end()
