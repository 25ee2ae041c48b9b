# SPDX-License-Identifier: GPL-2.0
"""Writes this repository's code, the kernel's and perf's, as a series of patches for mail.

Each has one idea.

kernel/patches/series says which file belongs to which patch, and why it is there:

    [cover]
    subject: mm/damon: …

    What the cover letter says.

    [remove]
    subject: mm/damon: …

    The log of the patch that removes upstream's DAMON.

    [patch]
    subject: mm/damon: …
    files: mm/damon/regions.[ch] mm/damon/tests/
    files: Documentation/mm/damon/*.rst

    The log of this patch, as many paragraphs as it takes.

A * stands for any part of one name, a name that ends with / for all below it. A file belongs to the
first patch that names it. Lines that begin with # before the first block are comments.

What comes of the series, git makes: a scratch repository with those files of the kernel that are
touched, a commit a patch, git format-patch.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

from lab import overlay
from lab.common import BUILD, CHECKOUT, LabError
from lab.overlay import Changes, File
from lab.sources import check_tree, kernel_source

SERIES = "kernel/patches/series"
OUT = BUILD / "patches"

# mm/Kconfig and mm/Makefile read these of every kernel, and every patch of the series has to build.
STUBS = {
    overlay.KCONFIG: File(b"# SPDX-License-Identifier: GPL-2.0\n"),
    "mm/damon/Makefile": File(b"# SPDX-License-Identifier: GPL-2.0\n"),
}


@dataclass(frozen=True)
class Entry:
    """A block of the series file."""

    kind: str
    """cover, remove or patch"""
    subject: str
    files: tuple[str, ...]
    log: str

    def takes(self, path: str) -> bool:
        """Does a path of the kernel tree belong to this patch?"""
        return any(_matches(path, pattern) for pattern in self.files)


@dataclass(frozen=True)
class Patch:
    """A commit to be: its message, and what it changes."""

    message: str
    changes: Changes


def _matches(path: str, pattern: str) -> bool:
    parts, wanted = path.split("/"), pattern.split("/")
    if not wanted[-1]:
        wanted.pop()
        parts, below = parts[: len(wanted)], parts[len(wanted) :]
        if not below:
            return False
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def parse(text: str) -> list[Entry]:
    """The blocks of a series file: the cover, the removal, then the patches in order."""
    entries = []
    pieces = re.split(r"^\[(\w+)\][ \t]*$", text, flags=re.MULTILINE)
    for line in pieces[0].splitlines():
        if line.strip() and not line.startswith("#"):
            raise LabError(f"{SERIES}: {line.strip()!r} stands before the first block")
    for kind, block in zip(pieces[1::2], pieces[2::2], strict=True):
        head, _, log = block.strip().partition("\n\n")
        subject, files = "", []
        for line in head.splitlines():
            name, _, value = line.partition(":")
            if name == "subject" and not subject:
                subject = value.strip()
            elif name == "files":
                files += value.split()
            else:
                raise LabError(f"{SERIES}: [{kind}] has the line {line!r}")
        entries.append(Entry(kind, subject, tuple(files), log.strip()))
    kinds = [entry.kind for entry in entries]
    if kinds[:2] != ["cover", "remove"] or set(kinds[2:]) != {"patch"}:
        raise LabError(f"{SERIES} wants one [cover], one [remove], then the [patch] blocks")
    for entry in entries:
        _check(entry)
    return entries


def _check(entry: Entry) -> None:
    what = f"{SERIES}: [{entry.kind}] {entry.subject}".rstrip()
    if not entry.subject or not entry.log:
        raise LabError(f"{what} lacks a {'log' if entry.subject else 'subject'}")
    if (entry.kind == "patch") != bool(entry.files):
        raise LabError(f"{what}: files are for [patch], and every patch has some")
    # git am takes such a line for the end of the log.
    if bad := re.search(r"^(---|diff -|Index: ).*", entry.log, re.MULTILINE):
        raise LabError(f"{what}: the log may not have the line {bad[0]!r}")


def assign(
    entries: list[Entry], base: Changes, wanted: Changes, upstream: list[str]
) -> list[Patch]:
    """What each patch changes; `base` are the files that the kernel has of those wanted."""
    removal: Changes = {path: STUBS.get(path) for path in upstream}
    first = Patch(_message(entries[1]), removal)
    shares: list[Changes] = [{} for _ in entries[2:]]
    nobody = []
    for path, file in wanted.items():
        if file == removal.get(path, base.get(path)):
            continue
        for entry, share in zip(entries[2:], shares, strict=True):
            if entry.takes(path):
                share[path] = file
                break
        else:
            nobody.append(path)
    if nobody:
        raise LabError(f"{SERIES}: no patch has {', '.join(nobody)}")
    for entry, share in zip(entries[2:], shares, strict=True):
        if not share:
            raise LabError(f"{SERIES}: the patch {entry.subject!r} changes nothing")
    return [
        first,
        *(Patch(_message(each), share) for each, share in zip(entries[2:], shares, strict=True)),
    ]


def _message(entry: Entry) -> str:
    return f"{entry.subject}\n\n{entry.log}\n"


class Repository:
    """A scratch git repository, whatever the user's own settings of git."""

    def __init__(self, path: Path, identity: tuple[str, str], seconds: int) -> None:
        self.path = path
        self._identity = identity
        self._seconds = seconds
        path.mkdir()
        self.git("init", "--quiet", "--initial-branch=series")

    def git(self, *words: str, text: str = "") -> str:
        """Run git here."""
        name, email = self._identity
        date = f"@{self._seconds} +0000"
        env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        for who in ("AUTHOR", "COMMITTER"):
            env |= {f"GIT_{who}_NAME": name, f"GIT_{who}_EMAIL": email, f"GIT_{who}_DATE": date}
        env |= {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            ["git", *words],
            cwd=self.path,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=env,
        )
        if done.returncode:
            raise LabError(f"git {words[0]} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def commit(self, message: str, changes: Changes, *, signed: bool = True) -> None:
        """Change files and commit that."""
        for path, file in changes.items():
            at = self.path / path
            if file is None:
                at.unlink()
            else:
                at.parent.mkdir(parents=True, exist_ok=True)
                at.write_bytes(file.data)
                at.chmod(0o755 if file.executable else 0o644)
        # A kernel's .gitignore may be among the files.
        self.git("add", "--all", "--force", ".")
        sign = ["--signoff"] if signed else []
        self.git("commit", "--quiet", "--allow-empty", *sign, "--file=-", text=message)
        # Mail readers sort by time.
        self._seconds += 1

    def files(self) -> dict[str, File]:
        """The files of the last commit."""
        return {
            path: File.read(self.path / path)
            for path in self.git("ls-files", "-z").split("\0")
            if path
        }


def write(*, verify: bool = False) -> list[Path]:
    """Write the series to build/patches; returns its files, the cover letter first."""
    return write_for(kernel_source().path, OUT, verify=verify)


def apply(tree: Path, checkout: Path = CHECKOUT) -> list[str]:
    """Apply the series to a user's git tree of a kernel; returns the subjects of its commits.

    Raises LabError, and leaves the tree as it was, where any of it does not apply.
    """
    check_tree(tree)
    done = _git(tree, "rev-parse", "--show-toplevel")
    if done.returncode or Path(done.stdout.strip()) != tree.resolve():
        raise LabError(
            f"{tree} is no git repository: make patches, then in {tree}, for each of "
            "build/patches/0*.patch: patch -p1"
        )
    # Ours may be new files that git does not know of yet.
    if _git(tree, "status", "--porcelain", "--untracked-files=no").stdout.strip():
        raise LabError(f"{tree} has changes that are not committed: commit or stash them first")
    for name in ("rebase-apply", "rebase-merge"):
        if (tree / _git(tree, "rev-parse", "--git-path", name).stdout.strip()).exists():
            raise LabError(f"{tree} is amid a git am or rebase: end that first (git am --abort)")
    before = _git(tree, "rev-parse", "HEAD").stdout.strip()
    with tempfile.TemporaryDirectory(prefix="perf-damon-patches-") as name:
        mails = [
            str(path)
            for path in write_for(tree, Path(name) / "out", verify=True, checkout=checkout)
            if not path.name.startswith("0000-")
        ]
        done = _git(tree, "am", "--quiet", *mails)
    if done.returncode:
        _git(tree, "am", "--abort")
        said = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"git am in {tree}, which is as it was: {' '.join(said[:3])}")
    return _git(tree, "log", "--reverse", "--format=%h %s", f"{before}..").stdout.splitlines()


def _git(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """git in a tree of the user's, with the user's settings; author() says who commits."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_DIR")}
    if words[0] == "am":
        name, email = author()
        env |= {"GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": email}
    return subprocess.run(
        ["git", *words],
        cwd=tree,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**env, "LC_ALL": "C"},
    )


def write_for(
    source: Path, out: Path, *, verify: bool = False, checkout: Path = CHECKOUT
) -> list[Path]:
    """Write the series for a kernel source; returns its files, the cover letter first.

    Raises LabError for a source that has any of it, or something else in its way.
    """
    try:
        entries = parse((checkout / SERIES).read_text())
    except OSError as error:
        raise LabError(f"{SERIES}: {error.strerror}") from None
    _refuse_ours(source, checkout)
    wanted = {**overlay.changes(source, checkout), **overlay.perf_changes(source, checkout)}
    upstream = overlay.upstream_files(source)
    paths = sorted({*wanted, *upstream})
    base = {path: File.read(source / path) for path in paths if (source / path).is_file()}
    written = write_series(out, entries, base, wanted, upstream, author(), _time())
    if verify:
        check_series(written, base, wanted)
    return written


def _refuse_ours(source: Path, checkout: Path) -> None:
    """Raise LabError for a source that has the series, a part of it, or files in its way."""
    perfs = overlay.perf_files(checkout)
    ours = {**overlay.overlay_files(checkout), **perfs}
    there = {path for path in ours if (source / path).is_file()}
    same = {path for path in there if (source / path).read_bytes() == ours[path].read_bytes()}
    # The kernel has a DAMON of its own, which the series replaces; perf has none.
    others = (there - same) & set(perfs)
    if same == set(ours):
        raise LabError(f"{source} has this series already: all of its {len(ours)} files are there")
    if same:
        raise LabError(
            f"{source} has a part of this series, or another version of it: {len(same)} of its "
            f"{len(ours)} files are there, {min(same)} is one: give a tree without it"
        )
    if others:
        raise LabError(
            f"{source} has a file of its own in the way of the series: {min(others)} "
            "(another version of it?): give a tree without it"
        )


def write_series(
    out: Path,
    entries: list[Entry],
    base: Changes,
    wanted: Changes,
    upstream: list[str],
    identity: tuple[str, str],
    seconds: int,
) -> list[Path]:
    """Write a series as mails to a directory, in the place of what is there."""
    patches = assign(entries, base, wanted, upstream)
    with tempfile.TemporaryDirectory(prefix="perf-damon-patches-") as name:
        scratch = Path(name)
        repository = Repository(scratch / "kernel", identity, seconds)
        repository.commit("base\n", base, signed=False)
        for patch in patches:
            repository.commit(patch.message, patch.changes)
        cover = entries[0]
        description = f"{cover.subject}\n\n{textwrap.dedent(cover.log)}\n"
        repository.git("config", "branch.series.description", description)
        repository.git(
            "format-patch", "--quiet", "--cover-letter", "--cover-from-description=subject",
            "--no-renames", "--zero-commit", "--no-signature", f"--output-directory={scratch}/out",
            f"HEAD~{len(patches)}",
        )  # fmt: skip
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(scratch / "out", out)
    return sorted(out.glob("*.patch"))


def check_series(patches: list[Path], base: Changes, wanted: Changes) -> None:
    """Apply a series with git am to the kernel's files; raises LabError unless it gives ours."""
    with tempfile.TemporaryDirectory(prefix="perf-damon-patches-") as name:
        repository = Repository(Path(name) / "kernel", ("lab", "lab@localhost"), 0)
        repository.commit("base\n", base, signed=False)
        mails = [str(path.absolute()) for path in patches if not path.name.startswith("0000-")]
        repository.git("am", "--quiet", *mails)
        given = repository.files()
    ours = {path: file for path, file in {**base, **wanted}.items() if file is not None}
    if different := sorted(path for path in {*given, *ours} if given.get(path) != ours.get(path)):
        raise LabError(f"the patches do not give this repository's {', '.join(different)}")


def author() -> tuple[str, str]:
    """Name and address of the author, as git has them for this repository."""
    found = []
    for name in ("user.name", "user.email"):
        done = subprocess.run(
            ["git", "-C", str(CHECKOUT), "config", name], capture_output=True, text=True
        )
        if not done.stdout.strip():
            raise LabError(f"who writes the patches? tell git: git config {name} …")
        found.append(done.stdout.strip())
    return found[0], found[1]


def _time() -> int:
    """When its files last changed here: the same series then has the same dates."""
    parts = ("Kconfig.damon", "kernel", "tools/perf", "python/perf_damon")
    log = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct", "--", *parts]
    done = subprocess.run(log, capture_output=True, text=True)
    paths = [path for part in parts for path in (CHECKOUT / part, *(CHECKOUT / part).rglob("*"))]
    return int(done.stdout.strip() or max(int(path.stat().st_mtime) for path in paths))
