# SPDX-License-Identifier: GPL-2.0
"""Configuring and building, as far as it goes without compiling a kernel."""

from pathlib import Path

import pytest
from lab import kbuild, kcheck, kconfig
from lab.common import CHECKOUT, LabError

WANTED = {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_N": "4", "CONFIG_DAMON_ONE_SIDE": "y"}


def test_fragments_are_read():
    text = '# words\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_S="a b" \n#CONFIG_C=y\n'
    assert kconfig.parse(text) == {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_S": '"a b"'}


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ("CONFIG_A=y\nCONFIG_N=4\n", []),
        ("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=4\nCONFIG_DAMON_ONE_SIDE=y\n", []),
        ("# CONFIG_A is not set\nCONFIG_N=4\n", ["CONFIG_A=y"]),
        ("CONFIG_A=y\nCONFIG_B=y\nCONFIG_N=8\n", ["CONFIG_B=n", "CONFIG_N=4"]),
    ],
)
def test_options_that_were_not_taken(config, missing):
    assert kconfig.not_taken(WANTED, kconfig.parse(config), set()) == missing


def test_damons_options_that_a_kernel_has_must_be_taken():
    taken = {"CONFIG_A": "y", "CONFIG_N": "4"}
    there = {"CONFIG_DAMON_ONE_SIDE"}
    assert kconfig.not_taken(WANTED, taken, there) == ["CONFIG_DAMON_ONE_SIDE=y"]
    both = {"CONFIG_DAMON": "y", "CONFIG_DAMON_VADDR": "y"}
    assert kconfig.not_taken(both, {}, set()) == ["CONFIG_DAMON=y", "CONFIG_DAMON_VADDR=y"]


def test_options_are_found_in_kconfig_files(tmp_path):
    path = tmp_path / "Kconfig"
    path.write_text(
        "menu x\nconfig A\n\tbool\nmenuconfig B_2\n\tdepends on config\nif A\n config C\n"
    )
    assert kconfig.options([path]) == {"CONFIG_A", "CONFIG_B_2", "CONFIG_C"}


def test_a_configuration_that_lacks_something_is_an_error(tmp_path):
    for name, text in {"1": "CONFIG_A=y\n", "2": "CONFIG_A=n\nCONFIG_B=y\n", "out": ""}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(LabError, match="did not take CONFIG_B=y: "):
        kconfig.check([tmp_path / "1", tmp_path / "2"], tmp_path / "out", [])


def test_both_sides_are_asked_for_all_of_damon():
    fragment = kconfig.parse((kbuild.CONFIGS / "guest.config").read_text())
    assert all(fragment[option] == "y" for option in kconfig.ON_BOTH_SIDES)
    ours, upstream = kbuild.RECIPES["ours"], kbuild.RECIPES["upstream"]
    assert ours.configs == upstream.configs == ("guest",)


def test_a_failed_build_says_why(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "  CC      mm/a.o\n"
        "mm/a.c: In function 'f':\n"
        "mm/a.c:3:2: error: 'x' undeclared (first use in this function)\n"
        "make[3]: *** [scripts/Makefile.build:229: mm/a.o] Error 1\n"
    )
    assert [line[:12] for line in kbuild.first_errors(log)] == ["mm/a.c:3:2: ", "make[3]: ***"]
    log.write_text("".join(f"{number}\n" for number in range(99)))
    assert kbuild.first_errors(log, start=4)[-1] == "98"


def fake_kernel(tmp_path, monkeypatch, makefile):
    """A recipe whose source is a Makefile alone."""
    monkeypatch.setattr(kbuild, "KERNELS", tmp_path)
    recipe = kbuild.Recipe("fake", "")
    recipe.tree.mkdir(parents=True)
    recipe.objects.mkdir()
    (recipe.tree / "Makefile").write_text(makefile)
    return recipe


def make(recipe, target, what="building"):
    with (recipe.home / "build.log").open("wb") as log:
        kbuild._make(recipe, [target], log, what)
    return (recipe.home / "build.log").read_text()


def test_make_is_told_where_and_its_errors_are_passed_on(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("ARCH", "other")
    monkeypatch.setenv("MAKEFLAGS", "-n")
    recipe = fake_kernel(
        tmp_path,
        monkeypatch,
        "good:\n\t@echo '  CC      a.o'; echo O=$(O) ARCH=$(ARCH) $$KBUILD_BUILD_USER\n"
        "bad:\n\t@echo 'a.c:1: error: no' >&2; exit 1\n",
    )
    assert f"O={recipe.objects} ARCH= perf-damon\n" in make(recipe, "good")
    assert "lab: building, about 1,600 objects: minutes" in capfd.readouterr().err
    with pytest.raises(LabError) as error:
        make(recipe, "bad")
    lines = str(error.value).splitlines()
    assert lines[0] == "make bad of the kernel fake failed:"
    assert "  | a.c:1: error: no" in lines
    assert lines[-1] == f"  all of it: {recipe.home}/build.log"


def test_make_ends_with_us(tmp_path, monkeypatch):
    recipe = fake_kernel(tmp_path, monkeypatch, "x:\n\t@echo $$$$ >$(O)/pid; echo 1; sleep 600\n")

    def interrupted(*_):
        raise KeyboardInterrupt

    def follow(output, *_):
        output.readline()
        output.readline()
        interrupted()

    monkeypatch.setattr(kbuild, "_follow", follow)
    with pytest.raises(KeyboardInterrupt):
        make(recipe, "x")
    pid = int((recipe.objects / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_objects_of_another_source_are_removed(tmp_path):
    class Source:
        identity = "one"

    objects = tmp_path / "objects"
    kbuild.same_source(objects, Source)
    (objects / "a.o").mkdir(parents=True)
    kbuild.same_source(objects, Source)
    assert (objects / "a.o").exists()
    Source.identity = "two"
    kbuild.same_source(objects, Source)
    assert not objects.exists()


def test_findings_are_those_in_our_files_and_errors():
    files = {
        "mm/damon/core.c": CHECKOUT / "kernel/mm/damon/core.c",
        "mm/damon/Kconfig": CHECKOUT / "Kconfig.damon",
    }
    log = """\
  CC      mm/damon/core.o
/x/build/kernels/ours-check/source/mm/damon/core.c: In function 'f':
/x/build/kernels/ours-check/source/mm/damon/core.c:3:5: warning: unused variable 'x'
    3 | int x;
../source/mm/damon/core.c:4: warning: Function parameter or member 'y' not described
/x/build/kernels/ours-check/source/include/linux/mm.h:9:1: warning: not ours
/x/build/kernels/ours-check/source/include/linux/mm.h:9:1: error: not ours, but it stops the build
mm/damon/Kconfig:7:warning: multi-line strings not supported
make[3]: *** [scripts/Makefile.build:229: mm/damon/core.o] Error 1
"""
    assert kcheck.of_log(log, files) == [
        "kernel/mm/damon/core.c:3:5: warning: unused variable 'x'",
        "kernel/mm/damon/core.c:4: warning: Function parameter or member 'y' not described",
        "include/linux/mm.h:9:1: error: not ours, but it stops the build",
        "Kconfig.damon:7:warning: multi-line strings not supported",
        "make[3]: *** [scripts/Makefile.build:229: mm/damon/core.o] Error 1",
    ]
