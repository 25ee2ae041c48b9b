# SPDX-License-Identifier: GPL-2.0
"""perf damon darc, on a fake kernel."""

from __future__ import annotations

import argparse
import errno
import itertools
import json
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from fake_darc import MB, FakeDarc
from fake_darc import darc as make_darc

from perf_damon import signals
from perf_damon.commands import darc, watching
from perf_damon.control import darc as control
from perf_damon.control.system import System
from perf_damon.errors import Error, UsageError
from perf_damon.options import Parser
from perf_damon.render.darc import bar, darc_lines, ruler
from perf_damon.render.text import Canvas

GOLDEN = Path(__file__).parents[1] / "render/golden"


@pytest.fixture
def machine(system: System, tmp_path: Path) -> System:
    (system.proc / "swaps").write_text("Filename Type Size\n/dev/zram0 partition 1\n")
    return replace(system, darc=make_darc(tmp_path / "darc"))


@pytest.fixture
def tree(machine: System) -> FakeDarc:
    assert isinstance(machine.darc, FakeDarc)
    return machine.darc


def options(*words: str) -> argparse.Namespace:
    parser = Parser("perf damon darc", "")
    darc.configure(parser)
    return parser.parse_args(list(words))


def run(machine: System, *words: str) -> int:
    """The words may be several each."""
    return darc.darc(machine, options(*" ".join(words).split()))


@pytest.mark.parametrize(
    ("name", "canvas"),
    [
        ("darc-status", Canvas(width=80)),
        ("darc-status-narrow", Canvas(width=44)),
        ("darc-status-ascii", Canvas(width=80, unicode=False)),
    ],
)
def test_status(machine: System, tree: FakeDarc, name: str, canvas: Canvas) -> None:
    tree.put("enabled", "Y")
    lines = darc_lines(control.load(machine), canvas)
    assert max(map(len, lines)) <= canvas.width
    assert "\n".join(lines) + "\n" == (GOLDEN / f"{name}.txt").read_text()


def test_status_is_the_command_without_a_word(
    machine: System, tree: FakeDarc, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(machine) == 0
    plain = capsys.readouterr().out
    assert plain.startswith("DARC is disabled. Enabled it would take what has hardly been")
    assert run(machine, "status") == 0
    assert capsys.readouterr().out == plain
    assert tree.written == []


def test_status_fits_a_narrow_terminal(machine: System, tree: FakeDarc) -> None:
    for width in (*range(20, 60), 80, 200):
        for unicode in (True, False):
            lines = darc_lines(control.load(machine), Canvas(width=width, unicode=unicode))
            assert max(map(len, lines)) <= width


def test_json_is_exact(machine: System, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(machine, "status", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["enabled"], found["min_age_us"]) == (False, 5_000_000)
    assert found["quotas"] == {
        "bytes": 128 * MB,
        "ms": 30,
        "reset_interval_ms": 1000,
        "some_mem_psi_us": 10000,
    }
    names = [(zone["name"], zone["node"], zone["zone"]) for zone in found["zones"]]
    assert names == [("0-DMA", 0, "DMA"), ("0-Normal", 0, "Normal"), ("1-Normal", 1, "Normal")]
    zone = found["zones"][1]
    assert (zone["free"], zone["refaulted"], zone["cpu_us"]) == (150 * MB, 20 * MB, 1_234_000)


@pytest.mark.parametrize("as_json", [False, True])
def test_watch(
    machine: System,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    as_json: bool,
) -> None:
    turns: list[int] = []

    def sleep(_: float) -> None:
        turns.append(1)
        if len(turns) == 3:
            raise signals.Signalled(signal.SIGINT)

    monkeypatch.setattr("time.sleep", sleep)
    assert watching.watch(lambda: darc.look(machine), 100_000, as_json) == 0
    out = capsys.readouterr().out
    if as_json:
        assert [len(json.loads(line)["zones"]) for line in out.splitlines()] == [3, 3, 3]
    else:
        assert out.count("DARC is disabled") == 3


def test_a_bar_says_where_free_memory_is(machine: System) -> None:
    zone = control.load(machine).zones[1]
    canvas = Canvas()
    # 288 MiB wide, 40, 50, 128 and 192 MiB in it.
    assert ruler(zone, 72) == " " * 10 + "z" + " " + "l" + " " * 19 + "m" + " " * 15 + "h"
    for free, full in ((0, 0), (4, 1), (144, 36), (288, 72)):
        assert bar(replace(zone, free=free * MB), 72, canvas) == "█" * full + "·" * (72 - full)
    assert bar(replace(zone, free=2 * MB), 72, canvas).startswith("▌·")
    assert bar(replace(zone, free=300 * MB), 72, canvas) == "█" * 71 + "+"
    low = replace(
        zone, zone_high=287 * MB, low=288 * MB, mid=289 * MB, high=290 * MB, managed=2**29
    )
    for width in (10, 40, 72):
        letters = ruler(low, width)
        assert "zlmh" in letters and len(letters) <= width
    assert ruler(replace(low, managed=290 * MB), 40).endswith("zlmh")


def test_a_zone_that_takes_care_says_so(machine: System, tree: FakeDarc) -> None:
    (tree.root / "zones/1-Normal/effective_min_age_us").write_text("20000000\n")
    text = "\n".join(darc_lines(control.load(machine), Canvas()))
    assert text.count("careful: takes only what is 4 times as old, 20 s") == 1


def test_a_zone_that_yields_says_what_for(machine: System, tree: FakeDarc) -> None:
    (tree.root / "zones/1-Normal/state").write_text("yielding\n")
    text = " ".join("\n".join(darc_lines(control.load(machine), Canvas(width=70))).split())
    assert text.count("the kernel's own reclaim is to act. It goes on when more than") == 1


def test_a_zone_that_has_gone_is_left_out(
    machine: System, tree: FakeDarc, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = FakeDarc.names
    monkeypatch.setattr(FakeDarc, "names", lambda self, path: [*names(self, path), "2-Normal"])
    assert [zone.name for zone in control.load(machine).zones] == ["0-DMA", "0-Normal", "1-Normal"]


def test_set(machine: System, tree: FakeDarc, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--quota 100M/2s --time 20ms/2s --goal 5ms --min-age 30s"
    marks = "--zone 0-Normal --low 64M --mid 96M --high 100M --zone 1-Normal --high 1G"
    assert run(machine, "set", words, marks) == 0
    found = control.load(machine)
    assert found.quotas == control.Quotas(100 * MB, 20, 2000, 5000)
    assert found.min_age_us == 30_000_000 and not found.enabled
    assert tree.marks("0-Normal") == [100, 96, 64] and tree.marks("1-Normal") == [1024, 64, 50]
    said = capsys.readouterr().err
    assert said == (
        "DARC is disabled: perf damon darc enable begins\n"
        "  takes what has hardly been accessed for 30 s, at most 100.0 MiB and 20 ms of each zone "
        "in 2 s, while tasks wait for memory for 5 ms in 2 s at most\n"
        "  zone 0-Normal: high 100.0 MiB, mid 96.0 MiB, low 64.0 MiB\n"
        "  zone 1-Normal: high 1.0 GiB, mid 64.0 MiB, low 50.0 MiB\n"
    )
    assert run(machine, "set --quota none --time none --goal none") == 0
    assert control.load(machine).quotas == control.Quotas(0, 0, 2000, 0)
    assert "without a quota, whatever the memory pressure is" in capsys.readouterr().err
    assert run(machine, "set --zone all --low default --mid default --high default") == 0
    assert tree.marks("0-Normal") == [192, 128, 50] and tree.marks("1-Normal") == [96, 64, 50]
    assert not any(tree.read(f"zones/{name}/written") for name in ("0-Normal", "1-Normal"))


def test_watermarks_get_from_anywhere_to_anywhere(machine: System, tree: FakeDarc) -> None:
    dice = random.Random(7)
    for _ in range(200):
        low, mid, high = sorted(dice.sample(range(41, 2049), 3))
        run(machine, "set", "--zone", "0-Normal", *f"--mid {mid}M --high {high}M".split(),
            "--low", f"{low}M")  # fmt: skip
        assert tree.marks("0-Normal") == [high, mid, low]


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            "--zone 0-Normal --low 130M",
            r"zone 0-Normal: mid \(128.0 MiB\) has to be more than low \(130.0 MiB\)",
            "now high 192.0 MiB, mid 128.0 MiB, low 50.0 MiB",
        ),
        (
            "--zone 0-Normal --low 40M",
            r"low \(40.0 MiB\) has to be more than the zone's own high watermark \(40.0 MiB\)",
            "its own high watermark 40.0 MiB",
        ),
        (
            "--zone 0-Normal --mid 200M --high 200M",
            r"high \(200.0 MiB\) has to be more than mid \(200.0 MiB\)",
            "it has 2.0 GiB",
        ),
        (
            "--zone 1-Normal --high 2G",
            r"zone 1-Normal: high \(2.0 GiB\) is more than the zone has \(1.0 GiB\)",
            "it has 1.0 GiB",
        ),
        ("--zone 0-DMA --high 12M", "zone 0-DMA is left alone", "vm.min_free_kbytes"),
        ("--zone 3-Normal --high 12M", "no zone 3-Normal", "there are 0-DMA, 0-Normal, 1-Normal"),
        ("--high 12M", "--high: of which zone", "--zone ZONE, of 0-DMA, 0-Normal, 1-Normal"),
        ("--zone 0-Normal", "--zone 0-Normal has no watermarks", "as in --zone 0-Normal"),
        ("--quota 1M/1s --time 1ms/2s", "intervals of different length", "one interval for both"),
        ("--time 40ms/30ms", None, ""),
        ("--time 2s", "a time quota of 2 s is more than its interval, 1 s", "as in --time"),
        ("--quota 1M/2h", "quotas cannot be for 2 h", "1ms to 1h"),
        ("--goal 2s", "waiting for 2 s is more than the interval, 1 s", "--goal none"),
        ("--min-age 1ms", "a minimum age of 1 ms cannot be", "100ms to 1h"),
        ("", "there is nothing to set", "darc -h"),
        ("--json", "--json and -w are for", ""),
    ],
)
def test_what_is_refused_changes_nothing(
    machine: System, tree: FakeDarc, words: str, message: str | None, hint: str
) -> None:
    if message is None:
        with pytest.raises(SystemExit) as leaving:
            run(machine, "set", words)
        assert leaving.value.code == 129
    else:
        with pytest.raises(UsageError, match=message) as caught:
            run(machine, "set", words)
        assert hint in caught.value.hint
    assert tree.written == []


@pytest.mark.parametrize(
    "words",
    ["--quota 10ms", "--time 10M", "--quota 0", "--quota 1M/0s", "--goal 0", "--goal 5",
     "--low x", "--low 0", "--min-age 5", "--time 1us", "nonsense"],
)  # fmt: skip
def test_words_that_make_no_sense(machine: System, words: str) -> None:
    with pytest.raises(SystemExit) as leaving:
        run(machine, *(("set",) if words.startswith("-") else ()), *words.split())
    assert leaving.value.code == 129


def test_changes_are_of_set_and_enable(machine: System, tree: FakeDarc) -> None:
    for word in ("status", "disable"):
        with pytest.raises(UsageError, match=f"--low changes DARC, {word} does not"):
            run(machine, word, "--zone", "0-Normal", "--low", "64M")
    assert tree.written == []


WORDS = "--quota 1M/2s --time 20ms --goal 5ms --min-age 30s --zone 0-Normal --low 210M --mid 220M \
--high 230M --zone 1-Normal --low 45M"


@pytest.mark.parametrize("enabled", [False, True])
def test_an_error_anywhere_puts_all_back(machine: System, tree: FakeDarc, enabled: bool) -> None:
    # One that reads the same as the default one is somebody's all the same.
    run(machine, "set", "--zone", "0-Normal", "--mid", "100M", "--high", "192M")
    tree.put("enabled", "Y" if enabled else "N")
    before = tree.snapshot()
    assert tree.read("zones/0-Normal/written").split() == ["high", "mid"]
    run(machine, "enable", WORDS)
    paths = {path for path, _ in tree.written} - ({"enabled"} if enabled else set())
    assert len(paths) == (9 if enabled else 10), "all that is written may fail"
    for path, number in itertools.product(paths, (errno.ENOMEM, errno.EIO)):
        for name, text in before.items():
            (tree.root / name).write_text(text)
        tree.fail[path] = number
        with pytest.raises(Error, match=r"out of memory|Input/output error"):
            run(machine, "enable", WORDS)
        assert tree.snapshot() == before, f"{path}: also what was default"


def test_what_was_enabled_before_it_failed_is_disabled(
    machine: System, tree: FakeDarc, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = FakeDarc.put

    def fails_after(self: FakeDarc, path: str, text: str) -> None:
        put(self, path, text)
        if (path, text) == ("enabled", "Y"):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(FakeDarc, "put", fails_after)
    with pytest.raises(Error, match="Input/output error"):
        run(machine, "enable", "--min-age", "9s")
    assert tree.read("enabled") == "N" and tree.read("min_age_us") == "5000000"


def test_what_only_the_kernel_knows_to_be_out_of_order(machine: System, tree: FakeDarc) -> None:
    run(machine, "set", "--zone", "0-Normal", "--high", "400M", "--mid", "300M")
    before = tree.snapshot()
    with pytest.raises(Error, match="does not take high default: watermarks would be out") as error:
        run(machine, "set", "--zone", "0-Normal", "--high", "default", "--low", "60M")
    assert "now high 400.0 MiB, mid 300.0 MiB" in error.value.hint
    assert tree.snapshot() == before


def test_a_kernel_without_pressure_stall_information(machine: System, tree: FakeDarc) -> None:
    tree.fail["quotas/some_mem_psi_us"] = errno.EOPNOTSUPP
    with pytest.raises(Error, match="no pressure stall information") as caught:
        run(machine, "set", "--goal", "5ms", "--min-age", "7s")
    assert "CONFIG_PSI=y" in caught.value.hint and control.load(machine).min_age_us == 5_000_000


def test_enable_and_disable(
    machine: System, tree: FakeDarc, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(machine, "enable") == 0
    assert tree.read("enabled") == "Y"
    said = capsys.readouterr().err
    assert said.startswith("DARC is enabled\n  takes what") and "perf damon darc disable" in said
    assert "swap" not in said
    assert run(machine, "enable") == 0
    assert capsys.readouterr().err == "DARC is enabled, as it was before\n"
    assert run(machine, "disable") == 0
    assert capsys.readouterr().err == "DARC is disabled\n" and tree.read("enabled") == "N"
    assert run(machine, "disable") == 0
    assert capsys.readouterr().err == "DARC is disabled, as it was before\n"
    (machine.proc / "swaps").write_text("Filename Type Size\n")
    assert run(machine, "enable") == 0
    assert "there is no swap space" in capsys.readouterr().err


def test_enable_sets_first(machine: System, tree: FakeDarc) -> None:
    run(machine, "enable", "--min-age", "7s")
    assert tree.written == [("min_age_us", "7000000"), ("enabled", "Y")]


def test_who_may_and_where(machine: System, system: System, tmp_path: Path) -> None:
    for word in darc.WORDS:
        words = (word, "--min-age", "9s") if word == "set" else (word,)
        with pytest.raises(Error, match=f"perf damon darc {word} needs root"):
            run(replace(machine, uid=1000), *words)
        none = replace(system, darc=FakeDarc(tmp_path / "none"))
        with pytest.raises(Error, match=r"has no DARC: no .*/none") as caught:
            run(none, *words)
        assert caught.value.exit_code == 255
        assert "CONFIG_DAMON_DARC=y" in caught.value.hint
