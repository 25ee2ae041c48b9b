# SPDX-License-Identifier: GPL-2.0
"""Heatmap of DAMON's monitoring results, under perf script.

    perf script -s damon_heatmap.py -i perf.data -- --width 120
    perf script record damon-heatmap -p $(pgrep kdamond) -- sleep 10
    perf script report damon-heatmap

It collects the events and lets the perf_damon package draw them, as `perf damon report heatmap`
does from the same file (faster, because it needs no call per event, and with mappings' names). It
takes from the file's header whose memory it is, and with which attributes it was monitored.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from perf_damon.parameters import Parameters

USAGE = 129
FAILED = 255
BROKEN_PIPE = 141
FIELDS = 6  # time, start, end, nr_accesses, age, nr_regions

events: dict[tuple[int, int], array] = {}
"""FIELDS numbers an event, by (kdamond's thread id, target id)."""
without_age = False
options = argparse.Namespace()


def leave(code: int, message: str = "") -> NoReturn:
    """End perf: an exception that reaches perf would abort it, with a core dump."""
    if message:
        # It may hold words of others, and the package that makes these harmless may be missing.
        text = "".join(c if c.isprintable() or c == "\n" else "?" for c in message)
        print(f"damon_heatmap: {text}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(code)


def guarded(handler: Callable[..., None], *arguments: Any) -> None:
    """Run a handler; whatever goes wrong ends in words."""
    try:
        handler(*arguments)
    except SystemExit as leaving:
        leave(leaving.code if isinstance(leaving.code, int) else FAILED)
    except BrokenPipeError:
        leave(BROKEN_PIPE)
    except KeyboardInterrupt:
        leave(130)
    except BaseException as error:
        hint = getattr(error, "hint", "")
        leave(FAILED, f"{error or type(error).__name__}" + (f"\n  {hint}" if hint else ""))


def find_package() -> None:
    """Put perf_damon on the path: that of perf's tree or exec path, ours, or an installed one."""
    # perf's Python knows no __file__.
    here = Path(find_package.__code__.co_filename).resolve().parent
    places = [here / "../../python", here / "../../../../python"]
    # <prefix>/libexec/perf-core/scripts/python, <prefix>/share/perf-core/scripts/python, …
    by_pip = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    places += [above / lib for above in here.parents for lib in ("lib/perf-damon", by_pip)]
    for place in places:
        if (place / "perf_damon").is_dir():
            sys.path.insert(0, str(place.resolve()))
            return


def begin() -> None:
    """Read the arguments, and see that all is there, before the events come."""
    parser = argparse.ArgumentParser(
        prog="damon_heatmap.py", description=__doc__.split("\n")[0], add_help=False
    )
    parser.error = lambda message: leave(USAGE, f"{message}\n{parser.format_usage()}")
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    parser.add_argument("--width", type=int, help="columns to draw on")
    parser.add_argument("--height", type=int, help="lines of the heatmap")
    parser.add_argument("--cell", choices=("hottest", "mean"), default="hottest")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto")
    parser.parse_args(sys.argv[1:], options)
    if options.help:
        parser.print_help(sys.stderr)
        leave(USAGE)
    for name, value, least in (("--width", options.width, 20), ("--height", options.height, 1)):
        if value is not None and not least <= value <= 4000:
            parser.error(f"{name} {value} cannot be drawn: {least} to 4000 can")
    find_package()
    try:
        import numpy as np  # noqa: F401
    except ImportError as error:
        leave(
            FAILED,
            f"perf's Python {sys.version_info.major}.{sys.version_info.minor} has no numpy: "
            f"{error}\n  install the distribution's package (Debian: python3-numpy)",
        )
    try:
        import perf_damon  # noqa: F401
    except ImportError as error:
        leave(
            FAILED,
            f"{error}\n  set PYTHONPATH to the folder of the package perf_damon, or `make install`",
        )


def collect(target: tuple[int, int], numbers: tuple[int, ...], age: tuple[Any, ...]) -> None:
    """Keep an event."""
    global without_age
    if not age or not isinstance(age[0], int):
        without_age = True
        age = (0,)
    if target not in events:
        events[target] = array("Q")
    time, start, end, nr_accesses, nr_regions = numbers
    events[target].extend((time, start, end, nr_accesses, age[0], nr_regions))


def end() -> None:
    """Draw all targets."""
    if not events:
        leave(
            FAILED,
            "no damon:damon_aggregated events in the input\n"
            "  record them: perf damon record PID, or perf record -e damon:damon_aggregated",
        )
    from perf_damon.analysis.report import examine
    from perf_damon.analysis.select import Selected
    from perf_damon.analysis.view import view
    from perf_damon.render import summary
    from perf_damon.render.heatmap import columns, rows_per_line
    from perf_damon.render.text import Canvas
    from perf_damon.terminal import screen, terminal_colors

    targets, mappings = recorded()
    origin = min(int(target.regions.time[0]) for target in targets)
    with screen(pager=False, styled=options.color == "always") as out:
        colors = {"never": 0, "always": terminal_colors() or 256, "auto": out.colors}
        canvas = Canvas(options.width or out.width, out.height, colors[options.color], out.unicode)
        height = options.height or min(40, max(8, canvas.height - 9))
        for number, target in enumerate(targets, 1):
            one = Selected(number, view(target, origin))
            found = examine(one.view, mappings, columns(canvas), height * rows_per_line(canvas))
            lines = summary.title_lines(one, len(targets), canvas)
            if found is None:
                lines.append("Nothing was monitored.")
            else:
                lines += summary.heatmap_section(found, options.cell, canvas)
            if number < len(targets):
                lines.append("")
            out.stream.write("".join(canvas.plain(line) + "\n" for line in lines))


def input_file() -> str | None:
    """The file that perf reads; None for standard input."""
    words = Path("/proc/self/cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
    name = "perf.data"
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--":
            break
        if word in ("-i", "--input"):
            name = following
        elif word.startswith("--input="):
            name = word.removeprefix("--input=")
        elif word.startswith("-i"):
            name = word.removeprefix("-i")
    return name if Path(name).is_file() else None


def parameters() -> Parameters | None:
    """What perf damon record wrote into the header; None where it did not, or it cannot be read."""
    from perf_damon.parameters import PARAMETERS_WORD, Parameters

    file = input_file()
    if file is None:
        return None
    # This process is perf. Its script command prints no header of a file that was a pipe.
    command = ["/proc/self/exe", "report", "--stdio", "--header-only", "--force", "-i", file]
    try:
        shown = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    except OSError:
        return None
    for line in shown.stdout.decode(errors="replace").splitlines():
        words, found, text = line.partition(f" {PARAMETERS_WORD} ")
        if found and words.startswith("# cmdline :"):
            try:
                # perf puts a backslash before each of these, and JSON has none there.
                told, _ = json.JSONDecoder().raw_decode(text.replace("\\'", "'"))
            except ValueError:
                return None
            return Parameters.from_words([PARAMETERS_WORD, json.dumps(told)])
    return None


def recorded() -> tuple[Any, Any]:
    """The events as targets of a recording, with no mappings."""
    import numpy as np

    from perf_damon.perfdata.assemble import assemble
    from perf_damon.perfdata.events import Events
    from perf_damon.recording import Mappings

    keys = sorted(events)
    tables = [np.frombuffer(events[key], np.uint64).reshape(-1, FIELDS) for key in keys]
    table = np.concatenate(tables)
    kinds = {
        "time": np.uint64,
        "start": np.uint64,
        "end": np.uint64,
        "nr_accesses": np.uint32,
        "age": np.uint32,
        "nr_regions": np.uint32,
    }
    rows = {name: table[:, i].astype(kind) for i, (name, kind) in enumerate(kinds.items())}
    if without_age:
        del rows["age"]
    index = np.repeat(np.arange(len(keys)), [len(table) for table in tables]).astype(np.uint16)
    none = np.zeros(0, np.uint64)
    mappings = Mappings(none, none.astype(np.int32), none, none, none, none.astype(np.int32), ())
    _, targets = assemble(Events(rows, index, keys, False), mappings, {}, parameters())
    return targets, mappings


def trace_begin() -> None:
    """perf calls it before the first event."""
    guarded(begin)


def damon__damon_aggregated(
    event_name: str,
    context: Any,
    common_cpu: int,
    common_secs: int,
    common_nsecs: int,
    common_pid: int,
    common_comm: str,
    common_callchain: Any,
    target_id: int,
    nr_regions: int,
    start: int,
    end: int,
    nr_accesses: int,
    *age: Any,
) -> None:
    """perf calls it for each event; kernels before 5.15 tell no age."""
    time = common_secs * 1_000_000_000 + common_nsecs
    guarded(collect, (common_pid, target_id), (time, start, end, nr_accesses, nr_regions), age)


def trace_unhandled(*_: Any) -> None:
    """perf calls it for other events; they are none of ours."""


def trace_end() -> None:
    """perf calls it after the last event."""
    guarded(end)
