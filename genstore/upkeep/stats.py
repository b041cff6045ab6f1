"""What a store holds, counted."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, func, select

from genstore.errors import IndexUnavailable
from genstore.filters import Filter
from genstore.search.projection import Projection
from genstore.sql import tables
from genstore.sql.engine import Database
from genstore.sql.outbox import words_pending
from genstore.sql.where import where as sql_where

_records, _contents = tables.records, tables.contents
_passages, _embeddings = tables.passages, tables.embeddings
_TOP = 20


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of the records that satisfy the filter, and of what belongs to them.

    body_bytes: bytes of their bodies, each once; repeated_bytes: what keeping each once saves. passages, embeddings:
    of the index in use, each once; points: passages of each record, None when the index could not be reached.
    pending, pending_dense: tasks of all projects, which share one index.
    """

    records: int
    by_kind: dict[str, int]
    by_model: dict[str, int]
    by_status: dict[str, int]
    input_tokens: int
    output_tokens: int
    cost_usd: float
    scores: int
    bodies: int
    body_bytes: int
    repeated_bytes: int
    passages: int
    embeddings: int
    embedder: str
    points: int | None
    pending: int
    pending_dense: int


def collect(database: Database, projection: Projection, condition: Filter) -> Stats:
    """Count. The numbers of one call fit together: they are read in one transaction, but for the index's."""
    where = sql_where(condition)
    pending = projection.outbox.pending()
    ids = select(_records.c.id).where(where)
    own_parts = tables.parts.c.record_id.in_(ids)
    own_bodies = select(tables.parts.c.sha256).where(own_parts)
    own_passages = (_passages.c.sha256.in_(own_bodies), _passages.c.cutter == projection.info.cutter)
    own_vectors = (
        _embeddings.c.text_sha256.in_(select(_passages.c.text_sha256).where(*own_passages)),
        _embeddings.c.embedder == projection.info.embedder,
    )
    with database.read() as connection:
        totals = connection.execute(
            select(
                func.count(),
                func.coalesce(func.sum(_records.c.input_tokens), 0),
                func.coalesce(func.sum(_records.c.output_tokens), 0),
                func.coalesce(func.sum(_records.c.cost_usd), 0.0),
            )
            .select_from(_records)
            .where(where)
        ).one()
        bodies, body_bytes = connection.execute(
            select(func.count(), func.coalesce(func.sum(_contents.c.size_bytes), 0)).where(
                _contents.c.sha256.in_(own_bodies)
            )
        ).one()
        named_bytes = connection.scalar(
            select(func.coalesce(func.sum(_contents.c.size_bytes), 0))
            .join(tables.parts, tables.parts.c.sha256 == _contents.c.sha256)
            .where(own_parts)
        )
        return Stats(
            records=totals[0],
            by_kind=_by(connection, _records.c.kind, where),
            by_model=_by(connection, _records.c.model, where),
            by_status=_by(connection, _records.c.status, where),
            input_tokens=int(totals[1]),
            output_tokens=int(totals[2]),
            cost_usd=float(totals[3]),
            scores=_count(connection, tables.scores, tables.scores.c.record_id.in_(ids)),
            bodies=bodies,
            body_bytes=int(body_bytes),
            repeated_bytes=int(named_bytes or 0) - int(body_bytes),
            passages=_count(connection, _passages, *own_passages),
            embeddings=_count(connection, _embeddings, *own_vectors),
            embedder=projection.info.embedder,
            points=_points(projection, condition),
            pending=words_pending(pending),
            pending_dense=pending.get("embed", 0),
        )


def _by(connection: Connection, column: ColumnElement[str], where: ColumnElement[bool]) -> dict[str, int]:
    """How many records have each value, most first; the rest beyond the first twenty is left out."""
    number = func.count().label("number")
    query = select(column, number).where(where, column.is_not(None)).group_by(column)
    return {value: int(count) for value, count in connection.execute(query.order_by(number.desc(), column).limit(_TOP))}


def _count(connection: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())


def _points(projection: Projection, condition: Filter) -> int | None:
    try:
        return projection.index.count(condition)
    except IndexUnavailable:
        return None
