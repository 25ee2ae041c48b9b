# SPDX-License-Identifier: GPL-2.0
"""Builds perf from a kernel's source, each in build/perf/NAME.

There are source/, objects/ and build.log; prefix/ is what perf's own `make install` puts there, and
python/ holds perf's Python module.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab import kbuild, overlay
from lab.common import BUILD, LabError, setup
from lab.overlay import Changes
from lab.sources import Source, kernel_source

PERFS = BUILD / "perf"

# What perf damon has no use for, and what most of a build's time would go into.
LEFT_OUT = (
    "NO_AUXTRACE", "NO_CAPSTONE", "NO_DEMANGLE", "NO_DWARF", "NO_JEVENTS", "NO_JVMTI",
    "NO_LIBBABELTRACE", "NO_LIBBPF", "NO_LIBCAP", "NO_LIBCRYPTO", "NO_LIBDEBUGINFOD", "NO_LIBLLVM",
    "NO_LIBNUMA", "NO_LIBPERL", "NO_LIBPFM4", "NO_LIBUNWIND", "NO_PERF_READ_VDSO32",
    "NO_PERF_READ_VDSOX32", "NO_SDT", "NO_SLANG",
)  # fmt: skip
# Warnings of newer compilers are not for us to mend; make lint looks over our scripts.
WORDS = ("WERROR=0", "NO_SHELLCHECK=1", "USE_ASCIIDOCTOR=1", "PYTHON=/usr/bin/python3")


LIBRARIES = {
    "LIBELF": "libelf-dev",
    "LIBPYTHON": "python3-dev",
    "LIBTRACEEVENT": "libtraceevent-dev",
    "ZSTD": "libzstd-dev",
}
"""What perf damon has use for, as perf's make names it, and Debian's package of it."""


@dataclass(frozen=True)
class Perf:
    """A perf by name."""

    name: str
    about: str
    ours: bool = True
    """With this repository's perf damon in its tree."""
    needs: tuple[str, ...] = tuple(LIBRARIES)
    """Libraries that it must have."""
    without: tuple[str, ...] = ()
    """Options of perf's make, beyond LEFT_OUT."""

    @property
    def home(self) -> Path:
        return PERFS / self.name

    @property
    def tree(self) -> Path:
        return self.home / "source"

    @property
    def objects(self) -> Path:
        return self.home / "objects"

    @property
    def prefix(self) -> Path:
        return self.home / "prefix"

    @property
    def module(self) -> Path:
        """The folder that PYTHONPATH is to have for perf's Python module."""
        return self.home / "python"


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Perf("ours", "Linux 6.12's perf with perf damon in its tree"),
        Perf(
            "ours-bare",
            "ours without libtraceevent and libpython",
            needs=("LIBELF", "ZSTD"),
            without=("NO_LIBTRACEEVENT", "NO_LIBPYTHON"),
        ),
        Perf("upstream", "the same perf as it comes", ours=False),
    )
}


def prefix(name: str, *, update: bool = False) -> Path:
    """The prefix that a perf is installed to, built where it is not what its source says now."""
    recipe = _recipe(name)
    stamp = recipe.home / "made-of"
    setup()
    source = kernel_source(update=update)

    def up_to_date(made_of: str) -> bool:
        # What a user changes in a tree of theirs, only make sees.
        known = source.fixed and stamp.exists() and (recipe.prefix / "bin/perf").exists()
        return known and stamp.read_text() == made_of

    if up_to_date(_made_of(recipe, source, _wanted(recipe, source))):
        return recipe.prefix
    recipe.home.mkdir(parents=True, exist_ok=True)
    with kbuild.build_lock(recipe.home / ".lock", f"another build of perf {name}"):
        # What is wanted now, not when the waiting began.
        wanted = _wanted(recipe, source)
        made_of = _made_of(recipe, source, wanted)
        if not up_to_date(made_of):
            overlay.lay(source, recipe.tree, wanted)
            stamp.unlink(missing_ok=True)
            _build(recipe, source)
            stamp.write_text(made_of)
    return recipe.prefix


def module(name: str, *, update: bool = False) -> Path:
    """The folder of a perf's Python module (perf.*.so), built where needed."""
    recipe = _recipe(name)
    prefix(name, update=update)
    if not recipe.module.is_dir():
        raise LabError(f"perf {name} is built without a Python module")
    return recipe.module


def _recipe(name: str) -> Perf:
    try:
        return RECIPES[name]
    except KeyError:
        raise LabError(f"no perf is named {name!r}; there are: {', '.join(RECIPES)}") from None


def _wanted(recipe: Perf, source: Source) -> Changes:
    """What is to be changed of the source: the kernel's part does not concern perf."""
    return overlay.perf_changes(source.path) if recipe.ours else {}


def _made_of(recipe: Perf, source: Source, wanted: Changes) -> str:
    """A digest of all that makes a perf what it is."""
    what = (recipe.name, source.identity, LEFT_OUT, WORDS, recipe.without, str(recipe.prefix))
    return kbuild.digest_of_build(what, wanted)


def _build(recipe: Perf, source: Source) -> None:
    """Build, and put what `make install` makes in the place of what is there."""
    kbuild.same_source(recipe.objects, source)
    recipe.objects.mkdir(parents=True, exist_ok=True)
    with (
        (recipe.home / "build.log").open("wb") as log,
        tempfile.TemporaryDirectory(prefix=".install-", dir=recipe.home) as name,
    ):
        root = Path(name)
        _make(recipe, ["install", f"DESTDIR={root}"], log)
        _check(recipe)
        shutil.rmtree(recipe.prefix, ignore_errors=True)
        (root / recipe.prefix.relative_to("/")).rename(recipe.prefix)
    shutil.rmtree(recipe.module, ignore_errors=True)
    for built in recipe.objects.glob("python/perf*.so") if "LIBPYTHON" in recipe.needs else ():
        recipe.module.mkdir(exist_ok=True)
        shutil.copy2(built, recipe.module)


def _make(recipe: Perf, words: list[str], log: IO[bytes]) -> None:
    left_out = [f"{option}=1" for option in (*LEFT_OUT, *recipe.without)]
    command = [
        "nice", "make", "-C", str(recipe.tree / "tools/perf"), f"O={recipe.objects}",
        f"JOBS={kbuild.jobs()}", f"prefix={recipe.prefix}", *kbuild.compilers(), *WORDS, *left_out,
        *words,
    ]  # fmt: skip
    kbuild.run_make(
        command,
        log,
        f"building perf {recipe.name}",
        f"make {words[0]} of perf {recipe.name}",
        # Where it is built is in its debugging information, which nobody reads.
        environment={"CCACHE_NOHASHDIR": "1"},
    )


def _check(recipe: Perf) -> None:
    """Raise LabError for what perf's make has left out, without a word, for want of a library."""
    found = (recipe.objects / ".config-detected").read_text().split()
    for need in recipe.needs:
        if f"CONFIG_{need}=y" not in found:
            raise LabError(
                f"perf {recipe.name} was built without {need} (Debian: {LIBRARIES[need]}): "
                f"see {recipe.home / 'build.log'}"
            )
