# SPDX-License-Identifier: GPL-2.0
"""The lab: fetches kernels, boots guests, runs workloads whose truth is known.

Standard library only, so that it runs before anything is installed.
"""
