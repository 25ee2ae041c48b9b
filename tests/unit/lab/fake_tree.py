# SPDX-License-Identifier: GPL-2.0
"""A tiny kernel source and a tiny checkout of this repository."""

from pathlib import Path

from lab.sources import Source

KERNEL = {
    "Makefile": "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 7\n",
    "Kconfig": "",
    "scripts/kconfig/merge_config.sh": "",
    "arch/x86/Makefile": "",
    "mm/Kconfig": 'source "mm/damon/Kconfig"\n',
    "mm/vmscan.c": "one\ntwo\nthree\n",
    "mm/damon/Kconfig": "theirs\n",
    "mm/damon/Makefile": "theirs\n",
    "mm/damon/core.c": "theirs\n",
    "mm/damon/tests/core.h": "theirs\n",
    "include/linux/damon.h": "theirs\n",
    "Documentation/mm/damon/index.rst": "theirs\n",
    "tools/perf/perf.c": "archive\niostat\n",
}

CHECKOUT = {
    "Kconfig.damon": "ours\n",
    "kernel/mm/damon/Makefile": "ours\n",
    "kernel/mm/damon/core.c": "ours\n",
    "kernel/mm/damon/regions.c": "ours\n",
    "kernel/mm/damon/core.c~": "dropping\n",
    "kernel/mm/damon/tests/.kunitconfig": "ours\n",
    "kernel/tools/testing/selftests/damon/run.sh": "#!/bin/sh\n",
    "tools/install": "no part of perf\n",
    "tools/perf/perf-damon": "#!/usr/bin/python3\n",
    "tools/perf/Documentation/perf-damon.txt": "ours\n",
    "tools/perf/patches/0001-command.patch": """\
--- a/tools/perf/perf.c
+++ b/tools/perf/perf.c
@@ -1,2 +1,3 @@
 archive
+damon
 iostat
""",
    "python/perf_damon/cli.py": "ours\n",
    "python/perf_damon/render/text.py": "ours\n",
    "python/perf_damon/__pycache__/cli.cpython-311.pyc": "dropping\n",
    "kernel/patches/0001-two.patch": """\
--- a/mm/vmscan.c
+++ b/mm/vmscan.c
@@ -1,3 +1,3 @@
 one
-two
+2
 three
""",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def kernel(path: Path, *, fixed: bool = True) -> Source:
    write(path, KERNEL)
    return Source(path, "fake-6.12", fixed=fixed)


def checkout(path: Path) -> Path:
    write(path, CHECKOUT)
    for name in ("kernel/tools/testing/selftests/damon/run.sh", "tools/perf/perf-damon"):
        (path / name).chmod(0o755)
    return path


def contents(tree: Path) -> dict[str, str]:
    return {
        str(path.relative_to(tree)): path.read_text()
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    }
