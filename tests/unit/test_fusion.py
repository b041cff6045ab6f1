"""Fusion: what two rankings become, at the edges where one of them has little to say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genstore.errors import InvalidInput
from genstore.index.points import Candidates
from genstore.search.fusion import METHODS, Method, best_by_group, convex, dbsf, fuse, rrf

_cosines = st.floats(-1, 1) | st.none()
_weights = st.floats(0, 40)
_POINTS = st.lists(st.tuples(_cosines, _weights), min_size=1, max_size=30)


def _candidates(points: list[tuple[float | None, float | None]], depth: int = 5) -> Candidates:
    """Candidates of these (cosine, BM25) points, ranked as an index would rank them."""
    dense, sparse = [near for near, _ in points], [word for _, word in points]
    return Candidates(
        ids=list(range(len(points))),
        dense=dense,
        sparse=sparse,
        dense_rank=_ranks(dense, depth, -1.1),
        sparse_rank=_ranks(sparse, depth, 0.0),
    )


def _ranks(scores: list[float | None], depth: int, above: float) -> list[int | None]:
    listed = [at for at, score in enumerate(scores) if score is not None and score > above]
    best = sorted(listed, key=lambda at: -(scores[at] or 0.0))[:depth]
    return [best.index(at) + 1 if at in best else None for at in range(len(scores))]


def _order(scores: list[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda at: -scores[at])


@given(_POINTS, st.sampled_from(METHODS), st.floats(0, 1))
def test_every_score_lies_between_0_and_1(
    points: list[tuple[float | None, float | None]], method: Method, weight: float
) -> None:
    scores = fuse(method, _candidates(points), weight)
    assert len(scores) == len(points)
    assert all(0 <= score <= 1 + 1e-12 for score in scores)


def test_convex_shares_each_sides_score_of_its_best() -> None:
    # cosine + 1: 1.8 and 0.9; BM25: 2 and 8
    assert convex([0.8, -0.1], [2.0, 8.0], 0.75) == pytest.approx([0.75 + 0.25 * 0.25, 0.75 * 0.5 + 0.25])


def test_a_weight_of_1_ranks_by_meaning_and_of_0_by_words() -> None:
    dense, sparse = [0.9, 0.5, 0.1], [1.0, 2.0, 3.0]
    assert _order(convex(dense, sparse, 1.0)) == [0, 1, 2]
    assert _order(convex(dense, sparse, 0.0)) == [2, 1, 0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("silent", [None, 0.0])
def test_where_words_cannot_answer_meaning_does(method: Method, silent: float | None) -> None:
    scores = fuse(method, _candidates([(0.2, silent), (0.9, silent), (0.5, silent)]), 0.8)
    assert _order(scores) == [1, 2, 0]


@pytest.mark.parametrize("method", METHODS)
def test_where_meaning_cannot_answer_words_do(method: Method) -> None:
    scores = fuse(method, _candidates([(None, 2.0), (None, 7.0), (None, 4.0)]), 0.8)
    assert _order(scores) == [1, 2, 0]


@pytest.mark.parametrize("method", ["convex", "rrf"])
def test_a_list_that_answers_alone_gives_its_best_a_score_of_1(method: Method) -> None:
    assert max(fuse(method, _candidates([(0.4, 0.0), (0.1, 0.0)]), 0.8)) == pytest.approx(1.0)
    assert max(fuse(method, _candidates([(None, 3.0), (None, 1.0)]), 0.8)) == pytest.approx(1.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_point_without_a_vector_yet_is_found_by_its_words(method: Method) -> None:
    embedded: list[tuple[float | None, float | None]] = [(0.8 - 0.02 * i, 1.0) for i in range(10)]
    scores = fuse(method, _candidates([*embedded, (None, 9.0)], depth=20), 0.8)
    assert _order(scores)[0] == 10


@pytest.mark.parametrize("method", METHODS)
def test_a_point_without_a_vector_and_with_few_of_the_words_is_not_lifted(method: Method) -> None:
    points: list[tuple[float | None, float | None]] = [(0.8, 9.0), (0.7, 8.0), (None, 0.5), (0.6, 7.0)]
    assert _order(fuse(method, _candidates(points), 0.8))[-1] == 2


def test_the_true_score_outside_a_list_counts_in_convex_fusion() -> None:
    near, far = convex([0.9, 0.6, 0.1], [0.0, 5.0, 5.0], 0.5)[1:]
    assert near > far


def test_rrf_adds_reciprocal_ranks() -> None:
    assert rrf([1, 2, None], [2, None, 1], k=2) == pytest.approx(
        [share * 3 / 2 for share in (1 / 3 + 1 / 4, 1 / 4, 1 / 3)]
    )


def test_dbsf_measures_each_score_against_its_lists_spread() -> None:
    # The list has mean 4 and deviation 2, so 4 stands in the middle and 10 at the upper end.
    scores = dbsf([2.0, 4.0, 6.0, 10.0], [None] * 4, [2, 3, 1, None], [None] * 4)
    assert scores == pytest.approx([2 / 6, 3 / 6, 4 / 6, 1.0])


@pytest.mark.parametrize("method", METHODS)
def test_no_candidates_give_no_scores(method: Method) -> None:
    assert fuse(method, Candidates([], [], [], [], []), 0.8) == []


@pytest.mark.parametrize("method", METHODS)
def test_one_candidate_alone_is_scored(method: Method) -> None:
    assert fuse(method, _candidates([(0.3, 2.0)]), 0.8)[0] > 0


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_0_and_1_is_refused(weight: float) -> None:
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        convex([0.5], [1.0], weight)


def test_an_unknown_method_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"'borda'.*convex, rrf, dbsf"):
        fuse("borda", _candidates([(0.5, 1.0)]), 0.5)  # type: ignore[arg-type]


def test_a_group_is_as_good_as_its_best_member() -> None:
    members = [("long", 0.5, "a"), ("short", 0.7, "b"), ("long", 0.6, "c"), ("long", 0.4, "d")]
    assert best_by_group(members, 10) == [("short", 0.7, ["b"]), ("long", 0.6, ["c", "a", "d"])]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1), st.integers())), st.integers(1, 8))
def test_fewer_groups_are_the_first_of_more(members: list[tuple[int, float, int]], limit: int) -> None:
    assert best_by_group(members, limit) == best_by_group(members, 100)[:limit]
