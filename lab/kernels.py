# SPDX-License-Identifier: GPL-2.0
"""The kernels that guests boot: a name, and how to come by its image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lab import debian, kbuild
from lab.common import LabError, cache_dir, locked

GUEST_MODULES = (
    # what virtme-ng boots with
    "9p", "9pnet_virtio", "virtio_pci", "virtio_mmio", "virtio_console", "overlay", "i6300esb",
    # what tests of memory management want
    "zram", "loop",
)  # fmt: skip


STOCK = (
    ("debian", "trixie", "Debian 13's stock kernel, Linux 6.12 with upstream's DAMON"),
    ("debian-newest", "sid", "the newest stock kernel of Debian, where DAMON_STAT runs"),
    ("debian-12", "bookworm", "Debian 12's stock kernel, Linux 6.1 without DAMON"),
)
"""Stock kernels of Debian: name, suite, and about."""


@dataclass(frozen=True)
class Kernel:
    """A kernel by name."""

    name: str
    about: str
    get: Callable[[bool], Path]
    """Fetches or builds the kernel, from the newest there is where True asks so; returns the path
    of its bootable image, with its modules where virtme-ng looks for them."""


def debian_stock(name: str, suite: str) -> Path:
    """The stock kernel of a suite of Debian: the image that the meta package stands for today."""
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True
    ).stdout.strip()
    if architecture != "amd64":
        raise LabError(f"kernel {name}: the lab boots amd64 only, this machine is {architecture}")
    apt = debian.apt_of_suite(suite)
    apt.update()
    images = [
        package
        for package in apt.dependencies("linux-image-amd64")
        if package.startswith("linux-image-") and package.endswith("-amd64")
    ]
    if not images:
        raise LabError(f"kernel {name}: linux-image-amd64 of {suite} names no image")
    # Since Debian 14 the image and its modules are packages of their own, which it depends on.
    parts = [
        package
        for package in apt.dependencies(images[0])
        if re.match(r"linux-(binary|modules|base)-\d", package)
    ]
    return _with_few_modules(debian.fetch(apt, [images[0], *parts]))


def _with_few_modules(roots: list[Path]) -> Path:
    """A tree of an unpacked kernel's image and few of its modules; returns the image.

    Every start of perf looks at every file of the kernel's modules: with all 4,200 of them, on a
    file system shared with the host and under emulation, that is 40 s.
    """
    # Up to Debian 12, /lib is not yet a link in the packages; since 14, the image is there too.
    places = [place for root in roots for place in (root / "usr", root)]
    folders = [path for place in places for path in place.glob("lib/modules/*") if path.is_dir()]
    images = [path for root in roots for path in (root / "boot").glob("vmlinuz-*")]
    images += [path for folder in folders for path in folder.glob("vmlinuz")]
    versions = {folder.name for folder in folders}
    if len(images) != 1 or len(versions) != 1:
        names = ", ".join(map(str, roots))
        raise LabError(f"no kernel image, or no modules, or several, under {names}")
    [image], [version] = images, versions
    tree = cache_dir() / "trees" / f"{roots[0].name}-guest"
    if not tree.is_dir():
        tree.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tree-", dir=tree.parent) as directory:
            new = Path(directory) / "root"
            # depmod writes beside the modules: not into what was unpacked.
            whole = Path(directory) / "whole"
            for folder in folders:
                shutil.copytree(
                    folder,
                    whole / "usr/lib/modules" / version,
                    symlinks=True,
                    copy_function=os.link,
                    dirs_exist_ok=True,
                )
            files = _depmod(whole, version)
            for name in [*_closure(files), "modules.builtin", "modules.builtin.modinfo"]:
                path = Path("usr/lib/modules") / version / name
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                (new / path).hardlink_to(whole / path)
            _depmod(new, version)
            (new / "boot").mkdir()
            (new / "boot" / f"vmlinuz-{version}").hardlink_to(image)
            new.rename(tree)
    return tree / "boot" / f"vmlinuz-{version}"


def _depmod(root: Path, version: str) -> dict[str, list[str]]:
    """Index the modules under a root directory; returns the modules that each one needs."""
    with tempfile.TemporaryDirectory(prefix="perf-damon-depmod-") as base:
        # Older kmods look under lib, newer ones under usr/lib.
        (Path(base) / "usr").symlink_to(root / "usr")
        (Path(base) / "lib").symlink_to("usr/lib")
        done = subprocess.run(["/sbin/depmod", "-b", base, version], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"depmod of {root}: {done.stderr.strip()}")
    text = (root / "usr/lib/modules" / version / "modules.dep").read_text()
    return {file: needs.split() for file, needs in re.findall(r"^(.*?):(.*)$", text, re.MULTILINE)}


def _closure(files: dict[str, list[str]]) -> list[str]:
    """The files of GUEST_MODULES and of all that they need."""
    names = {re.sub(r"\.ko.*", "", Path(file).name).replace("-", "_"): file for file in files}
    # What the kernel has built in is no file.
    wanted = [names[name] for name in GUEST_MODULES if name in names]
    return sorted({*wanted, *(need for file in wanted for need in files[file])})


def _cached(name: str, get: Callable[[], Path], update: bool) -> Path:
    """The image of a kernel that is fetched once, and then only when `update` asks for it."""
    kernels = cache_dir() / "kernels"
    kernels.mkdir(exist_ok=True)
    current = kernels / name
    with locked(kernels / f".{name}.lock"):
        if update or not current.exists():
            new = kernels / f".{name}.new"
            new.unlink(missing_ok=True)
            new.symlink_to(os.path.relpath(get(), kernels))
            new.replace(current)
    return current.resolve()


def _built(name: str, update: bool) -> Path:
    """The image of a kernel that is built from source, which may have changed each time."""
    return kbuild.image(name, update=update)


KERNELS = {
    kernel.name: kernel
    for kernel in (
        *(
            Kernel(each.name, each.about, partial(_built, each.name))
            for each in kbuild.RECIPES.values()
        ),
        *(
            Kernel(name, about, partial(_cached, name, partial(debian_stock, name, suite)))
            for name, suite, about in STOCK
        ),
    )
}


def image(name: str, *, update: bool = False) -> Path:
    """The path of a kernel's image, fetched or built where needed."""
    try:
        kernel = KERNELS[name]
    except KeyError:
        names = ", ".join(KERNELS)
        raise LabError(f"no kernel is named {name!r}; there are: {names}") from None
    return kernel.get(update)
