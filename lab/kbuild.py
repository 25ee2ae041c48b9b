# SPDX-License-Identifier: GPL-2.0
"""Builds kernels from source, each in build/kernels/NAME: source/, objects/, build.log, bzImage.

Each kernel has a working copy of the source, links for the most part, so that one can be built
while another gets changes. make itself decides what is to be compiled again, and runs whenever
anything that the kernel is made of has another content.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab import kconfig, overlay
from lab.common import BUILD, LabError, progress, setup, signals_wait
from lab.meter import Meter, expected
from lab.overlay import Changes
from lab.sources import LTS, NEWEST, OLD, Series, Source, kernel_source

KERNELS = BUILD / "kernels"
CONFIGS = Path(__file__).resolve().parent / "configs"
KUNIT_TESTS = "mm/damon/tests/"

# What would make a build differ from one time, place or user to another, and ccache miss.
REPRODUCIBLE = {
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "perf-damon",
    "KBUILD_BUILD_HOST": "lab",
    "KBUILD_BUILD_VERSION": "1",
}
# What in the environment would change the build: a make that we run under, a cross compiler.
FOREIGN = (
    "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "ARCH", "CROSS_COMPILE", "LLVM", "O", "W",
    "C", "V", "KBUILD_OUTPUT", "KBUILD_VERBOSE", "KCONFIG_CONFIG", "KCONFIG_ALLCONFIG",
    "LOCALVERSION", "KCFLAGS", "KCPPFLAGS",
)  # fmt: skip

ERRORS = re.compile(
    r"\berror: |fatal error:|undefined reference|multiple definition|: \*\*\* |^ERROR: |"
    r"^ld: |No space left|not found$"
)
"""Lines of a build's log that say why it failed."""
ERROR_LINES = 12
COUNT = "objects.count"
"""Beside the objects: how many there were after the last build."""


@dataclass(frozen=True)
class Recipe:
    """How a kernel is built."""

    name: str
    about: str
    ours: bool = True
    """With this repository's DAMON, or with upstream's."""
    configs: tuple[str, ...] = ("guest",)
    """Files in lab/configs, on top of tinyconfig, or of `base`; of two values for an option the
    last counts."""
    series: Series = LTS
    base: Callable[[], bytes] | None = None
    """The configuration that `configs` are laid on top of, where that is not tinyconfig."""
    usual: int | None = 1600
    """About how many objects a first build makes: as counted for the configuration guest. None
    where nobody has counted."""

    @property
    def home(self) -> Path:
        return KERNELS / self.name

    @property
    def objects(self) -> Path:
        return self.home / "objects"

    @property
    def fragments(self) -> list[Path]:
        return [CONFIGS / f"{name}.config" for name in self.configs]

    @property
    def tree(self) -> Path:
        return self.home / "source"


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("ours", "Linux 6.12 with this repository's DAMON"),
        Recipe("ours-debug", "ours, with KASAN, lockdep and fault injection",
               configs=("guest", "debug")),
        Recipe("ours-lru-gen", "ours, with multi-generational LRU, as distributions have it",
               configs=("guest", "lru-gen")),
        Recipe("upstream", "the same Linux 6.12 with upstream's DAMON", ours=False),
        Recipe("6.1", "Linux 6.1 with upstream's DAMON of then", ours=False,
               configs=("guest", "6.1"), series=OLD),
        Recipe("newest", "the newest kernel that Debian has, with upstream's DAMON", ours=False,
               series=NEWEST),
    )
}  # fmt: skip
CHECK = Recipe("ours-check", "for warnings only", configs=("guest", "check"), usual=105)
KUNIT = Recipe("ours-kunit", "for KUnit under user-mode Linux", configs=())


def image(name: str, *, update: bool = False) -> Path:
    """The path of a kernel's image, built where it is not what its source says now."""
    recipe = RECIPES[name]
    current = recipe.home / "bzImage"
    stamp = recipe.home / "bzImage.made-of"
    setup()
    source = kernel_source(recipe.series, update=update)

    def up_to_date(made_of: str) -> bool:
        # A make that finds nothing to do takes 5 to 10 s, at every start of a guest. What a user
        # changes in a tree of theirs, only make sees.
        known = source.fixed and current.exists() and stamp.exists()
        return known and stamp.read_text() == made_of

    if up_to_date(_made_of(recipe, source, _wanted(recipe, source))):
        return current
    with _laid(recipe, source) as wanted:
        made_of = _made_of(recipe, source, wanted)
        if up_to_date(made_of):
            return current  # by the build that we waited for
        _build(recipe, source, ["bzImage"], f"building the kernel {name}")
        built = recipe.objects / "arch/x86/boot/bzImage"
        # Beside the objects: a guest that boots is not disturbed by the next build.
        if not current.exists() or current.read_bytes() != built.read_bytes():
            stamp.unlink(missing_ok=True)
            new = recipe.home / ".bzImage.new"
            shutil.copyfile(built, new)
            new.replace(current)
        stamp.write_text(made_of)
    return current


def tree(name: str, *, update: bool = False) -> Path:
    """The path of the source tree that a kernel is built from, up to date."""
    recipe = RECIPES[name]
    setup()
    with _laid(recipe, kernel_source(recipe.series, update=update)):
        return recipe.tree


def make_of(recipe: Recipe, source: Source, words: list[str], what: str) -> None:
    """Make something else of a kernel than its image: the last of the words of make's."""
    with _laid(recipe, source):
        _build(recipe, source, words, what)


def kunit() -> int:
    """Run the KUnit tests of ours under user-mode Linux; prints, returns the exit status."""
    setup()
    source = kernel_source()
    with _laid(KUNIT, source):
        same_source(KUNIT.objects, source)
        KUNIT.objects.mkdir(exist_ok=True)
        command = [
            "nice", sys.executable, "tools/testing/kunit/kunit.py", "run",
            "--kunitconfig", KUNIT_TESTS, "--build_dir", str(KUNIT.objects), "--jobs", str(jobs()),
            *(f"--make_options={word}" for word in compilers()),
        ]  # fmt: skip
        sys.stdout.flush()
        with _group(command, cwd=KUNIT.tree, env=environment_of_builds()) as process:
            return process.wait()


def compile_damon(recipe: Recipe = CHECK) -> str:
    """Compile all of mm/damon of ours, with all warnings and with sparse; returns what was said."""
    setup()
    source = kernel_source()
    with _laid(recipe, source):
        # Warnings come when a file is compiled, and only then.
        shutil.rmtree(recipe.objects / "mm/damon", ignore_errors=True)
        # Sparse cannot follow a lock that is taken under a condition; lockdep does that.
        words = ["W=1", "C=2", "CF=-D__CHECK_ENDIAN__ -Wno-context", "mm/damon/"]
        _build(recipe, source, words, "compiling mm/damon with all warnings", keep_going=True)
        return (recipe.home / "build.log").read_text(errors="replace")


def _wanted(recipe: Recipe, source: Source) -> Changes:
    """What is to be changed of a kernel's source."""
    return overlay.changes(source.path) if recipe.ours else {}


@contextlib.contextmanager
def _laid(recipe: Recipe, source: Source) -> Iterator[Changes]:
    """Bring a kernel's working copy of the source up to date, and hold it still."""
    recipe.home.mkdir(parents=True, exist_ok=True)
    # Held while it is built, too: of a file that changes while it is compiled, make would never
    # compile the change.
    with build_lock(recipe.home / ".lock", f"another build of {recipe.name}"):
        # What is wanted now, not when the waiting began.
        wanted = _wanted(recipe, source)
        overlay.lay(source, recipe.tree, wanted)
        yield wanted


def _made_of(recipe: Recipe, source: Source, wanted: Changes) -> str:
    """A digest of all that makes an image what it is."""
    return digest_of_build((recipe.name, source.identity, REPRODUCIBLE), wanted, recipe.fragments)


def digest_of_build(what: tuple[object, ...], wanted: Changes, files: Iterable[Path] = ()) -> str:
    """A digest of what something is built of: words, changes, files, and the compiler."""
    whole = hashlib.sha256(repr(what).encode())
    for path, file in sorted(wanted.items()):
        content = file and (file.executable, hashlib.sha256(file.data).hexdigest())
        whole.update(repr((path, content)).encode())
    compiler = Path(shutil.which("gcc") or "gcc").resolve()
    paths = [*files, *([compiler] if compiler.exists() else [])]
    return f"{whole.hexdigest()} {digest(paths)}"


@contextlib.contextmanager
def build_lock(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a build; tells what is waited for, where it is held."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(
    recipe: Recipe, source: Source, targets: list[str], what: str, *, keep_going: bool = False
) -> None:
    """Configure where needed, and make targets."""
    same_source(recipe.home / "objects", source)
    recipe.objects.mkdir(parents=True, exist_ok=True)
    with (recipe.home / "build.log").open("wb") as log:
        _configure(recipe, log)
        _make(recipe, [f"LOCALVERSION=-{recipe.name}", *targets], log, what, keep_going=keep_going)


def same_source(objects: Path, source: Source) -> None:
    """Remove objects that were made from another source: its times mean nothing to make."""
    stamp = objects.with_name(f"{objects.name}.source")
    if not stamp.exists() or stamp.read_text() != source.identity:
        shutil.rmtree(objects, ignore_errors=True)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(source.identity)


def _configure(recipe: Recipe, log: IO[bytes]) -> None:
    """Write objects/.config, unless it is the one that was made of the same fragments."""
    config = recipe.objects / ".config"
    stamp = recipe.objects / ".config.lab"
    fragments = recipe.fragments
    # Kbuild asks about options that are new; so that all Kconfig files that we may change count.
    kconfigs = sorted(recipe.tree.glob("mm/**/Kconfig*"))
    base = recipe.base() if recipe.base else b""
    made_of = digest([*fragments, *kconfigs]) + hashlib.sha256(base).hexdigest()
    if stamp.exists() and config.exists() and stamp.read_text() == made_of + digest([config]):
        return
    progress(f"configuring the kernel {recipe.name}")
    # Apart until it is whole; and an unchanged one stays, for make to see.
    new = recipe.objects / ".config.new"
    own = {"KCONFIG_CONFIG": str(new)}
    if recipe.base:
        new.write_bytes(base)
    else:
        _make(recipe, ["tinyconfig"], log, "", environment=own)
    merge = ["sh", str(recipe.tree / "scripts/kconfig/merge_config.sh"), "-m", str(new)]
    done = subprocess.run(
        [*merge, *map(str, fragments)],
        cwd=recipe.objects,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**environment_of_builds(), **own},
    )
    if done.returncode:
        raise LabError(f"merge_config.sh failed: see {recipe.home / 'build.log'}")
    _make(recipe, ["olddefconfig"], log, "", environment=own)
    kconfig.check(fragments, new, kconfigs)
    if not config.exists() or config.read_bytes() != new.read_bytes():
        new.replace(config)
    stamp.write_text(made_of + digest([config]))


def digest(paths: Iterable[Path]) -> str:
    """A digest of files: their paths and what they hold."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{path}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def jobs() -> int:
    """How many processes make may run."""
    return len(os.sched_getaffinity(0))


def compilers() -> list[str]:
    """make's words for the compilers to use."""
    if not shutil.which("ccache"):
        return []
    return ["CC=ccache gcc", "HOSTCC=ccache gcc"]


def environment_of_builds() -> dict[str, str]:
    """What make is to have in its environment."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return {
        **kept,
        **REPRODUCIBLE,
        "LC_ALL": "C",
        # Paths below this are relative in what ccache looks up: another checkout then finds it.
        "CCACHE_BASEDIR": str(BUILD),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _make(
    recipe: Recipe,
    words: list[str],
    log: IO[bytes],
    what: str,
    *,
    keep_going: bool = False,
    environment: dict[str, str] | None = None,
) -> None:
    """Run the kernel's make; raises LabError with the first errors."""
    command = [
        "nice", "make", "-C", str(recipe.tree), f"O={recipe.objects}", f"-j{jobs()}",
        *compilers(), *words,
    ]  # fmt: skip
    of = _expected(recipe) if what else None
    run_make(
        [*command, "-k"] if keep_going else command,
        log,
        what,
        f"make {words[-1]} of the kernel {recipe.name}",
        of,
        keep_going=keep_going,
        environment=environment,
    )
    if what and not keep_going:
        (recipe.home / COUNT).write_text(f"{_count(recipe)}\n")


def run_make(
    command: list[str],
    log: IO[bytes],
    what: str,
    whose: str,
    of: int | None = None,
    *,
    keep_going: bool = False,
    environment: dict[str, str] | None = None,
) -> None:
    """Run make with its output in a log; raises LabError with the first errors.

    `what` is told while it runs (empty: nothing is), of about how many objects; `whose` names it
    where it fails.
    """
    start = log.tell()
    env = {**environment_of_builds(), **(environment or {})}
    with _group(
        command,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout
        _follow(process.stdout, log, what, of)
        status = process.wait()
    log.flush()
    if status and not keep_going:
        path = Path(os.fsdecode(log.name))
        raise LabError(
            f"{whose} failed:\n"
            + "".join(f"  | {line}\n" for line in first_errors(path, start))
            + f"  all of it: {path}"
        )


def _count(recipe: Recipe) -> int:
    """The objects that are there."""
    return sum(1 for _ in recipe.objects.rglob("*.o"))


def _expected(recipe: Recipe) -> int | None:
    """About how many objects a build will make; None where nobody knows."""
    try:
        usual = int((recipe.home / COUNT).read_text())
    except (OSError, ValueError):
        if recipe.usual is None:
            return None
        usual = recipe.usual
    return expected(usual, _count(recipe))


def _follow(output: IO[bytes], log: IO[bytes], what: str, of: int | None = None) -> None:
    """Write make's output to the log, and tell how far it is: of about how many objects."""
    meter = Meter(what, of)
    try:
        for line in output:
            log.write(line)
            if what and re.match(rb"  (CC|AS|CHECK) ", line):
                meter.step()
    finally:
        meter.close()


def first_errors(log: Path, start: int = 0) -> list[str]:
    """The lines of a log that say why a build failed; its last ones when none does."""
    lines = log.read_bytes()[start:].decode(errors="replace").splitlines()
    errors = [line for line in lines if ERRORS.search(line)]
    return errors[:ERROR_LINES] or lines[-ERROR_LINES:]


@contextlib.contextmanager
def _group(command: list[str], **options) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, which ends with us whatever ends us."""
    process = None
    try:
        with signals_wait():
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, start_new_session=True, **options
            )
        yield process
    finally:
        if process and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
