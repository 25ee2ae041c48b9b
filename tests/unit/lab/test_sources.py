# SPDX-License-Identifier: GPL-2.0
"""Where the kernel's source comes from."""

import subprocess

import fake_tree
import pytest
from lab import debian, sources
from lab.common import LabError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KERNEL_SRC", raising=False)
    return tmp_path / "cache/perf-damon"


def tarball(path, directory, *words):
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "-caf", path, "-C", directory, *words], check=True)
    return path


def test_a_tarball_of_the_users_own(tmp_path, monkeypatch):
    fake_tree.write(tmp_path / "linux-6.12", fake_tree.KERNEL)
    packed = tarball(tmp_path / "linux-6.12.tar.gz", tmp_path, "linux-6.12")
    monkeypatch.setenv("KERNEL_SRC", str(packed))
    source = sources.kernel_source()
    assert source.fixed
    assert source.version() == "6.12.7"
    assert fake_tree.contents(source.path) == fake_tree.KERNEL
    assert not (source.path / "Makefile").stat().st_mode & 0o222
    assert source.path.stat().st_mode & 0o755 == 0o755
    inode = source.path.stat().st_ino
    assert sources.kernel_source().path.stat().st_ino == inode
    # Another content of the same name is another source.
    (tmp_path / "linux-6.12/new").touch()
    tarball(packed, tmp_path, "linux-6.12")
    assert sources.kernel_source().identity != source.identity


def test_a_tree_of_the_users_own(tmp_path, monkeypatch):
    fake_tree.kernel(tmp_path / "linux")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERNEL_SRC", "linux")
    source = sources.kernel_source()
    assert source == sources.Source(tmp_path / "linux", str(tmp_path / "linux"), fixed=False)


def test_a_tree_that_was_built_in_is_refused(tmp_path, monkeypatch):
    fake_tree.kernel(tmp_path)
    (tmp_path / ".config").touch()
    monkeypatch.setenv("KERNEL_SRC", str(tmp_path))
    with pytest.raises(LabError, match=r"holds a build \(\.config\).*worktree add"):
        sources.kernel_source()


def test_what_is_no_kernel_is_refused_and_leaves_nothing(tmp_path, monkeypatch, cache):
    (tmp_path / "else").mkdir()
    (tmp_path / "else/file").touch()
    monkeypatch.setenv("KERNEL_SRC", str(tmp_path / "else"))
    with pytest.raises(LabError, match="is no kernel source: it has no Makefile"):
        sources.kernel_source()
    packed = tarball(tmp_path / "else.tar", tmp_path, "else")
    monkeypatch.setenv("KERNEL_SRC", str(packed))
    with pytest.raises(LabError, match="is no kernel source: it has no Makefile"):
        sources.kernel_source()
    packed.write_bytes(b"no tarball")
    with pytest.raises(LabError, match=r"tar -xf .*else\.tar"):
        sources.kernel_source()
    assert [path.name for path in (cache / "sources").iterdir()] == [".lock"]
    monkeypatch.setenv("KERNEL_SRC", str(tmp_path / "nosuch"))
    with pytest.raises(LabError, match="is no kernel source"):
        sources.kernel_source()


def test_debians_is_fetched_once(tmp_path, monkeypatch, cache):
    fetched = []

    def fetch(apt, packages):
        fetched.append(packages)
        root = cache / f"packages/linux-source-6.12_{len(fetched)}_all-digest"
        fake_tree.kernel(tmp_path / "linux-source-6.12")
        (tmp_path / f"linux-source-6.12/{len(fetched)}").touch()
        where = root / "usr/src/linux-source-6.12.tar.xz"
        tarball(where, tmp_path, "linux-source-6.12")
        return [root]

    class Apt:
        def update(self):
            pass

    monkeypatch.setattr(debian, "apt_of_suite", lambda suite: Apt())
    monkeypatch.setattr(debian, "fetch", fetch)
    first = sources.kernel_source()
    assert sources.kernel_source() == first
    assert fetched == [["linux-source-6.12"]]
    second = sources.kernel_source(update=True)
    assert (second.path / "2").exists()
    assert sources.kernel_source() == second
    assert first.path.is_dir()
