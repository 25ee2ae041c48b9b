# SPDX-License-Identifier: GPL-2.0
"""The kernels that guests boot: a name, and how to come by its image."""

from __future__ import annotations

import os
import re
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


@dataclass(frozen=True)
class Kernel:
    """A kernel by name."""

    name: str
    about: str
    get: Callable[[bool], Path]
    """Fetches or builds the kernel, from the newest there is where True asks so; returns the path
    of its bootable image, with its modules where virtme-ng looks for them."""


def debian_stock() -> Path:
    """Debian 13's stock kernel: the image that the meta package stands for today."""
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True
    ).stdout.strip()
    if architecture != "amd64":
        raise LabError(f"kernel debian: the lab boots amd64 only, this machine is {architecture}")
    apt = debian.apt_of_suite("trixie")
    apt.update()
    images = [
        name
        for name in apt.dependencies("linux-image-amd64")
        if name.startswith("linux-image-") and name.endswith("-amd64")
    ]
    if not images:
        raise LabError("kernel debian: linux-image-amd64 names no image")
    [root] = debian.fetch(apt, images[:1])
    return _with_few_modules(root)


def _with_few_modules(root: Path) -> Path:
    """A tree of an unpacked kernel package's image and few of its modules; returns the image.

    Every start of perf looks at every file of the kernel's modules: with all 4,200 of them, on a
    file system shared with the host and under emulation, that is 40 s.
    """
    try:
        [image] = (root / "boot").glob("vmlinuz-*")
        [modules] = (root / "usr/lib/modules").iterdir()
    except ValueError:
        raise LabError(f"no kernel image, or no modules, under {root}") from None
    tree = cache_dir() / "trees" / f"{root.name}-guest"
    if not tree.is_dir():
        tree.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tree-", dir=tree.parent) as directory:
            new = Path(directory) / "root"
            files = _depmod(root, modules.name)
            for name in [*_closure(files), "modules.builtin", "modules.builtin.modinfo"]:
                path = Path("usr/lib/modules") / modules.name / name
                (new / path).parent.mkdir(parents=True, exist_ok=True)
                (new / path).hardlink_to(root / path)
            _depmod(new, modules.name)
            (new / "boot").mkdir()
            (new / "boot" / image.name).hardlink_to(image)
            new.rename(tree)
    return tree / "boot" / image.name


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
        Kernel(
            "debian",
            "Debian 13's stock kernel, Linux 6.12 with upstream's DAMON",
            partial(_cached, "debian", debian_stock),
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
