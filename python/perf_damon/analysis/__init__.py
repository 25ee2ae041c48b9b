# SPDX-License-Identifier: GPL-2.0
"""What a recording says: pure functions on columns. No terminal, no files."""
