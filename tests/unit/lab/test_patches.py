# SPDX-License-Identifier: GPL-2.0
"""The series of patches, on a kernel and a checkout of a few files."""

import email
import subprocess

import fake_tree
import pytest
from lab import overlay, patches
from lab.common import LabError

SERIES = """\
# A comment.

[cover]
subject: mm/damon: another DAMON

It is better.

It is.

[remove]
subject: mm/damon: remove the present one

To make room.

[patch]
subject: mm/damon: region set
files: mm/damon/region*.[ch]
files: mm/damon/tests/

Regions.

[not a block]
  [patch]

[patch]
subject: mm/damon: all else – with an “odd” letter
files: mm/damon/* mm/vmscan.c tools/testing/selftests/damon/

The rest.
"""
WHO = ("Jö Coder", "jo@example.org")


@pytest.fixture
def kernel(tmp_path):
    """base, wanted, upstream"""
    source = fake_tree.kernel(tmp_path / "source").path
    wanted = overlay.changes(source, fake_tree.checkout(tmp_path / "checkout"))
    upstream = overlay.upstream_files(source)
    paths = {*wanted, *upstream}
    base = {path: overlay.File.read(source / path) for path in paths if (source / path).is_file()}
    return base, wanted, upstream


def write(tmp_path, kernel, text=SERIES):
    return patches.write_series(tmp_path / "out", patches.parse(text), *kernel, WHO, 1_700_000_000)


def test_the_series_gives_ours(tmp_path, kernel):
    base, wanted, _ = kernel
    written = write(tmp_path, kernel)
    assert [path.name for path in written] == [
        "0000-cover-letter.patch",
        "0001-mm-damon-remove-the-present-one.patch",
        "0002-mm-damon-region-set.patch",
        "0003-mm-damon-all-else-with-an-odd-letter.patch",
    ]
    patches.check_series(written, base, wanted)


def test_it_applies_by_hand_to_a_pristine_tree(tmp_path, kernel):
    written = write(tmp_path, kernel)
    tree = tmp_path / "source"

    def git(*words):
        who = ("-c", "user.name=x", "-c", "user.email=x@x")
        subprocess.run(["git", *who, *words], cwd=tree, check=True, capture_output=True)

    git("init")
    git("add", ".")
    git("commit", "-m", "pristine")
    git("am", *map(str, written[1:]))
    fixed = patches.overlay.Source(tmp_path / "source2", "x", fixed=True)
    fake_tree.kernel(fixed.path)
    overlay.lay(fixed, tmp_path / "tree", kernel[1])
    subprocess.run(["rm", "-r", tree / ".git"], check=True)
    assert fake_tree.contents(tree) == fake_tree.contents(tmp_path / "tree")


def test_the_mails_are_whole(tmp_path, kernel):
    cover, removal, regions, _ = (
        email.message_from_bytes(path.read_bytes()) for path in write(tmp_path, kernel)
    )
    assert cover["Subject"] == "[PATCH 0/3] mm/damon: another DAMON"
    text = cover.get_payload(decode=True).decode()
    assert text.startswith("It is better.\n\nIt is.\n\n")
    assert "mm/damon/regions.c" in text
    assert "***" not in text
    assert removal["Subject"] == "[PATCH 1/3] mm/damon: remove the present one"
    assert "-theirs" in removal.get_payload(decode=True).decode()
    text = regions.get_payload(decode=True).decode()
    assert "[not a block]\n  [patch]\n\nSigned-off-by: Jö Coder <jo@example.org>\n---\n" in text
    assert " 2 files changed, 2 insertions(+)" in text
    assert str(email.header.make_header(email.header.decode_header(regions["From"]))) == (
        "Jö Coder <jo@example.org>"
    )
    assert regions["Date"] == "Tue, 14 Nov 2023 22:13:22 +0000"


def test_every_patch_builds(kernel):
    """Kconfig reads mm/damon/Kconfig of any kernel, removed or not."""
    base, wanted, upstream = kernel
    removal = patches.assign(patches.parse(SERIES), base, wanted, upstream)[0].changes
    assert removal["mm/damon/Kconfig"].data == b"# SPDX-License-Identifier: GPL-2.0\n"
    assert removal["mm/damon/core.c"] is None


def test_the_same_series_is_written_the_same(tmp_path, kernel):
    first = [path.read_bytes() for path in write(tmp_path, kernel)]
    (tmp_path / "out/stale.patch").touch()
    assert [path.read_bytes() for path in write(tmp_path, kernel)] == first


def test_a_difference_is_found(tmp_path, kernel):
    base, wanted, _ = kernel
    written = write(tmp_path, kernel)
    other = {**wanted, "mm/damon/core.c": overlay.File(b"other\n")}
    with pytest.raises(LabError, match=r"do not give this repository's mm/damon/core\.c$"):
        patches.check_series(written, base, other)
    with pytest.raises(LabError, match=r"mm/damon/regions\.c, mm/damon/tests/\.kunitconfig$"):
        patches.check_series([*written[:2], written[3]], base, wanted)


@pytest.mark.parametrize(
    ("path", "pattern", "yes"),
    [
        ("mm/damon/core.c", "mm/damon/*.c", True),
        ("mm/damon/tests/core.c", "mm/damon/*.c", False),
        ("mm/damon/tests/core.c", "mm/damon/", True),
        ("mm/damon/tests/core.c", "mm/*/tests/", True),
        ("mm/damon", "mm/damon/", False),
        ("mm/damonic/core.c", "mm/damon/", False),
        ("mm/damon/core.h", "mm/damon/core.[ch]", True),
    ],
)
def test_which_files_a_patch_takes(path, pattern, yes):
    assert patches.Entry("patch", "", (pattern,), "").takes(path) == yes


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("# A comment.", "A comment.", "before the first block"),
        ("[cover]", "[letter]", "wants one"),
        ("[remove]", "[patch]", "wants one|files are for"),
        ("subject: mm/damon: region set\n", "", "lacks a subject"),
        ("files: mm/damon/region*.[ch]", "file: x", "has the line 'file: x'"),
        ("It is better.\n\nIt is.", "", "lacks a log"),
        ("Regions.", "---\nRegions.", "may not have the line '---'"),
    ],
)
def test_mistakes_in_the_series_are_told(old, new, what):
    assert old in SERIES
    with pytest.raises(LabError, match=what):
        patches.parse(SERIES.replace(old, new, 1))


def test_files_without_a_patch_and_patches_without_files_are_told(tmp_path, kernel):
    with pytest.raises(LabError, match=r"no patch has mm/vmscan\.c$"):
        write(tmp_path, kernel, SERIES.replace("mm/vmscan.c", ""))
    with pytest.raises(LabError, match="'mm/damon: region set' changes nothing"):
        write(
            tmp_path,
            kernel,
            SERIES.replace("region*.[ch]", "nosuch.c")
            .replace("files: mm/damon/tests/\n", "")
            .replace("mm/damon/* ", "mm/damon/ "),
        )


class User:
    """Somebody's git tree of a kernel, and a checkout whose series is to be applied to it."""

    def __init__(self, path):
        self.tree = fake_tree.kernel(path / "tree").path
        self.checkout = fake_tree.checkout(path / "checkout")
        fake_tree.write(self.checkout, {"kernel/patches/series": SERIES + PERF_SERIES})
        self.git("init", "--quiet")
        self.commit("pristine")

    def git(self, *words):
        who = ("-c", "user.name=x", "-c", "user.email=x@x")
        done = subprocess.run(
            ["git", *who, *words], cwd=self.tree, check=True, capture_output=True, text=True
        )
        return done.stdout

    def commit(self, message):
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", message)

    def state(self):
        files = {
            path: path.read_bytes()
            for path in self.tree.rglob("*")
            if path.is_file() and ".git" not in path.parts
        }
        return self.git("log"), self.git("status", "--porcelain"), files

    def apply(self):
        return patches.apply(self.tree, self.checkout)

    def refuses(self, what):
        before = self.state()
        with pytest.raises(LabError, match=what):
            self.apply()
        assert self.state() == before


PERF_SERIES = """
[patch]
subject: perf damon: all of it
files: tools/perf/ tools/perf/python/

It.
"""


@pytest.fixture
def user(tmp_path, monkeypatch):
    monkeypatch.setattr(patches, "author", lambda: WHO)
    return User(tmp_path)


def test_it_is_applied_to_a_tree_once(user):
    subjects = [line.partition(" ")[2] for line in user.apply()]
    assert subjects == [entry.subject for entry in patches.parse(SERIES + PERF_SERIES)[1:]]
    assert (user.tree / "tools/perf/perf.c").read_text() == "archive\ndamon\niostat\n"
    assert (user.tree / "tools/perf/perf-damon").stat().st_mode & 0o100
    assert (user.tree / "tools/perf/python/perf_damon/cli.py").read_text() == "ours\n"
    assert user.git("status", "--porcelain") == ""
    user.refuses(r"has this series already: all of its \d+ files are there$")


def test_a_tree_that_has_half_of_it_is_told_and_left_alone(user):
    user.apply()
    user.git("reset", "--quiet", "--hard", "HEAD~1")
    user.refuses(
        r"has a part of this series, or another version of it: 6 of its 10 files are there"
    )


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("tools/perf/perf.c", "archive\nx\niostat\n", r"0001-command\.patch does not apply to "),
        ("mm/vmscan.c", "one\nx\nthree\n", r"patches/0001-two\.patch does not apply to "),
        (
            "tools/perf/perf-damon",
            "older\n",
            r"its own in the way of the series: tools/perf/perf-d",
        ),
    ],
)
def test_other_changes_in_its_way_are_told_and_left_alone(user, path, text, what):
    (user.tree / path).write_text(text)
    user.refuses("has changes that are not committed" if path != "tools/perf/perf-damon" else what)
    user.commit("other changes")
    user.refuses(what)


def test_a_tree_amid_something_and_what_is_no_tree_are_told(user, tmp_path):
    (user.tree / ".git/rebase-apply").mkdir()
    user.refuses("is amid a git am or rebase")
    (user.tree / ".git/rebase-apply").rmdir()
    (user.tree / ".git").rename(tmp_path / "git")
    with pytest.raises(LabError, match="is no git repository"):
        user.apply()
    with pytest.raises(LabError, match=r"is no kernel source: it has no Makefile"):
        patches.apply(tmp_path, user.checkout)


def test_a_series_that_git_refuses_leaves_the_tree_as_it_was(user):
    hook = user.tree / ".git/hooks/applypatch-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\n! grep -q "perf damon" "$1" || { echo "not that one"; exit 1; }\n')
    hook.chmod(0o755)
    user.refuses("git am in .*, which is as it was: ")
