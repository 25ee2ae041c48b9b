# SPDX-License-Identifier: GPL-2.0
"""This repository's code, laid over a kernel source: what changes, and making it so.

The kernel's part, which kernels are built with:

    kernel/PATH            becomes PATH of the kernel tree
    kernel/patches/*.patch change files of the kernel, applied in the order of their names
    Kconfig.damon          becomes mm/damon/Kconfig

Upstream's DAMON goes first (UPSTREAM), so that nothing of it can be compiled in by mistake.

perf's part, which perf is built with:

    tools/perf/PATH            becomes tools/perf/PATH
    python/perf_damon/PATH     becomes tools/perf/python/perf_damon/PATH
    tools/perf/patches/*.patch change files of perf, as above
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
PERF = "tools/perf"
PERF_PYTHON = "tools/perf/python"
"""Where perf's tree has its Python modules, and so the package."""
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
    """The kernel's part: path in the kernel tree -> our file that is to stand there."""
    kernel, kconfig = checkout / "kernel", checkout / "Kconfig.damon"
    for path in (kernel, kconfig):
        if not path.exists():
            raise LabError(f"this checkout has no {path.name}: there is nothing to lay over")
    found = {KCONFIG: kconfig}
    for inside, path in _files_below(kernel).items():
        if inside in found:
            raise LabError(f"kernel/{inside} and {found[inside].name} are the same file")
        found[inside] = path
    return found


def perf_files(checkout: Path = CHECKOUT) -> dict[str, Path]:
    """perf's part: path in the kernel tree -> our file that is to stand there."""
    found = {}
    for ours, theirs in ((PERF, PERF), ("python/perf_damon", f"{PERF_PYTHON}/perf_damon")):
        if not (checkout / ours).exists():
            raise LabError(f"this checkout has no {ours}: there is nothing to lay over")
        found |= {f"{theirs}/{name}": at for name, at in _files_below(checkout / ours).items()}
    return found


def _files_below(folder: Path) -> dict[str, Path]:
    """Path below a folder -> the file; without its patches, and without what programs drop."""
    found = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        dropped = any(fnmatch.fnmatch(part, each) for part in inside.parts for each in DROPPINGS)
        if inside.parts[0] != "patches" and not dropped and path.is_file():
            found[str(inside)] = path
    return found


def changes(source: Path, checkout: Path = CHECKOUT) -> Changes:
    """What this repository changes of a kernel source for kernels."""
    wanted: Changes = dict.fromkeys(upstream_files(source))
    return _with_ours(wanted, source, checkout, "kernel", overlay_files(checkout))


def perf_changes(source: Path, checkout: Path = CHECKOUT) -> Changes:
    """What this repository changes of a kernel source for perf."""
    return _with_ours({}, source, checkout, PERF, perf_files(checkout))


def _with_ours(
    wanted: Changes, source: Path, checkout: Path, folder: str, overlay: dict[str, Path]
) -> Changes:
    """What is wanted, and then the folder's patches and the files of the overlay."""
    for path, file in _patched(source, checkout, f"{folder}/patches").items():
        if path in wanted or path in overlay:
            raise LabError(f"{folder}/patches changes {path}, which is our own: change it itself")
        wanted[path] = file
    for path, ours in overlay.items():
        wanted[path] = File.read(ours)
    return wanted


def _patched(source: Path, checkout: Path, folder: str) -> Changes:
    """The files that the patches in a folder change, as they are then.

    A patch that the source has already changes nothing. Raises LabError for one that does not
    apply.
    """
    with tempfile.TemporaryDirectory(prefix="perf-damon-patches-") as name:
        scratch = Path(name)
        touched: set[str] = set()
        for patch in sorted((checkout / folder).glob("*.patch")):
            text = patch.read_text(errors="surrogateescape")
            for path in re.findall(r"^(?:---|\+\+\+) [ab]/([^\t\n]+)", text, re.MULTILINE):
                if path not in touched and (source / path).is_file():
                    (scratch / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(source / path, scratch / path)
                    (scratch / path).chmod((source / path).stat().st_mode | 0o200)
                touched.add(path)
            if _patch(patch, scratch, "--reverse", "--force", "--dry-run").returncode == 0:
                continue
            done = _patch(patch, scratch, "--forward")
            if done.returncode:
                said = "\n".join(f"  | {line}" for line in done.stdout.splitlines()[:10])
                raise LabError(
                    f"{patch.relative_to(checkout)} does not apply to {source}, which has other "
                    f"changes in its way, or a part of it already:\n{said}"
                )
        paths = {path: scratch / path for path in sorted(touched)}
        return {path: File.read(at) if at.is_file() else None for path, at in paths.items()}


def _patch(patch: Path, tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["patch", "-p1", "--fuzz=0", "--no-backup-if-mismatch", *options, "-i", patch],
        cwd=tree,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )


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
