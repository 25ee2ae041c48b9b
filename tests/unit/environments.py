# SPDX-License-Identifier: GPL-2.0
"""The environment of programs that draw: nothing of whoever runs the tests, and one width."""

from __future__ import annotations

import os


def plain(**changes: str) -> dict[str, str]:
    """Without what changes Python or perf, on 80 columns and 24 lines."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PERF"))}
    return {**clean, "COLUMNS": "80", "LINES": "24", "LANG": "C.UTF-8", **changes}
