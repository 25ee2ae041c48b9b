# SPDX-License-Identifier: GPL-2.0
"""What goes wrong is said, and leaves nothing behind (nothing_left_behind looks after that)."""

from __future__ import annotations

from pathlib import Path

import pytest

from guest import ADMIN, CHECKOUT, damon, environment, kdamonds, put, run, wait_until


def test_no_such_process(here: Path) -> None:
    for command in ("start", "record"):
        result = damon(command, 4194000)
        assert result.returncode == 255 and "no process with pid 4194000" in result.stderr


def test_a_kernel_thread(here: Path) -> None:
    result = damon("record", 2)
    assert result.returncode == 255 and "(kthreadd) is a kernel thread" in result.stderr


def test_not_root(here: Path, target: int) -> None:
    for command in (
        ["start", target], ["stop"], ["tune", "--aggr", "1s"], ["schemes"], ["status"],
        ["record", target],
    ):  # fmt: skip
        result = run("setpriv", "--reuid=65534", "--clear-groups", "perf", "damon", *command)
        assert result.returncode == 255 and f"perf damon {command[0]} needs root" in result.stderr


@pytest.mark.feature("others' DAMON is left alone")
@pytest.mark.usefixtures("somebody_elses")
def test_somebody_elses_kdamond(here: Path, target: int) -> None:
    text = damon("status").stdout
    assert "started by something else" in text and "perf damon leaves it alone" in text
    result = damon("start", "paddr")
    assert result.returncode == 255
    assert f"runs for something else for {target} (workload)" in result.stderr
    assert damon("stop").returncode == 0
    assert len(kdamonds()) == 1
    result = damon("record", target, "--timeout", "2s")
    assert result.returncode == 0 and "started by something else" in result.stderr
    assert len(kdamonds()) == 1


@pytest.mark.feature("others' DAMON is left alone")
def test_the_kernels_own_user_of_damon(here: Path, target: int) -> None:
    switch = Path("/sys/module/damon_reclaim/parameters/enabled")
    if not switch.exists():
        pytest.skip("this kernel has no DAMON_RECLAIM")
    switch.write_text("Y")
    # Linux 6.1 tries it later, and then says no.
    wait_until(
        lambda: kdamonds() or switch.read_text().strip() == "N", "DAMON_RECLAIM runs, or cannot"
    )
    if not kdamonds():
        pytest.skip("this kernel's DAMON_RECLAIM does not turn on")
    try:
        assert "DAMON_RECLAIM runs" in damon("status").stdout
        result = damon("start", target)
        assert result.returncode == 255
        assert "the kernel's own DAMON_RECLAIM (thread " in result.stderr
        assert f"echo N > {switch}" in result.stderr
    finally:
        switch.write_text("N")


def test_no_perf(here: Path, target: int) -> None:
    program = CHECKOUT / "tools/perf/perf-damon"
    result = run(program, "record", target, env=environment(PATH="/nowhere"))
    assert result.returncode == 255 and "perf is not installed" in result.stderr


def in_namespace(prepare: str, *words: object) -> tuple[int, str]:
    """perf damon where something is mounted otherwise."""
    command = f'{prepare} && exec perf damon "$@"'
    result = run("unshare", "--mount", "sh", "-c", command, "sh", *words)
    return result.returncode, result.stderr


def test_no_tracefs(here: Path, target: int) -> None:
    hide = (
        "mount -t tmpfs none /sys/kernel/tracing && "
        "{ ! mountpoint -q /sys/kernel/debug || umount -l /sys/kernel/debug; }"
    )
    code, said = in_namespace(hide, "record", target)
    assert code == 255 and "no tracefs on /sys/kernel/tracing" in said
    assert "mount -t tracefs" in said


def test_no_damon(here: Path, target: int) -> None:
    code, said = in_namespace("mount -t tmpfs none /sys/kernel/mm", "start", target)
    assert code == 255 and "has no DAMON to use" in said


def test_an_output_that_cannot_be_written(here: Path, target: int) -> None:
    code, said = in_namespace(
        "mount -t tmpfs -o ro none /mnt", "record", target, "-o", "/mnt/perf.data"
    )
    assert code == 255 and "cannot write into /mnt" in said
    for name, why in (("/no/such/perf.data", "no folder /no/such"), ("/tmp", "is a folder")):
        result = damon("record", target, "-o", name)
        assert result.returncode == 255 and why in result.stderr


def test_a_full_disk(here: Path, target: int) -> None:
    code, said = in_namespace(
        "mount -t tmpfs -o size=16k none /mnt",
        *("record", target, "--timeout", "3s", "-o", "/mnt/perf.data"),
    )
    assert code == 255 and "perf record" in said and "Traceback" not in said


def test_a_command_that_cannot_be_run(here: Path) -> None:
    for command in ("record", "start"):
        result = damon(command, "--", "/no/such/program")
        assert result.returncode == 255
        assert "cannot run '/no/such/program': No such file" in result.stderr


def test_a_wrong_option_of_perf_record(here: Path, target: int) -> None:
    result = damon("record", target, "--perf", "--no-such-option")
    assert result.returncode == 255 and "perf record failed" in result.stderr


def test_intervals_that_the_kernel_refuses_do_not_reach_it(here: Path, target: int) -> None:
    result = damon("start", target, "--max-regions", str(2**70))
    assert result.returncode == 129


def test_through_perf_the_codes_are_the_same(here: Path) -> None:
    assert damon("record").returncode == 129
    assert damon("record", 4194000).returncode == 255
    assert "perf damon" in damon("-h").stderr


def test_a_slot_left_stopped_is_put_back(here: Path, target: int) -> None:
    put("kdamonds/nr_kdamonds", 1)
    put("kdamonds/0/contexts/nr_contexts", 1)
    put("kdamonds/0/contexts/0/operations", "paddr")
    put("kdamonds/0/contexts/0/schemes/nr_schemes", 1)
    put("kdamonds/0/contexts/0/schemes/0/action", "pageout")
    put("kdamonds/0/contexts/0/schemes/0/filters/nr_filters", 1)
    put("kdamonds/0/contexts/0/schemes/0/filters/0/matching", "Y")
    before = {str(p): p.read_text() for p in ADMIN.rglob("*") if p.is_file()}
    try:
        assert damon("record", target, "--timeout", "1s").returncode == 0
        after = {str(p): p.read_text() for p in ADMIN.rglob("*") if p.is_file()}
        assert after == before
    finally:
        put("kdamonds/nr_kdamonds", 0)
