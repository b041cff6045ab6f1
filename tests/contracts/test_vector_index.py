"""What every VectorIndex does: run over Qdrant Edge, the client's in-memory engine, and a server when there is one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genstore.errors import DimensionMismatch, IndexUnavailable, InvalidInput
from genstore.filters import All, Any_, Compare, Filter, Not, matches, parse
from genstore.index.edge import EdgeIndex
from genstore.index.points import Payload, Point, VectorIndex, part_of, point_id
from genstore.index.server import ServerIndex
from tests.contracts.conftest import DIMENSION, OpenIndex

Vectors = NDArray[np.float32]


def unit_vectors(count: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def record(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


def point(number: int, dense: Any = None, terms: Sequence[int] = (), **payload: Sequence[str | float]) -> Point:
    """The one passage of part `number`, of record `number`; each term weighs 1."""
    return Point(point_id(number, 0), record(number), (list(terms), [1.0] * len(terms)), dense, payload)


def numbers(ids: Sequence[int]) -> set[int]:
    return {part_of(id)[0] for id in ids}


def found(index: VectorIndex, where: Filter | None, **options: Any) -> set[int]:
    """The parts whose points satisfy a filter, among points that all carry term 1."""
    return numbers(index.candidates(None, ([1], [1.0]), where, 1_000, **options).ids)


class TestCandidates:
    def test_both_lists_rank_by_cosine_and_by_words(self, index: VectorIndex) -> None:
        vectors = unit_vectors(30)
        index.upsert([point(i, vectors[i], [1] if i < 5 else [2]) for i in range(30)])
        answer = index.candidates(vectors[7], ([1], [1.0]), None, 10)
        by_dense = {rank: id for id, rank in zip(answer.ids, answer.dense_rank, strict=True) if rank}
        expected = np.argsort(-(vectors @ vectors[7]))[:10]
        assert [part_of(by_dense[rank])[0] for rank in range(1, 11)] == expected.tolist()
        ranked_by_words = [id for id, rank in zip(answer.ids, answer.sparse_rank, strict=True) if rank]
        assert numbers(ranked_by_words) == set(range(5))

    def test_a_point_of_one_list_has_its_true_score_on_the_other_side(self, index: VectorIndex) -> None:
        vectors = unit_vectors(200)
        index.upsert([point(i, vectors[i] * (i + 1), [i % 7, 7]) for i in range(200)])
        answer = index.candidates(vectors[3] * 5, ([3], [1.0]), None, 20)
        cosines = vectors @ vectors[3]
        assert [cosines[part_of(id)[0]] for id in answer.ids] == pytest.approx(answer.dense, abs=1e-5)
        with_word = [part_of(id)[0] % 7 == 3 for id in answer.ids]
        idf = math.log((200 - 29 + 0.5) / (29 + 0.5) + 1)
        assert answer.sparse == pytest.approx([idf if has else 0.0 for has in with_word], rel=1e-4)
        assert None in answer.dense_rank
        assert None in answer.sparse_rank

    def test_a_point_without_a_vector_is_found_by_words_with_no_cosine(self, index: VectorIndex) -> None:
        vectors = unit_vectors(2)
        index.upsert([point(0, vectors[0], [1]), point(1, None, [1])])
        answer = index.candidates(vectors[0], ([1], [1.0]), None, 10)
        assert dict(zip(answer.ids, answer.dense, strict=True))[point_id(1, 0)] is None

    def test_a_side_that_was_not_asked_has_no_scores(self, index: VectorIndex) -> None:
        index.upsert([point(0, unit_vectors(1)[0], [1])])
        words = index.candidates(None, ([1], [1.0]), None, 10)
        meaning = index.candidates(unit_vectors(1)[0], None, None, 10)
        assert (words.dense, words.dense_rank, words.sparse_rank) == ([None], [None], [1])
        assert (meaning.sparse, meaning.sparse_rank, meaning.dense_rank) == ([None], [None], [1])

    @pytest.mark.parametrize("words", [([], []), ([99], [1.0])], ids=["no words", "an unknown word"])
    def test_words_that_occur_nowhere_score_zero(
        self, index: VectorIndex, words: tuple[list[int], list[float]]
    ) -> None:
        vectors = unit_vectors(3)
        index.upsert([point(i, vectors[i], [1]) for i in range(3)])
        answer = index.candidates(vectors[0], words, None, 10)
        assert answer.sparse == [0.0] * 3
        assert index.candidates(None, words, None, 10).ids == []

    def test_an_empty_index_has_no_candidates(self, index: VectorIndex) -> None:
        assert len(index.candidates(unit_vectors(1)[0], ([1], [1.0]), None, 10)) == 0

    def test_the_filter_applies_before_the_cut(self, index: VectorIndex) -> None:
        vectors = unit_vectors(60)
        index.upsert([point(i, vectors[i], [1], tag=["rare" if i % 10 == 0 else "common"]) for i in range(60)])
        answer = index.candidates(vectors[1], ([1], [1.0]), parse("tag:rare"), 6)
        assert numbers(answer.ids) == {0, 10, 20, 30, 40, 50}

    def test_a_side_and_a_record_can_be_left_out(self, index: VectorIndex) -> None:
        index.upsert([point(i, None, [1], side=["prompt" if i % 2 else "output"]) for i in range(4)])
        assert found(index, None, side="prompt") == {1, 3}
        assert found(index, None, exclude_record=record(2)) == {0, 1, 3}
        assert found(index, None, side="prompt", exclude_record=record(1)) == {3}


class TestWriting:
    def test_vectors_can_come_later(self, index: VectorIndex) -> None:
        vectors = unit_vectors(3)
        index.upsert([point(i, None, [1], model=["m"]) for i in range(3)])
        index.set_dense([point_id(2, 0), point_id(0, 0)], vectors[[2, 0]])
        assert [has for _, _, has in index.scan()] == [True, False, True]
        assert numbers(index.candidates(vectors[2], None, parse("model:m"), 1).ids) == {2}
        assert found(index, None) == {0, 1, 2}

    def test_vectors_of_unknown_points_are_skipped(self, index: VectorIndex) -> None:
        vectors = unit_vectors(3)
        index.upsert([point(1, None, [1])])
        ids = [point_id(number, 0) for number in (8, 1, 9)]
        index.set_dense(ids, vectors)
        index.set_sparse(ids, [([5], [1.0])] * 3)
        assert list(index.scan()) == [(point_id(1, 0), record(1), True)]
        assert index.dense_vectors(ids)[ids[1]] == pytest.approx(vectors[1], abs=1e-6)

    def test_new_weights_keep_the_vector(self, index: VectorIndex) -> None:
        vectors = unit_vectors(1)
        index.upsert([point(0, vectors[0], [1])])
        index.set_sparse([point_id(0, 0)], [([5], [1.0])])
        assert found(index, None) == set()
        answer = index.candidates(vectors[0], ([5], [1.0]), None, 10)
        assert answer.dense == pytest.approx([1.0], abs=1e-5)
        assert answer.sparse_rank == [1]

    def test_a_second_upsert_replaces_vectors_and_payload(self, index: VectorIndex) -> None:
        vectors = unit_vectors(1)
        index.upsert([point(0, vectors[0], [1], model=["old"], tag=["kept?"])])
        index.upsert([point(0, None, [2], model=["new"])])
        assert list(index.scan()) == [(point_id(0, 0), record(0), False)]
        assert index.count(parse("model:new")) == 1
        assert index.count(parse("tag:*")) == 0

    def test_new_fields_reach_all_points_of_a_record_and_keep_their_sides(self, index: VectorIndex) -> None:
        sides = ["prompt", "output", "output"]
        index.upsert(
            [
                Point(point_id(5, n), record(5), ([1], [1.0]), None, {"side": [side], "role": ["user"], "tag": ["a"]})
                for n, side in enumerate(sides)
            ]
        )
        index.upsert([point(6, None, [1], tag=["a"], side=["output"])])
        index.set_payload(record(5), {"score.quality": [0.8], "side": ["prompt"], "model": ["m"]})
        assert index.count(parse("tag:a")) == 1
        assert index.count(parse("score.quality>=0.8")) == 3
        passages = index.candidates(None, ([1], [1.0]), parse("model:m"), 10, side="output").ids
        assert sorted(passages) == [point_id(5, 1), point_id(5, 2)]

    def test_fields_of_an_unknown_record_change_nothing(self, index: VectorIndex) -> None:
        index.upsert([point(0, None, [1])])
        index.set_payload(record(9), {"model": ["m"]})
        assert index.count(parse("model:m")) == 0

    def test_records_and_points_can_be_deleted(self, index: VectorIndex) -> None:
        index.upsert([Point(point_id(p, n), record(p), ([1], [1.0])) for p in range(4) for n in range(3)])
        index.delete_records([record(0), record(2), record(77)])
        index.delete_points([point_id(1, 0), point_id(88, 0)])
        index.delete_records([])
        index.delete_points([])
        left = [(1, 1), (1, 2), (3, 0), (3, 1), (3, 2)]
        assert [part_of(id) for id, _, _ in index.scan()] == left
        assert index.count() == 5

    def test_empty_writes_are_harmless(self, index: VectorIndex) -> None:
        index.upsert([])
        index.set_dense([], np.zeros((0, DIMENSION), np.float32))
        index.set_sparse([], [])
        assert index.count() == 0
        assert index.dense_vectors([]) == {}

    def test_the_largest_ids_and_terms_fit(self, index: VectorIndex) -> None:
        last = point_id(2**44 - 1, 2**20 - 1)
        index.upsert([Point(last, record(0), ([2**32 - 1], [1.0]))])
        assert index.candidates(None, ([2**32 - 1], [1.0]), None, 10).ids == [last]
        assert [id for id, _, _ in index.scan()] == [last]

    def test_scan_passes_every_point_once(self, index: VectorIndex) -> None:
        vectors = unit_vectors(1)
        index.upsert([point(i, vectors[0] if i % 3 == 0 else None, [1]) for i in range(2_100)])
        expected = [(point_id(i, 0), record(i), i % 3 == 0) for i in range(2_100)]
        assert list(index.scan()) == expected


class TestBadVectors:
    @pytest.mark.parametrize("length", [0, DIMENSION - 1, DIMENSION + 1])
    def test_another_length_is_refused_and_nothing_is_written(self, index: VectorIndex, length: int) -> None:
        wrong = np.ones(length, np.float32)
        index.upsert([point(0, None, [1])])
        with pytest.raises(DimensionMismatch, match=f"holds {DIMENSION}-d vectors, got {length}-d"):
            index.upsert([point(1, unit_vectors(1)[0], [1]), point(2, wrong, [1])])
        with pytest.raises(DimensionMismatch, match="reindex"):
            index.set_dense([point_id(0, 0)], np.ones((1, length), np.float32))
        with pytest.raises(DimensionMismatch):
            index.candidates(wrong, None, None, 10)
        assert list(index.scan()) == [(point_id(0, 0), record(0), False)]

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_vector_that_is_not_finite_is_refused(self, index: VectorIndex, value: float) -> None:
        with pytest.raises(InvalidInput, match="NaN"):
            index.upsert([point(1, np.full(DIMENSION, value), [1])])


class TestOpening:
    def test_a_closed_index_says_so(self, index: VectorIndex) -> None:
        index.upsert([point(0)])
        index.close()
        index.close()
        with pytest.raises(IndexUnavailable, match="closed"):
            index.count()

    def test_what_was_written_is_there_after_reopening(self, open_index: OpenIndex) -> None:
        first = open_index()
        if isinstance(first, ServerIndex) and first.url == ":memory:":
            pytest.skip("lives in memory")
        vectors = unit_vectors(50)
        first.upsert([point(i, vectors[i], [1], model=["m"], created_at=[1.7e15 + i]) for i in range(50)])
        first.delete_records([record(0)])
        first.close()
        second = open_index()
        assert second.count(parse("model:m")) == 49
        assert numbers(second.candidates(vectors[9], None, None, 1).ids) == {9}

    def test_another_dimension_is_refused(self, open_index: OpenIndex) -> None:
        first = open_index()
        first.upsert([point(0, unit_vectors(1)[0])])
        other: VectorIndex
        if isinstance(first, EdgeIndex):
            first.close()
            other = EdgeIndex(first.path, DIMENSION + 1)
        else:
            assert isinstance(first, ServerIndex)
            if first.url == ":memory:":
                pytest.skip("lives in memory")
            other = ServerIndex(first.url, first.collection, DIMENSION + 1)
        with pytest.raises(DimensionMismatch, match=f"{DIMENSION}-d vec.*{DIMENSION + 1}-d; run `genstore reindex`"):
            other.count()
        other.close()

    def test_a_dropped_index_starts_empty(self, open_index: OpenIndex) -> None:
        first = open_index()
        first.upsert([point(0)])
        first.drop()
        assert open_index().count() == 0

    def test_upkeep_changes_no_answer(self, index: VectorIndex) -> None:
        vectors = unit_vectors(300)
        index.upsert([point(i, vectors[i], [1, i % 3 + 2]) for i in range(300)])
        assert not index.wants_optimising()
        index.optimise()
        index.flush()
        assert numbers(index.candidates(vectors[7], ([2], [1.0]), None, 5).ids) >= {7}
        assert index.count() == 300


OPEN_FIELDS = ["metadata.a", "metadata.b.c", 'metadata.x["y"].z', "score.q", "metadata.é 'ü", "metadata."]
SHARED_TEXTS = st.sampled_from(["a", "b", "ab", "gpt-4o", "1", "0.5", "true", ""])
NUMBERS = st.sampled_from([0.0, 1.0, 0.5, -2.5, 1e300]) | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, list[str | float]]:
    """A record's fields: texts for the known ones, texts and numbers for metadata and scores."""
    texts: st.SearchStrategy[list[str | float]] = st.lists(SHARED_TEXTS, min_size=1, max_size=3)
    known = st.dictionaries(st.sampled_from(["model", "tag", "user_id"]), texts)
    free = st.dictionaries(st.sampled_from(OPEN_FIELDS), st.lists(SHARED_TEXTS | NUMBERS, min_size=1, max_size=3))
    moments = st.sampled_from([0.0, 1.7e15, 1.7e15 + 1])
    return {**draw(known), **draw(free), "created_at": [draw(moments)]}


def comparisons() -> st.SearchStrategy[Filter]:
    known = st.builds(
        Compare, st.sampled_from(["model", "tag", "user_id"]), st.sampled_from(["=", "prefix", "exists"]), SHARED_TEXTS
    )
    free = st.sampled_from(OPEN_FIELDS)
    text = st.builds(Compare, free, st.sampled_from(["=", "prefix", "exists"]), SHARED_TEXTS)
    number = st.builds(Compare, free, st.sampled_from(["=", "<", "<=", ">", ">="]), NUMBERS)
    moment = st.builds(
        Compare, st.just("created_at"), st.sampled_from(["=", "<", ">="]), st.sampled_from([0.0, 1.7e15, 1.7e15 + 1])
    )
    return known | text | number | moment


FILTERS = st.recursive(
    comparisons(),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(All, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Any_, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=5,
)


class TestFilters:
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(records=st.lists(leaves(), min_size=1, max_size=6), conditions=st.lists(FILTERS, min_size=10, max_size=10))
    def test_a_filter_holds_for_the_points_it_holds_for_in_python(
        self, index: VectorIndex, records: list[dict[str, list[str | float]]], conditions: list[Filter]
    ) -> None:
        index.delete_records([record(number) for number in range(6)])
        index.upsert([point(number, None, [1], **fields) for number, fields in enumerate(records)])
        for condition in conditions:
            expected = {number for number, fields in enumerate(records) if matches(condition, fields)}
            assert found(index, condition) == expected, condition
            assert index.count(condition) == len(expected), condition

    @pytest.mark.parametrize(
        "path",
        ["a.b", "a[0]", "a[]", '"q"', "a-b", "日本", " ", "ü\n"],
    )
    def test_any_field_path_is_its_own_field(self, index: VectorIndex, path: str) -> None:
        path = f"metadata.{path}"
        fields: list[Payload] = [{path: ["x"]}, {path + "-": ["x"]}, {"metadata": ["x"]}, {"metadata.a": ["x"]}]
        index.upsert([Point(point_id(n, 0), record(n), ([1], [1.0]), None, held) for n, held in enumerate(fields)])
        assert found(index, Compare(path, "=", "x")) == {0}
        assert found(index, Not(Compare(path, "exists"))) == {1, 2, 3}

    def test_a_record_is_found_by_its_id(self, index: VectorIndex) -> None:
        index.upsert([point(i, None, [1]) for i in range(3)])
        assert found(index, Compare("id", "=", record(1))) == {1}
        assert found(index, Compare("id", "prefix", record(1)[:8])) == {0, 1, 2}

    def test_a_text_that_spells_a_number_equals_that_number(self, index: VectorIndex) -> None:
        held: Mapping[int, list[str | float]] = {0: [5.0], 1: ["5"], 2: ["5.0"], 3: [5.5, "x"]}
        index.upsert([point(n, None, [1], **{"metadata.n": values}) for n, values in held.items()])
        assert found(index, Compare("metadata.n", "=", "5")) == {0, 1}
        assert found(index, Compare("metadata.n", "=", "5.0")) == {0, 2}
        assert found(index, Compare("metadata.n", ">=", 5)) == {0, 3}

    def test_a_range_looks_at_the_numbers_of_its_own_field(self, index: VectorIndex) -> None:
        held: Mapping[int, Payload] = {
            0: {"score.a": [0.9], "score.b": [0.1]},
            1: {"score.a": [0.1], "score.b": [0.9]},
            2: {"score.a": [0.1, 0.9]},
        }
        index.upsert([point(n, None, [1], **fields) for n, fields in held.items()])
        assert found(index, parse("score.a>0.8")) == {0, 2}
        assert found(index, parse("-score.a>0.8")) == {1}
        index.set_payload(record(0), {"score.b": [0.9]})
        assert found(index, parse("score.a>0.8")) == {2}
        assert found(index, parse("score.b:*")) == {0, 1}
