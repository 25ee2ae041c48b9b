# SPDX-License-Identifier: GPL-2.0
"""This repository's kernel code, laid over a kernel source: what changes, and making it so.

    kernel/PATH            becomes PATH of the kernel tree
    kernel/patches/*.patch change files of the kernel, applied in the order of their names
    Kconfig.damon          becomes mm/damon/Kconfig

Upstream's DAMON goes first (UPSTREAM), so that nothing of it can be compiled in by mistake.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.common import CHECKOUT, LabError, progress
from lab.sources import Source

UPSTREAM = (
    "mm/damon",
    "include/linux/damon.h",
    "include/trace/events/damon.h",
    "tools/testing/selftests/damon",
    "Documentation/mm/damon",
    "Documentation/admin-guide/mm/damon",
)
"""Upstream's DAMON: files, and directories with all that is in them."""

KCONFIG = "mm/damon/Kconfig"
DROPPINGS = ("*~", ".*.swp", "*.orig", "*.rej", "*.o", "*.pyc", "__pycache__")
"""Names that editors and programs leave behind: no part of the overlay."""


@dataclass(frozen=True)
class File:
    """A file as it should be."""

    data: bytes
    executable: bool = False

    @classmethod
    def read(cls, path: Path) -> File:
        """The file at a path."""
        return cls(path.read_bytes(), bool(path.stat().st_mode & 0o100))


Changes = dict[str, File | None]
"""Path in the kernel tree -> the file that is to be there; None: there is to be none."""


def upstream_files(source: Path) -> list[str]:
    """The files of upstream's DAMON in a source."""
    found = []
    for name in UPSTREAM:
        path = source / name
        paths = path.rglob("*") if path.is_dir() else [path]
        found += [str(each.relative_to(source)) for each in paths if _is_file(each)]
    return sorted(found)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def overlay_files(checkout: Path = CHECKOUT) -> dict[str, Path]:
    """Path in the kernel tree -> the file of this repository that is to stand there."""
    kernel, kconfig = checkout / "kernel", checkout / "Kconfig.damon"
    for path in (kernel, kconfig):
        if not path.exists():
            raise LabError(f"this checkout has no {path.name}: there is nothing to lay over")
    found = {KCONFIG: kconfig}
    for path in sorted(kernel.rglob("*")):
        inside = path.relative_to(kernel)
        dropped = any(fnmatch.fnmatch(part, each) for part in inside.parts for each in DROPPINGS)
        if inside.parts[0] == "patches" or dropped or not path.is_file():
            continue
        if str(inside) in found:
            raise LabError(f"kernel/{inside} and {found[str(inside)].name} are the same file")
        found[str(inside)] = path
    return found


def changes(source: Path, checkout: Path = CHECKOUT) -> Changes:
    """What this repository changes of a kernel source."""
    wanted: Changes = dict.fromkeys(upstream_files(source))
    overlay = overlay_files(checkout)
    for path, file in _patched(
        source, sorted((checkout / "kernel/patches").glob("*.patch"))
    ).items():
        if path in wanted or path in overlay:
            raise LabError(
                f"kernel/patches changes {path}, which is DAMON's own: put it in kernel/"
            )
        wanted[path] = file
    for path, ours in overlay.items():
        wanted[path] = File.read(ours)
    return wanted


def _patched(source: Path, patches: list[Path]) -> Changes:
    """The files that patches change, as they are then."""
    with tempfile.TemporaryDirectory(prefix="perf-damon-patches-") as name:
        scratch = Path(name)
        touched: set[str] = set()
        for patch in patches:
            text = patch.read_text(errors="surrogateescape")
            for path in re.findall(r"^(?:---|\+\+\+) [ab]/([^\t\n]+)", text, re.MULTILINE):
                if path not in touched and (source / path).is_file():
                    (scratch / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source / path, scratch / path)
                    (scratch / path).chmod((source / path).stat().st_mode | 0o200)
                touched.add(path)
            done = subprocess.run(
                ["patch", "-p1", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "-i", patch],
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env={**os.environ, "LC_ALL": "C"},
            )
            if done.returncode:
                said = "\n".join(f"  | {line}" for line in done.stdout.splitlines()[:10])
                raise LabError(f"kernel/patches/{patch.name} does not apply:\n{said}")
        paths = {path: scratch / path for path in sorted(touched)}
        return {path: File.read(at) if at.is_file() else None for path, at in paths.items()}


def lay(source: Source, tree: Path, wanted: Changes) -> None:
    """Make a tree of a source, with changes. Writes only what differs, so that make can tell.

    What the tree shares with the source is never written to: a file is replaced, not changed.
    Beside the tree, in NAME.json, stands what was ever changed there.
    """
    record = tree.with_name(f"{tree.name}.json")
    known = _read_record(record)
    if known.get("source") != source.identity or not tree.is_dir():
        _copy(source, tree)
        known = {"source": source.identity, "paths": []}
    elif not source.fixed:
        _follow(source, tree, known["paths"])
    # What was once changed, and is no more, becomes the source's own again, and as a new file: the
    # source's times say nothing about when our tree had it last.
    paths = sorted({*known["paths"], *wanted})
    # Written before anything is changed: the next run then knows about what this one began.
    _replace(record, json.dumps({"source": source.identity, "paths": paths}).encode(), 0o644)
    for path in paths:
        if path in wanted:
            file = wanted[path]
        else:
            original = source.path / path
            file = File.read(original) if original.is_file() else None
        _make_so(tree, path, file)


def _read_record(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def _copy(source: Source, tree: Path) -> None:
    """Make the tree anew, as a copy of the source."""
    progress(f"making a working copy of Linux {source.version()}")
    tree.parent.mkdir(parents=True, exist_ok=True)
    new = tree.with_name(f"{tree.name}.new")
    for old in (new, tree):
        shutil.rmtree(old, ignore_errors=True)
    # Links where it can be: a tenth of the time, and no space.
    same_device = source.path.stat().st_dev == tree.parent.stat().st_dev
    if source.fixed:
        how = "--link" if same_device else "--reflink=auto"
        command = ["cp", "-a", how, str(source.path), str(new)]
    else:
        command = ["rsync", "-a", "--exclude=/.git", f"{source.path}/", str(new)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines()[:3]
        raise LabError(f"cannot copy {source.path}: {' '.join(said)}")
    new.rename(tree)


def _follow(source: Source, tree: Path, ours: list[str]) -> None:
    """Bring the user's changes of the source to the tree, except for paths that are ours."""
    with tempfile.NamedTemporaryFile("w", prefix="perf-damon-ours-") as excluded:
        excluded.writelines(f"/{path}\n" for path in ours)
        excluded.flush()
        done = subprocess.run(
            ["rsync", "-a", "--delete", "--exclude=/.git", f"--exclude-from={excluded.name}",
             f"{source.path}/", str(tree)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
    if done.returncode:
        said = done.stderr.strip().splitlines()[:3]
        raise LabError(f"cannot copy {source.path}: {' '.join(said)}")


def _make_so(tree: Path, path: str, file: File | None) -> None:
    """Write or remove one file of a tree, if it is not as it should be."""
    at = tree / path
    if file is None:
        if _is_file(at):
            at.unlink()
            _remove_empty(at.parent, tree)
    elif not at.is_file() or at.is_symlink() or File.read(at) != file:
        at.parent.mkdir(parents=True, exist_ok=True)
        _replace(at, file.data, 0o755 if file.executable else 0o644)


def _remove_empty(directory: Path, tree: Path) -> None:
    while directory != tree and not any(directory.iterdir()):
        directory.rmdir()
        directory = directory.parent


def _replace(path: Path, data: bytes, mode: int) -> None:
    """Put a new file in the place of one that others may have links to."""
    new = path.with_name(f".{path.name}.lab")
    new.write_bytes(data)
    new.chmod(mode)
    new.replace(path)
