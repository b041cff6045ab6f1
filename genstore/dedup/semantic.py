"""Duplicates in meaning: neighbours in the vector index, unless the guard finds that they say different things."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from sqlalchemy import ColumnElement, Connection, select

from genstore.dedup.clusters import Neighbours
from genstore.dedup.method import Match
from genstore.dedup.rule import Rule
from genstore.filters import Filter
from genstore.identity import decode_text, encode_text, sha256
from genstore.index.indexer import unpack
from genstore.index.points import part_of
from genstore.sql import tables
from genstore.sql.read import chunked
from genstore.text.guard import disagreement
from genstore.work import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genstore.index.points import VectorIndex

_parts, _records = tables.parts, tables.records
_passages, _embeddings = tables.passages, tables.embeddings

_DEPTH = 100
_SLACK = 0.1
"""Texts whose first passages are this much less alike than asked may still be alike as a whole."""

_MOST_PASSAGES = 32
"""Of a text's passages so many are averaged: the mean of more moves little."""

_AT_ONCE = 200


class Meaning(NamedTuple):
    """What texts are compared by: the mean of their passages' vectors, of length 1, and the words for the guard."""

    vector: NDArray[np.float32]
    text: str

    @property
    def nbytes(self) -> int:
        """What it takes in memory, about."""
        return self.vector.nbytes + 2 * len(self.text)


class Vectors(NamedTuple):
    """Of a text: its first passage's vector, and the mean of all, both (dimension,) and of length 1."""

    first: NDArray[np.float32]
    whole: NDArray[np.float32]


class Space(Protocol):
    """The index in use and what it was built with; see search.projection.Projection."""

    @property
    def index(self) -> VectorIndex: ...

    @property
    def embedder(self) -> Any: ...

    @property
    def info(self) -> Any: ...


class SemanticText:
    """Texts by the cosine of their vectors, unless the guard finds a disagreement."""

    needs = None
    name = "semantic-text"

    def __init__(self, vector: Callable[[str], NDArray[np.float32] | None]) -> None:
        """vector: of a text by its hash, (dimension,) and of length 1; None when it has none yet."""
        self._vector = vector

    def features(self, body: bytes) -> Meaning | None:
        """None for a text that has no vector: it is empty, or was not embedded yet."""
        vector = self._vector(sha256(body))
        return None if vector is None else Meaning(vector, decode_text(body))

    def keys(self, features: Sequence[Any]) -> list[list[int]]:
        """None: the vector index says who is near."""
        return [[] for _ in features]

    def compare(self, one: Meaning, other: Meaning) -> Match | None:
        """The cosine; None when the texts say different things."""
        if disagreement(one.text, other.text):
            return None
        cosine = min(1.0, max(0.0, float(one.vector @ other.vector)))
        return Match(cosine, {"cosine": round(cosine, 4)})


class Semantic:
    """The one method of the semantic level: texts by meaning, all else by bytes."""

    def __init__(self, method: SemanticText) -> None:
        self._method = method

    def of(self, media_type: str, binary: bool) -> SemanticText | None:
        """How a body of this kind is compared."""
        return None if binary else self._method


class SemanticFinder:
    """Neighbours are texts near each other in the vector index."""

    def __init__(
        self,
        connection: Connection,
        space: Space,
        rule: Rule,
        scope: ColumnElement[bool],
        where: Filter,
        progress: Progress | None = None,
    ) -> None:
        """scope and where: the same condition on records, for SQL and for the index."""
        self._connection = connection
        self._space = space
        self._rule = rule
        self._scope = scope
        self._where = where
        self._progress = progress
        self._found: dict[str, set[str]] = {}

    def members(self) -> set[str]:
        """Hashes of the texts that have a neighbour."""
        digests = self._compared()
        for start in range(0, len(digests), _AT_ONCE):
            self._ask(digests[start : start + _AT_ONCE])
            if self._progress is not None:
                done = min(start + _AT_ONCE, len(digests))
                self._progress(done, len(digests) - done)
        return set(self._found)

    def neighbours(self, order: Mapping[str, int]) -> Neighbours:
        """Those found, among the bodies in order."""
        return {digest: near & order.keys() for digest, near in self._found.items() if digest in order}

    def _compared(self) -> list[str]:
        query = (
            select(_parts.c.sha256)
            .join(_records, _records.c.id == _parts.c.record_id)
            .where(self._scope, _parts.c.side.in_(self._rule.sides), _parts.c.history.is_(False))
            .where(_parts.c.binary.is_(False))
            .distinct()
        )
        return list(self._connection.execute(query).scalars())

    def _ask(self, digests: Sequence[str]) -> None:
        near: dict[str, set[int]] = {}
        for digest, vector in first_vectors(self._connection, self._space, digests).items():
            near[digest] = nearest_parts(self._space, vector, self._where, self._rule)
        owners = bodies_of(self._connection, {part for parts in near.values() for part in parts})
        for digest, parts in near.items():
            for other in {owners[part] for part in parts if part in owners} - {digest}:
                self._found.setdefault(digest, set()).add(other)
                self._found.setdefault(other, set()).add(digest)


def nearest_parts(space: Space, vector: NDArray[np.float32], where: Filter, rule: Rule) -> set[int]:
    """Parts whose first passage is near a text's first: (dimension,)."""
    side = None if rule.on == "both" else rule.on
    found = space.index.candidates(vector, None, where, _DEPTH, side=side)
    least = rule.least_score - _SLACK
    places = (
        part_of(point)
        for point, score in zip(found.ids, found.dense, strict=True)
        if score is not None and score >= least
    )
    return {part for part, ordinal in places if ordinal == 0}


def first_vectors(connection: Connection, space: Space, digests: Iterable[str]) -> dict[str, NDArray[np.float32]]:
    """The vectors of the texts' first passages, (dimension,), by the text's hash; those that have one."""
    found: dict[str, NDArray[np.float32]] = {}
    for chunk in chunked(digests):
        rows = connection.execute(_vectors(space).where(_passages.c.sha256.in_(chunk), _passages.c.ordinal == 0))
        found.update({row.sha256: unpack(row.vector) for row in rows if row.vector is not None})
    return found


def stored_vector(connection: Connection, space: Space) -> Callable[[str], NDArray[np.float32] | None]:
    """A function from a text's hash to its vector: the mean of its passages', of length 1; None when one is missing."""

    def vector(digest: str) -> NDArray[np.float32] | None:
        query = _vectors(space).where(_passages.c.sha256 == digest).order_by(_passages.c.ordinal).limit(_MOST_PASSAGES)
        rows = connection.execute(query).all()
        if not rows or any(row.vector is None for row in rows):
            return None
        return mean_vector([unpack(row.vector) for row in rows])

    return vector


def encoded(embedder: Any, texts: Sequence[str]) -> dict[str, Vectors]:
    """The vectors of texts that are not stored yet, by the text's hash; a text of white space has none."""
    spans = embedder.cutter().cut_many(texts)
    slices = [text[a:b] for text, found in zip(texts, spans, strict=True) for a, b in found[:_MOST_PASSAGES]]
    vectors = iter(embedder.encode(slices) if slices else ())
    own = [[next(vectors) for _ in found[:_MOST_PASSAGES]] for found in spans]
    return {
        sha256(encode_text(text)): Vectors(found[0], mean_vector(found))
        for text, found in zip(texts, own, strict=True)
        if found
    }


def mean_vector(vectors: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of vectors, (n, dimension), scaled to length 1: (dimension,)."""
    mean: NDArray[np.float32] = np.mean(vectors, axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _vectors(space: Space) -> Any:
    matching = (_embeddings.c.text_sha256 == _passages.c.text_sha256) & (_embeddings.c.embedder == space.info.embedder)
    query = select(_passages.c.sha256, _embeddings.c.vector).outerjoin(_embeddings, matching)
    return query.where(_passages.c.cutter == space.info.cutter)


def bodies_of(connection: Connection, parts: Iterable[int]) -> dict[int, str]:
    """The hashes of parts' bodies, by the part."""
    found: dict[int, str] = {}
    for chunk in chunked(parts):
        query = select(_parts.c.id, _parts.c.sha256).where(_parts.c.id.in_(chunk))
        found.update({row.id: row.sha256 for row in connection.execute(query)})
    return found
