# SPDX-License-Identifier: GPL-2.0
"""The kernel's packages that make deb-kernel has built last: one is installed, and boots."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from chroot import Chroot
from lab import kdeb, vm
from lab.roots import Root

NEEDED = ("bash-completion", "linux-perf", "man-db", "python3-numpy", "python3-rich")
ROOT = Root("debian-13-package", "trixie", "what the package of perf damon needs", NEEDED)
BUILT = [
    image
    for recipe in kdeb.RECIPES.values()
    for image in recipe.home.glob("linux-image-*.deb")
    if "-dbg_" not in image.name
]

pytestmark = pytest.mark.skipif(not BUILT, reason="no kernel was built by make deb-kernel")


@pytest.fixture(scope="module", params=BUILT, ids=lambda path: path.parent.name)
def package(request: pytest.FixtureRequest) -> Path:
    return request.param


def release(package: Path) -> str:
    return package.name.removeprefix("linux-image-").split("_")[0]


@pytest.fixture
def debian() -> Iterator[Chroot]:
    machine = Chroot(ROOT)
    yield machine
    machine.close()


def test_installed_and_removed(debian: Chroot, package: Path) -> None:
    debian.put(package, "/home/linux.deb")
    before = debian.files()
    done = debian.run("dpkg", "--install", "/home/linux.deb")
    assert done.returncode == 0, done.stderr
    name = release(package)
    after = debian.files()
    assert f"/boot/vmlinuz-{name}" in after
    config = debian.run("cat", f"/boot/config-{name}").stdout
    if "CONFIG_MODULES=y\n" in config:
        assert any(path.endswith(f"/lib/modules/{name}/modules.dep") for path in after)
    for option in ("DAMON", "DAMON_VADDR", "DAMON_PADDR", "DAMON_SYSFS", "DAMON_DARC"):
        assert f"CONFIG_{option}=y\n" in config
    done = debian.run("dpkg", "--purge", package.name.split("_")[0])
    assert done.returncode == 0, done.stderr
    left = [path for path in debian.files() if path not in before and name in path]
    assert left == []


def test_it_boots(package: Path, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    name = release(package)
    program = """
        uname -r && ls /sys/kernel/mm/damon/admin &&
        ls /sys/kernel/mm/darc && perf damon record -o /tmp/perf.data --timeout 2s paddr &&
        perf damon report summary -i /tmp/perf.data
    """
    said, errors = io.BytesIO(), io.BytesIO()
    guest = vm.Guest(image=tmp_path / f"boot/vmlinuz-{name}", memory="2G", timeout_s=300)
    status = vm.run(guest, ["sh", "-c", program], said, errors)
    assert status == 0, errors.getvalue().decode()
    lines = said.getvalue().decode().splitlines()
    assert lines[:2] == [name, "kdamonds"]
    assert "zones" in lines[2:] and any(line.startswith("Attributes") for line in lines)
