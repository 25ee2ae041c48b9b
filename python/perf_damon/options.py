# SPDX-License-Identifier: GPL-2.0
"""Command lines in perf's manner: usage on stderr, 129 for usage and -h, --list-opts.

What completion asks for is hidden: --list-opts, --list-cmds for the words that a command takes, and
--list-values=OPTION.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from perf_damon.errors import EXIT_OK, EXIT_USAGE, UsageError
from perf_damon.terminal import say, show

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """argparse that speaks as perf does.

    Raises SystemExit only: 129 for an error or -h (both print on stderr), 0 for --list-opts.
    """

    def __init__(self, prog: str, usage: str, description: str = "", epilog: str = "") -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description or None,
            epilog=epilog or None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
        )
        self.add_argument("-h", action=_Help, help="show this help")
        self.add_argument("--help", action=_Manual, help="show the manual")
        self.add_argument("--list-opts", action=_ListOptions, help=argparse.SUPPRESS)
        self.add_argument("--list-cmds", action=_ListWords, help=argparse.SUPPRESS)
        self.add_argument("--list-values", action=_ListValues, help=argparse.SUPPRESS)
        self._offered: dict[str, Callable[[], Iterable[str]]] = {}

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, then the usage, and end with perf's code for it."""
        say(f" Error: {message}\n")
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"\n    {self.prog} -h tells more\n")

    def long_options(self) -> list[str]:
        """All long options that are not hidden."""
        return [
            option
            for action in self._actions
            if action.help is not argparse.SUPPRESS
            for option in action.option_strings
            if option.startswith("--")
        ]

    def offer(self, option: str, values: Callable[[], Iterable[str]]) -> None:
        """Have completion offer values for an option that takes others, too."""
        self._offered[option] = values

    def values(self, option: str) -> list[str]:
        """Values that an option takes, as far as they can be named."""
        if option in self._offered:
            return list(self._offered[option]())
        action = self._option_string_actions.get(option)
        return [] if action is None else [str(value) for value in action.choices or ()]

    def choices(self) -> list[str]:
        """The words that the command takes, as a report's views."""
        return [
            str(word)
            for action in self._actions
            if not action.option_strings
            for word in action.choices or ()
        ]


class _Help(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        parser.print_help(sys.stderr)
        parser.exit(EXIT_USAGE)


class _Manual(_Help):
    def __call__(self, parser: argparse.ArgumentParser, *words: Any) -> NoReturn:
        from perf_damon.manual import open_manual

        open_manual()
        super().__call__(parser, *words)


class _ListOptions(argparse.Action):
    """What perf's bash completion asks each command for."""

    def __init__(self, option_strings: list[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        assert isinstance(parser, Parser)
        show(" ".join(parser.long_options()))
        parser.exit(EXIT_OK)


class _ListWords(_ListOptions):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        assert isinstance(parser, Parser)
        show(" ".join(parser.choices()))
        parser.exit(EXIT_OK)


class _ListValues(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *words: Any) -> NoReturn:
        assert isinstance(parser, Parser)
        show(" ".join(parser.values(words[1])))
        parser.exit(EXIT_OK)


def split_command(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Arguments before `--`, and the command behind it (None where there is no `--`)."""
    words = list(argv)
    if "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], words[at + 1 :]


def argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A `type=` for add_argument from a function that raises UsageError."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except UsageError as error:
            hint = f" ({error.hint})" if error.hint else ""
            raise argparse.ArgumentTypeError(error.message + hint) from None

    return convert
