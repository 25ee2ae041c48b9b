# SPDX-License-Identifier: GPL-2.0
"""Building perf, as far as it goes without compiling one."""

import json

import fake_tree
import pytest
from lab import overlay, perfbuild
from lab.common import CHECKOUT, LabError

MAKEFILE = """\
install:
\t@echo '  CC      perf.o'; mkdir -p $(DESTDIR)$(prefix)/bin $(O)/python
\t@echo "$(NO_LIBPYTHON)" >$(DESTDIR)$(prefix)/bin/perf
\t@echo module >$(O)/python/perf.x.so; date +%N >>count
\t@printf '%s\\n' $(HAS) >$(O)/.config-detected
"""
ALL = " ".join(f"CONFIG_{each}=y" for each in perfbuild.LIBRARIES)


@pytest.fixture
def build(tmp_path, monkeypatch):
    """perf of a source whose make only says that it did; returns where, and prefix()."""
    source = fake_tree.kernel(tmp_path / "source")
    fake_tree.write(source.path, {"tools/perf/Makefile": MAKEFILE.replace("$(HAS)", ALL)})
    checkout = fake_tree.checkout(tmp_path / "checkout")
    monkeypatch.setattr(perfbuild, "PERFS", tmp_path / "perf")
    monkeypatch.setattr(perfbuild, "setup", lambda: None)
    monkeypatch.setattr(perfbuild, "kernel_source", lambda update: source)
    changes = overlay.perf_changes
    monkeypatch.setattr(overlay, "perf_changes", lambda path: changes(path, checkout))
    return tmp_path


def test_it_is_built_when_it_is_not_what_its_source_says(build):
    path = perfbuild.prefix("ours")
    assert path == build / "perf/ours/prefix" and (path / "bin/perf").read_text() == "\n"
    assert (perfbuild.module("ours") / "perf.x.so").read_text() == "module\n"
    count = build / "perf/ours/source/tools/perf/count"
    assert len(count.read_text().splitlines()) == 1
    (build / "checkout/python/perf_damon/cli.py").write_text("changed\n")
    (path / "stale").touch()
    perfbuild.prefix("ours")
    assert len(count.read_text().splitlines()) == 2
    assert not (path / "stale").exists()
    laid = build / "perf/ours/source/tools/perf/python/perf_damon/cli.py"
    assert laid.read_text() == "changed\n"
    # What is the kernel's is no matter of perf.
    (build / "checkout/kernel/mm/damon/core.c").write_text("changed\n")
    perfbuild.prefix("ours")
    assert len(count.read_text().splitlines()) == 2


def test_upstreams_is_the_source_as_it_is(build):
    perfbuild.prefix("upstream")
    record = json.loads((build / "perf/upstream/source.json").read_text())
    assert record["paths"] == []


def test_a_perf_without_what_it_needs_is_told(build):
    makefile = build / "source/tools/perf/Makefile"
    makefile.write_text(MAKEFILE.replace("$(HAS)", ALL.replace("CONFIG_LIBTRACEEVENT=y", "")))
    with pytest.raises(LabError, match=r"without LIBTRACEEVENT \(Debian: libtraceevent-dev\)"):
        perfbuild.prefix("ours")
    assert not (build / "perf/ours/prefix").exists()
    assert perfbuild.prefix("ours-bare").is_dir()
    assert (build / "perf/ours-bare/prefix/bin/perf").read_text() == "1\n"


def test_a_perf_without_a_module_and_an_unknown_one_are_told(build):
    with pytest.raises(LabError, match=r"no perf is named 'x'; there are: ours, ours-bare, "):
        perfbuild.prefix("x")
    with pytest.raises(LabError, match="perf ours-bare is built without a Python module"):
        perfbuild.module("ours-bare")


def test_what_the_lab_needs_for_it_is_installed():
    named = (CHECKOUT / "lab/packages.txt").read_text().splitlines()
    assert set(perfbuild.LIBRARIES.values()) <= set(named)
