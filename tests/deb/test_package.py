# SPDX-License-Identifier: GPL-2.0
"""The package in a fresh Debian: what a user does there, and what is left when it goes.

make test-deb builds it into build/deb first.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from chroot import Chroot
from lab.roots import Root

from perf_damon.version import __version__

CHECKOUT = Path(__file__).parents[2]
RECORDING = CHECKOUT / "tests/data/stairs.perf.data"
DEB = CHECKOUT / f"build/deb/perf-damon_{__version__}_all.deb"
NEEDED = ("bash-completion", "linux-perf", "man-db", "python3-numpy", "python3-rich")
ROOTS = (
    Root("debian-12-package", "bookworm", "what the package of perf damon needs", NEEDED),
    Root("debian-13-package", "trixie", "what the package of perf damon needs", NEEDED),
)


@pytest.fixture(scope="module", params=ROOTS, ids=lambda root: root.suite)
def bare(request: pytest.FixtureRequest) -> Iterator[Chroot]:
    """Without the package."""
    machine = Chroot(request.param)
    try:
        machine.put(RECORDING, "/home/stairs.perf.data")
        machine.put(DEB, "/home/perf-damon.deb")
        yield machine
    finally:
        machine.close()


@pytest.fixture(scope="module")
def before(bare: Chroot) -> dict[str, str]:
    """What was there before the package came."""
    # So that the cache of the manual's pages, and what perf makes at its first use, are there.
    assert bare.run("mandb", "--quiet").returncode == 0
    bare.run("perf", "script", "-i", "/home/stairs.perf.data", "--header-only")
    return bare.files()


@pytest.fixture(scope="module")
def debian(bare: Chroot, before: dict[str, str]) -> Chroot:
    """With the package. dpkg refuses where something that it depends on is not there."""
    done = bare.run("dpkg", "--install", "/home/perf-damon.deb")
    assert done.returncode == 0, done.stdout + done.stderr
    return bare


def complete(debian: Chroot, *words: str) -> list[str]:
    """What the Tab key offers in a shell, at the end of these words."""
    quoted = " ".join(f"'{word}'" for word in words)
    program = f"""
        source /usr/share/bash-completion/bash_completion
        # As readline does at the first Tab: an own one, else one that is loaded.
        complete -p perf >/dev/null 2>&1 || _completion_loader perf || _comp_load perf
        COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1} COMP_LINE="{" ".join(words)}"
        COMP_POINT=${{#COMP_LINE}}
        name=$(complete -p perf | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $name perf "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = debian.run("bash", "-c", program)
    return [word.strip() for word in done.stdout.splitlines()]


def test_lintian() -> None:
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", DEB],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manual(debian: Chroot) -> None:
    done = debian.run("man", "-w", "perf-damon")
    assert done.stdout == "/usr/share/man/man1/perf-damon.1.gz\n", done.stderr
    for words in (("perf", "damon", "--help"), ("perf", "help", "damon")):
        done = debian.run(*words, MANWIDTH="80", MANPAGER="cat")
        assert done.returncode == 0 and "PERF-DAMON(1)" in done.stdout, (words, done.stderr)


def test_help(debian: Chroot) -> None:
    done = debian.run("perf", "damon", "-h")
    assert done.returncode == 129 and "usage: perf damon" in done.stderr


def test_version(debian: Chroot) -> None:
    done = debian.run("perf", "damon", "version", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    itself = found["perf_damon"]
    assert itself["version"] == __version__
    assert itself["program"] == itself["of_perf"] == "/usr/lib/perf-core/perf-damon"
    assert itself["package"] == "/usr/lib/perf-core/python/perf_damon"
    assert itself["others"] == itself["other_packages"] == []
    assert found["python"]["packages"]["numpy"] and found["python"]["packages"]["rich"]
    assert found["damon"] is None


def test_a_report(debian: Chroot) -> None:
    done = debian.run("perf", "damon", "report", "-i", "/home/stairs.perf.data", "--force")
    assert done.returncode == 0, done.stderr
    assert "Access rate" in done.stdout and "Hottest memory" in done.stdout


def test_a_report_of_somebody_who_is_not_root(debian: Chroot) -> None:
    who = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
    done = debian.run(
        *who, "sh", "-c", "cp /home/stairs.perf.data /tmp/mine && perf damon report -i /tmp/mine"
    )
    assert done.returncode == 0, done.stderr
    assert "Hottest memory" in done.stdout
    assert debian.run("rm", "/tmp/mine").returncode == 0


def test_the_script_for_perf_script(debian: Chroot) -> None:
    done = debian.run("perf", "script", "report", "damon-heatmap", "-i", "/home/stairs.perf.data")
    assert done.returncode == 0, done.stderr
    assert "Access rate" in done.stdout, done.stderr


def test_notebooks_import_it(debian: Chroot) -> None:
    program = """if True:
        import perf_damon, os
        os.chdir("/home")
        print(len(perf_damon.open("stairs.perf.data", force=True).regions))
    """
    done = debian.run("python3", "-c", program)
    assert done.returncode == 0 and int(done.stdout) > 100, done.stderr


def test_completion(debian: Chroot) -> None:
    assert "report" in complete(debian, "perf", "damon", "rep")
    assert "heatmap" in complete(debian, "perf", "damon", "report", "hea")
    assert {"data", "damon"} <= set(complete(debian, "perf", "da"))


def test_the_completion_of_perf_itself_stays(debian: Chroot) -> None:
    assert "record" in complete(debian, "perf", "rec")
    assert "--all-cpus" in complete(debian, "perf", "record", "--all")


def test_python_is_compiled(debian: Chroot) -> None:
    """So that perf damon starts at once, also for those who may not write there."""
    files = debian.files()
    ours = [path for path in files if re.match(r"/usr/lib/perf-core/python/.*\.py$", path)]
    compiled = [path for path in files if re.match(r"/usr/lib/perf-core/python/.*\.pyc$", path)]
    assert len(ours) == len(compiled) > 50


def test_installed_over_itself(debian: Chroot) -> None:
    done = debian.run("dpkg", "--install", "/home/perf-damon.deb")
    assert done.returncode == 0, done.stderr
    assert debian.run("perf", "damon", "version").returncode == 0


def test_what_was_started_is_stopped_when_it_goes(debian: Chroot) -> None:
    """Nobody could stop it any more; where it fails, the package goes all the same."""
    program = """
        mkdir -p /run/perf-damon && echo '{"boot_id": "", "entries": []}' >/run/perf-damon/journal
        dpkg --remove perf-damon
    """
    done = debian.run("sh", "-c", program)
    assert done.returncode == 0, done.stderr
    # There is no DAMON here.
    assert "Error: " in done.stderr and "DAMON" in done.stderr
    done = debian.run("perf", "damon", "version")
    assert done.returncode != 0 and "not a perf-command" in done.stderr


def test_nothing_is_left(debian: Chroot, before: dict[str, str]) -> None:
    """Not even after --remove, which leaves an administrator's files until --purge."""
    debian.run("dpkg", "--remove", "perf-damon")
    known = re.compile(r"/var/(lib/dpkg|log|cache)/.*|/var/tmp/.*|/tmp/.*")
    after = debian.files()
    left = [path for path in after if path not in before and not known.fullmatch(path)]
    assert left == []
    lost = [path for path in before if path not in after and not known.fullmatch(path)]
    assert lost == []
    status = debian.run("dpkg-query", "-W", "-f", "${db:Status-Status}", "perf-damon")
    assert status.stdout in ("", "not-installed"), status.stdout
