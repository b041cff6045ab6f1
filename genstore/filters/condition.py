"""What a caller writes beside a field as conditions: moments and spans of time above all."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

from genstore.errors import InvalidFilter
from genstore.filters.tree import (
    All,
    Compare,
    Filter,
    Op,
)
from genstore.records import to_microseconds

_DAY_US = 86_400_000_000
_UNITS_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": _DAY_US, "w": 7 * _DAY_US}
_AGO = re.compile(r"-?([0-9]{1,9})([smhdw])")


def condition_on(name: str, op: Op, value: Any, now: datetime | None = None) -> Filter:
    if name != "created_at" or op in ("exists", "prefix") or not isinstance(value, str | date):
        return Compare(name, op, value)
    start, end = _span(value, now)
    if end == start:  # a duration before now is a bound, not a moment one could have been created at
        if op == "=":
            raise InvalidFilter(f"created_at:{value} names one instant; write created_at>={value} for the time since")
        return Compare(name, op, start)
    if op == "=" and end - start > 1:
        return All((Compare(name, ">=", start), Compare(name, "<", end)))
    if op in (">", "<=") and end - start > 1:
        return Compare(name, ">=" if op == ">" else "<", end)
    return Compare(name, op, start)


def _span(value: str | date, now: datetime | None) -> tuple[int, int]:
    """[start, end) in microseconds: a day, one microsecond, or nothing for a time ago."""
    if isinstance(value, str):
        if ago := _AGO.fullmatch(value):
            start = to_microseconds(now or datetime.now(UTC)) - int(ago[1]) * _UNITS_US[ago[2]]
            return start, start
        value = _moment(value)
    if isinstance(value, datetime):
        return to_microseconds(value), to_microseconds(value) + 1
    start = to_microseconds(datetime(value.year, value.month, value.day, tzinfo=UTC))
    return start, start + _DAY_US


def _moment(text: str) -> date:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    raise InvalidFilter(f"{text!r} is not a date; write 2026-01-31, 2026-01-31T12:00:00Z, or 7d for seven days ago")
