# SPDX-License-Identifier: GPL-2.0
"""One line a region and snapshot: for grep and awk, CSV, and JSON lines.

Where a recording tells probes' hits, CSV has columns probe_0, probe_1 … behind the others, which
are empty where a region has none, and JSON "probe_hits": [3, null …].
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np

from perf_damon.analysis.mappings import Atlas
from perf_damon.analysis.view import Block, View, blocks
from perf_damon.recording import UNTOLD, Column
from perf_damon.render.columns import (
    ABSENT,
    Lexicon,
    Words,
    decimal,
    fixed,
    hexadecimal,
    join,
    literal,
    words,
)
from perf_damon.render.text import clean

TEXT_HEAD = "# time_s target start-end size_bytes nr_accesses rate_percent age_s mapping\n"
CSV_HEAD = "time_ns,kdamond,target,pid,start,end,size,nr_accesses,rate,age_s,mapping\n"


def csv_head(probes: int) -> str:
    """The head line of a recording with so many probes."""
    return CSV_HEAD[:-1] + "".join(f",probe_{probe}" for probe in range(probes)) + "\n"


def region_texts(view: View, atlas: Atlas, format: str) -> Iterator[str]:
    """The regions of a view in pieces of text: format is text, csv or json (one object a line).

    A region belongs to the mapping at its start, or to the first one inside of it.
    """
    write = {"text": _text, "csv": _csv, "json": _json}[format]
    names = mapping_names(atlas, format)
    for block in blocks(view):
        if len(block.start):
            yield write(view, atlas, names, block)


def _text(view: View, atlas: Atlas, names: Lexicon, block: Block) -> str:
    n, target = len(block.start), view.target
    gap = literal(" ", n)
    age = (
        literal("-", n)
        if block.age is None
        else fixed(age_us(view, block.age, block.first + block.unit), 6)
    )
    return join(
        (
            fixed(_time(view, block) // 1000, 6, 12, blank=True),
            literal(f" {target.kdamond}:{target.id} ", n),
            hexadecimal(block.start),
            literal("-", n),
            hexadecimal(block.end),
            gap,
            decimal(block.end - block.start),
            gap,
            decimal(block.nr_accesses),
            gap,
            fixed(rate(view, block.nr_accesses, 1000), 1),
            gap,
            age,
            gap,
            mapping(atlas, block.start, block.end, names),
            literal("\n", n),
        )
    )


def _csv(view: View, atlas: Atlas, names: Lexicon, block: Block) -> str:
    n, target = len(block.start), view.target
    comma = literal(",", n)
    pid = "" if target.pid is None else target.pid
    age = (
        literal("", n)
        if block.age is None
        else fixed(age_us(view, block.age, block.first + block.unit), 6)
    )
    return join(
        (
            decimal(_time(view, block)),
            literal(f",{target.kdamond},{target.id},{pid},", n),
            decimal(block.start),
            comma,
            decimal(block.end),
            comma,
            decimal(block.end - block.start),
            comma,
            decimal(block.nr_accesses),
            comma,
            fixed(rate(view, block.nr_accesses, 10_000), 4),
            comma,
            age,
            comma,
            mapping(atlas, block.start, block.end, names),
            *(part for hits in _hits(block) for part in (comma, decided(hits, ""))),
            literal("\n", n),
        )
    )


def _json(view: View, atlas: Atlas, names: Lexicon, block: Block) -> str:
    n, target = len(block.start), view.target
    age = (
        literal("null", n)
        if block.age is None
        else fixed(age_us(view, block.age, block.first + block.unit), 6)
    )
    hits = [
        part
        for probe, column in enumerate(_hits(block))
        for part in (literal(',"probe_hits":[' if not probe else ",", n), decided(column, "null"))
    ]
    head = f',"kdamond":{target.kdamond},"target":{target.id},"pid":{json.dumps(target.pid)}'
    return join(
        (
            literal('{"time_ns":', n),
            decimal(_time(view, block)),
            literal(f'{head},"start":', n),
            decimal(block.start),
            literal(',"end":', n),
            decimal(block.end),
            literal(',"nr_accesses":', n),
            decimal(block.nr_accesses),
            literal(',"rate":', n),
            fixed(rate(view, block.nr_accesses, 10_000), 4),
            literal(',"age_s":', n),
            age,
            literal(',"mapping":', n),
            mapping(atlas, block.start, block.end, names),
            *hits,
            literal("]}\n" if hits else "}\n", n),
        )
    )


def _hits(block: Block) -> Sequence[Column]:
    """The hits of each probe, int16 (n,)."""
    return () if block.probe_hits is None else block.probe_hits.T


def decided(values: Column, otherwise: str) -> Column:
    """Whole numbers (n,), and a word where they are UNTOLD."""
    told = values != UNTOLD
    numbers = decimal(np.where(told, values, 0))
    if told.all():
        return numbers
    word = literal(otherwise, len(values))
    field = np.full((max(len(numbers), len(word)), len(values)), ABSENT, np.uint8)
    field[: len(numbers), told] = numbers[:, told]
    field[: len(word), ~told] = word[:, ~told]
    return field


def quote_csv(text: str) -> str:
    """A field of CSV."""
    text = clean(text)
    return '"' + text.replace('"', '""') + '"' if '"' in text or "," in text else text


def _time(view: View, block: Block) -> Column:
    """Nanoseconds since the start."""
    return (view.time[block.first + block.unit] - view.origin).astype(np.uint64)


def rate(view: View, nr_accesses: Column, scale: int) -> Column:
    """The access rate × scale, rounded; never above all samples."""
    exact = nr_accesses * (scale / view.max_nr_accesses)
    return np.minimum(np.rint(exact), scale).astype(np.uint64)


def age_us(view: View, age: Column, snapshot: Column) -> Column:
    """Microseconds, of counts of intervals in these snapshots of the view."""
    if view.age_unit is None:
        return age.astype(np.uint64) * np.uint64(view.interval_ns // 1000)
    return np.minimum(np.rint(view.age_ns(age, snapshot) / 1000), 2.0**62).astype(np.uint64)


def mapping_names(atlas: Atlas, format: str) -> Lexicon:
    """The names of an atlas as a format has them, and last that of no mapping."""
    if format == "json":
        return Lexicon([*map(json.dumps, atlas.names), "null"])
    if format == "csv":
        return Lexicon([*map(quote_csv, atlas.names), ""])
    return Lexicon([*map(clean, atlas.names), "-"])


def mapping(atlas: Atlas, start: Column, end: Column, names: Lexicon) -> Words:
    """The name of the mapping that each range belongs to; the last of names is for none."""
    return words(atlas.name_index(start, end), names)
