# SPDX-License-Identifier: GPL-2.0
"""The kernel with this repository's DAMON as Debian packages, by the kernel's own bindeb-pkg.

In build/kernels/NAME, as each kernel; the packages are beside the objects.
"""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

from lab import debian, kbuild
from lab.common import LabError, progress, setup
from lab.kbuild import Recipe
from lab.sources import LTS, kernel_source

LOCALVERSION = "-damon"
REVISION = 1


def debian_configuration() -> bytes:
    """Debian's own for the source that ours is built from: linux-config-6.12."""
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True
    ).stdout.strip()
    apt = debian.apt_of_suite(LTS.suite)
    apt.update()
    package = LTS.package.replace("source", "config")
    [root] = debian.fetch(apt, [package])
    found = sorted(root.glob(f"usr/src/{package}/config.{architecture}_none_{architecture}.xz"))
    if len(found) != 1:
        raise LabError(f"{package} has no configuration for {architecture}: see {root}")
    return lzma.decompress(found[0].read_bytes())


RECIPES = {
    "debian": Recipe(
        "ours-deb",
        "Debian's configuration",
        configs=("deb",),
        base=debian_configuration,
        usual=None,
    ),
    "guest": Recipe(
        "ours-deb-guest",
        "that of the lab's guests, without modules",
        configs=("guest",),
    ),
}


def build(configuration: str, *, update: bool = False) -> list[Path]:
    """Build the packages; returns their paths: image, headers, linux-libc-dev."""
    recipe = RECIPES[configuration]
    setup("deb-kernel")
    if configuration == "debian":
        progress("a distribution's configuration, with all its modules: this takes long")
    source = kernel_source(update=update)
    words = [
        f"LOCALVERSION={LOCALVERSION}",
        f"KDEB_PKGVERSION={source.version()}-{REVISION}",
        "bindeb-pkg",
    ]
    for old in recipe.home.glob("*.deb"):
        old.unlink()
    kbuild.make_of(recipe, source, words, f"building the kernel's packages ({configuration})")
    built = sorted(recipe.home.glob("*.deb"))
    if not any(path.name.startswith("linux-image-") for path in built):
        raise LabError(f"bindeb-pkg made no linux-image: see {recipe.home / 'build.log'}")
    return built
