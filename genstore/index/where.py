"""The filter tree as a Qdrant filter, for the embedded engine and the server's client alike.

Both name their conditions alike; what differs is passed in: the module that defines them, its class for ranges, and
how a condition on one element of a list is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genstore.filters import All, Any_, Compare, Not
from genstore.index.layout import (
    NUMBER_IS,
    NUMBER_OF,
    PAIRS,
    RECORD_ID,
    TOKENS,
    escaped,
    has_own_index,
    number_token,
    payload_key,
    text_token,
)

if TYPE_CHECKING:
    from genstore.filters import Filter

_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Builds one engine's conditions.

    models: the module that holds them; range: its class for numeric ranges; element(key, filter): holds when one
    element of the list under the key satisfies the filter.
    """

    models: Any
    range: Any
    element: Callable[[str, Any], Any]

    def translate(self, where: Filter) -> Any:
        """The engine's filter that holds for exactly the points whose fields satisfy `where`."""
        return self.all([self._condition(where)])

    def _condition(self, where: Filter) -> Any:
        if isinstance(where, All):
            return self.all(map(self._condition, where.conditions))
        if isinstance(where, Any_):
            return self.any(map(self._condition, where.conditions))
        if isinstance(where, Not):
            return self.models.Filter(must_not=[self._condition(where.condition)])
        return self._compare(where)

    def selection(self, where: Filter | None, side: str | None, exclude_record: str | None) -> Any:
        """What a search asks for beside its vectors as one filter, or None when that is everything."""
        conditions = [] if where is None else [self._condition(where)]
        if side is not None:
            conditions.append(self.equals("side", side))
        if exclude_record is not None:
            conditions.append(self.models.Filter(must_not=[self.equals(RECORD_ID, exclude_record)]))
        return self.all(conditions) if conditions else None

    def all(self, conditions: Iterable[Any]) -> Any:
        """Holds when every condition does."""
        return self.models.Filter(must=list(conditions))

    def any(self, conditions: Iterable[Any]) -> Any:
        """Holds when at least one condition does."""
        # An empty `should` would hold for every point, where an empty disjunction holds for none.
        return self.models.Filter(should=list(conditions) or [self._never()])

    def equals(self, key: str, text: str) -> Any:
        """Holds when the text is among the key's values."""
        return self.models.FieldCondition(key=key, match=self.models.MatchValue(value=text))

    def _compare(self, where: Compare) -> Any:
        return self._own(where) if has_own_index(where.field) else self._shared(where)

    def _own(self, where: Compare) -> Any:
        """A comparison of a field that stands under its own key."""
        key = payload_key(where.field)
        if where.op == "exists":
            return self.models.Filter(must_not=[self.models.FieldCondition(key=key, is_empty=True)])
        if where.op == "prefix":
            return self._starts(key, where.text)
        number = where.number
        if where.op == "=":
            equal = [self.equals(key, where.text)]
            if number is not None:
                equal.append(self._within(key, gte=number, lte=number))
            return self.any(equal)
        return self._never() if number is None else self._within(key, **{_BOUNDS[where.op]: number})

    def _shared(self, where: Compare) -> Any:
        """A comparison of a field that is found by its tokens, and by its pairs where a range is asked for."""
        field, number = where.field, where.number
        if where.op == "exists":
            return self.equals(TOKENS, escaped(field))
        if where.op == "prefix":
            return self._starts(TOKENS, text_token(field, where.text))
        equal = [] if number is None else [self.equals(TOKENS, number_token(field, number))]
        if where.op == "=":
            return self.any([self.equals(TOKENS, text_token(field, where.text)), *equal])
        if number is None:
            return self._never()
        of_field = self.equals(NUMBER_OF, escaped(field))
        beyond = self.element(PAIRS, self.all([of_field, self._within(NUMBER_IS, **{_BOUNDS[where.op]: number})]))
        # The number itself by its token: it is exact, where a stored number may be off by its last bit.
        return self.any([beyond, *equal]) if where.op in ("<=", ">=") else beyond

    def _starts(self, key: str, text: str) -> Any:
        return self.models.FieldCondition(key=key, match=self.models.MatchPrefix(prefix=text))

    def _within(self, key: str, **bounds: float) -> Any:
        return self.models.FieldCondition(key=key, range=self.range(**bounds))

    def _never(self) -> Any:
        return self.models.FieldCondition(key=RECORD_ID, is_empty=True)
