# SPDX-License-Identifier: GPL-2.0
"""Addresses in a kernel's messages are lines of the source."""

import re
import subprocess

import pytest
from lab import cli, kbuild, oops
from lab.common import LabError

SOURCE = """\
int other(int x);

static inline int twice(int x)
{
	return other(x) * 2;
}

int outer(int x)
{
	other(1);
	x += 5;
	return twice(x) + 1;
}
"""


@pytest.fixture
def built(tmp_path):
    """A kernel of one file, built as kbuild does: objects and source."""
    objects, tree = tmp_path / "objects", tmp_path / "source"
    source = tree / "mm/few.c"
    source.parent.mkdir(parents=True)
    source.write_text(SOURCE)
    (objects / "mm").mkdir(parents=True)
    command = f"gcc -O2 -Wp,-MMD,mm/.few.o.d -DKBUILD_MODNAME='\"few\"' -c -o mm/few.o {source}"
    subprocess.run(["sh", "-c", command], cwd=objects, check=True)
    (objects / "mm/.few.o.cmd").write_text(
        f"savedcmd_mm/few.o := {command} ; true mm/few.o\n\nsource_mm/few.o := {source}\n"
    )
    (objects / "vmlinux").touch()
    # Made of others: nothing of it is looked at, or all would be there twice.
    subprocess.run(["ld", "-r", "-o", "vmlinux.o", "mm/few.o"], cwd=objects, check=True)
    return objects, tree


def places(objects):
    """The size of outer(), and the offsets that its calls return to."""
    text = subprocess.run(
        ["objdump", "-d", "-r", "--disassemble=outer", objects / "mm/few.o"],
        capture_output=True,
        text=True,
    ).stdout
    code = [int(each, 16) for each in re.findall(r"^ *([0-9a-f]+):\t[0-9a-f]{2} ", text, re.M)]
    calls = [int(each, 16) for each in re.findall(r"^ *([0-9a-f]+):\t[^\n]*\bcall\b", text, re.M)]
    symbols = subprocess.run(["nm", "-S", objects / "mm/few.o"], capture_output=True, text=True)
    size = int(re.search(r"^\S+ (\S+) T outer$", symbols.stdout, re.M)[1], 16)
    return size, [min(at for at in code if at > call) for call in calls]


def test_a_call_is_told_by_where_it_returns_to(built):
    objects, tree = built
    # The kernel adds the padding up to the next function.
    size, [first, second] = places(objects)
    text = (
        f"[    1.5]  outer+{first:#x}/{size + 15:#x}\n[    1.5]  outer+{second:#x}/{size:#x}\nend"
    )
    assert oops.decode(text, objects, tree).splitlines() == [
        f"[    1.5]  outer+{first:#x}/{size + 15:#x} (mm/few.c:10)",
        f"[    1.5]  outer+{second:#x}/{size:#x} (mm/few.c:5 in mm/few.c:12)",
        "end",
    ]


def test_an_instruction_is_told_by_its_own_address(built):
    objects, tree = built
    size, [first, _] = places(objects)
    [line] = oops.decode(f"RIP: 0010:outer+{first:#x}/{size:#x}", objects, tree).splitlines()
    assert "few.c:10" not in line
    assert "(mm/few.c:1" in line


def test_what_is_not_there_stays_as_it_is(built):
    objects, tree = built
    size, _ = places(objects)
    # No such function; one of that name, but of another size.
    text = f" nosuch+0x1/0x20\n outer+0x4/{size + 640:#x}\n \x1b[31mouter\n"
    assert oops.decode(text, objects, tree) == text


def test_nothing_of_the_build_changes(built):
    objects, tree = built
    before = {path: path.stat().st_mtime_ns for path in objects.rglob("*")}
    size, [first, _] = places(objects)
    oops.decode(f"outer+{first:#x}/{size:#x}", objects, tree)
    assert {path: path.stat().st_mtime_ns for path in objects.rglob("*")} == before


def test_a_kernel_that_is_not_built_is_said(tmp_path):
    with pytest.raises(LabError, match="no kernel was built there"):
        oops.decode("outer+0x1/0x20", tmp_path, tmp_path)


def test_the_command(built, tmp_path, monkeypatch, capsys):
    objects, _ = built
    monkeypatch.setattr(kbuild, "KERNELS", tmp_path / "kernels")
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels/ours").symlink_to(objects.parent)
    size, [first, _] = places(objects)
    log = tmp_path / "log"
    log.write_bytes(b"\xff outer+%#x/%#x\n" % (first, size))
    assert cli.kernel(["ours", "--lines", str(log)]) == 0
    assert capsys.readouterr().out.endswith("few.c:10)\n")
    with pytest.raises(SystemExit):
        cli.kernel(["debian", "--lines", str(log)])
    assert "--lines is for kernels built from source" in capsys.readouterr().err
