# SPDX-License-Identifier: GPL-2.0
"""What `perf damon record` runs: the command to monitor, perf record, and a guard for the end."""
