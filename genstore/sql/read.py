"""Reading records back: by id, by prefix, page by page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from genstore.blobs import Bodies
from genstore.errors import AmbiguousId, BlobCorrupt, BlobMissing, InvalidInput, NotFound
from genstore.identity import new_id
from genstore.records import Record, Relation
from genstore.sql import tables
from genstore.sql.rows import build_part, build_record, build_relation, build_score, grouped

T = TypeVar("T")

_ID = re.compile(r"[0-9a-f-]{1,36}\Z")
_CURSOR = re.compile(r"(-?[0-9]{1,18})~([0-9a-f-]{36})\Z")

# SQLite takes 32,766 variables a statement; shorter lists keep the planner on the index.
CHUNK = 500

_records, _parts, _contents = tables.records, tables.parts, tables.contents


def load(
    connection: Connection, bodies: Bodies | None, ids: Sequence[str], *, strict: bool = False
) -> dict[str, Record]:
    """The records that exist among ids, by id. A body whose blob is gone or damaged is left out of its part.

    bodies: None leaves prompt and output empty, for those who need only the fields.
    strict: raise BlobMissing or BlobCorrupt instead of leaving a body out.
    """
    found: dict[str, Record] = {}
    for chunk in chunked(ids):
        rows = connection.execute(select(_records).where(_records.c.id.in_(chunk))).all()
        present = [row.id for row in rows]
        parts = _load_parts(connection, bodies, present, strict) if bodies is not None else {}
        tags = _by_record(connection, tables.tags, present, tables.tags.c.tag)
        scores = _by_record(connection, tables.scores, present, tables.scores.c.id)
        originals = _originals(connection, present)
        for row in rows:
            own = parts.get(row.id, [])
            record = build_record(
                row,
                [part for side, part in own if side == "prompt"],
                [part for side, part in own if side == "output"],
                [tag.tag for tag in tags.get(row.id, [])],
                [build_score(score) for score in scores.get(row.id, [])],
            )
            found[row.id] = replace(record, duplicate_of=originals[row.id]) if row.id in originals else record
    return found


def body_reader(connection: Connection, bodies: Bodies) -> Callable[[str], bytes | None]:
    """A function from a body's hash to the body, None when it is gone or damaged."""

    def read(digest: str) -> bytes | None:
        row = connection.execute(select(_contents).where(_contents.c.sha256 == digest)).first()
        try:
            return None if row is None else bodies.unseal(digest, row.encoding, row.body)
        except (BlobMissing, BlobCorrupt):
            return None

    return read


def _load_parts(connection: Connection, bodies: Bodies, ids: Sequence[str], strict: bool) -> dict[str, list[Any]]:
    query = (
        select(_parts, _contents.c.size_bytes, _contents.c.encoding, _contents.c.body)
        .join(_contents, _contents.c.sha256 == _parts.c.sha256)
        .where(_parts.c.record_id.in_(ids))
        .order_by(_parts.c.record_id, _parts.c.position)
    )
    found: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        try:
            body = bodies.unseal(row.sha256, row.encoding, row.body)
        except (BlobMissing, BlobCorrupt):
            if strict:
                raise
            body = None
        found.setdefault(row.record_id, []).append((row.side, build_part(row, body, row.size_bytes)))
    return found


def _by_record(connection: Connection, table: Any, ids: Sequence[str], order: Any) -> dict[str, list[Any]]:
    rows = connection.execute(select(table).where(table.c.record_id.in_(ids)).order_by(order))
    return grouped(rows, lambda row: str(row.record_id))


def _originals(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    relations = tables.relations
    query = select(relations.c.source_id, relations.c.target_id).where(
        relations.c.source_id.in_(ids), relations.c.role == "duplicate_of"
    )
    return {row.source_id: row.target_id for row in connection.execute(query)}


def resolve(connection: Connection, prefix: str, project: str | None) -> str:
    """The one id that starts with prefix. Raises NotFound, AmbiguousId."""
    if not isinstance(prefix, str):
        raise InvalidInput(f"the id is {prefix!r}; pass a record's id or its first characters")
    wanted = prefix.strip().lower()
    if not wanted:
        raise InvalidInput("the id is empty; pass a record's id or its first characters")
    if not _ID.match(wanted):
        raise NotFound(f"{prefix!r} is not an id: those look like {new_id()}; `genstore list` shows them")
    # Bounds in full length: whatever the database's collation, digits come before letters.
    query = select(_records.c.id).where(
        _records.c.id.between(_padded(wanted, "0"), _padded(wanted, "f")),
        func.substr(_records.c.id, 1, len(wanted)) == wanted,  # some collations pass over hyphens
    )
    if project is not None:
        query = query.where(_records.c.project == project)
    found = [row.id for row in connection.execute(query.order_by(_records.c.id).limit(3))]
    if not found:
        inside = f" in project {project!r}" if project else ""
        raise NotFound(f"no record has the id {prefix!r}{inside}; `genstore list` shows what there is")
    if len(found) > 1:
        more = " and more" if len(found) > 2 else ""
        raise AmbiguousId(f"{prefix!r} fits {found[0]}, {found[1]}{more}; add characters")
    return str(found[0])


def _padded(prefix: str, digit: str) -> str:
    """The first ("0") or last ("f") id that starts with prefix."""
    return prefix + "".join("-" if at in (8, 13, 18, 23) else digit for at in range(len(prefix), 36))


def page(
    connection: Connection, where: ColumnElement[bool], limit: int, cursor: str | None, *, oldest_first: bool = False
) -> tuple[list[str], str | None]:
    """Ids of up to `limit` records and the cursor that continues behind them, None at the end.

    A cursor is a place in the order, not an offset: records written meanwhile neither repeat nor hide others.
    """
    created, record_id = _records.c.created_us, _records.c.id
    query: Select[Any] = select(record_id, created).where(where).limit(limit + 1)
    if cursor is not None:
        at, last = _parsed_cursor(cursor)
        behind = (created > at, record_id > last) if oldest_first else (created < at, record_id < last)
        query = query.where(or_(behind[0], and_(created == at, behind[1])))
    order = (created.asc(), record_id.asc()) if oldest_first else (created.desc(), record_id.desc())
    rows = connection.execute(query.order_by(*order)).all()
    if len(rows) <= limit:
        return [row.id for row in rows], None
    rows = rows[:limit]
    return [row.id for row in rows], f"{rows[-1].created_us}~{rows[-1].id}"


def _parsed_cursor(cursor: str) -> tuple[int, str]:
    found = _CURSOR.match(cursor) if isinstance(cursor, str) else None
    if found is None:
        raise InvalidInput(f"{cursor!r} is not a cursor; pass the one the page before gave")
    return int(found[1]), found[2]


def count(connection: Connection, where: ColumnElement[bool]) -> int:
    """How many records satisfy the condition."""
    return int(connection.execute(select(func.count()).select_from(_records).where(where)).scalar_one())


def setting(connection: Connection, key: str) -> str:
    """A fact about the store."""
    found = connection.scalar(select(tables.settings.c.value).where(tables.settings.c.key == key))
    if found is None:
        raise NotFound(f"the store has no setting {key!r}")
    return str(found)


def relations_of(connection: Connection, record_id: str) -> list[Relation]:
    """The record's relations, those that point at it included."""
    relations = tables.relations
    query = select(relations).where(or_(relations.c.source_id == record_id, relations.c.target_id == record_id))
    return [build_relation(row) for row in connection.execute(query.order_by(relations.c.role, relations.c.source_id))]


def chunked(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
