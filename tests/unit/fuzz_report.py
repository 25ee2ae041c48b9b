# SPDX-License-Identifier: GPL-2.0
"""Try perf damon report and advise on damaged files: make fuzz-report; some in the unit tests.

Whatever is in a file, there is a report or one error: no traceback, no warning, and neither time
nor memory out of proportion. One number gives all of a run, and `--only` one of its files again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import fuzz_files

from perf_damon import cli
from perf_damon.commands import report_views
from perf_damon.errors import EXIT_ERROR, EXIT_OK, EXIT_USAGE

VIEWS = ("summary", "heatmap", "wss", "regions", "schemes", "applied", "darc", "advise")
OPTIONS = {
    "width": ("20", "40", "80", "133", "4000"),
    "height": ("1", "9", "300"),
    "cell": ("mean", "hottest"),
    "min_rate": ("0", "50", "100"),
    "percentiles": ("0,99,100", "50"),
}
MEMORY = 1 << 30
"""Bytes that a file of some kilobytes may take."""
OUTPUT = 1 << 26
CPU_S = 20
"""Seconds: a sound file takes a tenth of one."""


def command(rng: random.Random, path: str) -> list[str]:
    """A command line that shows the file."""
    view = rng.choice(VIEWS)
    if view == "advise":
        words = ["advise", "-i", path, "--format", rng.choice(("text", "json"))]
    else:
        form = rng.choice(("text", "json", "csv"))
        words = ["report", "-i", path, "--format", form, view]
        unused = report_views._UNUSED.get((view, form), ())
        for name in report_views._USED[view]:
            if name in OPTIONS and name not in unused and rng.random() < 0.3:
                words += [f"--{name.replace('_', '-')}", rng.choice(OPTIONS[name])]
    if rng.random() < 0.2:
        words += ["--time", rng.choice(("0,1", "10%-20%", "1,", ",500ms", "50%/2", "0,1000000"))]
    if rng.random() < 0.2 and view != "darc":
        words += ["--address", rng.choice(("0x400000+1G", "0x0,0xffffffffffffffff", "0x1,0x2"))]
    if rng.random() < 0.1 and view != "darc":
        words += ["--target", rng.choice(("1", "2", "77", "500:0"))]
    return words


def complaint(words: list[str]) -> str:
    """What is wrong with how a command ends, empty if nothing is."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    begun = time.process_time()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("error")
        try:
            code = cli.main(words)
        except BaseException:
            return traceback.format_exc()
    took = time.process_time() - begun
    said = _written(err).decode(errors="replace")
    if code not in (EXIT_OK, EXIT_USAGE, EXIT_ERROR):
        return f"exit status {code}"
    if code != EXIT_OK and said.count("Error: ") != 1:
        return f"no error, or more than one: {said!r}"
    for word in ("Traceback", "Warning:", "out of memory", "\x1b"):
        if word in said:
            return f"it says: {said!r}"
    if b"\x1b" in _written(out):
        return "an escape sequence of the file reaches the output"
    if len(_written(out)) > OUTPUT:
        return f"{len(_written(out)):,} bytes of output"
    if took > CPU_S:
        return f"it took {took:.1f} s of processor time"
    return ""


def _written(stream: io.TextIOWrapper) -> bytes:
    stream.flush()
    return stream.buffer.getvalue()  # type: ignore[attr-defined]


@contextlib.contextmanager
def limited_memory() -> Iterator[None]:
    """Within it the process may take so much more memory than it has, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def try_one(seed: str, path: Path) -> tuple[list[str], str]:
    """Write the file of a seed and show it: the command line, and what is wrong."""
    path.write_bytes(fuzz_files.draw(seed))
    words = command(random.Random(f"{seed} command"), str(path))
    with limited_memory():
        return words, complaint(words)


def main() -> int:
    """Try many files; 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    parser.add_argument("--only", type=int, help="this file of the seed's, and keep it")
    parser.add_argument("--most", type=int, default=20, help="failures after which to stop")
    args = parser.parse_args()
    print(f"fuzz-report: seed {args.seed}, {args.files:,} files", flush=True)
    wrong = 0
    numbers = range(args.files) if args.only is None else [args.only]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            path = Path(folder) / "perf.data"
            if args.only is not None:
                path = Path(f"fuzz-{args.seed}-{number}.perf.data")
            words, what = try_one(f"{args.seed}:{number}", path)
            if what:
                wrong += 1
                print(f"--- seed {args.seed}, file {number}: perf damon {' '.join(words)}\n{what}")
                print(f"again: make fuzz-report SEED={args.seed} ONLY={number}", flush=True)
                if wrong >= args.most:
                    break
            if (number + 1) % 2000 == 0:
                print(f"{number + 1:,} files, {time.monotonic() - begun:.0f} s", flush=True)
    print(f"fuzz-report: seed {args.seed}: {wrong} of {len(numbers):,} files go wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
