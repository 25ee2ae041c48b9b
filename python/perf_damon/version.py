# SPDX-License-Identifier: GPL-2.0
"""The version of perf damon."""

__version__ = "0.1.0"
