"""Two rankings become one: convex combination, reciprocal ranks, distribution-based scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from genstore.errors import InvalidInput

if TYPE_CHECKING:
    from genstore.index.points import Candidates

Method = Literal["convex", "rrf", "dbsf"]
METHODS: tuple[Method, ...] = get_args(Method)

Scores = Sequence[float | None]
Ranks = Sequence[int | None]
T = TypeVar("T")

RRF_K = 60.0
_DEVIATIONS = 3.0


def fuse(method: Method, candidates: Candidates, weight: float) -> list[float]:
    """A score in [0, 1] for each candidate, by the method named. weight: share of dense, used by convex alone."""
    if method == "convex":
        return convex(candidates.dense, candidates.sparse, weight)
    if method == "rrf":
        return rrf(candidates.dense_rank, candidates.sparse_rank)
    if method == "dbsf":
        return dbsf(candidates.dense, candidates.sparse)
    raise InvalidInput(f"fusion is {method!r}; it is one of {', '.join(METHODS)}")


def convex(dense: Scores, sparse: Scores, weight: float) -> list[float]:
    """Blend two parallel lists of scores by a convex combination of normalised scores.

    dense: cosine similarities in [-1, 1]; sparse: BM25 scores >= 0; None where a side was not asked or the point has
    no vector yet. weight: share of dense, in [0, 1]. Each side is scaled from its theoretical minimum (-1 and 0) to
    the query's best. Returns scores in [0, 1]; a side without any score leaves the other's order unchanged, and a
    point without a vector is judged by its words alone.
    Raises InvalidInput if weight is outside [0, 1].
    Source: Bruch, Gai, Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023 (TM2C2).
    """
    if not 0 <= weight <= 1:
        raise InvalidInput(f"the dense weight is {weight}; it lies between 0 and 1")
    near = _scaled(dense, -1.0)
    word = _scaled(sparse, 0.0)
    return [_blend(near[at], word[at], weight) for at in range(len(dense))]


def _scaled(scores: Scores, minimum: float) -> list[float | None]:
    """Scores from the minimum to the list's best, as 0 to 1; a list in which nothing scores has no say."""
    best = max((score for score in scores if score is not None), default=minimum)
    if best <= minimum:
        return [None] * len(scores)
    return [None if score is None else max(0.0, score - minimum) / (best - minimum) for score in scores]


def _blend(near: float | None, word: float | None, weight: float) -> float:
    if near is None:
        return word or 0.0
    if word is None:
        return near
    return weight * near + (1 - weight) * word


def rrf(dense_rank: Ranks, sparse_rank: Ranks, k: float = RRF_K) -> list[float]:
    """Reciprocal rank fusion, scaled so that the first place in every list that was asked is 1.

    Ranks count from 1, None is outside the list. Raises InvalidInput if k <= 0.
    Source: Cormack, Clarke, Buettcher, SIGIR 2009.
    """
    if k <= 0:
        raise InvalidInput(f"k of reciprocal rank fusion is {k}; it is greater than 0")
    lists = [ranks for ranks in (dense_rank, sparse_rank) if any(rank is not None for rank in ranks)]
    most = len(lists) / (k + 1)
    return [
        sum(1 / (k + rank) for ranks in lists if (rank := ranks[at]) is not None) / most if lists else 0.0
        for at in range(len(dense_rank))
    ]


def dbsf(dense: Scores, sparse: Scores) -> list[float]:
    """Distribution-based score fusion: each side from mean - 3 to mean + 3 standard deviations, then the mean of both.

    Source: Mazzeschi, "Distribution-Based Score Fusion", 2023, as Qdrant implements it.
    """
    sides = [side for side in (_spread(dense), _spread(sparse)) if side is not None]
    return [sum(side[at] for side in sides) / len(sides) if sides else 0.0 for at in range(len(dense))]


def _spread(scores: Scores) -> list[float] | None:
    known = [score for score in scores if score is not None]
    if not known:
        return None
    mean = sum(known) / len(known)
    deviation = math.sqrt(sum((score - mean) ** 2 for score in known) / len(known))
    if deviation == 0:
        return [0.0 if score is None else 0.5 for score in scores]
    low, width = mean - _DEVIATIONS * deviation, 2 * _DEVIATIONS * deviation
    return [0.0 if score is None else min(1.0, max(0.0, (score - low) / width)) for score in scores]


def best_by_group(items: Iterable[tuple[str, float, T]], limit: int) -> list[tuple[str, float, list[T]]]:
    """The best `limit` groups as (group, score, items best first); a group scores as its best item.

    Equal scores are ordered by group, so that the same search gives the same hits.
    """
    groups: dict[str, list[tuple[float, T]]] = {}
    for group, score, item in items:
        groups.setdefault(group, []).append((score, item))
    ranked: list[tuple[str, float, list[T]]] = []
    for group, found in groups.items():
        found.sort(key=lambda pair: -pair[0])
        ranked.append((group, found[0][0], [item for _, item in found]))
    ranked.sort(key=lambda entry: (-entry[1], entry[0]))
    return ranked[:limit]
