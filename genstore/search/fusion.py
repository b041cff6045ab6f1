"""Two rankings become one: fused scores of passages, and from passages to what they are passages of.

A side that cannot answer (it was not queried, or no candidate scores on it) leaves the ranking to the other. A point
whose vector is still to be computed counts as near in meaning as it is in words: scored as zero it would be buried
under everything embedded before it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from genstore.errors import InvalidInput

if TYPE_CHECKING:
    from genstore.index.points import Candidates

Method = Literal["convex", "rrf", "dbsf"]
METHODS: tuple[Method, ...] = get_args(Method)

Scores = Sequence[float | None]
Ranks = Sequence[int | None]

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

RRF_K = 60.0


def fuse(method: Method, candidates: Candidates, weight: float) -> list[float]:
    """The candidates' fused scores in [0, 1], in their order; weight: share of dense, of the convex method alone.

    Raises InvalidInput for an unknown method or a weight outside [0, 1].
    """
    if method == "convex":
        return convex(candidates.dense, candidates.sparse, weight)
    if method == "rrf":
        ranks = _with_pending(candidates.dense, candidates.dense_rank, candidates.sparse_rank)
        return rrf(ranks, candidates.sparse_rank)
    if method == "dbsf":
        return dbsf(candidates.dense, candidates.sparse, candidates.dense_rank, candidates.sparse_rank)
    raise InvalidInput(f"fusion is {method!r}; it is one of {', '.join(METHODS)}")


def convex(dense: Scores, sparse: Scores, weight: float) -> list[float]:
    """Convex combination of scores, each divided by the query's best after its theoretical minimum is taken off.

    dense: cosines in [-1, 1]; sparse: BM25 scores >= 0; None where a side has no score. weight: share of dense in
    [0, 1]. Source: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023 (TM2C2).
    """
    if not 0 <= weight <= 1:
        raise InvalidInput(f"the weight of dense is {weight}; it lies between 0 and 1")
    meaning = _by_best(dense, minimum=-1.0)
    words = _by_best(sparse, minimum=0.0)
    if meaning is None or words is None:
        return _alone(meaning, words, len(dense))
    floor = min(value for value in meaning if value is not None)
    return [
        weight * (near if near is not None else floor + (1 - floor) * (word or 0.0)) + (1 - weight) * (word or 0.0)
        for near, word in zip(meaning, words, strict=True)
    ]


def rrf(dense_rank: Ranks, sparse_rank: Ranks, k: float = RRF_K) -> list[float]:
    """Reciprocal rank fusion: the sum of 1 / (k + rank), divided by what first place in every list that answered gives.

    Ranks count from 1; None is outside the list. Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms
    Condorcet and individual Rank Learning Methods", SIGIR 2009.
    """
    lists = [ranks for ranks in (dense_rank, sparse_rank) if any(rank is not None for rank in ranks)]
    best = len(lists) / (k + 1)
    sums = [0.0] * len(dense_rank)
    for ranks in lists:
        for at, rank in enumerate(ranks):
            if rank is not None:
                sums[at] += 1 / (k + rank)
    return [min(total / best, 1.0) if lists else 0.0 for total in sums]


def dbsf(dense: Scores, sparse: Scores, dense_rank: Ranks, sparse_rank: Ranks) -> list[float]:
    """Distribution-based score fusion: scores as positions between three deviations below and above their list's mean.

    Scores are raw; ranks say which of them made up the list whose mean and deviation count. As in Qdrant's `dbsf`,
    but with the true score of a point that only the other list holds.
    """
    meaning, words = _by_spread(dense, dense_rank), _by_spread(sparse, sparse_rank)
    if meaning is None or words is None:
        return _alone(meaning, words, len(dense))
    pairs = ((near, word or 0.0) for near, word in zip(meaning, words, strict=True))
    return [((near if near is not None else word) + word) / 2 for near, word in pairs]


def best_by_group(scored: Iterable[tuple[K, float, T]], limit: int) -> list[tuple[K, float, list[T]]]:
    """The best `limit` groups as (group, score, members best first), from members as (group, score, member).

    A group is as good as its best member: long texts have many passages, and any sum over them would favour length.
    Equal groups keep the order in which their best members came.
    """
    groups: dict[K, list[tuple[float, T]]] = {}
    for group, score, member in sorted(scored, key=lambda item: -item[1]):
        groups.setdefault(group, []).append((score, member))
    best = list(groups.items())[:limit]
    return [(group, members[0][0], [member for _, member in members]) for group, members in best]


def _by_best(scores: Scores, minimum: float) -> list[float | None] | None:
    """Scores above their theoretical minimum as shares of the best one's; None when no score is above it."""
    best = max((score for score in scores if score is not None), default=minimum) - minimum
    if best <= 0:
        return None
    return [None if score is None else max(score - minimum, 0.0) / best for score in scores]


def _by_spread(scores: Scores, ranks: Ranks) -> list[float | None] | None:
    """Scores within mean +- 3 deviations of the ranked ones, clipped to [0, 1]; None when no score is ranked."""
    listed = [score for score, rank in zip(scores, ranks, strict=True) if score is not None and rank is not None]
    if not listed:
        return None
    mean = sum(listed) / len(listed)
    spread = 3 * sqrt(sum((score - mean) ** 2 for score in listed) / max(len(listed) - 1, 1))
    if not spread:
        return [None if score is None else 0.5 for score in scores]
    return [None if score is None else min(max((score - mean + spread) / (2 * spread), 0.0), 1.0) for score in scores]


def _alone(meaning: Scores | None, words: Scores | None, size: int) -> list[float]:
    """The scores of the one side that answered; zeros when neither did."""
    return [score or 0.0 for score in (meaning or words or [0.0] * size)]


def _with_pending(dense: Scores, dense_rank: Ranks, sparse_rank: Ranks) -> Ranks:
    """Dense ranks, with its rank among words for a point without a vector."""
    if all(rank is None for rank in dense_rank):
        return dense_rank
    rows = zip(dense, dense_rank, sparse_rank, strict=True)
    return [by_words if score is None else rank for score, rank, by_words in rows]
