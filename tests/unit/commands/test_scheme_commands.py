# SPDX-License-Identifier: GPL-2.0
"""start --scheme, schemes and tune, on a fake kernel."""

from __future__ import annotations

import argparse
import errno
import io
import json
import signal
from pathlib import Path

import pytest
from fake_kernel import FakeKernel, process

from perf_damon import signals
from perf_damon.commands import monitoring, scheme_options, schemes, start, tune, watching
from perf_damon.control import journal, monitor
from perf_damon.control.nodes import Stats
from perf_damon.control.system import System
from perf_damon.errors import Error, UsageError
from perf_damon.options import Parser
from perf_damon.render.schemes import Installed, render
from perf_damon.render.text import Canvas, text_width
from perf_damon.schemes.text import DEFAULT_ATTRIBUTES, format_scheme, parse_file, parse_scheme

PRCL = "action=pageout size=4K-max accesses=0% age=5s-max quota=100M/1s"
STATS = {
    "nr_tried": "1234567",
    "sz_tried": str(5 << 30),
    "nr_applied": "99999",
    "sz_applied": str(1023 << 20),
    "qt_exceeds": "12",
}


@pytest.fixture
def damon(system: System, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    monkeypatch.setattr("time.sleep", lambda _: None)
    kernel = system.damon
    assert isinstance(kernel, FakeKernel)

    def update(kdamond: Path) -> None:
        for scheme in (kdamond / "contexts/0/schemes").glob("[0-9]*"):
            for name, text in STATS.items():
                (scheme / "stats" / name).chmod(0o600)
                (scheme / "stats" / name).write_text(text + "\n")

    def update_quotas(kdamond: Path) -> None:
        for scheme in (kdamond / "contexts/0/schemes").glob("[0-9]*"):
            (scheme / "quotas/effective_bytes").chmod(0o600)
            (scheme / "quotas/effective_bytes").write_text(f"{50 << 20}\n")

    kernel.on_command["update_schemes_stats"] = update
    kernel.on_command["update_schemes_effective_quotas"] = update_quotas
    return kernel


def options(module: object, *words: str) -> argparse.Namespace:
    parser = Parser("perf damon x", "")
    module.configure(parser)  # type: ignore[attr-defined]
    args = parser.parse_args(list(words))
    args.command = None
    return args


def run_start(system: System, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(start, "System", lambda: system)
    return start.run(options(start, *words))


def run_tune(system: System, *words: str) -> int:
    return tune.tune(system, options(tune, *words))


def installed(system: System, index: int = 0) -> list[str]:
    """The schemes that the tree has."""
    context = monitor.overview(system).slots[index].context
    assert context is not None
    units = monitoring.attributes_of(context)
    return [format_scheme(scheme, units) for scheme in context.schemes or ()]


def test_schemes_in_the_order_of_the_options(
    system: System,
    damon: FakeKernel,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "my.schemes"
    file.write_text("# two\nmin max 5% max min max hugepage\naction=cold age=1s-max\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("action=willneed\n"))
    words = ("--scheme", PRCL, "--schemes", str(file), "--schemes", "-", "100")
    assert run_start(system, monkeypatch, *words) == 0
    actions = [line.split()[0] for line in installed(system)]
    assert actions == ["action=pageout", "action=hugepage", "action=cold", "action=willneed"]
    assert "schemes: pageout, hugepage, cold, willneed" in capsys.readouterr().err


def test_percent_and_times_are_of_the_attributes_given(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = "action=pageout accesses=10%-50% age=2s-max"
    words = ("--sample", "10ms", "--aggr", "1s", "--scheme", scheme, "100")
    run_start(system, monkeypatch, *words)
    folder = damon.kdamond(0) / "contexts/0/schemes/0/access_pattern"
    found = [int((folder / name).read_text()) for name in ("nr_accesses/min", "nr_accesses/max")]
    assert found == [10, 50]
    assert int((folder / "age/min").read_text()) == 2


def test_a_bad_line_applies_nothing(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "my.schemes"
    file.write_text("action=cold\naction=coold\n")
    with pytest.raises(UsageError, match=r"my\.schemes:2:8: 'coold' is no action, is it cold"):
        run_start(system, monkeypatch, "--schemes", str(file), "100")
    assert damon.written == []
    run_start(system, monkeypatch, "--scheme", PRCL, "100")
    before = damon.snapshot()
    written = len(damon.written)
    with pytest.raises(UsageError, match="'coold' is no action"):
        run_tune(system, "--aggr", "200ms", "--schemes", str(file))
    assert damon.snapshot() == before and len(damon.written) == written


@pytest.mark.parametrize(
    ("scheme", "target", "words"),
    [
        ("action=lru_prio", "100", "vaddr cannot do lru_prio"),
        ("action=hugepage", "paddr", "paddr cannot do hugepage"),
        ("action=stat filter=target:1", "100", "target:1 is of a target that is not monitored"),
        ("action=cold filter=young", "100", "filter young is for pages, and cold for mappings"),
        ("action=stat filter=reject memcg:/none", "paddr", "there is no memory cgroup /none"),
        ("action=migrate_hot nid=7", "paddr", "there is no memory node 7"),
        ("action=migrate_hot dests=0:1,9:1", "paddr", "there is no memory node 9"),
        ("action=stat goal=node_mem_used_bp:1:nid=3", "paddr", "there is no memory node 3"),
    ],
)
def test_what_cannot_be_done_here(
    system: System,
    damon: FakeKernel,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    target: str,
    words: str,
) -> None:
    (system.cgroup / "jobs").mkdir(parents=True)
    (system.nodes / "node0").mkdir(parents=True)
    with pytest.raises(Error, match=words):
        run_start(system, monkeypatch, "--scheme", scheme, target)
    assert damon.written == []
    run_start(system, monkeypatch, "--scheme", "action=stat filter=reject memcg:/jobs", "paddr")


@pytest.mark.parametrize("name", scheme_options.examples())
def test_the_examples(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (scheme_options.EXAMPLES / f"{name}.schemes").read_text()
    assert text.startswith("# ") and f"--schemes {name} " in text
    target = "paddr" if f"--schemes {name} paddr" in text else "100"
    assert run_start(system, monkeypatch, "--schemes", name, target) == 0
    assert len(installed(system)) == len(parse_file(text, name))
    Path(name).write_text("action=stat\n")
    (only,) = scheme_options.read([("--schemes", name)], DEFAULT_ATTRIBUTES) or ()
    assert only.action == "stat", "a file of that name comes first"


def test_there_are_examples() -> None:
    assert scheme_options.examples() == ["ethp", "lru_sort", "prcl", "tiering"]
    with pytest.raises(UsageError, match="no file prcll") as caught:
        scheme_options.read([("--schemes", "prcll")], DEFAULT_ATTRIBUTES)
    assert "ethp, lru_sort, prcl, tiering" in caught.value.hint


def test_schemes_shows_what_they_did(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_start(system, monkeypatch, "--scheme", PRCL, "--scheme", "action=stat", "100")
    slots = schemes.installed(system)
    text = schemes.to_lines(system, slots, Canvas(width=80))
    assert text == [
        "kdamond 0 (thread 5001): 100 (app)",
        "0  action=pageout size=4K-max accesses=0%-0% age=5s-max quota=100M/1s",
        "1  action=stat",
        "#  action    tried        size  applied        size  exceeds    quota now",
        "0  pageout   1.2 M     5.0 GiB   99,999  1023.0 MiB       12  50.0 MiB/1s",
        "1  stat      1.2 M     5.0 GiB   99,999  1023.0 MiB       12         none",
    ]
    (kdamond,) = json.loads(json.dumps(schemes.to_json(system, slots)))["kdamonds"]
    first = kdamond["schemes"][0]
    assert (kdamond["owner"], kdamond["tid"]) == ("perf damon", 5001)
    assert first["stats"]["nr_tried"] == 1234567 and first["effective_bytes"] == 50 << 20
    assert first["files"]["quotas"]["bytes"] == 100 << 20
    assert parse_scheme(first["scheme"]).quotas.bytes == 100 << 20


def test_long_schemes_are_broken_between_keys(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = f"{PRCL} weights=0/3/7 watermarks=free_mem_rate:50%:40%:20%@5s filter=addr:1G-2G"
    run_start(system, monkeypatch, "--scheme", scheme, "100")
    lines = schemes.to_lines(system, schemes.installed(system), Canvas(width=80))
    assert len(lines) == 6 and max(map(len, lines)) <= 80
    assert "".join(lines[1:4]).split() == ["0", *installed(system)[0].split()]


@pytest.mark.parametrize(
    ("free", "said"),
    [
        (400, "    rests: 40% of memory is free, more than 20%"),
        (205, "    rests: 20.5% of memory is free, more than 20%"),
        (200, None),
        (50, None),
        (49, "    rests: 4.9% of memory is free, less than 5%"),
        (None, None),
    ],
)
def test_why_a_scheme_rests(
    system: System,
    damon: FakeKernel,
    monkeypatch: pytest.MonkeyPatch,
    free: int | None,
    said: str | None,
) -> None:
    run_start(system, monkeypatch, "--schemes", "lru_sort", "paddr")
    if free is not None:
        (system.proc / "meminfo").write_text(f"MemTotal: 1000 kB\nMemFree: {free} kB\n")
    lines = schemes.to_lines(system, schemes.installed(system), Canvas(width=80))
    assert [line for line in lines if "rests" in line] == ([said] * 2 if said else [])
    (system.proc / "meminfo").write_text("MemFree: 1 kB\nMemTotal: x\n")
    assert system.free_permil() is None


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EINVAL, "does not take this monitoring, with these schemes"),
        (errno.ENOENT, "no memory cgroup of a name"),
        (errno.EOPNOTSUPP, "no pressure stall information"),
        (errno.ENOMEM, "cannot write 'on'"),
    ],
)
def test_what_the_kernel_itself_refuses(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    before = damon.snapshot()
    damon.fail["kdamonds/0/state"] = number
    with pytest.raises(Error, match=words):
        run_start(system, monkeypatch, "--scheme", "action=stat", "100")
    assert damon.snapshot() == before


def test_others_are_shown_and_left_alone(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_start(system, monkeypatch, "--scheme", PRCL, "100")
    (system.run / "journal").unlink()
    written = len(damon.written)
    text = "\n".join(schemes.to_lines(system, schemes.installed(system), Canvas()))
    assert "started by something else" in text and "action=pageout" in text
    assert len(damon.written) == written
    with pytest.raises(Error, match="nothing to tune") as caught:
        run_tune(system, "--aggr", "1s")
    assert "the tool that started it" in caught.value.hint
    with pytest.raises(Error, match="kdamond 0 was started by something else"):
        run_tune(system, "-k", "0", "--aggr", "1s")
    assert len(damon.written) == written


def test_no_schemes(system: System, damon: FakeKernel) -> None:
    assert schemes.to_lines(system, schemes.installed(system), Canvas()) == [
        "no schemes are installed"
    ]


def test_the_widest_table_fits() -> None:
    scheme = parse_scheme("action=migrate_cold nid=0 quota=1G/1s")
    scheme.stats = Stats(nr_tried=99_999, sz_tried=1023 << 30, nr_applied=999_400_000)
    scheme.stats.sz_applied, scheme.quotas.effective_bytes = 1023 << 20, 1023 << 20
    block = Installed("kdamond 0", (), [scheme], DEFAULT_ATTRIBUTES)
    *_, row = render([block], Canvas(width=80))
    assert len(row) <= 80 and "99,999" in row and "1023.0 MiB/1s" in row


def test_schemes_fit_a_narrow_terminal() -> None:
    scheme = parse_scheme(
        "action=migrate_cold size=4K-max accesses=0% age=5s-max nid=0 quota=1G/1s weights=0/3/7 "
        "watermarks=free_mem_rate:50%:40%:20%@5s filter=anon filter=memcg:/a/long/path/to/a/cgroup"
    )
    scheme.stats = Stats(nr_tried=99_999, sz_tried=1023 << 30, nr_applied=999_400_000)
    notes = ("started by something else: as its files say, maybe old",)
    block = Installed(
        "kdamond 0: 漢字漢字漢字", notes, [scheme], DEFAULT_ATTRIBUTES, free_permil=990
    )
    for width in (*range(20, 82), 120):
        lines = render([block], Canvas(width=width))
        assert max(map(text_width, lines)) <= width
        assert "99,999" in "".join(lines) and "rests:" in "".join(lines)


@pytest.mark.parametrize("as_json", [False, True])
def test_watch_in_a_pipe(
    system: System,
    damon: FakeKernel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    as_json: bool,
) -> None:
    run_start(system, monkeypatch, "--scheme", PRCL, "100")
    turns = []

    def sleep(_: float) -> None:
        turns.append(1)
        if len(turns) == 3:
            raise signals.Signalled(signal.SIGINT)

    monkeypatch.setattr("time.sleep", sleep)
    assert watching.watch(lambda: schemes.look(system), 100_000, as_json) == 0
    out = capsys.readouterr().out
    assert out.isprintable() is False and "\x1b" not in out and "\r" not in out
    if as_json:
        assert [len(json.loads(line)["kdamonds"]) for line in out.splitlines()] == [1, 1, 1]
    else:
        blocks = out.split("\n\n")
        assert len(blocks) == 3 and all("kdamond 0 (thread 5001)" in block for block in blocks)


def test_watch_on_a_terminal_draws_in_place(
    system: System,
    damon: FakeKernel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_start(system, monkeypatch, "--scheme", PRCL, "100")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "4")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")

    def sleep(_: float) -> None:
        damon.turn(damon.kdamond(0), None)

    monkeypatch.setattr("time.sleep", sleep)
    assert watching.watch(lambda: schemes.look(system), 100_000, as_json=False) == 0, (
        "it ends with what it shows"
    )
    first, second = capsys.readouterr().out.split("\x1b[H")[1:]
    assert first.count("\n") == 3, "no more lines than there are"
    assert "no schemes are installed" in second and second.endswith("\x1b[J")


def test_other_signals_end_watch_as_they_end_all(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_: float) -> None:
        raise signals.Signalled(signal.SIGTERM)

    monkeypatch.setattr("time.sleep", sleep)
    with pytest.raises(signals.Signalled):
        watching.watch(lambda: schemes.look(system), 100_000, as_json=False)


def test_tune_leaves_what_is_not_named(
    system: System,
    damon: FakeKernel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_start(system, monkeypatch, "--sample", "10ms", "--scheme", PRCL, "100")
    before = damon.snapshot()
    assert run_tune(system, "--max-regions", "77") == 0
    after = damon.snapshot()
    changed = {name for name in after if after[name] != before[name] and "/stats/" not in name}
    assert changed == {"kdamonds/0/contexts/0/monitoring_attrs/nr_regions/max"}
    assert "sample 10 ms, aggr 100 ms" in capsys.readouterr().err


def test_tuned_intervals_leave_schemes_what_they_mean(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheme = "action=pageout accesses=10%-50% age=2s-max quota=1M/1s filter=addr:1G-2G"
    run_start(system, monkeypatch, "--scheme", scheme, "100")
    before = installed(system)
    pattern = damon.kdamond(0) / "contexts/0/schemes/0/access_pattern"
    assert (pattern / "age/min").read_text() == "20\n"
    run_tune(system, "--aggr", "200ms")
    assert (pattern / "age/min").read_text() == "10\n"
    assert (pattern / "nr_accesses/max").read_text() == "20\n"
    assert installed(system) == before
    run_tune(system, "--scheme", "action=pageout accesses=5%-5%", "--aggr", "100ms")
    with pytest.raises(Error, match=r"scheme 0 \(pageout\) cannot stay .* its access rate"):
        run_tune(system, "--sample", "100ms", "--aggr", "200ms")
    assert installed(system)[0].startswith("action=pageout accesses=5%-5%")


def test_tune_quotas(system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    run_start(system, monkeypatch, "--scheme", PRCL, "--scheme", "action=cold", "100")
    run_tune(system, "--quota", "50M/2s")
    assert [line.split("quota=")[1] for line in installed(system)] == ["50M/2s", "50M/2s"]
    run_tune(system, "--quota", "1:10ms/1s", "--quota", "0:none")
    assert "quota" not in installed(system)[0]
    assert installed(system)[1].endswith("quota=10ms/1s")
    for bad, words in (("2:1M/1s", "there is no scheme 2"), ("0/1s", "a quota of 0 is none")):
        with pytest.raises(UsageError, match=words):
            run_tune(system, "--quota", bad)


def test_tune_targets(system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    process(system.proc, 102, "third")
    run_start(system, monkeypatch, "100", "101")
    run_tune(system, "-p", "101,102")
    slot = monitor.overview(system).slots[0]
    assert slot.context is not None and slot.context.pids == (101, 102)
    assert slot.entry is not None and slot.entry.pids == [101, 102]
    for words, what in ((["paddr"], "not physical memory"), (["999"], "no process")):
        with pytest.raises(Error, match=what):
            run_tune(system, *words)
    run_tune(system, "--scheme", "action=stat filter=target:1")
    with pytest.raises(Error, match="target:1 is of a target that is not monitored"):
        run_tune(system, "102")
    assert monitor.overview(system).slots[0].context.pids == (101, 102)


def test_tune_physical_memory(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_start(system, monkeypatch, "paddr")
    run_tune(system, "--regions", "0-1G")
    context = monitor.overview(system).slots[0].context
    (target,) = context.targets
    assert [(region.start, region.end) for region in target.regions] == [(0, 1 << 30)]
    with pytest.raises(Error, match="monitors physical memory, and no processes"):
        run_tune(system, "100")


def test_which_kdamond(system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    run_start(system, monkeypatch, "100")
    run_start(system, monkeypatch, "101")
    with pytest.raises(UsageError, match="kdamonds 0, 1 are ours: which one"):
        run_tune(system, "--aggr", "1s")
    run_tune(system, "-k", "1", "--aggr", "1s")
    aggrs = [
        monitoring.attributes_of(slot.context).aggr_us
        for slot in monitor.overview(system).slots[:2]
    ]
    assert aggrs == [100_000, 1_000_000]
    with pytest.raises(Error, match="no kdamond 3 runs"):
        run_tune(system, "-k", "3", "--aggr", "1s")
    with pytest.raises(UsageError, match="nothing to change"):
        run_tune(system, "-k", "0")


def test_a_recordings_kdamond_is_not_tuned(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_start(system, monkeypatch, "100")
    with journal.locked(system) as book:
        book.entries[0].owner, book.entries[0].owner_started = 101, 7
        journal.write(system, book)
    with pytest.raises(Error, match=r"belongs to a perf damon record \(pid 101\)"):
        run_tune(system, "--aggr", "1s")


def test_tune_contradictions(
    system: System, damon: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_start(system, monkeypatch, "100")
    before = damon.snapshot()
    for words, what in (
        (("--sample", "1s"), "longer than"),
        (("--min-regions", "2000"), "more than"),
        (("--scheme", "action=lru_prio"), "cannot do"),
    ):
        with pytest.raises(Error, match=what):
            run_tune(system, *words)
    assert damon.snapshot() == before
