# SPDX-License-Identifier: GPL-2.0
"""The kernel as Debian packages, as far as it goes without compiling one."""

import contextlib
import dataclasses

import pytest
from lab import kbuild, kconfig, kdeb
from lab.common import LabError

MAKEFILE = """\
olddefconfig:
	@:
bindeb-pkg:
	@grep -q CONFIG_DAMON=y $(O)/.config
	@touch $(O)/../$(PACKAGE)-6.12.9$(LOCALVERSION)_$(KDEB_PKGVERSION)_amd64.deb
	@touch $(O)/../linux-libc-dev_$(KDEB_PKGVERSION)_amd64.deb
"""
MERGE = 'shift; out=$1; shift; cat "$@" >>"$out"\n'


class Source:
    identity = "one"

    @staticmethod
    def version() -> str:
        return "6.12.9"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Of a source that is a Makefile and a merge_config.sh."""
    monkeypatch.setattr(kbuild, "KERNELS", tmp_path)
    monkeypatch.setattr(kdeb, "setup", lambda *_: None)
    monkeypatch.setattr(kdeb, "kernel_source", lambda **_: Source)
    monkeypatch.setattr(kbuild, "_laid", lambda *_: contextlib.nullcontext())
    recipe = dataclasses.replace(kdeb.RECIPES["debian"], base=lambda: b"CONFIG_OF_DEBIAN=y\n")
    monkeypatch.setitem(kdeb.RECIPES, "debian", recipe)
    (recipe.tree / "scripts/kconfig").mkdir(parents=True)
    (recipe.tree / "mm/damon").mkdir(parents=True)
    (recipe.tree / "mm/damon/Kconfig").write_text("config DAMON_DARC\n")
    (recipe.tree / "scripts/kconfig/merge_config.sh").write_text(MERGE)
    (recipe.tree / "Makefile").write_text(MAKEFILE)
    return recipe


def test_packages_of_debians_configuration_with_ours_on_top(recipe, monkeypatch):
    monkeypatch.setenv("PACKAGE", "linux-image")
    recipe.home.mkdir(exist_ok=True)
    (recipe.home / "linux-image-old.deb").touch()
    assert [path.name for path in kdeb.build("debian")] == [
        "linux-image-6.12.9-damon_6.12.9-1_amd64.deb",
        "linux-libc-dev_6.12.9-1_amd64.deb",
    ]
    options = kconfig.parse((recipe.objects / ".config").read_text())
    assert options["CONFIG_OF_DEBIAN"] == "y" and options["CONFIG_DAMON_DARC"] == "y"


def test_another_configuration_of_debians_counts(recipe, monkeypatch):
    monkeypatch.setenv("PACKAGE", "linux-image")
    kdeb.build("debian")
    newer = dataclasses.replace(recipe, base=lambda: b"CONFIG_NEWER=y\n")
    monkeypatch.setitem(kdeb.RECIPES, "debian", newer)
    kdeb.build("debian")
    assert "CONFIG_NEWER" in kconfig.parse((recipe.objects / ".config").read_text())


def test_no_image_is_an_error(recipe, monkeypatch):
    monkeypatch.setenv("PACKAGE", "linux-headers")
    with pytest.raises(LabError, match=r"made no linux-image: see .*build\.log"):
        kdeb.build("debian")
