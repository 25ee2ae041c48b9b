# SPDX-License-Identifier: GPL-2.0
"""A guest: boots a kernel on the host's root file system, runs one command, follows its output.

virtme-ng boots it, under emulation. The guest's own channels for output and exit status are not
reliable, so the command writes to files in a directory that both sides share (guest-init does that
part), and those files are followed here while they grow.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lab.common import CHECKOUT, VENV, LabError, signals_wait

STATUS_TIMEOUT = 124
"""Exit status when the time limit ended the command, as timeout(1) has it."""
STATUS_GUEST = 125
"""Exit status when the guest itself failed."""

CACHED_TAG = "lab.cached"
BOOT_LIMIT_S = 300
"""A guest boots in 20 to 40 s; several at once on a busy machine take longer."""
GRACE_S = 60
"""What a guest gets beyond the command's time limit, to bring back what was written."""
INSTRUCTION_CLOCK_SLOWDOWN = 8
"""The instruction clock runs slower than real time, up to so many times."""
POLL_S = 0.05
CONSOLE_LINES = 30
DEATHS = re.compile(r"Kernel panic|BUG: |Oops: |rcu: INFO: .*stall|soft lockup")
"""What the kernel's first line of a disaster looks like."""


@dataclass(frozen=True)
class Guest:
    """What to boot and how."""

    image: Path
    cpus: int = 2
    memory: str = "2G"
    nodes: int = 1
    """NUMA nodes, each with its share of the memory; all CPUs are of the first."""
    instruction_clock: bool = False
    cached: bool = False
    """The guest keeps what it has read of the host's files in its own memory: programs start many
    times faster, but its memory has a page cache that tests of reclaim would see."""
    root: Path | None = None
    """The root file system that the command has, in the place of the host's; see lab/roots.py."""
    timeout_s: int = 600
    """How long the command may run, on the guest's clock."""
    out: Path | None = None
    """A directory that is writable in the guest; what is written there comes back."""


def run(guest: Guest, command: list[str], stdout: BinaryIO, stderr: BinaryIO) -> int:
    """Run a command in a guest; returns its exit status.

    What it writes to stdout and stderr is passed on as it comes. Raises LabError when the guest
    cannot be started. Whatever ends this function (a signal that raises, a reader that is gone)
    also ends the guest.
    """
    with tempfile.TemporaryDirectory(prefix="perf-damon-guest-") as name:
        share = Path(name)
        _write_share(share, guest, command)
        process = None
        try:
            with signals_wait():
                process = _boot(share, guest)
            status = _follow(share, guest, process, stdout, stderr)
        finally:
            if process:
                _end(process)
        if guest.out and (share / "out").is_dir():
            _bring_back(share, guest.out)
        return status


def _write_share(share: Path, guest: Guest, command: list[str]) -> None:
    """Put into the shared directory what guest-init reads."""
    settings = {
        "checkout": str(CHECKOUT),
        "cwd": str(Path.cwd()),
        "out": str(guest.out) if guest.out else "",
        "limit": str(guest.timeout_s),
        "cached": CACHED_TAG if guest.cached or guest.root else "",
        "cache_usr": "yes" if guest.cached else "",
        "root": str(guest.root) if guest.root else "",
    }
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        size = shutil.get_terminal_size()
        settings |= {"columns": str(size.columns), "lines": str(size.lines)}
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in settings.items()]
    (share / "settings").write_text("".join(lines))
    (share / "command").write_text(f"exec {shlex.join(command)}\n")
    for name in ("stdout", "stderr"):
        (share / name).touch()


def _bring_back(share: Path, out: Path) -> None:
    """Do to the output directory what was done to it in the guest."""
    for name in (share / "removed").read_bytes().split(b"\0")[:-1]:
        path = out / os.fsdecode(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    copy = ["cp", "-R", "--preserve=mode,timestamps,links", "--sparse=always"]
    if subprocess.run([*copy, f"{share}/out/.", f"{out}/"]).returncode:
        raise LabError(f"not all of {out} could be brought back")


def _vng_command(share: Path, guest: Guest) -> list[str]:
    init = shlex.join(["sh", str(CHECKOUT / "lab" / "guest-init"), str(share)])
    words = [
        str(VENV / "bin" / "vng"),
        "--verbose",  # without it there is no console, and so no panic message, to show
        "--force-9p",
        # Where /dev/kvm is there, it may still not run a plain kernel.
        "--disable-kvm",
        "--user=root",
        f"--run={guest.image}",
        # The emulated CPU sets a page's accessed bit only on a miss of its TLB. Page-table
        # isolation flushes that at every kernel entry, as a busy real machine does often enough.
        "--append=pti=on",
        "--append=loglevel=5",
        # The host may be too busy for the kernel to see its timer tick when it looks for that.
        "--append=no_timer_check",
        # Directories that a command line names are left to guest-init: virtme-ng passes no spaces.
        "--cwd=/",
        f"--rwdir={share}",
        f"--cpus={guest.cpus}",
        f"--memory={guest.memory}",
        *_nodes(guest),
    ]
    return [*words, f"--qemu-opts={' '.join(_qemu_options(guest))}", "--", f"exec {init}"]


def _qemu_options(guest: Guest) -> list[str]:
    """What vng has no options for."""
    if guest.instruction_clock:
        options = ["-icount shift=1,sleep=off"]
    else:
        # All virtual CPUs in turns on one thread. With a thread each, one may still run code that
        # another has patched (a tracepoint's, when perf begins): the guest dies, once in a while.
        options = ["-accel tcg,thread=single"]
    if guest.cached or guest.root:
        # virtme-ng mounts the host's root without a cache: each open(), read() and stat() is a
        # question to the host. This is the same directory once more, for guest-init to mount.
        options += [
            "-fsdev local,id=cached,path=/,readonly=on,security_model=none,multidevs=remap",
            f"-device virtio-9p-pci,fsdev=cached,mount_tag={CACHED_TAG}",
        ]
    return options


def _nodes(guest: Guest) -> list[str]:
    """virtme-ng's words for the NUMA nodes; none for a machine without."""
    if guest.nodes == 1:
        return []
    size = int(guest.memory[:-1]) * (1024 if guest.memory.endswith("G") else 1)
    each = size // guest.nodes
    first = f"--numa={size - each * (guest.nodes - 1)}M,cpus=0-{guest.cpus - 1}"
    return [first, *[f"--numa={each}M"] * (guest.nodes - 1)]


def _boot(share: Path, guest: Guest) -> subprocess.Popen[bytes]:
    path = f"{VENV / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    with (share / "console").open("wb") as console:
        return subprocess.Popen(
            _vng_command(share, guest),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            # What virtme-ng leaves in the temporary directory goes with the share.
            env={**os.environ, "PATH": path, "TMPDIR": str(share)},
            # A process group of its own: signals reach all of the guest, and a Ctrl-C at the
            # terminal reaches only us.
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a guest, at once: nothing of it is worth a farewell. Returns when all of it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while _members(process.pid):
        time.sleep(POLL_S / 5)


def _members(group: int) -> list[int]:
    """The processes of a group, without those that only wait for their parent to take notice."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        # After the name, which may hold anything: state, parent, group.
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def _follow(
    share: Path,
    guest: Guest,
    process: subprocess.Popen[bytes],
    stdout: BinaryIO,
    stderr: BinaryIO,
) -> int:
    """Pass on the output until the command's status is there, or the guest is gone."""
    limit = guest.timeout_s * (INSTRUCTION_CLOCK_SLOWDOWN if guest.instruction_clock else 1)
    deadline = time.monotonic() + BOOT_LIMIT_S
    started = False
    with (share / "stdout").open("rb") as out, (share / "stderr").open("rb") as err:
        while True:
            # Looked at before the output is read: what was written before it ended is then read.
            finished = (share / "finished").exists()
            alive = process.poll() is None
            _pass_on(out, stdout)
            _pass_on(err, stderr)
            if finished:
                break
            if not started and (share / "started").exists():
                started = True
                deadline = time.monotonic() + limit + GRACE_S
            if not alive:
                reason = "died while the command ran" if started else "did not boot"
                raise LabError(f"the guest {reason}.{_last_words(share)}")
            if time.monotonic() > deadline:
                reason = "stopped answering" if started else f"did not boot in {BOOT_LIMIT_S} s"
                raise LabError(f"the guest {reason} and was ended.{_last_words(share)}")
            time.sleep(POLL_S)
    status = int((share / "status").read_text())
    if (share / "timed-out").exists():
        print(f"lab/guest: the command was ended after {guest.timeout_s} s", file=sys.stderr)
        return STATUS_TIMEOUT
    for line in _kernel_kills(share):
        print(f"lab/guest: {line}", file=sys.stderr)
    return status


def _pass_on(source: BinaryIO, sink: BinaryIO) -> None:
    if data := source.read():
        sink.write(data)
        sink.flush()


def _console(share: Path) -> Iterator[str]:
    text = (share / "console").read_bytes().decode(errors="replace")
    for line in text.splitlines():
        if line.strip() and line.isprintable():
            yield line.rstrip()


def _last_words(share: Path) -> str:
    """Why a guest died, as far as its console tells: from the kernel's panic on, or the end."""
    lines = list(_console(share))
    if not lines:
        return " It said nothing on its console."
    for number, line in enumerate(lines):
        if DEATHS.search(line):
            return " Its console:\n" + _quote(lines[number : number + CONSOLE_LINES])
    return " The end of its console:\n" + _quote(lines[-CONSOLE_LINES:])


def _quote(lines: list[str]) -> str:
    return "\n".join(f"  | {line}" for line in lines)


def _kernel_kills(share: Path) -> list[str]:
    """What the guest's kernel killed for lack of memory."""
    return [line for line in _console(share) if "Out of memory: Killed process" in line]
