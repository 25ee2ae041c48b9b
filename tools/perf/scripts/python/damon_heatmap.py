# SPDX-License-Identifier: GPL-2.0
"""Heatmap of DAMON's monitoring results, under perf script or by itself.

    perf script -s damon_heatmap.py -i perf.data -- --width 120
    python3 damon_heatmap.py -i perf.data --width 120

    perf script record damon-heatmap -p $(pgrep kdamond) -- sleep 10
    perf script report damon-heatmap

It collects the events and lets the perf_damon package draw them, as `perf damon report heatmap`
does from the same file (faster, because it needs no call per event, and with mappings' names). It
takes from the file's header whose memory it is, and with which attributes it was monitored.

Under perf script, perf calls the handlers at the end of this file. By itself, the session of perf's
Python module calls for each event (perf 7.3 and newer: tried against a stand-in of it only); where
there is none, perf_damon reads the file.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from perf_damon.parameters import Parameters

EVENT = "damon:damon_aggregated"
REGION_EVENT = "damon:damon_region_aggregated"
USAGE = 129
FAILED = 255
BROKEN_PIPE = 141
FIELDS = 6  # time, start, end, nr_accesses, age, nr_regions

events: dict[tuple[int, int], array] = {}
"""FIELDS numbers an event, by (kdamond's thread id, target id)."""
region_events: dict[tuple[int, int], array] = {}
"""Those of damon_region_aggregated, which tells the same regions once more if they have probes."""
without_age = False
options = argparse.Namespace()
ALONE = "perf_trace_context" not in sys.builtin_module_names
"""Run by Python, not by perf script, which has that module built in."""


def leave(code: int, message: str = "") -> NoReturn:
    """End here: an exception that reaches perf would abort it, with a core dump."""
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
    except OSError as error:
        name = "" if error.filename is None else f"{error.filename}: "
        leave(FAILED, f"{name}{error.strerror or error}")
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
    if ALONE:
        parser.add_argument("-i", "--input", default="perf.data", help="file to read; - is stdin")
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
    whose = "this" if ALONE else "perf's"
    try:
        import numpy as np  # noqa: F401
    except ImportError as error:
        leave(
            FAILED,
            f"{whose} Python {sys.version_info.major}.{sys.version_info.minor} has no numpy: "
            f"{error}\n  install the distribution's package (Debian: python3-numpy)",
        )
    try:
        import perf_damon  # noqa: F401
    except ImportError as error:
        leave(
            FAILED,
            f"{error}\n  set PYTHONPATH to the folder of the package perf_damon, or `make install`",
        )


def collect(
    kept: dict[tuple[int, int], array],
    target: tuple[int, int],
    numbers: tuple[int, ...],
    age: tuple[Any, ...],
) -> None:
    """Keep an event."""
    global without_age
    if not age or not isinstance(age[0], int):
        without_age = True
        age = (0,)
    if target not in kept:
        kept[target] = array("Q")
    time, start, end, nr_accesses, nr_regions = numbers
    kept[target].extend((time, start, end, nr_accesses, age[0], nr_regions))


def end() -> None:
    """Draw all targets."""
    if not events and not region_events:
        leave(
            FAILED,
            f"no {EVENT} events in the input\n"
            f"  record them: perf damon record PID, or perf record -e {EVENT}",
        )
    draw(*recorded(parameters()))


def draw(targets: Any, mappings: Any) -> None:
    """Draw the targets of a recording."""
    from perf_damon.analysis.report import examine
    from perf_damon.analysis.select import Selected
    from perf_damon.analysis.view import view
    from perf_damon.render import summary
    from perf_damon.render.heatmap import columns, rows_per_line
    from perf_damon.render.text import Canvas
    from perf_damon.terminal import screen, terminal_colors

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


def recorded(told: Parameters | None) -> tuple[Any, Any]:
    """The events as targets of a recording, with no mappings."""
    import numpy as np

    from perf_damon.perfdata.assemble import assemble
    from perf_damon.perfdata.events import join
    from perf_damon.recording import Mappings

    none = np.zeros(0, np.uint64)
    mappings = Mappings(none, none.astype(np.int32), none, none, none, none.astype(np.int32), ())
    both = join(columns_of(events), columns_of(region_events))
    _, targets = assemble(both, mappings, {}, told)
    return targets, mappings


def columns_of(kept: dict[tuple[int, int], array]) -> Any:
    """One of the events as columns."""
    import numpy as np

    from perf_damon.perfdata.events import Events, no_events

    if not kept:
        return no_events()
    keys = sorted(kept)
    tables = [np.frombuffer(kept[key], np.uint64).reshape(-1, FIELDS) for key in keys]
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
    return Events(rows, index, keys, False)


def alone() -> None:
    """Read a file and draw it, without perf script."""
    begin()
    if options.input == "-":
        with tempfile.NamedTemporaryFile(prefix="perf.data.") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.flush()
            show(copy.name)
    else:
        show(options.input)
    sys.stdout.flush()


def show(file: str) -> None:
    """Draw what a file has: through perf's module, else through perf_damon."""
    import perf_damon

    if through_session(file) and (events or region_events):
        draw(*recorded(header_parameters(file)))
        return
    events.clear()
    region_events.clear()
    recording = perf_damon.open(file)
    if not recording.targets:
        end()
    draw(recording.targets, recording.mappings)


def through_session(file: str) -> bool:
    """Collect a file's events through perf's module; returns False where that cannot be."""
    try:
        import perf
    except Exception:  # there is none, or it is another Python's
        return False
    if not (hasattr(perf, "session") and hasattr(perf, "data")):
        return False
    ours: dict[tuple[int, int], dict[tuple[int, int], array] | None] = {}
    failed: list[BaseException] = []

    def sampled(sample: Any) -> None:
        # What is raised here goes through perf, which may not mind.
        if failed:
            return
        try:
            event = sample.evsel
            kind = (event.type, event.config)
            if kind not in ours:
                # evsel(damon:damon_aggregated), or evsel(tracepoint/damon:damon_aggregated/)
                names = re.split("[(/)]", str(event))
                known = {EVENT: events, REGION_EVENT: region_events}
                ours[kind] = next((kept for name, kept in known.items() if name in names), None)
            kept = ours[kind]
            if kept is not None:
                numbers = (sample.start, sample.end, sample.nr_accesses, sample.nr_regions)
                age = (getattr(sample, "age", None),)
                target = (sample.sample_tid, sample.target_id)
                collect(kept, target, (sample.sample_time, *numbers), age)
        except BaseException as error:
            failed.append(error)

    try:
        perf.session(perf.data(file), sample=sampled).process_events()
        if failed:
            raise failed[0]
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        text = "".join(c if c.isprintable() else "?" for c in why)
        print(f"damon_heatmap: without perf's Python module ({text})", file=sys.stderr)
        return False
    return True


def header_parameters(file: str) -> Parameters | None:
    """What perf damon record wrote into a file's header, read without perf."""
    from perf_damon.parameters import Parameters
    from perf_damon.perfdata import container

    path = Path(file, "data") if Path(file).is_dir() else Path(file)
    with path.open("rb", buffering=0) as stream:
        piped = container.is_pipe(container.read_at(stream, 0, container.PIPE_HEADER_SIZE))
        parts = (container.parse_pipe if piped else container.parse)(stream, file)
        return Parameters.from_words(container.header(stream, parts).cmdline)


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
    numbers = (time, start, end, nr_accesses, nr_regions)
    guarded(collect, events, (common_pid, target_id), numbers, age)


def damon__damon_region_aggregated(
    event_name: str,
    context: Any,
    common_cpu: int,
    common_secs: int,
    common_nsecs: int,
    common_pid: int,
    common_comm: str,
    common_callchain: Any,
    target_id: int,
    start: int,
    end: int,
    nr_regions: int,
    nr_accesses: int,
    *age: Any,
) -> None:
    """perf calls it for each event of kernels from 7.2 on, with the hits of probes at the end."""
    time = common_secs * 1_000_000_000 + common_nsecs
    numbers = (time, start, end, nr_accesses, nr_regions)
    guarded(collect, region_events, (common_pid, target_id), numbers, age)


def trace_unhandled(*_: Any) -> None:
    """perf calls it for other events; they are none of ours."""


def trace_end() -> None:
    """perf calls it after the last event."""
    guarded(end)


if __name__ == "__main__" and ALONE:
    guarded(alone)
