# SPDX-License-Identifier: GPL-2.0
"""What schemes did: one line a region that one acted on, for grep and awk, CSV, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np

from perf_damon.analysis.mappings import Atlas
from perf_damon.analysis.view import BLOCK_ROWS, View
from perf_damon.recording import Applied, Column
from perf_damon.render.columns import (
    Lexicon,
    Words,
    decimal,
    fixed,
    hexadecimal,
    join,
    literal,
    words,
)
from perf_damon.render.regions import age_us, mapping, mapping_names, quote_csv, rate
from perf_damon.render.text import clean

TEXT_HEAD = (
    "# time_s target context:scheme action start-end size_bytes nr_accesses rate_percent age_s"
    " mapping\n"
)
CSV_HEAD = (
    "time_ns,kdamond,target,pid,context,scheme,action,start,end,size,nr_accesses,rate,age_s,"
    "mapping\n"
)


def applied_texts(
    view: View, rows: Applied, actions: Sequence[str | None], atlas: Atlas, format: str
) -> Iterator[str]:
    """The rows that concern a view in pieces of text, by time; format is text, csv or json.

    `actions` are those of the first context's schemes. Times count from the recording's first
    damon_aggregated event, and what was done before that has time 0.
    """
    write = {"text": _text, "csv": _csv, "json": _json}[format]
    names = mapping_names(atlas, format)
    for first in range(0, len(rows), BLOCK_ROWS):
        yield write(view, rows[first : first + BLOCK_ROWS], actions, atlas, names)


def _text(
    view: View, rows: Applied, actions: Sequence[str | None], atlas: Atlas, names: Lexicon
) -> str:
    n, target = len(rows), view.target
    gap = literal(" ", n)
    return join(
        (
            fixed(_time(view, rows) // 1000, 6, 12, blank=True),
            literal(f" {target.kdamond}:{target.id} ", n),
            decimal(rows.context),
            literal(":", n),
            decimal(rows.scheme),
            gap,
            _action(rows, actions, "-"),
            gap,
            hexadecimal(rows.start),
            literal("-", n),
            hexadecimal(rows.end),
            gap,
            decimal(rows.end - rows.start),
            gap,
            decimal(rows.nr_accesses),
            gap,
            fixed(rate(view, rows.nr_accesses, 1000), 1),
            gap,
            fixed(_age_us(view, rows), 6),
            gap,
            mapping(atlas, rows.start, rows.end, names),
            literal("\n", n),
        )
    )


def _csv(
    view: View, rows: Applied, actions: Sequence[str | None], atlas: Atlas, names: Lexicon
) -> str:
    n, target = len(rows), view.target
    comma = literal(",", n)
    pid = "" if target.pid is None else target.pid
    return join(
        (
            decimal(_time(view, rows)),
            literal(f",{target.kdamond},{target.id},{pid},", n),
            decimal(rows.context),
            comma,
            decimal(rows.scheme),
            comma,
            _action(rows, [action and quote_csv(action) for action in actions], ""),
            comma,
            decimal(rows.start),
            comma,
            decimal(rows.end),
            comma,
            decimal(rows.end - rows.start),
            comma,
            decimal(rows.nr_accesses),
            comma,
            fixed(rate(view, rows.nr_accesses, 10_000), 4),
            comma,
            fixed(_age_us(view, rows), 6),
            comma,
            mapping(atlas, rows.start, rows.end, names),
            literal("\n", n),
        )
    )


def _json(
    view: View, rows: Applied, actions: Sequence[str | None], atlas: Atlas, names: Lexicon
) -> str:
    n, target = len(rows), view.target
    head = f',"kdamond":{target.kdamond},"target":{target.id},"pid":{json.dumps(target.pid)}'
    quoted = [None if action is None else json.dumps(action) for action in actions]
    return join(
        (
            literal('{"time_ns":', n),
            decimal(_time(view, rows)),
            literal(f'{head},"context":', n),
            decimal(rows.context),
            literal(',"scheme":', n),
            decimal(rows.scheme),
            literal(',"action":', n),
            _action(rows, quoted, "null"),
            literal(',"start":', n),
            decimal(rows.start),
            literal(',"end":', n),
            decimal(rows.end),
            literal(',"nr_accesses":', n),
            decimal(rows.nr_accesses),
            literal(',"rate":', n),
            fixed(rate(view, rows.nr_accesses, 10_000), 4),
            literal(',"age_s":', n),
            fixed(_age_us(view, rows), 6),
            literal(',"mapping":', n),
            mapping(atlas, rows.start, rows.end, names),
            literal("}\n", n),
        )
    )


def _action(rows: Applied, actions: Sequence[str | None], unknown: str) -> Words:
    """The name of each row's action."""
    names = [unknown if action is None else clean(action) for action in actions]
    told = (rows.context == 0) & (rows.scheme < len(names))
    index = np.where(told, rows.scheme, len(names)).astype(np.int64)
    return words(index, Lexicon([*names, unknown]))


def _age_us(view: View, rows: Applied) -> Column:
    """Microseconds; what is done comes before the snapshot that it belongs to."""
    after = np.searchsorted(view.time, rows.time.astype(np.int64))
    return age_us(view, rows.age, np.minimum(after, view.nr_snapshots - 1))


def _time(view: View, rows: Applied) -> Column:
    """Nanoseconds since the start."""
    origin = np.uint64(view.origin)
    return np.maximum(rows.time, origin) - origin
