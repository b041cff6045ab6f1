"""What a record is to a filter: its fields as texts and numbers, and whether they satisfy a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from genstore.filters.tree import (
    NUMBER_FIELDS,
    PATH_CHARACTERS,
    TEXT_FIELDS,
    All,
    Compare,
    Filter,
    Leaf,
    Not,
    clean,
    number_of,
    storable,
)
from genstore.records import USAGE_FIELDS, Record, to_microseconds


class FieldRow(NamedTuple):
    """A leaf of metadata or params as SQL keeps it; exactly one of text and number is set."""

    path: str
    position: int
    text: str | None
    number: float | None


def _flatten(root: str, value: Any) -> Iterator[tuple[str, Leaf]]:
    """Each leaf of a JSON value with its path, in order; a list's elements stand under the list's path."""
    pending: list[tuple[str, Any]] = [(root, value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, Mapping):
            pending += reversed([(f"{path}.{key}", below) for key, below in item.items()])
        elif isinstance(item, list | tuple):
            pending += reversed([(path, below) for below in item])
        elif (leaf := _leaf(item)) is not None:
            yield storable(path[:PATH_CHARACTERS]), leaf


def _leaf(value: Any) -> Leaf | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int | float):
        return number_of(value)
    return None


def _grouped(pairs: Iterable[tuple[str, Leaf | None]]) -> dict[str, list[Leaf]]:
    """Leaves by path, each once: repeating one changes no comparison."""
    found: dict[str, list[Leaf]] = {}
    for path, leaf in dict.fromkeys(pairs):
        if leaf is not None:
            found.setdefault(path, []).append(leaf)
    return found


def field_rows(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> list[FieldRow]:
    """The rows of the table `fields` for one record, positions counted from 0 within a path."""
    if not metadata and not params:
        return []
    rows: list[FieldRow] = []
    for path, values in _grouped([*_flatten("metadata", metadata), *_flatten("params", params)]).items():
        for position, leaf in enumerate(values):
            text, number = (leaf, None) if isinstance(leaf, str) else (None, leaf)
            rows.append(FieldRow(path, position, text, number))
    return rows


def leaves(record: Record) -> dict[str, list[Leaf]]:
    """Everything filters can see of a record: canonical field -> its distinct leaves, fields without any left out."""
    pairs: list[tuple[str, Leaf | None]] = [
        (name, _leaf(getattr(record, name))) for name in (*TEXT_FIELDS, *NUMBER_FIELDS[:2]) if name != "tag"
    ]
    pairs += [(f"usage.{name}", _leaf(getattr(record.usage, name))) for name in USAGE_FIELDS]
    pairs.append(("created_at", float(to_microseconds(record.created_at))))
    pairs += [("tag", clean(tag)) for tag in record.tags]
    for score in record.scores:
        pairs += [(f"score.{storable(score.name)}", _leaf(judged)) for judged in (score.value, score.label)]
    pairs += _flatten("metadata", record.metadata)
    pairs += _flatten("params", record.params)
    return _grouped(pairs)


def matches(condition: Filter, of: Mapping[str, Iterable[Leaf]]) -> bool:
    """Whether a record with these leaves satisfies the filter: the definition SQL and indexes are tested against."""
    if isinstance(condition, Compare):
        return any(_satisfies(leaf, condition) for leaf in of.get(condition.field, ()))
    if isinstance(condition, Not):
        return not matches(condition.condition, of)
    return (all if isinstance(condition, All) else any)(matches(part, of) for part in condition.conditions)


def _satisfies(leaf: Leaf, wanted: Compare) -> bool:
    if wanted.op == "exists":
        return True
    if isinstance(leaf, str):
        return leaf == wanted.text if wanted.op == "=" else wanted.op == "prefix" and leaf.startswith(wanted.text)
    number = wanted.number
    if number is None or wanted.op == "prefix":
        return False
    if wanted.op == "=":
        return leaf == number
    if wanted.op in ("<", "<="):
        return leaf < number or (wanted.op == "<=" and leaf == number)
    return leaf > number or (wanted.op == ">=" and leaf == number)
