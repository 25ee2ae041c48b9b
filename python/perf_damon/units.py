# SPDX-License-Identifier: GPL-2.0
"""Units that people read and write: times, sizes, addresses."""

from __future__ import annotations

import re

from perf_damon.errors import UsageError

_TIME_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_TIME_US["d"] = 24 * _TIME_US["h"]
_PAGE = 4096
_SIZE_SHIFT = {"": 0, "B": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-fA-F]{1,16}")
_HEX_WITH_0X = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_MAX = 2**64 - 1
ADDRESSES = "hexadecimal as /proc/PID/maps and /proc/iomem have it, with 0x or without, or 1G, 512M"
"""How addresses are written, for hints."""


def parse_time_us(text: str) -> int:
    """Microseconds of a time with its unit: `5ms`, `100ms`, `1s`, `1.5m`, `2h`, `1d`, `0`.

    Raises UsageError; a bare number other than 0 is refused, because tools disagree on its unit.
    """
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise UsageError(f"'{text}' is not a time", "write it as in 500us, 5ms, 1s, 2m, 1h")
    number, unit = match.groups()
    if unit is None and float(number) != 0:
        raise UsageError(
            f"'{text}' has no unit", f"write {number}us, {number}ms or {number}s, as you mean it"
        )
    scale = _TIME_US[unit or "us"]
    value = int(number) * scale if number.isdigit() else round(float(number) * scale)
    if value > _MAX:
        raise UsageError(f"'{text}' is longer than the kernel can count")
    return value


def parse_size(text: str) -> int:
    """Bytes of a size: `4096`, `0x1000`, `4K`, `1.5G`, `10MiB` (K is 1024).

    Raises UsageError.
    """
    stripped = text.strip()
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", stripped):
        value = int(stripped, 16)
    else:
        match = _SIZE.fullmatch(stripped)
        if not match:
            raise UsageError(f"'{text}' is not a size", "write it as in 4096, 0x1000, 4K, 10M, 2G")
        number, unit = match.groups()
        scale = 1 << _SIZE_SHIFT[unit.upper()]
        value = int(number) * scale if number.isdigit() else round(float(number) * scale)
    if value > _MAX:
        raise UsageError(f"'{text}' is more than 64 bits hold")
    return value


def parse_address_range(low: str, high: str) -> tuple[int, int]:
    """Two addresses, of one hand: each may tell what the other is.

    Hexadecimal with or without 0x, as /proc/PID/maps and /proc/iomem print it, or a size with its
    unit: `1G`. An end without 0x that is the last byte of a page is that of /proc/iomem, which
    belongs to the range: the address after it is meant. Raises UsageError for what can be read as
    hexadecimal and as decimal.
    """
    low, high = low.strip(), high.strip()
    ends = _readings(low), _readings(high)
    printed = any(plain is not None and size is None for plain, size, _ in ends)
    start, end = (
        _one_reading(text, *of, printed) for text, of in zip((low, high), ends, strict=True)
    )
    without_0x = ends[1][0] is not None and end == ends[1][0]
    if without_0x and end % _PAGE == _PAGE - 1 and end < _MAX:
        end += 1
    return start, end


def parse_address(text: str) -> int:
    """One address, as parse_address_range() reads each."""
    stripped = text.strip()
    return _one_reading(stripped, *_readings(stripped), printed=False)


def _readings(text: str) -> tuple[int | None, int | None, int | None]:
    """As hexadecimal without 0x, as a number of bytes, and as hexadecimal with 0x."""
    if _HEX_WITH_0X.fullmatch(text):
        return None, None, int(text, 16)
    plain = int(text, 16) if _HEX.fullmatch(text) else None
    size = None
    # Nobody writes decimal numbers with zeros before them; maps and iomem do.
    if _SIZE.fullmatch(text) and not re.fullmatch(r"0[0-9].*|[0-9]*\.[0-9]*", text):
        size = parse_size(text)
    return plain, size, None


def _one_reading(
    text: str, plain: int | None, size: int | None, marked: int | None, printed: bool
) -> int:
    """`printed`: beside it stands what can only be hexadecimal without 0x."""
    if marked is not None:
        return marked
    if plain is None and size is None:
        raise UsageError(f"'{text}' is not an address", f"write {ADDRESSES}")
    if plain is None or size is None or plain == size or printed:
        value = plain if plain is not None else size
        assert value is not None
        return value
    raise UsageError(
        f"'{text}' can be read as hexadecimal, 0x{plain:x}, and as {size:,} bytes, 0x{size:x}",
        "write the one that is meant with 0x",
    )


def format_size(size: float) -> str:
    """Bytes for people: `512 B`, `4.0 KiB`, `1.5 GiB`."""
    if abs(size) < 1024:
        return f"{size:.0f} B"
    # 1023.96 KiB would read "1024.0 KiB": that is the next unit's
    scaled, unit = size / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB", "PiB", "EiB"):
        if abs(scaled) < 1023.95:
            break
        scaled, unit = scaled / 1024, larger
    return f"{scaled:.1f} {unit}"


def format_time_us(us: float) -> str:
    """Microseconds for people, in the largest unit that keeps them short: `5 ms`, `1.5 s`."""
    if us < 1_000:
        return f"{us:.4g} us"
    if us < 1_000_000:
        return f"{us / 1_000:.4g} ms"
    if us < 120_000_000:
        return f"{us / 1_000_000:.4g} s"
    seconds = round(us / 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def format_address(address: int) -> str:
    """An address as perf and /proc/PID/maps write it, with 0x."""
    return f"0x{address:x}"


def format_count(number: int) -> str:
    """A count for people: `1,234,567`."""
    return f"{number:,}"
