# SPDX-License-Identifier: GPL-2.0
"""Findings for programs: JSON with exact numbers, CSV with a head line.

Sizes and addresses are bytes, times nanoseconds since the recording's first event, rates and
shares 0 … 1; null is what is not known. Keys are only ever added. Every JSON document is

    {"recording": {path, size, captured, hostname, os_release, arch, perf_version, command,
                   duration_ns, losses: {events, truncated_bytes, skipped_records}},
     "targets": [{number, kdamond, id, pid, pid_inferred, comm, operations,
                  attributes: {sample_us, aggr_us, update_us, min_nr_regions, max_nr_regions,
                  tuned}, attributes_inferred, sample_guessed, intervals_tuned, max_nr_accesses,
                  snapshots, regions, first_ns, last_ns, …}]}

and a target goes on with

    summary   monitored, working_set: {percent: bytes}; areas: [{start, end, size, share, rate,
              peak, age_s, mapping, offset}], the largest share first
    heatmap   time_edges_ns (rows + 1), columns: [{start, end}], hottest and mean: rows of rates
    wss       min_nr_accesses, percentiles: {percent: bytes}, mean, and for each snapshot
              time_ns, duration_ns, working_set, monitored
    schemes   time_edges_ns, columns as in heatmap; schemes: [{context, scheme, action, text,
              regions, bytes, distinct_bytes, first_ns, last_ns, acted_on: rows of shares of the
              cells' bytes}]

In CSV a target is kdamond, target (its id) and pid (empty where it is not known), and addresses are
decimal. `regions` and `applied` are lines, each an object: see render/regions.py and
render/applied.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from perf_damon.analysis.applied import Acts
from perf_damon.analysis.mappings import mapping_offset
from perf_damon.analysis.report import Findings
from perf_damon.analysis.select import Selected
from perf_damon.analysis.survey import PERCENTILES, Survey, percentiles
from perf_damon.analysis.view import View
from perf_damon.recording import Column, Recording
from perf_damon.render.acts import picture
from perf_damon.render.regions import quote_csv

AREA_HEAD = "kdamond,target,pid,start,end,size,share,rate,peak,age_s,mapping,offset\n"
HEATMAP_HEAD = "kdamond,target,pid,time_ns,time_end_ns,start,end,hottest,mean\n"
ACTS_HEAD = "kdamond,target,pid,context,scheme,action,time_ns,time_end_ns,start,end,acted_on\n"
WSS_HEAD = "kdamond,target,pid,time_ns,duration_ns,working_set,monitored\n"


def recording_data(recording: Recording) -> dict[str, Any]:
    """The file, the machine, what is missing."""
    header = recording.header
    return {
        "path": recording.path,
        "size": recording.size,
        "captured": header.captured,
        "hostname": header.hostname,
        "os_release": header.os_release,
        "arch": header.arch,
        "perf_version": header.perf_version,
        "command": list(recording.parameters.command) if recording.parameters else [],
        "duration_ns": recording.end_time - recording.start_time,
        "losses": asdict(recording.losses),
    }


def target_data(selected: Selected) -> dict[str, Any]:
    """Who was monitored, and how."""
    view, target = selected.view, selected.view.target
    return {
        "number": selected.number,
        "kdamond": target.kdamond,
        "id": target.id,
        "pid": target.pid,
        "pid_inferred": target.pid_inferred,
        "comm": target.comm,
        "operations": target.operations,
        "attributes": asdict(target.attributes),
        "attributes_inferred": target.attributes_inferred,
        "sample_guessed": target.sample_guessed,
        "intervals_tuned": target.intervals_tuned,
        "max_nr_accesses": view.max_nr_accesses,
        "snapshots": view.nr_snapshots,
        "regions": len(view.regions),
        "first_ns": int(view.time[0]) - view.origin if view.nr_snapshots else None,
        "last_ns": int(view.time[-1]) - view.origin if view.nr_snapshots else None,
    }


def summary_data(selected: Selected, findings: Findings | None) -> dict[str, Any]:
    """The default report of one target."""
    data = target_data(selected)
    if findings is None:
        return data | {"monitored": {}, "working_set": {}, "areas": []}
    survey, view = findings.survey, findings.view
    return data | {
        "monitored": _percentile_data(survey.monitored, view.duration, PERCENTILES),
        "working_set": _percentile_data(survey.working_set, view.duration, PERCENTILES),
        "areas": list(_areas(findings)),
    }


def heatmap_data(selected: Selected, findings: Findings | None) -> dict[str, Any]:
    """The heatmap of one target: null where nothing was monitored."""
    data = target_data(selected)
    if findings is None:
        return data | {"time_edges_ns": [], "columns": [], "hottest": [], "mean": []}
    picture = findings.heatmap
    return data | {
        "time_edges_ns": (picture.edges - findings.view.origin).tolist(),
        "columns": [
            {"start": start, "end": end}
            for start, end in zip(
                picture.axis.start.tolist(), picture.axis.end.tolist(), strict=True
            )
        ],
        "hottest": matrix(picture.hottest),
        "mean": matrix(picture.mean),
    }


def schemes_data(
    selected: Selected, acts: Sequence[Acts], findings: Findings | None
) -> dict[str, Any]:
    """What schemes did to one target."""
    axes = heatmap_data(selected, findings)
    del axes["hottest"], axes["mean"]
    return axes | {"schemes": _acts(selected.view, acts, findings)}


def _acts(view: View, acts: Sequence[Acts], findings: Findings | None) -> list[dict[str, Any]]:
    return [
        {
            "context": act.key[0],
            "scheme": act.key[1],
            "action": act.action,
            "text": act.scheme.text if act.scheme else None,
            "regions": len(act.rows),
            "bytes": act.bytes,
            "distinct_bytes": act.distinct,
            "first_ns": int(act.rows.time[0]) - view.origin if len(act.rows) else None,
            "last_ns": int(act.rows.time[-1]) - view.origin if len(act.rows) else None,
            "acted_on": [] if findings is None else matrix(picture(act, findings)),
        }
        for act in acts
    ]


def wss_data(selected: Selected, survey: Survey, percents: Sequence[float]) -> dict[str, Any]:
    """The working set of one target: percentiles by time, and every snapshot."""
    view = selected.view
    weight = np.maximum(view.duration, 1)
    mean = float(np.average(survey.working_set, weights=weight)) if view.nr_snapshots else 0.0
    return target_data(selected) | {
        "min_nr_accesses": survey.threshold,
        "percentiles": _percentile_data(survey.working_set, view.duration, percents),
        "mean": round(mean),
        "time_ns": (view.time - view.origin).tolist(),
        "duration_ns": view.duration.tolist(),
        "working_set": survey.working_set.tolist(),
        "monitored": survey.monitored.tolist(),
    }


def area_csv(selected: Selected, findings: Findings) -> Iterator[str]:
    """A line for each area, hottest first."""
    for area in _areas(findings):
        values = [_id(selected), area["start"], area["end"], area["size"]]
        values += [_number(area[key]) for key in ("share", "rate", "peak", "age_s")]
        values += [
            quote_csv(area["mapping"] or ""),
            "" if area["offset"] is None else area["offset"],
        ]
        yield ",".join(map(str, values)) + "\n"


def heatmap_csv(selected: Selected, findings: Findings) -> Iterator[str]:
    """A line for each cell that was monitored."""
    picture, name = findings.heatmap, _id(selected)
    edges = (picture.edges - findings.view.origin).tolist()
    columns = [
        f"{start},{end}"
        for start, end in zip(picture.axis.start.tolist(), picture.axis.end.tolist(), strict=True)
    ]
    for t in range(len(edges) - 1):
        hottest, mean = picture.hottest[t].tolist(), picture.mean[t].tolist()
        head = f"{name},{edges[t]},{edges[t + 1]}"
        yield "".join(
            f"{head},{column},{_number(hot)},{_number(even)}\n"
            for column, hot, even in zip(columns, hottest, mean, strict=True)
            if hot == hot  # not NaN
        )


def acts_csv(selected: Selected, acts: Sequence[Acts], findings: Findings) -> Iterator[str]:
    """A line for each cell of which a scheme acted on something."""
    heatmap, name = findings.heatmap, _id(selected)
    edges = (heatmap.edges - findings.view.origin).tolist()
    starts, ends = heatmap.axis.start.tolist(), heatmap.axis.end.tolist()
    for act in acts:
        shares = picture(act, findings)
        head = f"{name},{act.key[0]},{act.key[1]},{quote_csv(act.action or '')}"
        for t, c in np.argwhere(shares > 0).tolist():
            cell = f"{edges[t]},{edges[t + 1]},{starts[c]},{ends[c]}"
            yield f"{head},{cell},{shares[t, c]:.6g}\n"


def wss_csv(selected: Selected, survey: Survey) -> Iterator[str]:
    """A line for each snapshot."""
    view, name = selected.view, _id(selected)
    columns = (view.time - view.origin, view.duration, survey.working_set, survey.monitored)
    for row in zip(*(column.tolist() for column in columns), strict=True):
        yield f"{name},{row[0]},{row[1]},{row[2]},{row[3]}\n"


def _areas(findings: Findings) -> Iterator[dict[str, Any]]:
    areas, second = findings.areas, findings.view.interval_ns / 1e9
    for i in range(len(areas)):
        start = int(areas.start[i])
        name, offset = mapping_offset(findings.atlas, int(areas.mapping[i]), start)
        yield {
            "start": start,
            "end": int(areas.end[i]),
            "size": round(float(areas.size[i])),
            "share": round(float(areas.share[i]), 9),
            "rate": round(float(areas.rate[i]), 9),
            "peak": round(float(areas.peak[i]), 9),
            "age_s": None if areas.age is None else round(float(areas.age[i]) * second, 6),
            "mapping": name,
            "offset": offset,
        }


def _percentile_data(values: Column, weight: Column, percents: Sequence[float]) -> dict[str, int]:
    sizes = percentiles(values, weight, percents)
    return {f"{at:g}": int(size) for at, size in zip(percents, sizes, strict=True)}


def matrix(rates: Column) -> list[list[float | None]]:
    """Rates as nested lists, null where there are none."""
    rows = np.round(rates, 9).tolist()
    return [[value if value == value else None for value in row] for row in rows]


def _id(selected: Selected) -> str:
    """The columns kdamond, target, pid."""
    target = selected.view.target
    return f"{target.kdamond},{target.id},{'' if target.pid is None else target.pid}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
