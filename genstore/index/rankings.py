"""Two ranked lists joined into candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from genstore.index.points import Candidates

Scored = Mapping[int, float]
"""Point id -> raw score, best first."""


def joined(
    dense: Scored | None, sparse: Scored | None, score: Callable[[Sequence[int], Sequence[int]], tuple[Scored, Scored]]
) -> Candidates:
    """The union of two lists (None: not queried), each point scored on both sides.

    score(ids, ids) gives the dense scores of the first ids and the sparse scores of the second; a point it leaves out
    has no dense vector, or none of the query's words.
    """
    ids = list({**(dense or {}), **(sparse or {})})
    if dense is None or sparse is None:
        more_dense, more_sparse = dense or {}, sparse or {}
    else:
        no_dense = [point for point in sparse if point not in dense]
        no_sparse = [point for point in dense if point not in sparse]
        found = score(no_dense, no_sparse) if no_dense or no_sparse else ({}, {})
        more_dense, more_sparse = {**dense, **found[0]}, {**sparse, **found[1]}
    dense_rank = _ranks(dense)
    sparse_rank = _ranks(sparse)
    return Candidates(
        ids=ids,
        dense=[None if dense is None else more_dense.get(point) for point in ids],
        sparse=[None if sparse is None else more_sparse.get(point, 0.0) for point in ids],
        dense_rank=[dense_rank.get(point) for point in ids],
        sparse_rank=[sparse_rank.get(point) for point in ids],
    )


def _ranks(scored: Scored | None) -> dict[int, int]:
    return {point: rank for rank, point in enumerate(scored or {}, 1)}
