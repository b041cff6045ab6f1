"""A filter means the same to both search indexes as to plain Python, which test_filters.py holds SQL against."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genstore.filters import Compare, F, Filter, Leaf, leaves, matches, to_text
from genstore.index.edge import EdgeIndex
from genstore.index.points import Payload, Point, VectorIndex, part_of, point_id
from genstore.index.server import ServerIndex
from genstore.records import Record
from tests.property.strategies import filters, records

DIMENSION = 4


@pytest.fixture(scope="module", params=["edge", "memory"])
def index(request: pytest.FixtureRequest) -> Iterator[VectorIndex]:
    """One index for all examples; each empties it."""
    if request.param == "memory":
        memory = ServerIndex(":memory:", "filters", DIMENSION)
        yield memory
        memory.close()
        return
    with tempfile.TemporaryDirectory() as folder:
        edge = EdgeIndex(Path(folder) / "index", DIMENSION, idle_s=60)
        yield edge
        edge.close()


def kept(record: Record) -> dict[str, list[Leaf]]:
    """The record's leaves with numbers that Qdrant gives back bit by bit, so that < and > next to one are exact too."""
    return {
        path: values if path == "created_at" else list(dict.fromkeys(map(_kept, values)))
        for path, values in leaves(record).items()
    }


def _kept(leaf: Leaf) -> Leaf:
    if isinstance(leaf, str) or leaf == 0:
        return leaf
    return float(f"{leaf:.15g}") if 1e-7 <= abs(leaf) < 1e14 else math.copysign(1000.0, leaf)


def fill(index: VectorIndex, stored: list[Record], as_leaves: Callable[[Record], Payload] = kept) -> None:
    index.delete_points([point for point, _, _ in index.scan()])
    index.upsert(
        [
            Point(point_id(number, 0), record.id, ([1], [1.0]), None, {**as_leaves(record), "side": ["prompt"]})
            for number, record in enumerate(stored)
        ]
    )


def found(index: VectorIndex, where: Filter, stored: list[Record]) -> set[str]:
    answer = index.candidates(None, ([1], [1.0]), where, 1_000)
    return {stored[part_of(point)[0]].id for point in answer.ids}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    stored=st.lists(records(), min_size=1, max_size=5, unique_by=lambda record: record.id),
    asked=st.lists(filters(), min_size=1, max_size=8),
)
def test_an_index_finds_the_records_plain_python_finds(
    index: VectorIndex, stored: list[Record], asked: list[Filter]
) -> None:
    fill(index, stored)
    seen = {record.id: kept(record) for record in stored}
    for condition in asked:
        expected = {record_id for record_id, own in seen.items() if matches(condition, own)}
        assert found(index, condition, stored) == expected, to_text(condition)
        assert index.count(condition) == len(expected), to_text(condition)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record=records(), data=st.data())
def test_an_index_finds_a_record_by_any_of_its_own_leaves(
    index: VectorIndex, record: Record, data: st.DataObject
) -> None:
    own = [(path, leaf) for path, values in leaves(record).items() for leaf in values]
    fill(index, [record], leaves)
    for path, leaf in data.draw(st.lists(st.sampled_from(own), min_size=1, max_size=6)):
        closest = F(path).prefix(leaf) if isinstance(leaf, str) else (F(path) >= leaf) & (F(path) <= leaf)
        for condition in (Compare(path, "=", leaf), F(path).exists(), closest):
            assert found(index, condition, [record]) == {record.id}, to_text(condition)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=records(), after=records(), asked=st.lists(filters(), min_size=1, max_size=6))
def test_a_replaced_payload_leaves_nothing_of_the_one_before(
    index: VectorIndex, before: Record, after: Record, asked: list[Filter]
) -> None:
    fill(index, [before])
    changed: dict[str, list[Leaf]] = {**kept(after), "id": [before.id]}
    index.set_payload(before.id, changed)
    for condition in asked:
        assert bool(found(index, condition, [before])) == matches(condition, changed), to_text(condition)


@pytest.mark.parametrize("field", ["metadata.n", "usage.cost_usd", "created_at"])
@pytest.mark.parametrize("number", [0.9452706955539223, 1909345814713143.0])
def test_numbers_of_sixteen_digits_are_found_exactly(index: VectorIndex, field: str, number: float) -> None:
    if field == "created_at" and not number.is_integer():
        pytest.skip("moments are whole microseconds")
    index.delete_points([point for point, _, _ in index.scan()])
    index.upsert([Point(1, "r", ([1], [1.0]), None, {field: [number]})])
    below, above = (number - 1, number + 1) if number > 1 else (math.nextafter(number, 0), math.nextafter(number, 1))
    for op in ("=", ">=", "<="):
        assert index.count(Compare(field, op, number)) == 1, op
    assert index.count(Compare(field, "=", below)) == index.count(Compare(field, "=", above)) == 0
