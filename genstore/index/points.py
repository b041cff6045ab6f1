"""What a search index holds and answers with, and the protocol both implementations follow.

A point is one passage: its dense vector, its BM25 weights and the filterable fields of its record. The index is a
projection of SQL: whatever it holds can be dropped and rebuilt, so nothing here is the only copy of anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genstore.filters import Filter

SparseVector = tuple[list[int], list[float]]
"""Term ids (32-bit, distinct) and their weights, in parallel lists."""

Payload = Mapping[str, Sequence[str | float]]
"""Field path -> leaf values: {"model": ["gpt-4o"], "metadata.lang": ["en"], "score.quality": [0.8]}.

Booleans are the strings "true" and "false". The paths in POINT_FIELDS describe the passage, all others its record.
"""

POINT_FIELDS = ("side", "role")
"""Fields that differ between the passages of one record: set_payload leaves them alone."""

ORDINAL_BITS = 20
PASSAGES_PER_PART = 1 << ORDINAL_BITS


def point_id(part_id: int, ordinal: int) -> int:
    """The id of a part's passage: reversible, so that a hit leads back to its part without a lookup.

    Raises ValueError unless 0 <= ordinal < 2**20 and 0 <= part_id < 2**44 (ids are unsigned 64-bit).
    """
    if not 0 <= ordinal < PASSAGES_PER_PART or not 0 <= part_id < 1 << (64 - ORDINAL_BITS):
        raise ValueError(f"no point id for passage {ordinal} of part {part_id}")
    return part_id << ORDINAL_BITS | ordinal


def part_of(point: int) -> tuple[int, int]:
    """The inverse of point_id: (part id, passage ordinal)."""
    return point >> ORDINAL_BITS, point & (PASSAGES_PER_PART - 1)


@dataclass(frozen=True, slots=True)
class Point:
    """One passage as the index keeps it.

    dense: (dimension,) or None until the embedder has reached it; sparse: BM25 document weights, may be empty.
    """

    id: int
    record_id: str
    sparse: SparseVector
    dense: Sequence[float] | NDArray[Any] | None = None
    payload: Payload | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """The union of the dense and the sparse list, in parallel lists whose order means nothing.

    Scores are raw: cosine in [-1, 1] and BM25 >= 0. Each point has its true score on both sides, wherever it ranks;
    None means the side was not queried or, for dense, that the point has no vector yet. Ranks count from 1 and are
    None outside the first `depth` of that list.
    """

    ids: list[int]
    dense: list[float | None]
    sparse: list[float | None]
    dense_rank: list[int | None]
    sparse_rank: list[int | None]

    def __len__(self) -> int:
        return len(self.ids)


class VectorIndex(Protocol):
    """A search index over points. Every method may be called from any thread.

    All methods raise IndexUnavailable or one of its children when the index cannot be used, and DimensionMismatch
    for a vector of another length. A write is durable and visible when its call returns.
    """

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points whole: what was stored under the same ids is replaced, vectors and payload alike."""

    def set_dense(self, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Set the dense vectors of existing points, (n, dimension); ids the index does not hold are skipped."""

    def set_sparse(self, ids: Sequence[int], vectors: Sequence[SparseVector]) -> None:
        """Set the BM25 weights of existing points; ids the index does not hold are skipped."""

    def set_payload(self, record_id: str, payload: Payload) -> None:
        """Replace the record's fields on all of its points; POINT_FIELDS keep their values."""

    def delete_records(self, record_ids: Sequence[str]) -> None:
        """Delete all points of these records."""

    def delete_points(self, ids: Sequence[int]) -> None:
        """Delete these points; unknown ids are ignored."""

    def candidates(
        self,
        dense: NDArray[Any] | None,
        sparse: SparseVector | None,
        where: Filter | None,
        depth: int,
        side: str | None = None,
        exclude_record: str | None = None,
    ) -> Candidates:
        """The best `depth` points of each list that was queried, filtered before the cut.

        dense: (dimension,), need not be normalised; sparse: a query's terms. side keeps only passages of that side.
        """

    def count(self, where: Filter | None = None) -> int:
        """How many points satisfy the filter, exactly."""

    def scan(self) -> Iterator[tuple[int, str, bool]]:
        """Every point as (id, record id, has a dense vector), by ascending id."""

    def dense_vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """The unit-length dense vectors of those of the points that have one."""

    def wants_optimising(self) -> bool:
        """Whether so much is unindexed or deleted that optimise() would pay for itself."""

    def optimise(self) -> None:
        """Build the index structures; may take minutes, searches go on meanwhile."""

    def flush(self) -> None:
        """Bring what is in memory to disk."""

    def close(self) -> None:
        """Let go of files and connections; idempotent."""

    def drop(self) -> None:
        """Delete the index and everything in it; the object is closed afterwards."""
