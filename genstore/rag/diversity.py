"""Maximal marginal relevance: the best passages that do not say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Passages this alike are one, whatever their words: a copy with another date on it.
_SAME = 0.985


def diversified(
    points: Sequence[int],
    scores: Sequence[float],
    vectors: Mapping[int, NDArray[np.float32]],
    limit: int,
    diversity: float,
) -> list[int]:
    """Places of up to `limit` points, in the order they were chosen: each time the one with the greatest
    (1 - diversity) * score - diversity * likeness to its most alike among the chosen. Near copies are passed over.

    scores in [0, 1], best first; vectors: (dimension,) of unit length, of the points that have one; the others are
    taken to be like nothing. Source: Carbonell, Goldstein, "The Use of MMR, Diversity-Based Reranking", SIGIR 1998.
    """
    if not points:
        return []
    likeness = _likeness(points, vectors)
    chosen: list[int] = []
    left = list(range(len(points)))
    while left and len(chosen) < limit:
        nearest = [max((float(likeness[at, other]) for other in chosen), default=0.0) for at in left]
        gains = [
            (1 - diversity) * scores[at] - diversity * near if near < _SAME else float("-inf")
            for at, near in zip(left, nearest, strict=True)
        ]
        best = max(range(len(left)), key=gains.__getitem__)
        if gains[best] == float("-inf"):
            break
        chosen.append(left.pop(best))
    return chosen


def _likeness(points: Sequence[int], vectors: Mapping[int, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Cosines between the points: (n, n)."""
    import numpy as np

    dimension = len(next(iter(vectors.values()), ()))
    none = np.zeros(dimension, np.float32)
    stacked = np.stack([vectors.get(point, none) for point in points])  # (n, dimension)
    found: NDArray[np.float32] = stacked @ stacked.T
    return found
