# SPDX-License-Identifier: GPL-2.0
"""`perf damon`: finds the command, runs it, and turns how it ended into perf's exit codes.

Only the module of the command that runs is imported: -h and status must answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from perf_damon import manual, signals
from perf_damon.errors import EXIT_ERROR, EXIT_OK, EXIT_USAGE, Error
from perf_damon.options import Parser, split_command
from perf_damon.terminal import abandon_output, complete_streams, flush, say, show

COMMANDS = {
    "start": "start monitoring the memory accesses of processes, or of all physical memory",
    "stop": "stop what perf damon start started",
    "tune": "change what perf damon start started, while it runs",
    "schemes": "show what schemes are installed, and what they did",
    "status": "show what is monitored, for whom, with which attributes",
    "record": "monitor and record into perf.data, in one",
    "report": "show a recording: summary, heatmap, hottest memory",
    "darc": "reclaim idle memory before a zone runs short: show, set, enable, disable",
    "advise": "propose schemes that a recording speaks for",
    "version": "show what runs here, with which perf, Python and kernel",
}
MODULES = {"version": "about"}
"""Of the commands that are not named as their modules are: perf_damon.version is another one."""
EXIT_BROKEN_PIPE = 141


def run() -> None:
    """The entry point of perf-damon: ends the process."""
    complete_streams()
    from perf_damon import jobcontrol

    sys.exit(jobcontrol.supervise(lambda: main(sys.argv[1:])))


def main(argv: Sequence[str]) -> int:
    """Run one command line; returns the exit status and raises nothing."""
    signals.catch_all()
    try:
        code = _dispatch(list(argv))
        flush()
    except Error as error:
        say(f"Error: {error.message}")
        if error.hint:
            say(f"  {error.hint}")
        code = error.exit_code
    except signals.Signalled as signalled:
        code = signalled.exit_code
    except BrokenPipeError:
        code = EXIT_BROKEN_PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"Error: {where}{error.strerror or error}")
        code = EXIT_ERROR
    except MemoryError:
        say("Error: out of memory")
        code = EXIT_ERROR
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else EXIT_ERROR
    try:
        flush()
    except (Error, BrokenPipeError):
        # That is why it ended, or it has ended for another reason already.
        abandon_output()
    return code


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        if argv and argv[0] == "--help":
            manual.open_manual()
        _usage()
        return EXIT_USAGE
    name = argv[0]
    if name == "--list-cmds":
        show(" ".join(COMMANDS))
        return EXIT_OK
    if name == "--list-opts":
        show("--version")
        return EXIT_OK
    if name == "--version":
        from perf_damon.version import __version__

        show(f"perf damon version {__version__}")
        _tell_others()
        return EXIT_OK
    if name not in COMMANDS:
        what = "option" if name.startswith("-") else "command"
        say(f" Error: unknown {what} `{name}'\n")
        _usage()
        return EXIT_USAGE
    module = import_module(f"perf_damon.commands.{MODULES.get(name, name)}")
    parser = Parser(f"perf damon {name}", module.USAGE, module.DESCRIPTION, module.EPILOG)
    module.configure(parser)
    words, command = split_command(argv[1:])
    args = parser.parse_args(words)
    args.command = command
    if command is not None and not getattr(module, "TAKES_COMMAND", False):
        parser.error(f"{name} takes no command after --")
    return module.run(args)


def _tell_others() -> None:
    """Say which perf-damon runs where perf, or a shell, could run another."""
    from perf_damon.perfs import others

    if found := others(sys.argv[0]):
        say(f"this is {sys.argv[0]}; there is also {', '.join(found)}")


def _usage() -> None:
    say("\n usage: perf damon [--version] COMMAND [ARGS]\n")
    for name, summary in COMMANDS.items():
        say(f"    {name:<8} {summary}")
    say("\n See 'perf damon COMMAND -h' for a command, 'perf damon --help' for the manual.\n")
