# SPDX-License-Identifier: GPL-2.0
"""python -m perf_damon."""

from perf_damon.cli import run

run()
