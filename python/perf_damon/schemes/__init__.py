# SPDX-License-Identifier: GPL-2.0
"""DAMOS schemes: their text form, what contradicts itself, and what a kernel can do."""
