# SPDX-License-Identifier: GPL-2.0
"""What tests of reading perf.data have in common."""

from __future__ import annotations

import pytest

import perf_damon


@pytest.fixture
def read(tmp_path):
    """Open the content of a file as a recording."""

    def read_(content):
        (tmp_path / "perf.data").write_bytes(content)
        return perf_damon.open(tmp_path / "perf.data")

    return read_
