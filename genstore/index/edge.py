"""The search index inside this process: Qdrant Edge behind a lease on its folder."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import qdrant_edge as qdrant

from genstore.index.layout import DENSE, RECORD_ID, SPARSE, point_payload, record_payload
from genstore.index.lease import Lease
from genstore.index.points import Candidates, Payload, Point, SparseVector
from genstore.index.rankings import joined
from genstore.index.shard import has_shard, open_shard, optimised_copy, swapped, translated
from genstore.index.vectors import checked_vector, checked_vectors
from genstore.index.where import Conditions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genstore.filters import Filter

_BATCH = 1_000
_UNINDEXED_POINTS = 20_000  # a scan of this many 384-d vectors takes about as long as the rest of a search
_DELETED_POINTS, _DELETED_SHARE = 1_000, 0.2  # from where Edge itself finds a vacuum worth it
_WORN = "worn"  # the two counts, kept while the index is closed; a kill loses them, which delays optimising
_CONDITIONS = Conditions(qdrant, qdrant.RangeFloat, qdrant.NestedCondition)
# Without it a filter that a tenth of the points satisfy tears the graph: few of a point's neighbours satisfy it too.
# Source: Patel et al., "ACORN: Performant and Predictable Search over Vectors and Structured Data", SIGMOD 2024.
_ACORN = qdrant.SearchParams(acorn=qdrant.AcornSearchParams(enable=True, max_selectivity=0.4))
_Update = qdrant.UpdateOperation


class EdgeIndex:
    """A VectorIndex in a folder; no other process need be running.

    path: the folder, made when missing; dimension: of the dense vectors. The folder is opened by the first call,
    let go after idle_s without one or when another process waits for it; calls wait for it up to lease_timeout_s.
    """

    def __init__(
        self,
        path: Path,
        dimension: int,
        lease_timeout_s: float = 30.0,
        idle_s: float = 2.0,
        on_new: Callable[[], None] = lambda: None,
    ) -> None:
        """on_new: called when the folder held no index and an empty one was made."""
        self.path = path
        self.dimension = dimension
        self._on_new = on_new
        self._writing = threading.Lock()
        # Since the last optimise(), by any process. Edge's own count of indexed vectors includes replaced ones.
        self._unindexed = self._deleted = 0
        self._lease = Lease(path, self._open, self._close_shard, lease_timeout_s, idle_s)

    # Writing: one thread at a time. Edge fails half-way through a batch that names a point it does not hold, so what
    # it holds is asked first; and optimise() replaces the shard by a copy that must not miss a write.

    def upsert(self, points: Sequence[Point]) -> None:
        rows = [self._row(point) for point in points]
        with self._writing, self._shard() as shard:
            for batch in _batches(rows):
                shard.update(_Update.upsert_points(batch))
            self._unindexed += sum(point.dense is not None for point in points)

    def set_dense(self, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        checked = checked_vectors(vectors, len(ids), self.dimension)
        self._set_vectors(DENSE, dict(zip(ids, checked, strict=True)))

    def set_sparse(self, ids: Sequence[int], vectors: Sequence[SparseVector]) -> None:
        self._set_vectors(SPARSE, {id: qdrant.SparseVector(*v) for id, v in zip(ids, vectors, strict=True)})

    def _set_vectors(self, name: str, vectors: Mapping[int, Any]) -> None:
        with self._writing, self._shard() as shard:
            for batch in _batches(list(vectors)):
                held = [point.id for point in shard.retrieve(batch, with_payload=False, with_vector=False)]
                shard.update(_Update.update_vectors([qdrant.PointVectors(id, {name: vectors[id]}) for id in held]))
                self._unindexed += len(held)

    def set_payload(self, record_id: str, payload: Payload) -> None:
        points = qdrant.Filter(must=[_CONDITIONS.equals(RECORD_ID, record_id)])
        with self._writing, self._shard() as shard:
            shard.update(_Update.set_payload_by_filter(points, record_payload(payload)))
            self._unindexed += 1

    def delete_records(self, record_ids: Sequence[str]) -> None:
        for batch in _batches(list(record_ids)):
            points = _CONDITIONS.any(_CONDITIONS.equals(RECORD_ID, record_id) for record_id in batch)
            self._delete(_Update.delete_points_by_filter(points))

    def delete_points(self, ids: Sequence[int]) -> None:
        self._delete(_Update.delete_points(list(ids)))

    def _delete(self, operation: qdrant.UpdateOperation) -> None:
        with self._writing, self._shard() as shard:
            before = shard.info().points_count
            shard.update(operation)
            self._deleted += max(0, before - shard.info().points_count)

    # Reading

    def candidates(
        self,
        dense: NDArray[Any] | None,
        sparse: SparseVector | None,
        where: Filter | None,
        depth: int,
        side: str | None = None,
        exclude_record: str | None = None,
    ) -> Candidates:
        queries = {
            DENSE: None if dense is None else checked_vector(dense, self.dimension).tolist(),
            SPARSE: None if sparse is None else qdrant.SparseVector(*sparse),
        }
        condition = _CONDITIONS.selection(where, side, exclude_record)
        wanted = {name: (condition, depth) for name, query in queries.items() if query is not None}
        with self._shard() as shard:
            lists = _search(shard, queries, wanted)

            def score(no_dense: Sequence[int], no_sparse: Sequence[int]) -> tuple[dict[int, float], dict[int, float]]:
                missing = {DENSE: no_dense, SPARSE: no_sparse}
                among = {
                    name: (qdrant.Filter(must=[qdrant.HasIdCondition(set(ids))]), len(ids))
                    for name, ids in missing.items()
                    if ids
                }
                scored = _search(shard, queries, among)
                return scored.get(DENSE, {}), scored.get(SPARSE, {})

            return joined(lists.get(DENSE), lists.get(SPARSE), score)

    def count(self, where: Filter | None = None) -> int:
        condition = None if where is None else _CONDITIONS.translate(where)
        with self._shard() as shard:
            return int(shard.count(qdrant.CountRequest(exact=True, filter=condition)))

    def scan(self) -> Iterator[tuple[int, str, bool]]:
        offset = 0
        while True:
            with self._shard() as shard:
                rows = self._page(shard, offset)
            yield from rows
            if len(rows) < _BATCH:
                return
            offset = rows[-1][0] + 1

    @staticmethod
    def _page(shard: Any, offset: int) -> list[tuple[int, str, bool]]:
        rows, _ = shard.scroll(qdrant.ScrollRequest(offset=offset, limit=_BATCH, with_payload=[RECORD_ID]))
        among = qdrant.HasIdCondition({row.id for row in rows})
        embedded = qdrant.Filter(must=[among, qdrant.HasVectorCondition(DENSE)])
        with_dense, _ = shard.scroll(qdrant.ScrollRequest(limit=_BATCH, filter=embedded, with_payload=False))
        dense = {row.id for row in with_dense}
        return [(row.id, row.payload[RECORD_ID], row.id in dense) for row in rows]

    def dense_vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        with self._shard() as shard:
            rows = shard.retrieve(list(ids), with_payload=False, with_vector=[DENSE])
        return {row.id: np.asarray(row.vector[DENSE], np.float32) for row in rows if DENSE in (row.vector or {})}

    # Upkeep

    def wants_optimising(self) -> bool:
        with self._shard() as shard:
            points = shard.info().points_count
        worth_vacuum = max(_DELETED_POINTS, _DELETED_SHARE * (points + self._deleted))
        return bool(self._unindexed >= _UNINDEXED_POINTS or self._deleted >= worth_vacuum)

    def optimise(self) -> None:
        with self._writing, self._shard(long=True) as shard:
            copy = optimised_copy(shard, self.path)
            self._unindexed = self._deleted = 0
            self._lease.replace(lambda shard: swapped(shard, self.path, copy))

    def flush(self) -> None:
        with self._shard() as shard:
            shard.flush()

    def close(self) -> None:
        self._lease.close()

    def drop(self) -> None:
        self._lease.remove_folder()

    # The shard

    @contextlib.contextmanager
    def _shard(self, long: bool = False) -> Iterator[Any]:
        with self._lease.use(long) as shard, translated(self.path, "use"):
            yield shard

    def _open(self) -> Any:
        is_new = not has_shard(self.path)
        shard = open_shard(self.path, self.dimension)
        if is_new:
            self._on_new()
        with contextlib.suppress(OSError, ValueError):
            self._unindexed, self._deleted = map(int, (self.path / _WORN).read_text().split())
        return shard

    def _close_shard(self, shard: Any) -> None:
        with contextlib.suppress(OSError):
            (self.path / _WORN).write_text(f"{self._unindexed} {self._deleted}")
        shard.close()

    def _row(self, point: Point) -> qdrant.Point:
        vectors: dict[str, Any] = {SPARSE: qdrant.SparseVector(*point.sparse)}
        if point.dense is not None:
            vectors[DENSE] = checked_vector(point.dense, self.dimension).tolist()
        return qdrant.Point(point.id, vectors, point_payload(point.record_id, point.payload or {}))


def _search(
    shard: Any, queries: Mapping[str, Any], wanted: Mapping[str, tuple[qdrant.Filter | None, int]]
) -> dict[str, dict[int, float]]:
    """For each vector name, the best points under its filter, up to its limit, as id -> score."""
    requests = [
        qdrant.QueryRequest(
            limit=limit,
            query=qdrant.Query.Nearest(queries[name], using=name),
            filter=condition,
            params=_ACORN if name == DENSE and condition is not None else None,
        )
        for name, (condition, limit) in wanted.items()
    ]
    found = shard.query_batch(qdrant.QueryBatchRequest(requests))
    return {name: {hit.id: hit.score for hit in hits} for name, hits in zip(wanted, found, strict=True)}


def _batches(items: list[Any]) -> Iterator[list[Any]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
