# SPDX-License-Identifier: GPL-2.0
"""How far a build is: the bar of a terminal, the lines of a log."""

import io

import pytest
from lab import kbuild, meter


class Screen(io.StringIO):
    """A terminal, or not."""

    encoding = "UTF-8"

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_bars_are_as_wide_as_asked_and_never_full():
    drawn = [meter.bar(done, 10, 10) for done in (0, 1, 5, 10, 99)]
    assert drawn == ["░░░░░░░░░░", "█░░░░░░░░░", "█████░░░░░", "█████████▉", "█████████▉"]
    assert meter.bar(1, 16, 8) == "▌░░░░░░░"
    plain = [meter.bar(done, 10, 10, unicode=False) for done in (0, 5, 10)]
    assert plain == ["[..........]", "[#####.....]", "[#########.]"]


def test_a_terminal_sees_a_line_that_moves(clock):
    screen = Screen(terminal=True)
    shown = meter.Meter("building the kernel ours", 1600, stream=screen, clock=clock)
    for _ in range(801):
        clock.now += 0.125
        shown.step()
    shown.close()
    states = screen.getvalue().split("\r\033[K")
    assert states[1].startswith("lab: building the kernel ours: 1 of about 1,600, 0:00 min")
    assert states[-2].startswith("lab: building the kernel ours: 801 of about 1,600, 1:40 min")
    assert states[-1] == ""
    assert "█░" in states[-2]
    assert len({state.partition("  ")[2] for state in states}) > 16
    assert len(states) < 420
    assert max(map(len, states)) < 80
    assert "\n" not in screen.getvalue()


def test_a_log_gets_a_line_now_and_then(clock, capsys):
    shown = meter.Meter("building x", 1600, stream=Screen(terminal=False), clock=clock)
    for _ in range(700):
        clock.now += 0.125
        shown.step()
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "lab: building x, about 1,600 objects: minutes, when most of it is new",
        "lab: building x: 240 of about 1,600 objects, 0:30 min",
        "lab: building x: 480 of about 1,600 objects, 1:00 min",
    ]


def test_more_than_expected_and_nothing_expected(clock):
    assert "1,700 of about 1,700 objects" in meter.text("x", 1700, 1600, 5)
    assert meter.text("x", 17, None, 65) == "x: 17 objects, 1:05 min"
    screen = Screen(terminal=True)
    meter.Meter("x", None, stream=screen, clock=clock).step()
    assert screen.getvalue() == "\r\033[Klab: x: 1 object, 0:00 min"


def test_nothing_is_drawn_of_nothing(clock):
    screen = Screen(terminal=True)
    meter.Meter("x", 5, stream=screen, clock=clock).close()
    assert screen.getvalue() == ""


def test_what_is_expected_is_what_is_missing():
    assert meter.expected(1600, 0) == 1600
    assert meter.expected(1600, 700) == 900
    assert meter.expected(1600, 1590) is None
    assert meter.expected(1600, 1700) is None


def test_the_last_build_tells_how_many_there_will_be(tmp_path, monkeypatch):
    monkeypatch.setattr(kbuild, "KERNELS", tmp_path)
    recipe = kbuild.Recipe("fake", "")
    (recipe.objects / "mm").mkdir(parents=True)
    assert kbuild._expected(recipe) == recipe.usual
    (recipe.objects / "mm/a.o").touch()
    (recipe.home / kbuild.COUNT).write_text("300\n")
    assert kbuild._expected(recipe) == 299
    (recipe.home / kbuild.COUNT).write_text("garbage")
    assert kbuild._expected(recipe) == recipe.usual - 1


def test_a_build_that_succeeds_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(kbuild, "KERNELS", tmp_path)
    recipe = kbuild.Recipe("fake", "")
    recipe.tree.mkdir(parents=True)
    recipe.objects.mkdir()
    makefile = "good:\n\t@touch $(O)/a.o $(O)/b.o\nbad:\n\t@touch $(O)/c.o; exit 1\n"
    (recipe.tree / "Makefile").write_text(makefile)
    with (recipe.home / "build.log").open("wb") as log:
        kbuild._make(recipe, ["good"], log, "building")
        assert (recipe.home / kbuild.COUNT).read_text() == "2\n"
        with pytest.raises(kbuild.LabError):
            kbuild._make(recipe, ["bad"], log, "building")
    assert (recipe.home / kbuild.COUNT).read_text() == "2\n"
