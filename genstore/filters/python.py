"""The Python form of a filter, and the tree of whatever a caller passes as `where`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NoReturn

from genstore.errors import InvalidFilter
from genstore.filters.condition import condition_on
from genstore.filters.text import parse
from genstore.filters.tree import (
    EVERYTHING,
    Any_,
    Compare,
    Filter,
    Not,
    Where,
    resolve,
)


class F:
    """A field to compare: F("score.quality") >= 0.8, F("tag").in_(["a", "b"]), ~F("error").exists().

    Moments are datetimes, dates (the whole day, UTC) or what the text form takes: F("created_at") >= "7d".
    Raises InvalidFilter for an unknown field.
    """

    __slots__ = ("field",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self.field = resolve(name)

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        return condition_on(self.field, "=", value)

    def __ne__(self, value: object) -> Not:  # type: ignore[override]
        return Not(condition_on(self.field, "=", value))

    def __lt__(self, value: object) -> Filter:
        return condition_on(self.field, "<", value)

    def __le__(self, value: object) -> Filter:
        return condition_on(self.field, "<=", value)

    def __gt__(self, value: object) -> Filter:
        return condition_on(self.field, ">", value)

    def __ge__(self, value: object) -> Filter:
        return condition_on(self.field, ">=", value)

    def __bool__(self) -> NoReturn:
        raise InvalidFilter(f"F({self.field!r}) has no truth value; combine comparisons with & | ~, not and/or/not")

    def prefix(self, start: str) -> Compare:
        """True when a text of the field starts with this."""
        return Compare(self.field, "prefix", start)

    def exists(self) -> Compare:
        """True when the record has the field."""
        return Compare(self.field, "exists")

    def in_(self, values: Iterable[object]) -> Any_:
        """True when the field equals any of the values; no values, no match."""
        return Any_(tuple(condition_on(self.field, "=", value) for value in values))


def as_filter(where: Where, now: datetime | None = None) -> Filter:
    """The tree of whatever a caller may pass as `where`: text, a tree, or None for everything."""
    if where is None:
        return EVERYTHING
    if isinstance(where, str):
        return parse(where, now)
    if isinstance(where, Filter):
        return where
    raise InvalidFilter(f"where is a text or a filter, got {where!r}")
