# SPDX-License-Identifier: GPL-2.0
"""The kernel's own tests of DAMON, unmodified, as far as they concern sysfs and debugfs: make
ours-selftests.

lab/selftests makes their folder.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from guest import ADMIN, CHECKOUT, put, wait_until

FOLDER = CHECKOUT / "build/selftests/damon"
TESTS = (
    "sysfs.sh",
    "sysfs_update_removed_scheme_dir.sh",
    "sysfs_update_schemes_tried_regions_hang.py",
    "damos_quota.py",
    "damos_quota_goal.py",
    "damos_apply_interval.py",
    "damos_tried_regions.py",
    "damon_nr_regions.py",
    "debugfs_attrs.sh",
    "debugfs_duplicate_context_creation.sh",
    "debugfs_empty_targets.sh",
    "debugfs_huge_count_read_write.sh",
    "debugfs_rm_non_contexts.sh",
    "debugfs_schemes.sh",
    "debugfs_target_ids.sh",
    "debugfs_target_ids_pid_leak.sh",
    "debugfs_target_ids_read_before_terminate_race.sh",
)
DEBUGFS = Path("/sys/kernel/debug/damon")
TRIES = {"damos_tried_regions.py": 3}
"""It judges the first second of monitoring by a median of eleven snapshots, and how often its
program comes to the same page again depends on the machine's speed: 4 of 6 runs pass beside two
other guests on two cores."""
SKIPPED = 4
TIMEOUT_S = 600


def clear() -> bool:
    """Stop all kdamonds and remove their directories; whether that could be done."""
    for state in (*ADMIN.glob("kdamonds/*/state"), DEBUGFS / "monitor_on_DEPRECATED"):
        with suppress(OSError):
            state.write_text("off")
    try:
        put("kdamonds/nr_kdamonds", 0)
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def nothing_of_theirs(nothing_left_behind: None) -> Iterator[None]:
    """They leave their kdamonds, and each expects that there are none."""
    yield
    wait_until(clear, "no kdamonds", 20)


def run(name: str, folder: Path) -> subprocess.CompletedProcess:
    # A place that they can write to.
    shutil.copytree(FOLDER, folder)
    return subprocess.run(
        [folder / name],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )


def test_none_is_forgotten() -> None:
    assert {path.name for path in FOLDER.glob("debugfs_*.sh")} <= set(TESTS)


@pytest.mark.parametrize("name", TESTS)
def test_selftest(name: str, tmp_path: Path) -> None:
    assert FOLDER.is_dir(), "run lab/selftests, outside of the guest"
    for number in range(TRIES.get(name, 1)):
        done = run(name, tmp_path / str(number))
        if done.returncode == 0:
            # That it could not count is no failure to it.
            assert "operator expected" not in done.stdout
            return
        wait_until(clear, "no kdamonds", 20)
    assert done.returncode != SKIPPED, f"it was skipped: {done.stdout}"
    raise AssertionError(done.stdout)
