# SPDX-License-Identifier: GPL-2.0
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))


@pytest.fixture(scope="session")
def workload_program():
    from lab.workloads.build import build

    return build()
