# SPDX-License-Identifier: GPL-2.0
"""perf damon is removed, or another version comes, while it records: DAMON is put back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_kernel import make
from perfdata.writer import Writer
from record.test_session import PERF

import perf_damon
from perf_damon.control import journal
from perf_damon.control.system import System

TESTS = Path(__file__).parents[1]
UNTOUCHED = {"kdamonds/nr_kdamonds": "0\n"}
DRIVER = """\
import sys
from pathlib import Path

from fake_kernel import FakeKernel
from perf_damon import cli
from perf_damon.commands import record
from perf_damon.control.system import System

here = Path(sys.argv[1])
system = System(damon=FakeKernel(here / "damon"), tracing=(here / "tracing",), run=here / "run",
                modules=here / "modules", uid=0)
record.System = lambda: system
sys.exit(cli.main(["record", "-o", str(here / "out.data"), *sys.argv[2:]]))
"""


class Recording:
    """perf damon record of a package of its own, on a fake kernel and with a fake perf."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.package = folder / "python/perf_damon"
        shutil.copytree(
            Path(perf_damon.__file__).parent,
            self.package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        make(folder / "damon", {"kdamonds/nr_kdamonds": "0"})
        (folder / "tracing/events/damon/damon_aggregated").mkdir(parents=True)
        perf = folder / "bin/perf"
        perf.parent.mkdir()
        perf.write_text(PERF)
        perf.chmod(0o755)
        data = Writer()
        data.regions(time=10**9, regions=[(0x1000, 0x2000, 3, 7)])
        perf.with_name("perf.data").write_bytes(data.content())
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(folder), *words],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd="/",
            env={
                **os.environ,
                "PATH": f"{perf.parent}:{os.environ['PATH']}",
                "PYTHONPATH": f"{folder / 'python'}:{TESTS}",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        self._wait_until(lambda: (folder / "out.data").exists())

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def changed(self) -> bool:
        files = (path for path in (self.folder / "damon").rglob("*") if path.is_file())
        try:
            return {
                str(path.relative_to(self.folder / "damon")): path.read_text() for path in files
            } != UNTOUCHED
        except FileNotFoundError:
            # The guard is at it.
            return True

    def end(self, number: int) -> tuple[int, str]:
        """By a signal; returns the exit status and what was said."""
        self.process.send_signal(number)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


@pytest.fixture
def target() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def remove(package: Path) -> None:
    shutil.rmtree(package)


def upgrade(package: Path) -> None:
    """To one that nothing of the old one works with."""
    for path in package.rglob("*.py"):
        new = path.with_suffix(".new")
        new.write_text("raise RuntimeError('of another version')\n")
        new.rename(path)


WAYS = pytest.mark.parametrize(
    ("way", "word"), [(remove, "removed"), (upgrade, "upgraded")], ids=["removed", "upgraded"]
)


@WAYS
def test_the_recording_ends_as_ever(
    tmp_path: Path, target: int, way: Callable[[Path], None], word: str
) -> None:
    recording = Recording(tmp_path, str(target))
    assert recording.changed()
    way(recording.package)
    code, said = recording.end(signal.SIGINT)
    assert not recording.changed()
    assert not json.loads((tmp_path / "run/journal").read_text())["entries"]
    assert "Traceback" not in said, said
    assert f"perf damon was {word} while it recorded" in said
    assert f"{tmp_path}/out.data" in said
    assert code == 128 + signal.SIGINT
    assert (tmp_path / "out.data").stat().st_size


@WAYS
def test_the_command_ends(tmp_path: Path, way: Callable[[Path], None], word: str) -> None:
    """Its own exit status is that of the recording."""
    os.mkfifo(tmp_path / "end")
    recording = Recording(tmp_path, "--", "sh", "-c", f"read -r _ <{tmp_path}/end; exit 7")
    way(recording.package)
    (tmp_path / "end").write_text("\n")
    said = recording.process.communicate(timeout=60)[1]
    assert recording.process.returncode == 7
    assert not recording.changed()
    assert f"perf damon was {word} while it recorded" in said and "Traceback" not in said


@WAYS
def test_killed_after_that(
    tmp_path: Path, target: int, way: Callable[[Path], None], word: str
) -> None:
    recording = Recording(tmp_path, str(target))
    way(recording.package)
    recording.end(signal.SIGKILL)
    recording._wait_until(lambda: not recording.changed())


def test_a_recording_of_a_package_that_stays(tmp_path: Path, target: int) -> None:
    recording = Recording(tmp_path, str(target))
    code, said = recording.end(signal.SIGINT)
    assert "captured 1 snapshots" in said and "while it recorded" not in said
    assert code == 128 + signal.SIGINT and not recording.changed()


def test_a_journal_of_a_newer_version(system: System) -> None:
    """What is not known is kept: that version needs it to put it back."""
    entry = {"slot": 0, "owner": 1, "owner_started": 2, "colour": "red"}
    written = {"boot_id": "this-boot", "entries": [entry], "lent": ["damon_stat"]}
    system.run.mkdir()
    file = system.run / "journal"
    file.write_text(json.dumps(written))
    with journal.locked(system) as book:
        assert [each.slot for each in book.entries] == [0]
        journal.write(system, book)
        after = json.loads(file.read_text())
        assert after["lent"] == ["damon_stat"]
        assert after["entries"][0]["colour"] == "red"
        assert "rest" not in after and "rest" not in after["entries"][0]
        book.entries.clear()
        journal.write(system, book)
        assert json.loads(file.read_text())["lent"] == ["damon_stat"]
        book.rest["lent"] = []
        journal.write(system, book)
    assert not file.exists()
