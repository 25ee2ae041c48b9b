# SPDX-License-Identifier: GPL-2.0
"""How findings look: text for terminals and for grep, CSV, JSON. Nothing is computed here."""
