# SPDX-License-Identifier: GPL-2.0
"""Workloads with known truth: a C program, patterns, and the reader of what it writes."""
