"""The search index in a Qdrant server or cluster, through its HTTP API."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from genstore.errors import DimensionMismatch, GenstoreError, IndexUnavailable
from genstore.index.layout import (
    DENSE,
    KEYWORDS,
    NUMBERS,
    PAIR_IS,
    PAIR_OF,
    PAIRS,
    PARTITIONING,
    RECORD_ID,
    SPARSE,
    TOKENS,
    payload_key,
    point_payload,
    record_payload,
)
from genstore.index.points import Candidates, Payload, Point, SparseVector
from genstore.index.rankings import joined
from genstore.index.vectors import checked_vector, checked_vectors
from genstore.index.where import Conditions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genstore.filters import Filter

_BATCH = 256  # 256 points of 1,536 dimensions are 8 MB of JSON; the server refuses 32 MB
_PAGE = 1_000


def _element(key: str, condition: models.Filter) -> models.NestedCondition:
    return models.NestedCondition(nested=models.Nested(key=key, filter=condition))


_CONDITIONS = Conditions(models, models.Range, _element)

# Scores must be those of the original vectors: fusion compares them with exact ones.
_EXACT_SCORES = models.QuantizationSearchParams(rescore=True, oversampling=2.0)
# See edge.py: without it a filter that a tenth of the points satisfy tears the graph.
_ACORN = models.AcornSearchParams(enable=True, max_selectivity=0.4)
_SCANNED_UP_TO_POINTS = 30_000


class ServerIndex:
    """A VectorIndex in a collection of a Qdrant server.

    The collection is made by the first call when it is missing, with these settings; they do not change one that
    exists. url: of the server, or ":memory:" for the client's own brute-force engine, which serves tests only.
    shards, replicas, write_consistency: as the cluster needs them; on_disk: vectors and graph stay out of memory;
    quantisation: "int8" keeps a compressed copy in memory and re-scores with the originals.
    """

    def __init__(
        self,
        url: str,
        collection: str,
        dimension: int,
        api_key: str | None = None,
        shards: int = 1,
        replicas: int = 1,
        write_consistency: int = 1,
        on_disk: bool = False,
        quantisation: Literal["int8"] | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self.url = url
        self.collection = collection
        self.dimension = dimension
        self._api_key = api_key
        self._shards = shards
        self._replicas = replicas
        self._write_consistency = write_consistency
        self._on_disk = on_disk
        self._quantisation = quantisation
        self._timeout_s = timeout_s
        self._opening = threading.Lock()
        self._opened: QdrantClient | None = None
        self._closed = False

    # Writing

    def upsert(self, points: Sequence[Point]) -> None:
        rows = [self._row(point) for point in points]
        with self._client() as client:
            for batch in _batches(rows, _BATCH):
                client.upsert(self.collection, batch, wait=True)

    def set_dense(self, ids: Sequence[int], vectors: NDArray[np.float32]) -> None:
        checked = checked_vectors(vectors, len(ids), self.dimension)
        self._set_vectors(DENSE, dict(zip(ids, checked, strict=True)))

    def set_sparse(self, ids: Sequence[int], vectors: Sequence[SparseVector]) -> None:
        self._set_vectors(SPARSE, {id: _sparse(vector) for id, vector in zip(ids, vectors, strict=True)})

    def _set_vectors(self, name: str, vectors: Mapping[int, Any]) -> None:
        with self._client() as client:
            for batch in _batches(list(vectors), _BATCH):
                held = client.retrieve(self.collection, batch, with_payload=False, with_vectors=False)
                changes = [models.PointVectors(id=point.id, vector={name: vectors[int(point.id)]}) for point in held]
                if changes:
                    client.update_vectors(self.collection, changes, wait=True)

    def set_payload(self, record_id: str, payload: Payload) -> None:
        points = models.Filter(must=[_CONDITIONS.equals(RECORD_ID, record_id)])
        with self._client() as client:
            client.set_payload(self.collection, record_payload(payload), points, wait=True)

    def delete_records(self, record_ids: Sequence[str]) -> None:
        with self._client() as client:
            for batch in _batches(list(record_ids), _PAGE):
                points = _CONDITIONS.any(_CONDITIONS.equals(RECORD_ID, record_id) for record_id in batch)
                client.delete(self.collection, models.FilterSelector(filter=points), wait=True)

    def delete_points(self, ids: Sequence[int]) -> None:
        with self._client() as client:
            for batch in _batches(list(ids), _PAGE):
                client.delete(self.collection, models.PointIdsList(points=batch), wait=True)

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
            SPARSE: None if sparse is None else _sparse(sparse),
        }
        condition = _CONDITIONS.selection(where, side, exclude_record)
        wanted = {
            name: (condition, depth) for name, query in queries.items() if query is not None and _has_terms(query)
        }
        with self._client() as client:
            lists = self._search(client, queries, wanted)

            def score(no_dense: Sequence[int], no_sparse: Sequence[int]) -> tuple[dict[int, float], dict[int, float]]:
                missing = {DENSE: no_dense, SPARSE: no_sparse}
                among = {
                    name: (models.Filter(must=[models.HasIdCondition(has_id=list(ids))]), len(ids))
                    for name, ids in missing.items()
                    if ids and name in wanted
                }
                scored = self._search(client, queries, among)
                return scored.get(DENSE, {}), scored.get(SPARSE, {})

            return joined(
                None if dense is None else lists.get(DENSE, {}),
                None if sparse is None else lists.get(SPARSE, {}),
                score,
            )

    def _search(
        self, client: QdrantClient, queries: Mapping[str, Any], wanted: Mapping[str, tuple[models.Filter | None, int]]
    ) -> dict[str, dict[int, float]]:
        """For each vector name, the best points under its filter, up to its limit, as id -> score."""
        if not wanted:
            return {}
        requests = [
            models.QueryRequest(
                query=queries[name], using=name, filter=condition, limit=limit, params=self._params(name, condition)
            )
            for name, (condition, limit) in wanted.items()
        ]
        found = client.query_batch_points(self.collection, requests)
        return {
            name: {int(hit.id): hit.score for hit in answer.points} for name, answer in zip(wanted, found, strict=True)
        }

    def _params(self, name: str, condition: models.Filter | None) -> models.SearchParams | None:
        if name != DENSE or self.url == ":memory:":  # it takes none, and warns
            return None
        return models.SearchParams(
            quantization=_EXACT_SCORES if self._quantisation else None, acorn=None if condition is None else _ACORN
        )

    def count(self, where: Filter | None = None) -> int:
        condition = None if where is None else _CONDITIONS.translate(where)
        with self._client() as client:
            return client.count(self.collection, count_filter=condition, exact=True).count

    def scan(self) -> Iterator[tuple[int, str, bool]]:
        offset: Any = 0
        while offset is not None:
            with self._client() as client:
                rows, offset = client.scroll(
                    self.collection, offset=offset, limit=_PAGE, with_payload=[RECORD_ID], with_vectors=False
                )
                dense = self._embedded(client, [row.id for row in rows])
            yield from ((int(row.id), (row.payload or {})[RECORD_ID], row.id in dense) for row in rows)

    def _embedded(self, client: QdrantClient, ids: list[Any]) -> set[Any]:
        among = models.HasIdCondition(has_id=ids)
        condition = models.Filter(must=[among, models.HasVectorCondition(has_vector=DENSE)])
        rows, _ = client.scroll(self.collection, condition, limit=_PAGE, with_payload=False, with_vectors=False)
        return {row.id for row in rows}

    def dense_vectors(self, ids: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        with self._client() as client:
            rows = client.retrieve(self.collection, list(ids), with_payload=False, with_vectors=[DENSE])
        found = {int(row.id): row.vector[DENSE] for row in rows if isinstance(row.vector, dict) and DENSE in row.vector}
        return {id: np.asarray(vector, np.float32) for id, vector in found.items()}

    # Upkeep

    def wants_optimising(self) -> bool:
        """Never: the server optimises on its own."""
        return False

    def optimise(self) -> None:
        """Nothing: the server optimises on its own."""

    def flush(self) -> None:
        """Nothing: writes wait for the server's log."""

    def close(self) -> None:
        with self._opening:
            self._closed = True
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def drop(self) -> None:
        with self._client(create=False) as client:
            client.delete_collection(self.collection)
        self.close()

    # The connection

    @contextlib.contextmanager
    def _client(self, create: bool = True) -> Iterator[QdrantClient]:
        with _translated(self.url):
            yield self._connected(create)

    def _connected(self, create: bool) -> QdrantClient:
        with self._opening:
            if self._closed:
                raise IndexUnavailable(f"the index at {self.url} was closed")
            if self._opened is None:
                client = self._connect()
                if create:
                    try:
                        self._ensure_collection(client)
                    except BaseException:
                        client.close()
                        raise
                self._opened = client
            return self._opened

    def _connect(self) -> QdrantClient:
        if self.url == ":memory:":
            return QdrantClient(location=self.url)
        # The version check at start prints warnings when the server is down: the first request says it better.
        return QdrantClient(
            url=self.url, api_key=self._api_key, timeout=max(1, round(self._timeout_s)), check_compatibility=False
        )

    def _ensure_collection(self, client: QdrantClient) -> None:
        if not client.collection_exists(self.collection):
            try:
                self._create_collection(client)
            except UnexpectedResponse as error:
                if error.status_code != 409:  # another process made it meanwhile
                    raise
        vectors = client.get_collection(self.collection).config.params.vectors
        held = vectors[DENSE].size if isinstance(vectors, dict) and DENSE in vectors else None
        if held != self.dimension:
            raise DimensionMismatch(
                f"collection {self.collection!r} at {self.url} holds {held}-d vectors, the embedder gives "
                f"{self.dimension}-d; run `genstore reindex`"
            )
        self._create_field_indexes(client)

    def _create_collection(self, client: QdrantClient) -> None:
        scanned_kilobytes = max(1, _SCANNED_UP_TO_POINTS * 4 * self.dimension // 1024)
        graph = models.HnswConfigDiff(on_disk=self._on_disk, full_scan_threshold=scanned_kilobytes)
        dense = models.VectorParams(
            size=self.dimension, distance=models.Distance.COSINE, on_disk=self._on_disk, hnsw_config=graph
        )
        client.create_collection(
            self.collection,
            vectors_config={DENSE: dense},
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            quantization_config=self._quantisation_config(),
            shard_number=self._shards,
            replication_factor=self._replicas,
            write_consistency_factor=self._write_consistency,
        )

    def _quantisation_config(self) -> models.ScalarQuantization | None:
        if self._quantisation is None:
            return None
        int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=int8)

    def _create_field_indexes(self, client: QdrantClient) -> None:
        if self.url == ":memory:":  # has none, and warns
            return
        held = client.get_collection(self.collection).payload_schema
        for key, schema in _field_indexes():
            if key not in held:
                client.create_payload_index(self.collection, key, schema, wait=True)

    def _row(self, point: Point) -> models.PointStruct:
        vectors: dict[str, Any] = {SPARSE: _sparse(point.sparse)}
        if point.dense is not None:
            vectors[DENSE] = checked_vector(point.dense, self.dimension).tolist()
        payload = point_payload(point.record_id, point.payload or {})
        return models.PointStruct(id=point.id, vector=vectors, payload=payload)


def _field_indexes() -> Iterator[tuple[str, Any]]:
    keyword, number = models.KeywordIndexType.KEYWORD, models.FloatIndexType.FLOAT
    yield RECORD_ID, models.KeywordIndexParams(type=keyword, enable_hnsw=False)
    for field in KEYWORDS:
        yield payload_key(field), models.KeywordIndexParams(type=keyword, enable_hnsw=field in PARTITIONING)
    for field in NUMBERS:
        yield payload_key(field), models.FloatIndexParams(type=number, enable_hnsw=False)
    yield TOKENS, models.KeywordIndexParams(type=keyword, enable_hnsw=False, prefix=True)
    yield PAIR_OF, models.KeywordIndexParams(type=keyword, enable_hnsw=False, nested=PAIRS)
    yield PAIR_IS, models.FloatIndexParams(type=number, enable_hnsw=False, nested=PAIRS)


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=vector[0], values=vector[1])


def _has_terms(query: Any) -> bool:
    return not isinstance(query, models.SparseVector) or bool(query.indices)


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@contextlib.contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except GenstoreError:
        raise
    except ResponseHandlingException as error:
        raise IndexUnavailable(
            f"cannot reach the search index at {url}: {error.source}; is the server running, is the address right?"
        ) from error
    except UnexpectedResponse as error:
        reason = (error.content or b"").decode("utf-8", "replace")[:300] or error.reason_phrase
        raise IndexUnavailable(f"the search index at {url} answered {error.status_code}: {reason}") from error
    except ApiException as error:
        raise IndexUnavailable(f"the search index at {url} failed: {error}") from error
