# SPDX-License-Identifier: GPL-2.0
"""perf damon: data access monitoring for Linux, as part of perf.

In a notebook:

    >>> import perf_damon
    >>> recording = perf_damon.open("perf.data")
    >>> recording.to_pandas().groupby("mapping").size()
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from perf_damon.errors import DataError, Error, UsageError
from perf_damon.version import __version__

if TYPE_CHECKING:
    from perf_damon.recording import Recording

__all__ = ["DataError", "Error", "UsageError", "__version__", "open"]


def open(path: str | os.PathLike[str] = "perf.data", *, force: bool = False) -> Recording:
    """Read a recording of DAMON's `damon:damon_aggregated` events from a perf.data file.

    Also of `damon:damon_region_aggregated` (Linux 7.2 and newer), which tells probes' hits:
    `.regions.probe_hits`. A region that both tell is one row.

    `force` is perf's: also read files of other users.

    Raises perf_damon.DataError (what is wrong with the file) or OSError (it cannot be
    opened). What is lost or cut off does not raise: see Recording.losses.
    """
    from perf_damon.perfdata import read

    return read(path, force)
