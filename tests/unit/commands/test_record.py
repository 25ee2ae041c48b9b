# SPDX-License-Identifier: GPL-2.0
"""perf damon record: what its words ask for."""

from __future__ import annotations

from typing import Any

import pytest

from perf_damon.cli import main
from perf_damon.commands import record
from perf_damon.control.system import System
from perf_damon.record import session


@pytest.fixture
def asked(system: System, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a session is told; none is run."""
    told: dict[str, Any] = {}

    class Session:
        perf_said = ""

        def __init__(self, **how: Any) -> None:
            told.update(how)

        def run(self) -> int:
            return 0

    monkeypatch.setattr(record, "System", lambda: system)
    monkeypatch.setattr(record, "find_perf", lambda: "perf")
    monkeypatch.setattr(session, "Session", Session)
    return told


@pytest.mark.parametrize(
    ("words", "listen", "lenient", "take_over"),
    [
        ((), True, True, False),
        (("--timeout", "5s"), True, True, False),
        (("--schemes",), True, True, False),
        (("-a",), False, True, False),
        (("paddr",), False, True, False),
        (("--ops", "paddr"), False, True, False),
        (("-a", "--sample", "5ms"), False, False, False),
        (("-a", "--regions", "0x1000-0x2000"), False, False, False),
        (("-a", "--take-over"), False, False, True),
        (("100", "--take-over"), False, False, True),
        (("--take-over", "--", "true"), False, False, True),
    ],
)
def test_who_is_listened_to(
    asked: dict[str, Any],
    system: System,
    words: tuple[str, ...],
    listen: bool,
    lenient: bool,
    take_over: bool,
) -> None:
    (system.tracing[0] / "events/damon/damos_before_apply").mkdir()
    assert main(["record", *words]) == 0
    assert (asked["listen"], asked["lenient"]) == (listen, lenient)
    assert asked["wanted"].take_over is take_over
    assert asked["monitor"] is True


@pytest.mark.parametrize("option", ["--sample=5ms", "--aggr=1s", "--max-regions=9", "--take-over"])
def test_options_without_a_target(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(["record", option]) == 129
    said = capsys.readouterr().err
    assert f"{option.partition('=')[0]} is of monitoring, and no target is named" in said
    assert "what runs already is recorded" in said and not asked
