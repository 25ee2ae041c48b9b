# SPDX-License-Identifier: GPL-2.0
"""Looks over this repository's kernel code with compiler, sparse, kernel-doc and checkpatch."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from lab import kbuild, overlay
from lab.common import CHECKOUT, LabError, progress

LOCATED = re.compile(r"^(\S+?):(\d+)(?::\d+)?:\s*(?:\S+ )?(warning|error|fatal error|info)\b")
"""What compilers, sparse and kernel-doc say begins with: where, and how bad it is."""
TRACE_EVENTS = ("--ignore=OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT",)
"""No trace event is laid out as checkpatch wants a call."""
CHECKPATCH = ("--strict", "--terse", "--no-summary", "--ignore=MACRO_ARG_REUSE", "--file")
"""Every for_each macro of the kernel uses its arguments more than once."""


def check() -> list[str]:
    """All findings, one line each: PATH:LINE: what is wrong, where PATH is in this repository."""
    log = kbuild.compile_damon()
    tree = kbuild.CHECK.tree
    files = overlay.overlay_files()
    progress(f"looking over {len(files)} files")
    found = of_log(log, files) + of_log(_kernel_doc(tree, files), files)
    found += [_here(line, files) for line in _checkpatch(tree, files)]
    return list(dict.fromkeys(found))


def of_log(log: str, files: dict[str, Path]) -> list[str]:
    """What a build's log says about our files, and why it failed if it did."""
    found = []
    for line in log.splitlines():
        line = re.sub(r"^\S*/source/", "", line)
        match = LOCATED.match(line)
        if (match and (match[1] in files or "error" in match[3])) or ": *** " in line:
            found.append(_here(line, files))
    return found


def _here(line: str, files: dict[str, Path]) -> str:
    """A line about a file of the kernel tree, with the file's name in this repository."""
    path, colon, rest = line.partition(":")
    return f"{files[path].relative_to(CHECKOUT)}{colon}{rest}" if path in files else line


def _kernel_doc(tree: Path, files: dict[str, Path]) -> str:
    # The build itself does that for .c files.
    headers = [path for path in files if path.endswith(".h")]
    return _run(tree, ["perl", "scripts/kernel-doc", "-none", *headers])


def _checkpatch(tree: Path, files: dict[str, Path]) -> list[str]:
    traces = [path for path in files if path.startswith("include/trace/events/")]
    others = [path for path in files if path not in traces]
    said = ""
    for paths, options in ((others, ()), (traces, TRACE_EVENTS)):
        if paths:
            said += _run(tree, ["perl", "scripts/checkpatch.pl", *CHECKPATCH, *options, *paths])
    return [line for line in said.splitlines() if line.strip()]


def _run(tree: Path, command: list[str]) -> str:
    done = subprocess.run(
        command,
        cwd=tree,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Not the repository that the tree happens to lie in.
        env={**os.environ, "LC_ALL": "C.UTF-8", "GIT_CEILING_DIRECTORIES": str(tree.parent)},
    )
    if done.returncode not in (0, 1):
        raise LabError(f"{command[1]} failed: {done.stdout.strip()}")
    return done.stdout
