"""Versions of a document: the newest is the one that searches find; each is an `edit_of` the one before it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Exists, exists, select

from genstore.records import Relation
from genstore.sql import annotate, tables
from genstore.sql.read import chunked

_records, _relations = tables.records, tables.relations


def superseded() -> Exists:
    """Whether a document is an older version: the condition on a row of `records`, to be correlated with it.

    Generations that were edited stay: they are results of their own.
    """
    newer = _records.alias("newer")
    return exists().where(
        _records.c.kind == "document",
        _relations.c.target_id == _records.c.id,
        _relations.c.role == "edit_of",
        newer.c.id == _relations.c.source_id,
        newer.c.kind == "document",
    )


def outdated(connection: Connection, record_ids: Iterable[str]) -> set[str]:
    """Those that are older versions: until the index has caught up it still holds their passages."""
    found: set[str] = set()
    for chunk in chunked(record_ids):
        query = select(_records.c.id).where(_records.c.id.in_(chunk), superseded().correlate(_records))
        found.update(connection.execute(query).scalars())
    return found


def older(connection: Connection, record_id: str) -> list[str]:
    """The versions that this one took the place of."""
    query = select(_relations.c.target_id).where(_relations.c.source_id == record_id, _relations.c.role == "edit_of")
    return list(connection.execute(query).scalars())


def current(connection: Connection, project: str, name: str) -> list[tuple[str, str]]:
    """(id, fingerprint) of the documents of this name that searches find, newest first.

    One, unless two processes are adding the file at this moment: see `settle`.
    """
    query = (
        select(_records.c.id, _records.c.fingerprint)
        .where(
            _records.c.project == project,
            _records.c.kind == "document",
            _records.c.name == name,
            ~superseded().correlate(_records),
        )
        .order_by(_records.c.created_us.desc(), _records.c.id.desc())
    )
    return [(row.id, row.fingerprint) for row in connection.execute(query)]


def settle(connection: Connection, project: str, name: str) -> None:
    """Let the newest document of this name take the place of the others that are current.

    Two processes that add a file at once each find no other's; the one that commits last finds both afterwards.
    """
    newest, *others = [record_id for record_id, _ in current(connection, project, name)] or [""]
    for record_id in others:
        annotate.relate(connection, Relation(newest, "edit_of", record_id))
