"""Sketches in SQL: a body's keys under a method, made once, found by a key they share with another's.

Through the driver's own cursor, as in sql/write.py: a text has 32 keys, and SQLAlchemy would cost more than SQLite.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, delete, func, select, update

from genstore.blobs import Bodies
from genstore.dedup.method import Method, Methods
from genstore.dedup.unit import size_bytes
from genstore.errors import BlobCorrupt, BlobMissing, MissingDependency
from genstore.sql import tables
from genstore.sql.engine import Database, insert_once
from genstore.sql.read import chunked
from genstore.sql.rows import pack_keys
from genstore.work import Progress

_parts, _contents, _records = tables.parts, tables.contents, tables.records
_sketches, _keys, _methods = tables.sketches, tables.sketch_keys, tables.sketch_methods

_AT_ONCE = 4_000
_FEATURE_BYTES = 32 << 20
_MOST_CANDIDATES = 64
"""Of the bodies that share keys with one, so many that share most are compared with it."""


class Sketch(NamedTuple):
    """A body's keys under a method."""

    sha256: str
    method: str
    keys: Sequence[int]


class KnownMethod(NamedTuple):
    """A method that sketches were made with."""

    id: int
    name: str
    live: bool
    complete: bool


class Sketches:
    """The sketches of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        mark = self._mark = "?" if database.is_sqlite else "%s"
        self._insert = (
            f"INSERT INTO sketches (sha256, method_id, packed) SELECT sha256, {mark}, {mark} FROM contents "
            f"WHERE sha256 = {mark} ON CONFLICT DO NOTHING RETURNING id"
        )
        columns = dict.fromkeys(("method_id", "key", "sketch_id"))
        self._insert_keys = database.compiled(insert_once(database.engine, _keys).values(columns))
        self._has = f"SELECT 1 FROM sketches WHERE sha256 = {mark} AND method_id = {mark}"

    def methods(self, cursor: Any) -> list[KnownMethod]:
        """The methods that sketches were made with."""
        cursor.execute("SELECT id, name, live, complete FROM sketch_methods")
        return [KnownMethod(row[0], row[1], bool(row[2]), bool(row[3])) for row in cursor.fetchall()]

    def keep(self, cursor: Any, made: Sequence[Sketch]) -> None:
        """Store sketches; one that is there already, or whose body is gone, is left out."""
        ids = {method.name: method.id for method in self.methods(cursor)}
        rows: list[tuple[int, int, int]] = []
        for sketch in sorted(made):
            if (method_id := ids.get(sketch.method)) is None:
                continue  # forgotten meanwhile, to be made anew
            cursor.execute(self._insert, (method_id, pack_keys(sketch.keys), sketch.sha256))
            if (inserted := cursor.fetchone()) is not None:
                rows += [(method_id, key, inserted[0]) for key in set(sketch.keys)]
        if rows:
            rows.sort()  # neighbours go to one page of the B-tree
            cursor.executemany(self._insert_keys, rows)

    def has(self, cursor: Any, digest: str, method_id: int) -> bool:
        """Whether the body has a sketch of the method."""
        cursor.execute(self._has, (digest, method_id))
        return cursor.fetchone() is not None

    def candidates(
        self, cursor: Any, method_id: int, keys: Sequence[int], project: str, kind: str, sides: Sequence[str]
    ) -> list[str]:
        """Hashes of the bodies that share a key, those that share most first; of the project's records alone."""
        if not keys:
            return []
        mark = self._mark
        cursor.execute(
            "SELECT s.sha256, count(*) AS shared FROM sketch_keys k JOIN sketches s ON s.id = k.sketch_id "
            f"WHERE k.method_id = {mark} AND k.key IN ({','.join([mark] * len(keys))}) "
            "GROUP BY s.id, s.sha256 HAVING EXISTS ("
            "SELECT 1 FROM parts p JOIN records r ON r.id = p.record_id WHERE p.sha256 = s.sha256 AND NOT p.history "
            f"AND p.side IN ({','.join([mark] * len(sides))}) AND r.project = {mark} AND r.kind = {mark}) "
            f"ORDER BY shared DESC, s.id LIMIT {_MOST_CANDIDATES}",
            (method_id, *keys, *sides, project, kind),
        )
        return [row[0] for row in cursor.fetchall()]

    def _keep(self, made: Sequence[Sketch], connection: Connection) -> None:
        self.keep(connection.connection.cursor(), made)

    def sketch_missing(
        self,
        bodies: Bodies,
        methods: Methods,
        scope: ColumnElement[bool] | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Sketch every body that the rule compares and that has no sketch yet; how many were sketched.

        scope: a condition on records, all of them if None. Committed batch by batch: cut short, it goes on later.
        """
        done = after = 0
        while True:
            with self._database.read() as connection:
                query = _compared(methods, scope).where(_parts.c.id > after).order_by(_parts.c.id).limit(_AT_ONCE)
                page = connection.execute(query).all()
                made = _made(connection, bodies, methods, page)
            if made:
                self._database.transact(partial(self._keep, made))
            done += len(made)
            if progress is not None:
                progress(done, 0)
            if len(page) < _AT_ONCE:
                return done
            after = page[-1].id


def shared_keys(connection: Connection, methods: Sequence[Method]) -> Iterator[list[str]]:
    """For each key that several bodies share under one of the methods, their hashes."""
    names = [method.name for method in methods]
    for method_id in connection.execute(select(_methods.c.id).where(_methods.c.name.in_(names))).scalars().all():
        own = _keys.c.method_id == method_id
        shared = select(_keys.c.key).where(own).group_by(_keys.c.key).having(func.count() > 1)
        query = (
            select(_keys.c.key, _sketches.c.sha256)
            .join(_sketches, _sketches.c.id == _keys.c.sketch_id)
            .where(own, _keys.c.key.in_(shared))
            .order_by(_keys.c.key, _keys.c.sketch_id)
        )
        rows = connection.execution_options(yield_per=10_000).execute(query)
        for _, group in groupby(rows, key=lambda row: row.key):
            yield [row.sha256 for row in group]


def known_methods(connection: Connection) -> dict[str, bool]:
    """The methods that sketches were made with, and whether every new body is sketched as it is written."""
    return {name: bool(live) for name, live in connection.execute(select(_methods.c.name, _methods.c.live))}


def note_methods(connection: Connection, methods: Sequence[Method], *, live: bool) -> None:
    """Note that methods are in use; a use that does not need them live leaves those that are."""
    names = [method.name for method in methods]
    rows = [{"name": name, "live": live, "complete": False} for name in names]
    connection.execute(insert_once(connection, _methods), rows)
    if live:
        connection.execute(update(_methods).where(_methods.c.name.in_(names)).values(live=True))


def note_complete(connection: Connection, methods: Sequence[Method]) -> None:
    """Note that no body is without its sketch."""
    names = [method.name for method in methods]
    connection.execute(update(_methods).where(_methods.c.name.in_(names), _methods.c.live).values(complete=True))


def forget_methods(connection: Connection) -> None:
    """Delete every sketch and the names of their methods."""
    for table in (_keys, _sketches, _methods):
        connection.execute(delete(table))


def missing_sketches(connection: Connection, methods: Methods, names: Container[str]) -> int:
    """How many bodies that the methods of these names compare have no sketch of theirs."""
    missing = after = 0
    while True:
        query = _compared(methods, None).where(_parts.c.id > after).order_by(_parts.c.id).limit(_AT_ONCE)
        page = connection.execute(query).all()
        wanted = {
            (row.sha256, method.name)
            for row in page
            if (method := methods.of(row.media_type, bool(row.binary))) is not None and method.name in names
        }
        for chunk in chunked(sorted({digest for digest, _ in wanted})):
            made = select(_sketches.c.sha256, _methods.c.name).join(_methods, _methods.c.id == _sketches.c.method_id)
            wanted -= {(row[0], row[1]) for row in connection.execute(made.where(_sketches.c.sha256.in_(chunk)))}
        missing += len(wanted)
        if len(page) < _AT_ONCE:
            return missing
        after = page[-1].id


def _compared(methods: Methods, scope: ColumnElement[bool] | None) -> Select[Any]:
    """The parts that the rule compares."""
    columns = (_parts.c.id, _parts.c.sha256, _parts.c.media_type, _parts.c.binary)
    query = select(*columns).where(_parts.c.side.in_(methods.rule.sides), _parts.c.history.is_(False))
    if scope is not None:
        query = query.join(_records, _records.c.id == _parts.c.record_id).where(scope)
    return query


def _made(connection: Connection, bodies: Bodies, methods: Methods, page: Sequence[Any]) -> list[Sketch]:
    """Sketches of the page's bodies that have none; a body that cannot be read is left out, `verify` reports it."""
    by_method: dict[str, tuple[Method, list[str]]] = {}
    for digest, row in {row.sha256: row for row in page}.items():
        if (method := methods.of(row.media_type, bool(row.binary))) is not None:
            by_method.setdefault(method.name, (method, []))[1].append(digest)
    made: list[Sketch] = []
    for name, (method, digests) in by_method.items():
        # Without the extra that reads them, images and sounds stay without a sketch and are compared by their bytes.
        with suppress(MissingDependency):
            for found in _batches(method, _unsketched(connection, bodies, name, digests)):
                keys = method.keys(list(found.values()))
                made += [Sketch(digest, name, own) for digest, own in zip(found, keys, strict=True)]
    return made


def _batches(method: Method, bodies: Iterable[tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
    """Features by hash, as many at once as fit into some megabytes."""
    found: dict[str, Any] = {}
    held_bytes = 0
    for digest, body in bodies:
        found[digest] = method.features(body)
        held_bytes += size_bytes(found[digest])
        if held_bytes > _FEATURE_BYTES:
            yield found
            found, held_bytes = {}, 0
    yield found


def _unsketched(
    connection: Connection, bodies: Bodies, method: str, digests: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    """Those of the bodies that have no sketch of the method."""
    for chunk in chunked(digests):
        made_by = _sketches.join(_methods, _methods.c.id == _sketches.c.method_id)
        own = select(_sketches.c.sha256).select_from(made_by)
        own = own.where(_methods.c.name == method, _sketches.c.sha256.in_(chunk))
        missing = set(chunk) - set(connection.execute(own).scalars())
        if not missing:
            continue
        for row in connection.execute(select(_contents).where(_contents.c.sha256.in_(missing))):
            with suppress(BlobMissing, BlobCorrupt):
                yield row.sha256, bodies.unseal(row.sha256, row.encoding, row.body)
