# SPDX-License-Identifier: GPL-2.0
"""The kernel's side: DAMON's sysfs tree, who uses it, and how to start and stop."""
