"""Which search index is in use, and which one is being built to replace it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, literal, select, text, update

from genstore.records import to_microseconds
from genstore.sql import tables

_indexes, _outbox, _records = tables.indexes, tables.outbox, tables.records


class IndexInfo(NamedTuple):
    """One index: what it was built with. Its files or its collection are named by its id."""

    id: int
    state: str
    embedder: str
    dimension: int
    cutter: str


def find(connection: Connection, state: str) -> IndexInfo | None:
    """The newest index in this state."""
    query = select(*(_indexes.c[name] for name in IndexInfo._fields)).where(_indexes.c.state == state)
    row = connection.execute(query.order_by(_indexes.c.id.desc()).limit(1)).first()
    return IndexInfo(*row) if row else None


def lock(connection: Connection) -> None:
    """Keep everyone from the outbox until the transaction ends; SQLite's write transactions are alone anyway.

    Without it a record whose transaction began before a new index's and ends after it would be in neither's view.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(text("LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE"))


def create(connection: Connection, state: str, embedder: str, dimension: int, cutter: str) -> IndexInfo:
    """A new index with every record of the store in its queue. The caller holds `lock`."""
    created = connection.execute(
        insert(_indexes).values(
            state=state,
            embedder=embedder,
            dimension=dimension,
            cutter=cutter,
            average_terms=0.0,
            created_us=to_microseconds(datetime.now(UTC)),
        )
    )
    index_id = int(created.inserted_primary_key[0])  # type: ignore[index]
    everything = select(literal(index_id), literal("index"), _records.c.id).order_by(_records.c.id)
    connection.execute(insert(_outbox).from_select(["index_id", "action", "record_id"], everything))
    return IndexInfo(index_id, state, embedder, dimension, cutter)


def switch_to(connection: Connection, index_id: int) -> list[int]:
    """Make the index the one in use; returns the ids of those it replaces, now retired."""
    old = list(connection.execute(select(_indexes.c.id).where(_indexes.c.id != index_id)).scalars())
    connection.execute(update(_indexes).where(_indexes.c.id.in_(old)).values(state="retired"))
    connection.execute(delete(_outbox).where(_outbox.c.index_id.in_(old)))
    connection.execute(update(_indexes).where(_indexes.c.id == index_id).values(state="active"))
    return old


def retire(connection: Connection, index_id: int) -> None:
    """Give up an index; its points are to be discarded."""
    connection.execute(update(_indexes).where(_indexes.c.id == index_id).values(state="retired"))
    connection.execute(delete(_outbox).where(_outbox.c.index_id == index_id))


def forget(connection: Connection, index_id: int) -> None:
    """Drop an index's row, and the passages and vectors that no other index uses."""
    gone = connection.execute(select(_indexes.c.embedder, _indexes.c.cutter).where(_indexes.c.id == index_id)).first()
    connection.execute(delete(_indexes).where(_indexes.c.id == index_id))
    if gone is None:
        return
    kept = connection.execute(select(_indexes.c.embedder, _indexes.c.cutter)).all()
    if gone.cutter not in {row.cutter for row in kept}:
        connection.execute(delete(tables.passages).where(tables.passages.c.cutter == gone.cutter))
    if gone.embedder not in {row.embedder for row in kept}:
        connection.execute(delete(tables.embeddings).where(tables.embeddings.c.embedder == gone.embedder))
