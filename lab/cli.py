# SPDX-License-Identifier: GPL-2.0
"""The command lines of the lab: guest, kernel, package, patches, perf."""

from __future__ import annotations

import argparse
import functools
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from lab import (
    debian,
    kbuild,
    kcheck,
    kdeb,
    kernels,
    oops,
    patches,
    perfbuild,
    roots,
    testkernels,
    vm,
)
from lab.common import LabError, cache_dir, compile_python, locked, progress, setup
from lab.workloads.build import build

GUEST_EPILOG = """\
COMMAND is run as given, without a shell; for one, write: -- sh -c '…'. It runs as root, in the
current directory, without standard input, with perf damon and the workload program of this
checkout on PATH. The guest sees the host's files; what it writes goes to its memory and is lost,
except in DIR.

exit status: the command's own; 124 when the time limit ended it, 125 when the guest failed.

examples:
  lab/guest --kernel debian -- uname -r
  lab/guest --kernel debian --out /tmp/out -- perf damon record -o /tmp/out/perf.data -- sleep 5
"""


def _time_limit(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d*)(s|m|h)?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90, 90s, 10m or 1h")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[match[2]]


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[MG]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no memory size: write 512M or 2G")
    return text


def _cpus(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,2}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of CPUs")
    return int(text)


def _nodes(text: str) -> int:
    if not re.fullmatch(r"[1-8]", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of nodes: write 1 to 8")
    return int(text)


Command = Callable[[list[str]], int]
"""Arguments in, exit status out."""


class _Ended(BaseException):
    """A signal asks to end."""


def _on_signal(number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second one must not interrupt the cleaning up.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise _Ended(number)


def _ends_with_signals(command: Command) -> Command:
    """Signals that ask to end raise _Ended in a command: what it started then ends with it."""

    @functools.wraps(command)
    def run(arguments: list[str]) -> int:
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, _on_signal)
            return command(arguments)
        except _Ended as ended:
            return 128 + ended.args[0]

    return run


@_ends_with_signals
def guest(arguments: list[str]) -> int:
    """lab/guest: run a command in a guest."""
    names = ", ".join(kernels.KERNELS)
    parser = argparse.ArgumentParser(
        prog="lab/guest",
        usage="%(prog)s --kernel NAME [options] -- COMMAND…",
        description="Run a command on another kernel, in a guest under emulation.",
        epilog=GUEST_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--kernel", required=True, metavar="NAME", help=f"the kernel to boot: {names}")
    add("--cpus", type=_cpus, metavar="N", help="virtual CPUs (default: 2)")
    add("--memory", type=_memory, default="2G", metavar="SIZE", help="512M, 2G (default: 2G)")
    add("--nodes", type=_nodes, default=1, metavar="N",
        help="NUMA nodes, which share the memory; the first has the CPUs (default: 1)")  # fmt: skip
    add("--out", metavar="DIR", help="bring back what the command writes to DIR")
    add("--timeout", type=_time_limit, default=600, metavar="T",
        help="end the command after T: 90s, 5m (default: 10m)")  # fmt: skip
    add("--cached", action="store_true",
        help="keep the host's files in the guest's memory: programs start faster")  # fmt: skip
    add("--root", metavar="NAME",
        help="run it with the programs, perf and Python of another distribution, in the place of "
        f"the host's: {', '.join(roots.ROOTS)}")  # fmt: skip
    add("--instruction-clock", action="store_true",
        help="the clock counts instructions (2 ns each): exact costs, one CPU, slow")  # fmt: skip
    add("command", nargs="+", metavar="COMMAND", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.instruction_clock and options.cpus not in (None, 1):
        parser.error("--instruction-clock works on one CPU only")

    try:
        setup()
        build()
        compile_python()
        out = None
        if options.out is not None:
            out = Path(options.out).absolute()
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise LabError(f"--out {options.out}: {error.strerror}") from None
        root = roots.root(options.root) if options.root is not None else None
        machine = vm.Guest(
            root=root,
            image=kernels.image(options.kernel),
            cpus=1 if options.instruction_clock else options.cpus or 2,
            memory=options.memory,
            nodes=options.nodes,
            instruction_clock=options.instruction_clock,
            cached=options.cached,
            timeout_s=options.timeout,
            out=out,
        )
        if sys.stderr.isatty():
            progress(f"booting {options.kernel} (20 to 40 s)")
        return vm.run(machine, options.command, sys.stdout.buffer, sys.stderr.buffer)
    except LabError as error:
        print(f"lab/guest: {error}", file=sys.stderr)
        return vm.STATUS_GUEST


@_ends_with_signals
def kernel(arguments: list[str]) -> int:
    """lab/kernel: print the path of a kernel's image, and what else its source is good for."""
    parser = argparse.ArgumentParser(
        prog="lab/kernel",
        description="Print the path of a kernel's image, fetched or built where needed. Those "
        "built from source are brought up to date with it each time, in build/kernels.",
        epilog="kernels:\n"
        + "".join(f"  {each.name:12}{each.about}\n" for each in kernels.KERNELS.values())
        + "\nKERNEL_SRC=TREE or KERNEL_SRC=TARBALL in the environment: a source of your own, in\n"
        "the place of Debian's. It stays as it is.\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the kernel's name, from the list below")
    parser.add_argument("--update", action="store_true", help="fetch the newest of this name")
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--tree", action="store_true", help="print the source tree's path instead, without a build"
    )
    other.add_argument(
        "--check",
        action="store_true",
        help="look over our kernel code instead: compiler, sparse, kernel-doc, checkpatch",
    )
    other.add_argument(
        "--kunit", action="store_true", help="run our KUnit tests instead, in user-mode Linux"
    )
    other.add_argument(
        "--lines",
        metavar="FILE",
        type=argparse.FileType(errors="replace"),
        help="print this kernel's messages, as they are in FILE (-: standard input), with a line "
        "of the source behind each address; of the kernel that was built last",
    )
    other.add_argument(
        "--deb",
        choices=kdeb.RECIPES,
        metavar="CONFIGURATION",
        help="build it as Debian packages instead, and print their paths; of the configuration "
        + "; ".join(f"{name}: {each.about}" for name, each in kdeb.RECIPES.items()),
    )
    options = parser.parse_args(arguments)
    if options.deb and options.name != "ours":
        parser.error("--deb is for the kernel ours")
    if (options.check or options.kunit) and options.name != "ours":
        parser.error("--check and --kunit are for the kernel ours")
    if (options.tree or options.lines) and options.name not in kbuild.RECIPES:
        option = "--tree" if options.tree else "--lines"
        parser.error(f"{option} is for kernels built from source: {', '.join(kbuild.RECIPES)}")
    if options.check:
        found = kcheck.check()
        print("".join(f"{line}\n" for line in found), end="")
        return 1 if found else 0
    if options.kunit:
        return kbuild.kunit()
    if options.deb:
        for path in kdeb.build(options.deb, update=options.update):
            print(path)
        return 0
    if options.lines:
        recipe = kbuild.RECIPES[options.name]
        with options.lines as file:
            print(oops.decode(file.read(), recipe.objects, recipe.tree), end="")
        return 0
    if options.tree:
        print(kbuild.tree(options.name, update=options.update))
    else:
        print(kernels.image(options.name, update=options.update))
    return 0


@_ends_with_signals
def perf(arguments: list[str]) -> int:
    """lab/perf: print the prefix that a perf is installed to."""
    parser = argparse.ArgumentParser(
        prog="lab/perf",
        description="Print the path of the prefix that a perf is installed to, whose bin/perf "
        "is the program. It is built from a kernel's source and brought up to date with it each "
        "time, in build/perf/NAME: prefix, python (perf's Python module) and build.log.",
        epilog="perfs:\n"
        + "".join(f"  {each.name:12}{each.about}\n" for each in perfbuild.RECIPES.values())
        + "\nKERNEL_SRC=TREE or KERNEL_SRC=TARBALL in the environment: as for lab/kernel.\n\n"
        "examples:\n"
        '  "$(lab/perf ours)/bin/perf" damon report -i tests/data/stairs.perf.data\n'
        '  PYTHONPATH="$(lab/perf ours --module)" /usr/bin/python3 -c "import perf"\n',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the perf's name, from the list below")
    parser.add_argument("--update", action="store_true", help="fetch the newest source")
    parser.add_argument(
        "--module",
        action="store_true",
        help="print the folder of its Python module, perf.*.so, instead: for PYTHONPATH",
    )
    options = parser.parse_args(arguments)
    get = perfbuild.module if options.module else perfbuild.prefix
    print(get(options.name, update=options.update))
    return 0


@_ends_with_signals
def test_kernels(arguments: list[str]) -> int:
    """lab/test-kernels: perf damon's tests on many kernels and with many perfs, as a table."""
    parser = argparse.ArgumentParser(
        prog="lab/test-kernels",
        description="Run perf damon's guest tests (those marked feature) on the kernels and with "
        "the perfs that people run, one guest after the other, some 10 minutes each. Prints a "
        "table of all results that there are, and writes it to build/test-kernels/kernels.md.",
        epilog=f"columns: {', '.join(testkernels.COLUMNS)}",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="columns to measure (default: all)")
    add("--table", action="store_true", help="measure nothing: the table of what there is")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in testkernels.COLUMNS:
            parser.error(f"no column is named {name!r}")
    names = options.names or list(testkernels.COLUMNS)
    return testkernels.run(names, again=not options.table)


def patches_command(arguments: list[str]) -> int:
    """lab/patches: write this repository's code as a series of patches."""
    parser = argparse.ArgumentParser(
        prog="lab/patches",
        description="Write this repository's code for the kernel's tree, DAMON and perf damon, as "
        "a series of patches for mail, each with one idea, to build/patches. kernel/patches/series "
        "says which file goes where.",
        epilog="KERNEL_SRC=TREE in the environment: for a source of your own, in the place of "
        "Debian's Linux 6.12.",
    )
    parser.add_argument(
        "--apply",
        metavar="TREE",
        type=Path,
        help="commit them to a git tree of Linux 6.12 instead: all of them, or nothing",
    )
    parser.add_argument(
        "--verify", action="store_true", help="apply them with git am, and compare with ours"
    )
    options = parser.parse_args(arguments)
    if options.apply:
        print("".join(f"{line}\n" for line in patches.apply(options.apply.absolute())), end="")
        return 0
    for path in patches.write(verify=options.verify):
        print(path)
    return 0


def package(arguments: list[str]) -> int:
    """lab/package: print the root directory of unpacked Debian packages."""
    parser = argparse.ArgumentParser(
        prog="lab/package",
        description="Unpack Debian packages, and what they need beyond what is installed, into the "
        "cache; print the root directory. Nothing gets installed, no service started.",
        epilog="example: root=$(lab/package redis-server); "
        "LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu $root/usr/bin/redis-server",
    )
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="a package of this machine's suite"
    )
    names = parser.parse_args(arguments).names
    with locked(cache_dir() / ".packages.lock"):
        print(debian.fetch_with_dependencies(names))
    return 0
