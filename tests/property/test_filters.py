"""The forms of a filter agree: its text with its tree, its SQL on both databases with plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

from genstore.errors import InvalidFilter
from genstore.filters import All, Any_, Compare, F, Filter, Leaf, Not, Op, field_rows, leaves, matches, parse, to_text
from genstore.records import USAGE_FIELDS, Record, Score, Usage, to_microseconds
from genstore.sql import tables
from genstore.sql.where import where
from tests.property.strategies import NUMBERS, ORDERS, WORDS, filters, record_leaves, records

_NOW = datetime(2026, 2, 1, tzinfo=UTC)
_WORDED = ("error", "tag", "metadata.a", "score.a")
_NUMBERED = ("usage.input_tokens", "duration_s", "metadata.a", "score.a")
_EITHER: tuple[Op, ...] = ("=", "prefix")
_COLUMNS = {column.name for column in tables.records.c}


def _row(record: Record) -> dict[str, Any]:
    plain = {name: getattr(record, name) for name in _COLUMNS if hasattr(record, name)}
    usage = {name: getattr(record.usage, name) for name in USAGE_FIELDS}
    created_us = to_microseconds(record.created_at)
    return plain | usage | {"params": "{}", "metadata": "{}", "attributes": "{}", "created_us": created_us}


def _insert(connection: Connection, stored: list[Record]) -> None:
    rows: dict[Any, list[dict[str, Any]]] = {tables.records: [_row(record) for record in stored]}
    rows[tables.tags] = [{"record_id": record.id, "tag": tag} for record in stored for tag in record.tags]
    rows[tables.fields] = [
        {"record_id": record.id, **row._asdict()}
        for record in stored
        for row in field_rows(record.metadata, record.params)
    ]
    rows[tables.scores] = [
        {"record_id": record.id, "name": score.name, "value": score.value, "label": score.label}
        | {"source": "human", "created_us": 0}
        for record in stored
        for score in record.scores
    ]
    for table, values in rows.items():
        if values:
            connection.execute(table.insert(), values)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    if request.param == "sqlite":
        found = create_engine("sqlite://", poolclass=StaticPool)
    else:
        found = create_engine(make_url(request.getfixturevalue("postgresql")).set(drivername="postgresql+psycopg"))
    tables.metadata.create_all(found)
    yield found
    tables.metadata.drop_all(found)
    found.dispose()


def _found(connection: Connection, condition: Filter) -> set[str]:
    return set(connection.scalars(select(tables.records.c.id).where(where(condition))))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    stored=st.lists(records(), min_size=1, max_size=5, unique_by=lambda record: record.id),
    asked=st.lists(filters(), min_size=1, max_size=8),
)
def test_sql_finds_the_records_plain_python_finds(engine: Engine, stored: list[Record], asked: list[Filter]) -> None:
    seen = {record.id: leaves(record) for record in stored}
    with engine.connect() as connection:
        _insert(connection, stored)
        for condition in asked:
            expected = {record_id for record_id, own in seen.items() if matches(condition, own)}
            assert _found(connection, condition) == expected, to_text(condition)
        connection.rollback()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record=records(), data=st.data())
def test_sql_finds_a_record_by_any_of_its_own_leaves(engine: Engine, record: Record, data: st.DataObject) -> None:
    own = [(path, leaf) for path, values in leaves(record).items() for leaf in values]
    chosen = data.draw(st.lists(st.sampled_from(own), min_size=1, max_size=6))
    with engine.connect() as connection:
        _insert(connection, [record])
        for path, leaf in chosen:
            assert _found(connection, Compare(path, "=", leaf)) == {record.id}
            assert _found(connection, F(path).exists()) == {record.id}
            closest = F(path).prefix(leaf[:600]) if isinstance(leaf, str) else (F(path) >= leaf) & (F(path) <= leaf)
            assert _found(connection, closest) == {record.id}
        connection.rollback()


def test_every_word_and_number_agrees_on_every_kind_of_field(engine: Engine) -> None:
    """All pairs of a stored and an asked value: chance meets 513 characters, or a token and a half, too seldom."""
    stored = [
        Record(f"{n:036d}", error=word, tags=(word,), metadata={"a": word}, scores=(Score("a", label=word),))
        for n, word in enumerate(WORDS)
    ]
    stored += [
        Record(f"1{n:035d}", usage=Usage(n), duration_s=number, metadata={"a": number}, scores=(Score("a", number),))
        for n, number in enumerate(NUMBERS)
    ]
    asked = [Compare(name, op, word) for name in _WORDED for op in _EITHER for word in WORDS]
    asked += [Compare(name, op, number) for name in _NUMBERED for op in ORDERS for number in (*NUMBERS, 1.5, 2.0)]
    seen = {record.id: leaves(record) for record in stored}
    with engine.connect() as connection:
        _insert(connection, stored)
        for condition in asked:
            expected = {record_id for record_id, own in seen.items() if matches(condition, own)}
            assert _found(connection, condition) == expected, to_text(condition)
        connection.rollback()


def test_a_thousand_conditions_run_on_both_databases(engine: Engine) -> None:
    record = Record(id="0" * 36, tags=("t7",), metadata={"n": 7}, model="m7")
    many = range(1_000)
    with engine.connect() as connection:
        _insert(connection, [record, replace(record, id="1" * 36, tags=(), metadata={}, model=None)])
        for name, word in (("tag", "t"), ("metadata.n", ""), ("model", "m")):
            assert _found(connection, F(name).in_([f"{word}{n}" for n in many])) == {record.id}
            unlike = All(tuple(F(name) != f"{word}{n}" for n in many))
            assert _found(connection, unlike) == {"1" * 36}
        assert _found(connection, Any_(tuple(F("metadata.n") > n + 0.5 for n in many))) == {record.id}
        assert _found(connection, All(tuple(F("metadata.n") < n + 7.5 for n in many))) == {record.id}
        connection.rollback()


def test_the_deepest_filter_runs_on_both_databases(engine: Engine) -> None:
    record = Record(id="0" * 36, tags=("a",), metadata={"n": 7})
    deepest: Filter = F("tag") == "a"
    while deepest.depth < 30:
        deepest = Not(All((deepest, F("metadata.n") == 7, Any_((F("metadata.n") > 1, F("model") == "x")))))
    with engine.connect() as connection:
        _insert(connection, [record])
        expected = {record.id} if matches(deepest, leaves(record)) else set()
        assert _found(connection, deepest) == expected
        connection.rollback()


def _unwrapped(condition: Filter) -> Filter:
    """The tree without the All and Any_ that hold one part, and with an `or` of none as what text can say."""
    if isinstance(condition, Compare):
        return condition
    if isinstance(condition, Not):
        return Not(_unwrapped(condition.condition))
    parts = tuple(_unwrapped(part) for part in condition.conditions)
    if len(parts) == 1:
        return parts[0]
    return Not(All(())) if isinstance(condition, Any_) and not parts else type(condition)(parts)


@settings(max_examples=250, deadline=None)
@given(condition=filters(), own=record_leaves())
@example(condition=Any_(()), own={})
@example(condition=All((Any_(()), All(()))), own={})
def test_a_filter_comes_back_from_its_text(condition: Filter, own: dict[str, list[Leaf]]) -> None:
    again = parse(to_text(condition))
    assert again == _unwrapped(condition)
    assert matches(again, own) == matches(condition, own)


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.sampled_from([*'model tag:-"()*,.<>=!\\ 1a', "or", "not ", "created_at", "metadata.", "7d"])).map(
        "".join
    )
)
def test_any_text_is_a_filter_or_an_error_with_a_position_inside_it(text: str) -> None:
    try:
        condition = parse(text, _NOW)
    except InvalidFilter as error:
        refused = error
    else:
        assert parse(to_text(condition)) == condition
        return
    assert refused.text == text
    assert 0 <= refused.position <= len(text)
