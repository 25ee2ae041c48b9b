# SPDX-License-Identifier: GPL-2.0
"""--scheme and --schemes: what start and tune read schemes from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from perf_damon.control.nodes import Scheme
from perf_damon.errors import UsageError
from perf_damon.options import Parser
from perf_damon.parameters import Attributes
from perf_damon.schemes.text import parse_file, parse_scheme

EXAMPLES = Path(__file__).parents[1] / "schemes/examples"
_SUFFIX = ".schemes"


def add_options(parser: Parser) -> argparse._ArgumentGroup:
    """The options, and their group; their order on the command line is that of the schemes."""
    what = parser.add_argument_group("what to do with the memory (the manual has all of it)")
    what.add_argument(
        "--scheme",
        dest="schemes",
        action="append",
        type=lambda text: ("--scheme", text),
        metavar="SCHEME",
        help="a scheme, as in 'action=pageout size=4K-max accesses=0%%-0%% age=5s-max "
        "quota=100M/1s'; may be given several times",
    )
    what.add_argument(
        "--schemes",
        dest="schemes",
        action="append",
        type=lambda text: ("--schemes", text),
        metavar="FILE",
        help="schemes from a file, one a line, or damo's JSON (- is standard input); or one of the "
        f"examples: {', '.join(examples())}",
    )
    parser.offer("--schemes", examples)
    return what


def read(given: Sequence[tuple[str, str]] | None, attributes: Attributes) -> list[Scheme] | None:
    """The schemes of the options, for these attributes; None where there is no such option.

    Raises UsageError for the first line that is wrong, OSError for a file that cannot be read.
    """
    if given is None:
        return None
    schemes = []
    for option, text in given:
        if option == "--scheme":
            schemes.append(parse_scheme(text, attributes, option))
        else:
            schemes += parse_file(_read_file(text), text if text != "-" else "stdin", attributes)
    return schemes


def examples() -> list[str]:
    """The names of the schemes that are installed with the package."""
    return sorted(path.stem for path in EXAMPLES.glob(f"*{_SUFFIX}"))


def _read_file(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    path = Path(name)
    # A file of that name comes first: it is what shells complete.
    if not path.exists() and name in examples():
        path = EXAMPLES / f"{name}{_SUFFIX}"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {name}", f"nor is it one of the examples: {', '.join(examples())}"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{name} is no text file") from None
