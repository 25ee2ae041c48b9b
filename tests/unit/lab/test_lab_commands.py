# SPDX-License-Identifier: GPL-2.0
"""The lab's commands, as far as they go without booting a guest."""

import io
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab import cli, common, debian, kernels, vm

LAB = Path(common.__file__).parent


def lab(command, *arguments, **options):
    return subprocess.run(
        [sys.executable, LAB / command, *arguments], capture_output=True, text=True, **options
    )


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "--kernel"),
        (["--kernel", "debian"], "COMMAND"),
        (["--kernel", "debian", "--timeout", "soon", "--", "true"], "'soon' is no time"),
        (["--kernel", "debian", "--timeout", "0", "--", "true"], "'0' is no time"),
        (["--kernel", "debian", "--memory", "2", "--", "true"], "'2' is no memory size"),
        (["--kernel", "debian", "--nodes", "0", "--", "true"], "'0' is no number of nodes"),
        (["--kernel", "debian", "--cpus", "none", "--", "true"], "'none' is no number"),
        (
            ["--kernel", "debian", "--cpus", "2", "--instruction-clock", "--", "true"],
            "one CPU only",
        ),
    ],
)
def test_guest_refuses_bad_command_lines(arguments, what):
    done = lab("guest", *arguments)
    assert done.returncode == 2
    assert what in done.stderr


def test_an_unknown_kernel_is_told_with_those_there_are():
    done = lab("kernel", "nosuch")
    assert done.returncode == 1
    names = "ours, ours-debug, ours-lru-gen, upstream, 6.1, newest, debian, "
    names += "debian-newest, debian-12"
    assert done.stderr == f"lab/kernel: no kernel is named 'nosuch'; there are: {names}\n"


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600)])
def test_time_limits(text, seconds):
    assert cli._time_limit(text) == seconds


@pytest.fixture
def fake_vng(tmp_path, monkeypatch):
    """Puts a program in the place of virtme-ng: it gets the share's path as $share."""
    monkeypatch.setattr(vm, "VENV", tmp_path / "venv")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(vm.tempfile, "tempdir", None)
    program = tmp_path / "venv" / "bin" / "vng"
    program.parent.mkdir(parents=True)

    def install(script):
        # TMPDIR of the guest's processes is the share.
        program.write_text(f'#!/bin/sh\nshare=$TMPDIR\ncd "$share"\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return install


def run_guest(**options):
    out, err = io.BytesIO(), io.BytesIO()
    guest = vm.Guest(image=Path("/nonexistent"), **options)
    status = vm.run(guest, ["a command", "it's"], out, err)
    return status, out.getvalue(), err.getvalue()


FINISH = "echo 7 >status; : >finished; sleep 600"


def test_output_and_status_come_through_and_nothing_stays(fake_vng, tmp_path):
    fake_vng(
        "echo $$ >../pid; sleep 600 & echo $! >../child; : >started; "
        "printf 'a\\0b' >>stdout; printf c >>stderr; printf d >>stdout; " + FINISH
    )
    assert run_guest() == (7, b"a\0bd", b"c")
    assert not list(tmp_path.glob("perf-damon-guest-*"))
    for name in ("pid", "child"):
        pid = int((tmp_path / name).read_text())
        assert gone(pid)


def gone(pid):
    """No such process, or one that is dead and waits for its parent to take notice."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        if stat.rpartition(")")[2].split()[0] in "ZX":
            return True
        time.sleep(0.02)
    return False


def test_nodes_share_the_memory(fake_vng):
    fake_vng('echo "$@" >>stdout; : >started; ' + FINISH)
    words = run_guest(memory="1G", nodes=3)[1].decode().split()
    assert [word for word in words if "numa" in word] == [
        "--numa=342M,cpus=0-1",
        "--numa=341M",
        "--numa=341M",
    ]
    assert b"numa" not in run_guest()[1]


def test_the_hosts_files_once_more_where_they_are_to_be_kept(fake_vng):
    fake_vng('echo "$@" >>stdout; grep cached settings >>stdout; : >started; ' + FINISH)
    said = run_guest(cached=True)[1].decode()
    assert "mount_tag=lab.cached" in said and "cached=lab.cached" in said
    said = run_guest()[1].decode()
    assert "mount_tag" not in said and "cached=''" in said


def test_the_command_keeps_its_words(fake_vng):
    fake_vng("cp command ../command; cat command >>stdout; : >started; " + FINISH)
    assert run_guest()[1] == b"exec 'a command' 'it'\"'\"'s'\n"


def test_what_was_done_to_the_output_directory_is_done(fake_vng, tmp_path):
    out = tmp_path / "o ut"
    (out / "dir").mkdir(parents=True)
    for name in ("gone", "changed", "stays", "dir/file"):
        (out / name).write_text("old")
    fake_vng(
        r"mkdir out; printf new >out/changed; printf x >out/$(printf '\303\251'); "
        r"ln -s stays out/link; printf './gone\0./dir\0' >removed; " + FINISH
    )
    assert run_guest(out=out)[0] == 7
    assert sorted(path.name for path in out.iterdir()) == ["changed", "link", "stays", "é"]
    assert (out / "changed").read_text() == "new"
    assert (out / "link").readlink() == Path("stays")


def test_the_time_limit_is_told(fake_vng, capfd):
    fake_vng(": >timed-out; " + FINISH)
    assert run_guest(timeout_s=5)[0] == 124
    assert "ended after 5 s" in capfd.readouterr().err


def test_lack_of_memory_is_told(fake_vng, capfd):
    fake_vng("echo 'Out of memory: Killed process 9 (app)' >&2; " + FINISH)
    assert run_guest()[0] == 7
    assert "Killed process 9 (app)" in capfd.readouterr().err


def test_a_guest_that_dies_says_why(fake_vng, tmp_path):
    fake_vng(": >started; seq 100 >&2; echo 'Kernel panic - not syncing: no' >&2; echo more >&2")
    with pytest.raises(common.LabError, match="died while the command ran") as error:
        run_guest()
    assert str(error.value).splitlines()[1:] == ["  | Kernel panic - not syncing: no", "  | more"]
    assert not list(tmp_path.glob("perf-damon-guest-*"))


def test_a_guest_that_does_not_boot_says_its_last_lines(fake_vng):
    fake_vng("seq 100; exit 1")
    with pytest.raises(common.LabError, match="did not boot") as error:
        run_guest()
    assert str(error.value).splitlines()[-1] == "  | 100"


def test_a_guest_that_hangs_is_ended(fake_vng, tmp_path, monkeypatch):
    monkeypatch.setattr(vm, "GRACE_S", 0)
    fake_vng("trap '' TERM; echo $$ >../pid; : >started; while :; do sleep 1; done")
    with pytest.raises(common.LabError, match="stopped answering"):
        run_guest(timeout_s=0)
    pid = int((tmp_path / "pid").read_text())
    assert gone(pid)


AT_ONCE = """
import os, time
start = vm.subprocess.Popen
def popen(*words, **options):
    process = start(*words, **options)
    while not (vm.VENV / "pid").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), {number})
    return process
vm.subprocess.Popen = popen
"""
"""The signal comes when virtme-ng runs already, and nobody knows of it yet."""


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_guest(tmp_path, number, at_once):
    """The real command, with a virtme-ng that never gets anywhere."""
    script = f"""
import sys
sys.path.insert(0, {str(LAB.parent)!r})
from pathlib import Path
from lab import cli, kernels, vm
cli.setup = cli.build = cli.compile_python = lambda: None
kernels.image = lambda name: Path("/nonexistent")
vm.VENV = Path({str(tmp_path)!r})
{AT_ONCE.format(number=int(number)) if at_once else ""}
sys.exit(cli.guest(["--kernel", "debian", "--", "true"]))
"""
    (tmp_path / "bin").mkdir()
    vng = tmp_path / "bin" / "vng"
    vng.write_text(
        f"#!/bin/sh\necho $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid\nsleep 600\n"
    )
    vng.chmod(0o755)
    program = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    try:
        while not at_once and not (tmp_path / "pid").exists():
            assert program.poll() is None
            time.sleep(0.05)
        if not at_once:
            program.send_signal(number)
        assert program.wait(timeout=30) == 128 + number
    finally:
        program.kill()
        program.wait()
    assert gone(int((tmp_path / "pid").read_text()))
    assert not list(tmp_path.glob("perf-damon-guest-*"))


def test_modules_are_those_wanted_and_what_they_need():
    files = {
        "kernel/fs/9p/9p.ko.xz": ["kernel/fs/netfs/netfs.ko.xz", "kernel/net/9p/9pnet.ko.xz"],
        "kernel/net/9p/9pnet.ko.xz": ["kernel/fs/netfs/netfs.ko.xz"],
        "kernel/fs/netfs/netfs.ko.xz": [],
        "kernel/drivers/virtio/virtio-mmio.ko": [],
        "kernel/sound/soundcore.ko.xz": [],
    }
    assert kernels._closure(files) == [
        "kernel/drivers/virtio/virtio-mmio.ko",
        "kernel/fs/9p/9p.ko.xz",
        "kernel/fs/netfs/netfs.ko.xz",
        "kernel/net/9p/9pnet.ko.xz",
    ]


def test_the_mirror_is_the_machines_own(tmp_path, monkeypatch):
    apt = tmp_path / "apt-get"
    listing = "\n\n".join(
        f"Created-By: Packages\nRelease: {suite}\nComponent: {component}\n"
        f"Repo-URI: {uri}\nSigned-By: {signed_by}"
        for suite, component, uri, signed_by in (
            ("bookworm-security", "main", "file:/security", "/keys/a"),
            ("nodistro", "extra", "file:/other", "/keys/b"),
            ("bookworm", "main", "file:/archive", "/keys/c,/keys/d"),
        )
    )
    apt.write_text(f"#!/bin/sh\ncat <<'E'\n{listing}\nE\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert debian.mirror() == ("file:/archive", ["/keys/c", "/keys/d"])


def test_a_machine_without_a_debian_mirror_is_told_so(tmp_path, monkeypatch):
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(common.LabError, match="no Debian archive configured"):
        debian.mirror()


def test_the_cache_is_where_xdg_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert common.cache_dir() == tmp_path / "cache" / "perf-damon"
    assert common.cache_dir().is_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert common.cache_dir() == tmp_path / ".cache" / "perf-damon"
