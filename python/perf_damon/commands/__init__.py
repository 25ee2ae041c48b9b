# SPDX-License-Identifier: GPL-2.0
"""The commands of perf damon, one module each: USAGE, DESCRIPTION, EPILOG, configure(), run()."""
