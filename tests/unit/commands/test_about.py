# SPDX-License-Identifier: GPL-2.0
"""perf damon version: all of it on a machine that has all, and on one that has nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_kernel import FakeKernel, FakeModules, make

from perf_damon.commands import about
from perf_damon.control.system import System
from perf_damon.version import __version__

BUILT = """
perf version 6.12.1
             libtraceevent: [ OFF ]  # HAVE_LIBTRACEEVENT
                 libpython: [ on  ]  # HAVE_LIBPYTHON_SUPPORT
"""


def program(path: Path, said: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\ncat <<'EOF'\n{said.strip()}\nEOF\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def own_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of a test's own, where cat is, too."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", f"{folder}:/bin")
    monkeypatch.setattr(about, "find_perf", lambda: str(folder / "perf"))
    return folder


def test_everything(system: System, own_path: Path) -> None:
    assert isinstance(system.damon, FakeKernel)
    system.damon.put("kdamonds/nr_kdamonds", "1")
    system.damon.put("kdamonds/0/contexts/nr_contexts", "1")
    assert isinstance(system.modules, FakeModules)
    system.modules.add("damon_stat", aggr_interval_us=3200000)
    perf = program(own_path / "perf", BUILT)
    other = program(own_path / "perf-damon", "")
    found = about.collect(system, "/elsewhere/perf-damon")
    json.dumps(found)
    assert found["perf_damon"]["version"] == __version__
    assert found["perf_damon"]["others"] == [other]
    assert found["perf"] == {
        "program": perf,
        "version": "6.12.1",
        "libraries": {"libtraceevent": False, "libpython": True, "libelf": None, "zstd": None},
    }
    assert found["python"]["packages"]["numpy"]
    assert "vaddr" in found["damon"]["operations"]
    assert found["damon"]["modules"] == [{"name": "damon_stat", "tid": 5001, "aggr_us": 3200000}]
    assert "damon_aggregated" in found["damon"]["tracepoints"]
    lines = about.render(found).splitlines()
    assert f"  another   {other}: not what runs here, but what 'perf damon' runs" in lines
    assert f"perf        6.12.1, {perf}" in lines
    assert "  with      libpython" in lines and "  without   libtraceevent" in lines
    (line,) = (line for line in lines if line.startswith("  in use by"))
    assert line.endswith(" DAMON_STAT (thread 5001, aggregates over 3.2 s), which lets nobody else")


def scripted_perf(path: Path, exec_path: Path) -> None:
    """A perf that tells its exec path."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\n[ "$1" != --exec-path ] || echo "{exec_path}"\n')
    path.chmod(0o755)


def test_one_on_path_and_one_in_perfs_exec_path(
    system: System, tmp_path: Path, own_path: Path
) -> None:
    """perf looks into its exec path first, which is not on the PATH of a shell."""
    scripted_perf(own_path / "perf", tmp_path / "core")
    on_path = program(own_path / "perf-damon", "")
    of_perf = program(tmp_path / "core/perf-damon", "")
    found = about.collect(system, on_path)
    assert found["perf_damon"]["others"] == [of_perf]
    assert found["perf_damon"]["of_perf"] == of_perf
    lines = about.render(found).splitlines()
    assert f"  program   {on_path}" in lines
    assert f"  another   {of_perf}: not what runs here, but what 'perf damon' runs" in lines
    found = about.collect(system, of_perf)
    assert found["perf_damon"]["others"] == [on_path]
    lines = about.render(found).splitlines()
    assert f"  program   {of_perf}" in lines
    assert f"  another   {on_path}: not what runs here" in lines


def test_one_alone_by_two_names(system: System, tmp_path: Path, own_path: Path) -> None:
    scripted_perf(own_path / "perf", tmp_path / "core")
    on_path = program(own_path / "perf-damon", "")
    (tmp_path / "core").mkdir()
    (tmp_path / "core/perf-damon").symlink_to(on_path)
    found = about.collect(system, on_path)
    assert found["perf_damon"]["others"] == []
    assert "another" not in about.render(found)


def test_another_package(
    system: System, tmp_path: Path, own_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pip and the distribution both put one where Python looks."""
    package = tmp_path / "dist-packages/perf_damon"
    make(package, {"__init__.py": "", "version.py": '__version__ = "0.0.9"'})
    monkeypatch.syspath_prepend(tmp_path / "dist-packages")
    monkeypatch.syspath_prepend(tmp_path / "nothing-there")
    found = about.collect(system, str(own_path / "perf-damon"))
    assert str(package) in found["perf_damon"]["other_packages"]
    assert found["perf_damon"]["package"] not in found["perf_damon"]["other_packages"]
    assert f"  another   package {package}: not what runs here" in about.render(found)


def test_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = tmp_path / "nothing"
    monkeypatch.setenv("PATH", str(nothing))
    monkeypatch.setattr(about, "PACKAGES", ("no-such-package",))
    system = System(
        damon=FakeKernel(nothing),
        darc=FakeKernel(nothing),
        tracing=(nothing,),
        modules=FakeKernel(nothing),
    )
    found = about.collect(system, "perf_damon/__main__.py")
    assert found["perf"] is None and found["damon"] is None
    assert found["perf_damon"]["program"] is None and found["perf_damon"]["others"] == []
    text = about.render(found)
    assert "perf        none on PATH" in text and "  none of   no-such-package" in text
    assert "DAMON       none" in text and "python -m perf_damon" in text
