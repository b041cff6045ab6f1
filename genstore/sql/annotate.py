"""What is said about a record after it was written: scores, tags, metadata, relations. Each reaches the index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, literal, select, update

from genstore.blobs import Bodies
from genstore.errors import NotFound
from genstore.identity import canonical_json
from genstore.records import Record, Relation, Score, to_microseconds
from genstore.sql import tables
from genstore.sql.engine import insert_once
from genstore.sql.read import load
from genstore.sql.rows import field_table_rows


def hold(connection: Connection, record_id: str) -> None:
    """Keep the record as it is until the transaction ends. Raises NotFound when it was deleted meanwhile."""
    records = tables.records
    if connection.execute(select(records.c.id).where(records.c.id == record_id).with_for_update()).first() is None:
        raise NotFound(f"record {record_id} was deleted meanwhile")


def add_score(connection: Connection, record_id: str, score: Score) -> None:
    """Add a score; several users' scores of one name stand side by side."""
    connection.execute(
        insert(tables.scores).values(
            record_id=record_id,
            name=score.name,
            value=score.value,
            label=score.label,
            comment=score.comment,
            source=score.source,
            user_id=score.user_id,
            created_us=to_microseconds(score.created_at),
        )
    )
    enqueue(connection, "payload", record_id)


def change_tags(connection: Connection, record_id: str, add: Iterable[str], remove: Iterable[str]) -> None:
    """Add and remove tags; one that is already there, or is not, stays as it is."""
    for tag in add:
        connection.execute(insert_once(connection, tables.tags), {"record_id": record_id, "tag": tag})
    gone = list(remove)
    if gone:
        connection.execute(delete(tables.tags).where(tables.tags.c.record_id == record_id, tables.tags.c.tag.in_(gone)))
    enqueue(connection, "payload", record_id)


def merge_metadata(connection: Connection, bodies: Bodies, record_id: str, changes: Mapping[str, Any]) -> Record:
    """Merge changes into the record's metadata, a key given as None is removed; the record as it is then."""
    record = load(connection, bodies, [record_id])[record_id]
    kept = {key: value for key, value in record.metadata.items() if key not in changes}
    added = {key: value for key, value in changes.items() if value is not None}
    record = replace(record, metadata={**kept, **added})
    _set_metadata(connection, record)
    return record


def _set_metadata(connection: Connection, record: Record) -> None:
    fields = tables.fields
    connection.execute(
        update(tables.records)
        .where(tables.records.c.id == record.id)
        .values({"metadata": canonical_json(dict(record.metadata), "metadata")})
    )
    connection.execute(delete(fields).where(fields.c.record_id == record.id))
    rows = [dict(zip(fields.c.keys(), row, strict=True)) for row in field_table_rows(record.id, record)]
    if rows:
        connection.execute(insert(fields), rows)
    enqueue(connection, "payload", record.id)


def relate(connection: Connection, relation: Relation) -> None:
    """Add an edge; the same edge twice is one. A document's older version is not found any more."""
    connection.execute(
        insert_once(connection, tables.relations),
        {
            "source_id": relation.source_id,
            "role": relation.role,
            "target_id": relation.target_id,
            "attributes": canonical_json(dict(relation.attributes), "attributes"),
        },
    )
    if relation.role == "edit_of":
        reconsider(connection, relation.target_id)


def reconsider(connection: Connection, record_id: str) -> None:
    """Have every index take the record out, and in again if it is still to be found."""
    enqueue(connection, "delete", record_id)
    enqueue(connection, "index", record_id)


def enqueue(connection: Connection, action: str, record_id: str) -> None:
    """Tell every index that it has work to do for the record."""
    indexes = tables.indexes
    told = select(indexes.c.id, literal(action), literal(record_id)).where(indexes.c.state != "retired")
    connection.execute(insert(tables.outbox).from_select(["index_id", "action", "record_id"], told))
