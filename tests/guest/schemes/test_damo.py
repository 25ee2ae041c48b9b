# SPDX-License-Identifier: GPL-2.0
"""DAMON's other client runs schemes: damo starts, reports, tunes and stops them."""

from __future__ import annotations

import re

from half import COLD, given_back, half, rss, swap

from guest import ADMIN, CHECKOUT, kdamonds, put, run, wait_until

__all__ = ["half", "swap"]

SCHEME = "kdamonds/0/contexts/0/schemes/0"


def damo(*words: object) -> str:
    """Run damo, which has to succeed; what it wrote."""
    result = run(CHECKOUT / "build/venv/bin/damo", *words, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def prcl(quota: str) -> list[str]:
    """Options for proactive reclamation, of so many bytes a second."""
    return [
        *["--damos_action", "pageout", "--damos_sz_region", "4K", "max"],
        *["--damos_access_rate", "0%", "0%", "--damos_age", "2s", "max"],
        *["--damos_quotas", "0", quota, "1s", "0", "3", "7"],
    ]


def file(name: str) -> str:
    return (ADMIN / SCHEME / name).read_text().strip()


def test_damo_runs_schemes(half: int) -> None:
    before = rss(half)
    damo("start", half, *prcl("4K"))
    try:
        (kdamond,) = kdamonds()
        assert (file("action"), file("access_pattern/age/min")) == ("pageout", "20")
        # Only a page a second goes.
        wait_until(
            lambda: "quota exceeded 0 times" not in damo("report", "damon"), "it is held back"
        )
        assert rss(half) > before - 0.2 * COLD

        damo("tune", half, *prcl("100M"))
        assert kdamonds() == [kdamond], "it is the same one"
        assert file("quotas/bytes") == str(100 << 20)
        wait_until(lambda: given_back(half, before), "the new quota lets it")
        text = damo("report", "damon")
        assert re.search(r"^ *action: pageout", text, re.MULTILINE)
        assert "100.000 MiB" in text
        (applied,) = re.findall(r"applied [\d,]+ times \(([\d.]+) MiB\)", text)
        assert float(applied) > 0.9 * (COLD >> 20)
    finally:
        damo("stop")
    assert kdamonds() == []
    put("kdamonds/nr_kdamonds", 0)
