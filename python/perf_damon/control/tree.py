# SPDX-License-Identifier: GPL-2.0
"""Between the dataclasses of nodes.py and the files: load, store, and plain dictionaries."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any, TypeVar

from perf_damon.control.nodes import Kdamond, Kind, Node, field_path
from perf_damon.control.sysfs import Sysfs, SysfsError
from perf_damon.errors import Error

N = TypeVar("N", bound=Node)


def load_kdamonds(sysfs: Sysfs) -> list[Kdamond]:
    """All kdamonds of the tree, in order; raises SysfsError."""
    names = [name for name in sysfs.names("kdamonds") if name.isdigit()]
    return [load(Kdamond, sysfs, f"kdamonds/{name}") for name in names]


def load(cls: type[N], sysfs: Sysfs, folder: str) -> N:
    """Read a folder; files that are not there are None, unknown ones go to `extra`."""
    values: dict[str, Any] = {}
    known = set()
    for item in _fields(cls):
        path = field_path(item)
        known.add(path)
        values[item.name] = _load_field(item, sysfs, f"{folder}/{path}")
        if item.metadata["kind"] is Kind.NODES:
            known.add(f"{path}/{item.metadata['count']}")
    return cls(**values, extra=_load_extra(sysfs, folder, "", known))


def store(value: Node, sysfs: Sysfs, folder: str) -> None:
    """Write all that is not None, and read it back; raises SysfsError.

    Lists are made anew with as many entries as there are; so the kernel's defaults hold for
    what is None in them.
    """
    for item in _fields(type(value)):
        content = getattr(value, item.name)
        path = f"{folder}/{field_path(item)}"
        if content is None or item.metadata["readonly"]:
            continue
        if content == item.metadata["neutral"] and not sysfs.exists(path):
            continue
        match item.metadata["kind"]:
            case Kind.NODE:
                store(content, sysfs, path)
            case Kind.NODES:
                sysfs.write_checked(f"{path}/{item.metadata['count']}", len(content))
                for index, child in enumerate(content):
                    store(child, sysfs, f"{path}/{index}")
            case Kind.FLAG:
                sysfs.write_checked(path, "Y" if content else "N")
            case _:
                sysfs.write_checked(path, content)
    # Counts first: they make the folders of the rest.
    for name in sorted(value.extra, key=_counts_first):
        path = f"{folder}/{name}"
        if not sysfs.exists(path):
            raise Error(f"this kernel has no {sysfs.root / path}")
        if sysfs.is_writable(path) and sysfs.read(path) != value.extra[name]:
            sysfs.write_checked(path, value.extra[name])


def to_dict(value: Node) -> dict[str, Any]:
    """What can be written of a node, as JSON can hold it: without None and read-only files."""
    result: dict[str, Any] = {}
    for item in _fields(type(value)):
        content = getattr(value, item.name)
        if content is None or item.metadata["readonly"]:
            continue
        match item.metadata["kind"]:
            case Kind.NODE:
                result[item.name] = to_dict(content)
            case Kind.NODES:
                result[item.name] = [to_dict(child) for child in content]
            case _:
                result[item.name] = content
    if value.extra:
        result["extra"] = dict(value.extra)
    return result


def from_dict(cls: type[N], data: dict[str, Any]) -> N:
    """The inverse of to_dict(); raises KeyError or TypeError for what it cannot have made."""
    values: dict[str, Any] = {"extra": dict(data.get("extra", {}))}
    for item in _fields(cls):
        if item.name not in data:
            continue
        content = data[item.name]
        match item.metadata["kind"]:
            case Kind.NODE:
                values[item.name] = from_dict(item.metadata["class"], content)
            case Kind.NODES:
                values[item.name] = [from_dict(item.metadata["class"], child) for child in content]
            case _:
                values[item.name] = content
    return cls(**values)


def _fields(cls: type[Node]) -> list[Field]:
    return [item for item in fields(cls) if "kind" in item.metadata]


def _load_field(item: Field, sysfs: Sysfs, path: str) -> Any:
    kind = item.metadata["kind"]
    if kind is Kind.NODE:
        return load(item.metadata["class"], sysfs, path)
    if not sysfs.exists(path):
        return None
    if kind is Kind.NODES:
        names = [name for name in sysfs.names(path) if name.isdigit()]
        return [load(item.metadata["class"], sysfs, f"{path}/{name}") for name in names]
    content = sysfs.read(path)
    match kind:
        case Kind.NUMBER:
            return int(content, 0)
        case Kind.FLAG:
            return content == "Y"
        case Kind.LINES:
            return tuple(content.split())
        case _:
            return content


def _load_extra(sysfs: Sysfs, folder: str, below: str, known: set[str]) -> dict[str, str]:
    here = f"{folder}/{below}".rstrip("/")
    if not sysfs.is_dir(here):
        return {}
    extra: dict[str, str] = {}
    for name in sysfs.names(here):
        path = f"{below}{name}"
        inside = any(item.startswith(f"{path}/") for item in known)
        if path in known and not inside:
            continue
        if sysfs.is_dir(f"{folder}/{path}"):
            # The numbered folders of a list that is known are known as well.
            if name.isdigit() and below.rstrip("/") in known:
                continue
            extra |= _load_extra(sysfs, folder, f"{path}/", known)
        elif path not in known:
            try:
                extra[path] = sysfs.read(f"{folder}/{path}")
            except SysfsError:
                # Some files can only be written.
                continue
    return extra


def _counts_first(path: str) -> tuple[int, bool, str]:
    folder, _, name = path.rpartition("/")
    return folder.count("/"), not name.startswith("nr_"), path
