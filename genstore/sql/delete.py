"""Deleting a record and everything no other record needs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, exists, func, select, text

from genstore.blobs import Blobs
from genstore.sql import tables, versions
from genstore.sql.annotate import enqueue
from genstore.sql.engine import Database
from genstore.sql.read import chunked, page
from genstore.sql.rows import unpack_keys

_parts, _contents, _passages, _embeddings = tables.parts, tables.contents, tables.passages, tables.embeddings
_sketches, _sketch_keys = tables.sketches, tables.sketch_keys


@dataclass(frozen=True, slots=True)
class Removal:
    """What a deletion took away: rows of each kind, and the bytes of the bodies that went with them."""

    records: int = 0
    scores: int = 0
    relations: int = 0
    contents: int = 0
    embeddings: int = 0
    size_bytes: int = 0

    def __add__(self, other: Removal) -> Removal:
        return Removal(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


def delete_record(connection: Connection, record_id: str) -> Removal:
    """Delete one record with its rows, and the bodies, passages and vectors that only it used."""
    own = select(_parts.c.sha256).where(_parts.c.record_id == record_id).distinct()
    digests = list(connection.execute(own).scalars())
    heirs = _heirs(connection, record_id, digests)
    older = versions.older(connection, record_id)
    scores = _count(connection, tables.scores, tables.scores.c.record_id == record_id)
    relations = _count(
        connection,
        tables.relations,
        (tables.relations.c.source_id == record_id) | (tables.relations.c.target_id == record_id),
    )
    found = connection.execute(delete(tables.records).where(tables.records.c.id == record_id)).rowcount
    if not found:
        return Removal()
    # What waits for the record in the outbox stays and comes to nothing in its turn: an indexer may hold those rows
    # for as long as it embeds.
    enqueue(connection, "delete", record_id)
    for heir in (*heirs, *older):
        enqueue(connection, "index", heir)
    contents, embeddings, size_bytes = delete_orphans(connection, digests)
    return Removal(1, scores, relations, contents, embeddings, size_bytes)


def delete_first(connection: Connection, where: ColumnElement[bool], limit: int) -> Removal:
    """Delete the oldest records that satisfy the condition, at most `limit`."""
    ids, _ = page(connection, where, limit, None, oldest_first=True)
    return sum((delete_record(connection, record_id) for record_id in ids), Removal())


def _heirs(connection: Connection, record_id: str, digests: list[str]) -> list[str]:
    """For each body the next record of the project that holds it: it may have to be found by it from now on."""
    found: set[str] = set()
    project = select(tables.records.c.project).where(tables.records.c.id == record_id).scalar_subquery()
    for chunk in chunked(digests):
        next_parts = (
            select(func.min(_parts.c.id))
            .join(tables.records, tables.records.c.id == _parts.c.record_id)
            .where(_parts.c.sha256.in_(chunk), _parts.c.record_id != record_id, tables.records.c.project == project)
            .group_by(_parts.c.sha256)
        )
        query = select(_parts.c.record_id).where(_parts.c.id.in_(next_parts), _parts.c.history.is_(True))
        found.update(connection.execute(query.distinct()).scalars())
    return sorted(found)


def delete_orphans(connection: Connection, digests: list[str]) -> tuple[int, int, int]:
    """Delete the bodies among digests that no part names; (contents, embeddings, bytes) that went."""
    contents = embeddings = size_bytes = 0
    for chunk in chunked(sorted(digests)):
        # PostgreSQL: of two deletions at once each would see the other's parts, and both leave the body behind.
        shared = select(_contents.c.sha256).where(_contents.c.sha256.in_(chunk)).order_by(_contents.c.sha256)
        connection.execute(shared.with_for_update(key_share=True)).all()
        orphan = _contents.c.sha256.in_(chunk) & ~exists().where(_parts.c.sha256 == _contents.c.sha256)
        rows = connection.execute(
            select(_contents.c.sha256, _contents.c.size_bytes, _contents.c.body.is_(None).label("blob")).where(orphan)
        ).all()
        if not rows:
            continue
        gone = [row.sha256 for row in rows]
        texts = list(
            connection.execute(select(_passages.c.text_sha256).where(_passages.c.sha256.in_(gone)).distinct()).scalars()
        )
        _delete_sketches(connection, gone)
        connection.execute(delete(_contents).where(_contents.c.sha256.in_(gone)))
        connection.execute(delete(_passages).where(_passages.c.sha256.in_(gone)))
        for digest in (row.sha256 for row in rows if row.blob):
            if not connection.scalar(select(exists().where(tables.garbage.c.sha256 == digest))):
                connection.execute(tables.garbage.insert().values(sha256=digest))
        contents += len(rows)
        size_bytes += sum(row.size_bytes for row in rows)
        embeddings += _delete_unused_embeddings(connection, texts)
    return contents, embeddings, size_bytes


def _delete_sketches(connection: Connection, digests: list[str]) -> None:
    """Delete what the bodies are found by as duplicates; their keys are not found by the sketch alone."""
    rows = connection.execute(select(_sketches).where(_sketches.c.sha256.in_(digests))).all()
    for row in rows:
        own = (_sketch_keys.c.method_id == row.method_id) & (_sketch_keys.c.sketch_id == row.id)
        connection.execute(delete(_sketch_keys).where(own, _sketch_keys.c.key.in_(unpack_keys(row.packed))))
    connection.execute(delete(_sketches).where(_sketches.c.sha256.in_(digests)))


def _delete_unused_embeddings(connection: Connection, texts: list[str]) -> int:
    gone = 0
    for chunk in chunked(texts):
        unused = _embeddings.c.text_sha256.in_(chunk) & ~exists().where(
            _passages.c.text_sha256 == _embeddings.c.text_sha256
        )
        gone += connection.execute(delete(_embeddings).where(unused)).rowcount
    return gone


def sweep(database: Database, blobs: Blobs) -> int:
    """Unlink the blobs that deletions left to be unlinked; returns how many went.

    Writers are kept out meanwhile, so a body that is written again in this moment is either seen here or
    finds its file gone and writes it anew.
    """
    with database.read() as connection:
        if not connection.scalar(select(exists().select_from(tables.garbage))):
            return 0
    gone = 0
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("LOCK TABLE contents IN SHARE ROW EXCLUSIVE MODE"))
        for digest in connection.execute(select(tables.garbage.c.sha256)).scalars().all():
            needed = connection.scalar(select(exists().where(_contents.c.sha256 == digest, _contents.c.body.is_(None))))
            if not needed:
                blobs.delete(digest)
                gone += 1
            connection.execute(delete(tables.garbage).where(tables.garbage.c.sha256 == digest))
    return gone


def _count(connection: Connection, table: object, where: object) -> int:
    return int(connection.execute(select(func.count()).select_from(table).where(where)).scalar_one())  # type: ignore[arg-type]
