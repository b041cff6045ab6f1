"""A filter as SQL over the table `records`, the same on SQLite and PostgreSQL.

Texts are compared by equality and by their first characters only: LIKE ignores case on one of the two databases,
and an ordering would depend on the other's collation.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Integer, String, and_, false, func, literal_column, not_, or_, select, true

from genstore.filters import LEAF_CHARACTERS, All, Compare, Filter, Not, Op
from genstore.sql.tables import fields, records, scores, tags

# SQLite parses `a AND b AND c` into a tree as deep as it is long, and refuses one deeper than 1,000.
_CHUNK = 50
_BIGINT = 2**63 - 1
_RANGES: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip

Column: TypeAlias = ColumnElement[Any]
Test: TypeAlias = Callable[[Column, Sequence[Compare]], ColumnElement[bool]]


def where(condition: Filter) -> ColumnElement[bool]:
    """The condition a row of `records` satisfies exactly when the record matches the filter. It is never NULL."""
    if isinstance(condition, Compare):
        return _any_of([condition])
    if isinstance(condition, Not):
        return not_(where(condition.condition))
    if isinstance(condition, All):
        unlike, others = _equalities(condition.conditions, negated=True)
        return _joined(and_, true(), [*(not_(_any_of(wanted)) for wanted in unlike), *map(where, others)])
    alike, others = _equalities(condition.conditions)
    return _joined(or_, false(), [*map(_any_of, alike), *map(where, others)])


def _equalities(parts: Sequence[Filter], negated: bool = False) -> tuple[list[list[Compare]], list[Filter]]:
    """The equalities (or the negated ones) gathered by field, so that a thousand become one IN, and the rest."""
    by_field: dict[str, list[Compare]] = {}
    others: list[Filter] = []
    for part in parts:
        one = part.condition if negated and isinstance(part, Not) else None if negated else part
        if isinstance(one, Compare) and one.op == "=":
            by_field.setdefault(one.field, []).append(one)
        else:
            others.append(part)
    return list(by_field.values()), others


def _joined(
    join: Callable[..., ColumnElement[bool]], empty: ColumnElement[bool], parts: Sequence[ColumnElement[bool]]
) -> ColumnElement[bool]:
    while len(parts) > _CHUNK:
        starts = range(0, len(parts), _CHUNK)
        # PostgreSQL would plan every EXISTS of a long `and` as a join of its own: 20 s for a thousand.
        parts = [func.coalesce(join(*parts[start : start + _CHUNK]), false()) for start in starts]
    return join(empty, *parts)


def _any_of(wanted: Sequence[Compare]) -> ColumnElement[bool]:
    """One comparison, or several equalities on one field of which any will do."""
    name = wanted[0].field
    root, _, rest = name.partition(".")
    if name == "tag":
        return _exists(tags.c.record_id, _text(tags.c.tag, wanted))
    if root == "score":
        judged = or_(_present(scores.c.value, _number, wanted), _present(scores.c.label, _text, wanted))
        return _exists(scores.c.record_id, scores.c.name == rest, judged)
    if root in ("metadata", "params"):
        leaf = or_(_present(fields.c.number, _number, wanted), _present(fields.c.text, _text, wanted))
        return _exists(fields.c.record_id, fields.c.path == name, leaf)
    column = records.c["created_us" if name == "created_at" else rest or name]
    if isinstance(column.type, Integer):
        return _present(column, _whole, wanted)
    return _present(column, _text if isinstance(column.type, String) else _number, wanted)


def _exists(owner: Column, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(literal_column("1")).where(owner == records.c.id, *conditions).correlate(records).exists()


def _present(column: Column, test: Test, wanted: Sequence[Compare]) -> ColumnElement[bool]:
    # Without the first half a missing value would make the whole NULL, and `not` leaves NULL as it is.
    return and_(column.is_not(None), test(column, wanted))


def _text(column: Column, wanted: Sequence[Compare]) -> ColumnElement[bool]:
    op, text = wanted[0].op, wanted[0].text
    if op == "exists" or (op == "prefix" and not text):
        return true()
    if op == "prefix":
        return func.substr(column, 1, len(text)) == text
    if op != "=":
        return false()
    # Leaves are cut; a column holds the whole text, which equals a shorter literal only when it is that literal.
    cut = [one.text for one in wanted if len(one.text) == LEAF_CHARACTERS]
    uncut = [one.text for one in wanted if len(one.text) < LEAF_CHARACTERS]
    return or_(_one_of(column, uncut), _one_of(func.substr(column, 1, LEAF_CHARACTERS), cut))


def _number(column: Column, wanted: Sequence[Compare]) -> ColumnElement[bool]:
    numbers = [one.number for one in wanted if one.number is not None]
    return _numeric(column, wanted[0].op, numbers)


def _whole(column: Column, wanted: Sequence[Compare]) -> ColumnElement[bool]:
    """Bounds as whole numbers: PostgreSQL would turn the column into floats, and so pass over its index."""
    op = wanted[0].op
    numbers = [one.number for one in wanted if one.number is not None]
    if op == "=":
        numbers = [number for number in numbers if number.is_integer()]
    up = op in ("<", ">=")
    whole = [math.ceil(number) if up else math.floor(number) for number in numbers]
    return _numeric(column, op, [max(-_BIGINT, min(_BIGINT, number)) for number in whole])


def _numeric(column: Column, op: Op, numbers: Sequence[float]) -> ColumnElement[bool]:
    if op == "exists":
        return true()
    if op == "=":
        return _one_of(column, numbers)
    if op == "prefix" or not numbers:
        return false()
    return _RANGES[op](column, numbers[0])


def _one_of(column: Column, values: Sequence[Any]) -> ColumnElement[bool]:
    return column.in_(values) if values else false()
