# SPDX-License-Identifier: GPL-2.0
"""Laying this repository's kernel code over a source, on a tree of a few files."""

import json

import fake_tree
import pytest
from lab import overlay
from lab.common import LabError

OURS = {
    "Kconfig",
    "Makefile",
    "arch/x86/Makefile",
    "mm/Kconfig",
    "mm/damon/Kconfig",
    "mm/damon/Makefile",
    "mm/damon/core.c",
    "mm/damon/regions.c",
    "mm/damon/tests/.kunitconfig",
    "mm/vmscan.c",
    "scripts/kconfig/merge_config.sh",
    "tools/perf/perf.c",
    "tools/testing/selftests/damon/run.sh",
}


class Lab:
    def __init__(self, path, fixed):
        self.source = fake_tree.kernel(path / "source", fixed=fixed)
        self.checkout = fake_tree.checkout(path / "checkout")
        self.tree = path / "build/tree"
        self.pristine = fake_tree.contents(self.source.path)

    def lay(self):
        wanted = overlay.changes(self.source.path, self.checkout)
        overlay.lay(self.source, self.tree, wanted)

    def times(self):
        return {
            str(path.relative_to(self.tree)): path.stat().st_mtime_ns
            for path in self.tree.rglob("*")
            if path.is_file()
        }

    def changed(self, since):
        now = self.times()
        return {name for name in {*since, *now} if since.get(name) != now.get(name)}


@pytest.fixture(params=[True, False], ids=["cached", "user's"])
def lab(request, tmp_path):
    return Lab(tmp_path, request.param)


def test_ours_stands_where_upstreams_was(lab):
    lab.lay()
    assert set(fake_tree.contents(lab.tree)) == OURS
    assert (lab.tree / "mm/damon/Kconfig").read_text() == "ours\n"
    assert (lab.tree / "mm/vmscan.c").read_text() == "one\n2\nthree\n"
    assert (lab.tree / "tools/testing/selftests/damon/run.sh").stat().st_mode & 0o100
    assert not (lab.tree / "include").exists()
    assert fake_tree.contents(lab.source.path) == lab.pristine


def test_upstream_is_the_source_as_it_is(lab):
    overlay.lay(lab.source, lab.tree, {})
    assert fake_tree.contents(lab.tree) == lab.pristine


def test_laying_again_writes_nothing(lab):
    lab.lay()
    before = lab.times()
    lab.lay()
    assert lab.changed(before) == set()


def test_only_what_changed_is_written(lab):
    lab.lay()
    before = lab.times()
    (lab.checkout / "kernel/mm/damon/core.c").write_text("ours, again\n")
    lab.lay()
    assert lab.changed(before) == {"mm/damon/core.c"}


def test_what_leaves_the_overlay_leaves_the_tree(lab):
    lab.lay()
    (lab.checkout / "kernel/mm/damon/regions.c").unlink()
    (lab.checkout / "kernel/tools/testing/selftests/damon/run.sh").unlink()
    lab.lay()
    gone = {"mm/damon/regions.c", "tools/testing/selftests/damon/run.sh"}
    assert set(fake_tree.contents(lab.tree)) == OURS - gone
    assert not (lab.tree / "tools/testing").exists()


def test_a_patch_that_goes_leaves_a_file_that_make_sees_as_new(lab):
    lab.lay()
    patched = lab.times()["mm/vmscan.c"]
    (lab.checkout / "kernel/patches/0001-two.patch").unlink()
    for _ in range(2):
        lab.lay()
        assert (lab.tree / "mm/vmscan.c").read_text() == "one\ntwo\nthree\n"
        assert lab.times()["mm/vmscan.c"] >= patched


def test_patches_apply_one_upon_the_other(lab):
    (lab.checkout / "kernel/patches/0002-new.patch").write_text(
        "--- a/mm/vmscan.c\n+++ b/mm/vmscan.c\n@@ -1,3 +1,3 @@\n one\n-2\n+zwei\n three\n"
        "--- /dev/null\n+++ b/mm/new.c\n@@ -0,0 +1 @@\n+new\n"
        "--- a/arch/x86/Makefile\t2024-01-01\n+++ b/arch/x86/Makefile\n@@ -0,0 +1 @@\n+x\n"
    )
    lab.lay()
    assert (lab.tree / "mm/vmscan.c").read_text() == "one\nzwei\nthree\n"
    assert (lab.tree / "mm/new.c").read_text() == "new\n"
    assert (lab.tree / "arch/x86/Makefile").read_text() == "x\n"
    assert fake_tree.contents(lab.source.path) == lab.pristine


def test_a_patch_that_does_not_apply_is_named(lab):
    (lab.source.path / "mm/vmscan.c").write_text("something else\n")
    said = r"0001-two\.patch does not apply to .*, which has other changes in its way.*\n.*patching"
    with pytest.raises(LabError, match=said):
        lab.lay()


def test_damons_own_files_are_no_matter_of_patches(lab):
    (lab.checkout / "kernel/patches/0002-own.patch").write_text(
        "--- a/mm/damon/core.c\n+++ b/mm/damon/core.c\n@@ -1 +1 @@\n-theirs\n+mixed\n"
    )
    with pytest.raises(LabError, match=r"kernel/patches changes mm/damon/core\.c"):
        lab.lay()


def test_what_is_written_to_by_hand_is_put_right_and_never_reaches_the_source(lab):
    lab.lay()
    for name in ("mm/damon/core.c", "mm/vmscan.c"):
        with (lab.tree / name).open("a") as file:
            file.write("by hand\n")
    lab.lay()
    assert (lab.tree / "mm/damon/core.c").read_text() == "ours\n"
    assert (lab.tree / "mm/vmscan.c").read_text() == "one\n2\nthree\n"
    assert fake_tree.contents(lab.source.path) == lab.pristine


def test_a_cached_source_is_linked_not_copied(tmp_path):
    lab = Lab(tmp_path, fixed=True)
    lab.lay()
    assert (lab.tree / "Makefile").samefile(lab.source.path / "Makefile")
    assert not (lab.tree / "mm/vmscan.c").samefile(lab.source.path / "mm/vmscan.c")


def test_the_tree_follows_the_users_source(tmp_path):
    lab = Lab(tmp_path, fixed=False)
    (lab.source.path / ".git").write_text("gitdir: elsewhere\n")
    lab.lay()
    assert not (lab.tree / ".git").exists()
    assert not (lab.tree / "Makefile").samefile(lab.source.path / "Makefile")
    (lab.source.path / "mm/rmap.c").write_text("new\n")
    (lab.source.path / "arch/x86/Makefile").unlink()
    (lab.source.path / "mm/vmscan.c").write_text("0\none\ntwo\nthree\n")
    lab.lay()
    assert set(fake_tree.contents(lab.tree)) == {*OURS, "mm/rmap.c"} - {"arch/x86/Makefile"}
    assert (lab.tree / "mm/vmscan.c").read_text() == "0\none\n2\nthree\n"


def test_another_source_makes_another_tree(lab):
    lab.lay()
    (lab.tree / "left-over").touch()
    record = lab.tree.with_name("tree.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "source": "other"}))
    lab.lay()
    assert set(fake_tree.contents(lab.tree)) == OURS


@pytest.mark.parametrize("broken", ["", "{", '{"source": 1}'])
def test_a_broken_record_makes_another_tree(lab, broken):
    lab.lay()
    lab.tree.with_name("tree.json").write_text(broken)
    lab.lay()
    assert set(fake_tree.contents(lab.tree)) == OURS


def test_a_checkout_without_kernel_code_is_told(lab):
    (lab.checkout / "Kconfig.damon").unlink()
    with pytest.raises(LabError, match=r"no Kconfig\.damon"):
        lab.lay()


PERFS = {
    "tools/perf/perf.c",
    "tools/perf/perf-damon",
    "tools/perf/Documentation/perf-damon.txt",
    "tools/perf/python/perf_damon/cli.py",
    "tools/perf/python/perf_damon/render/text.py",
}


def test_perfs_part_is_apart(lab):
    """A kernel is not built again for what is perf's."""
    kernels = overlay.changes(lab.source.path, lab.checkout)
    wanted = overlay.perf_changes(lab.source.path, lab.checkout)
    assert set(wanted) == PERFS and not PERFS & set(kernels)
    overlay.lay(lab.source, lab.tree, wanted)
    assert set(fake_tree.contents(lab.tree)) == {*lab.pristine, *PERFS}
    assert (lab.tree / "tools/perf/perf.c").read_text() == "archive\ndamon\niostat\n"
    assert (lab.tree / "tools/perf/perf-damon").stat().st_mode & 0o100
    assert (lab.tree / "mm/damon/core.c").read_text() == "theirs\n"


def test_a_source_that_has_it_already_stays_as_it_is(tmp_path):
    lab = Lab(tmp_path, fixed=False)
    both = {
        **overlay.changes(lab.source.path, lab.checkout),
        **overlay.perf_changes(lab.source.path, lab.checkout),
    }
    overlay.lay(lab.source, lab.tree, both)
    again = {
        **overlay.changes(lab.tree, lab.checkout),
        **overlay.perf_changes(lab.tree, lab.checkout),
    }
    assert {path for path, file in again.items() if file is not None} <= set(both)
    assert all(overlay.File.read(lab.tree / path) == file for path, file in again.items() if file)


def test_a_patch_of_perf_that_does_not_apply_is_named(lab):
    (lab.source.path / "tools/perf/perf.c").write_text("archive\nsomething\niostat\n")
    overlay.changes(lab.source.path, lab.checkout)
    with pytest.raises(
        LabError, match=r"^tools/perf/patches/0001-command\.patch does not apply to "
    ):
        overlay.perf_changes(lab.source.path, lab.checkout)


def test_perfs_own_file_is_no_matter_of_patches(lab):
    (lab.checkout / "tools/perf/patches/0002-own.patch").write_text(
        "--- /dev/null\n+++ b/tools/perf/perf-damon\n@@ -0,0 +1 @@\n+mixed\n"
    )
    with pytest.raises(LabError, match=r"changes tools/perf/perf-damon, which is our own"):
        overlay.perf_changes(lab.source.path, lab.checkout)
