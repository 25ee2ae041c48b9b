# SPDX-License-Identifier: GPL-2.0
"""All files, with anything in them: nothing may break, hang or get lost.

make fuzz-kernel [SEED=…] [WRITES=…]; make test has a few hundred writes, the same each time, on the
kernel that looks for its own mistakes.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest
from files import all_off, ours
from fuzz import DARC, DEBUGFS, fuzz, write

ASKED = os.environ.get("FUZZ_WRITES")
WRITES = int(ASKED or 400)
SEED = os.environ.get("FUZZ_SEED") or (
    str(random.SystemRandom().randrange(10**9)) if ASKED else "7"
)
FULL = 50_000
"""So many writes have the time for as many directories as there may be."""
PATIENCE_S = 600
"""No write takes so long, be it on the slowest machine."""


@pytest.mark.stress
@pytest.mark.skipif(
    not ASKED and "debug" not in os.uname().release, reason="make debug-kernel has it"
)
@ours
def test_any_writes(tmp_path: Path, log: None) -> None:
    replay = f"make fuzz-kernel SEED={SEED} WRITES={WRITES}"
    print(replay)
    params = {path: path.read_text() for path in Path(DARC).rglob("*") if path.is_file()}
    try:
        said = fuzz(
            int(SEED), WRITES, tmp_path / "report", full=WRITES >= FULL, patience=PATIENCE_S
        )
    finally:
        assert write(f"{DARC}/enabled", "N") == 0
        write(f"{DEBUGFS}/monitor_on_DEPRECATED", "off")
        all_off()
        for path, text in params.items():
            write(str(path), "default" if path.name in ("high", "mid", "low") else text)
    print(said)
    assert "STRANGE" not in said
    if ASKED:
        assert re.search(r"\bon [1-9]", said), "nothing ran"
