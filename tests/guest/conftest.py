# SPDX-License-Identifier: GPL-2.0
"""Fixtures of the tests on a real kernel; guest.py beside this has the rest."""

from faults import log

from guest import here, memcg, nothing_left_behind, somebody_elses, target, workload

__all__ = ["here", "log", "memcg", "nothing_left_behind", "somebody_elses", "target", "workload"]
