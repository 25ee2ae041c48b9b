# SPDX-License-Identifier: GPL-2.0
"""Addresses in a kernel's messages to lines of its source.

The lab's kernels are built without debug information, which would make their builds take twice the
disk. Nothing of the code depends on it: the one object that an address lies in is compiled again,
with the very command of its build and -g, to a file of its own.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.common import CHECKOUT, LabError

ADDRESS = re.compile(r"\b([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x([0-9a-f]+)")
"""A function, the offset in it, and its size: as the kernel writes addresses, by %pS."""

PADDING = 64
"""Bytes between functions, at most: 16 to patch, and up to a cache line to align the next."""


@dataclass(frozen=True)
class Place:
    """A function in an object file."""

    object: Path
    section: str
    start: int
    """In the section."""
    size: int


def decode(text: str, objects: Path, tree: Path) -> str:
    """The text with a line of the source behind each address that is found in a kernel's objects.

    `objects` is where the kernel was built, `tree` its source. Where several functions of one name
    and size are there, all their lines are told. Raises LabError where nothing was built.
    """
    if not (objects / "vmlinux").exists():
        raise LabError(f"{objects}: no kernel was built there, so no address can be told")
    names = {match[1] for match in ADDRESS.finditer(text)}
    places = _places(objects, names)
    with tempfile.TemporaryDirectory(prefix="perf-damon-oops-") as directory:
        compiled: dict[Path, Path] = {}

        def told(match: re.Match[str], instruction: bool) -> Iterator[str]:
            name, offset, size = match[1], int(match[2], 16), int(match[3], 16)
            for place in places.get(name, ()):
                # The kernel counts what fills up to the next function as well.
                if not place.size <= size < place.size + PADDING:
                    continue
                if place.object not in compiled:
                    new = Path(directory) / f"{len(compiled)}.o"
                    _compile(place.object, objects, new)
                    compiled[place.object] = new
                # What is on the stack is where a call returns to: the call is before that.
                at = place.start + offset - (0 if instruction or not offset else 1)
                yield _lines(compiled[place.object], place.section, at, (tree, objects))

        lines = []
        for line in text.splitlines(keepends=True):
            instruction = "RIP:" in line
            lines.append(
                ADDRESS.sub(
                    lambda match, instruction=instruction: " ".join(
                        [match[0], *(f"({each})" for each in told(match, instruction) if each)]
                    ),
                    line,
                )
            )
    return "".join(lines)


def _places(objects: Path, names: set[str]) -> dict[str, list[Place]]:
    """Where functions are: in objects that a compiler made."""
    files = [path for path in sorted(objects.rglob("*.o")) if _command(path)]
    found: dict[str, list[Place]] = {}
    for path in files:
        # By bytes first: to have each of some 1,500 objects listed would take a minute.
        data = path.read_bytes()
        here = {name for name in names if name.encode() + b"\0" in data}
        if not here:
            continue
        listing = subprocess.run(
            ["objdump", "--syms", "--wide", str(path)], capture_output=True, text=True
        ).stdout
        # 0000000000000010 l     F .text	0000000000000020 name
        for start, section, size, name in re.findall(
            r"^([0-9a-f]+) .{6}F (\S+)\t([0-9a-f]+) (?:\.hidden )?(\S+)$", listing, re.MULTILINE
        ):
            if name in here:
                place = Place(path, section, int(start, 16), int(size, 16))
                found.setdefault(name, []).append(place)
    return found


def _command(path: Path) -> str | None:
    """The command that an object was compiled with; None where it is not compiled from C."""
    try:
        text = path.with_name(f".{path.name}.cmd").read_text(errors="replace")
    except OSError:
        return None
    match = re.match(r"savedcmd_\S+ := (.* -c -o \S+ \S+\.c) *(?:;|$)", text, re.MULTILINE)
    return match[1] if match else None


def _compile(path: Path, objects: Path, new: Path) -> None:
    """Compile an object again, with debug information."""
    words = shlex.split(_command(path) or "")
    words[words.index("-o") + 1] = str(new)
    # Not over the list of what the build's own object depends on.
    words = [word for word in words if not word.startswith("-Wp,-MMD")]
    done = subprocess.run(
        [*words, "-g"], cwd=objects, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise LabError(f"{path} does not compile again:\n{done.stderr.strip()}")


def _lines(path: Path, section: str, address: int, roots: Iterable[Path]) -> str:
    """The line of an address; behind it, where that function was inlined."""
    command = ["addr2line", "--inlines", "-j", section, "-e", str(path), f"{address:#x}"]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    told = [_short(line.split(" ")[0], roots) for line in lines if not line.startswith("?")]
    return " in ".join(told)


def _short(line: str, roots: Iterable[Path]) -> str:
    """A path and line without the root directory; of this repository, where the file is of it."""
    path, _, number = line.rpartition(":")
    for root in roots:
        if Path(path).is_relative_to(root):
            short = Path(path).relative_to(root)
            ours = Path("kernel") / short
            return f"{ours if (CHECKOUT / ours).exists() else short}:{number}"
    return line
