"""Compare SQL, index and blobs; list every difference; mend what can be mended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, exists, func, insert, literal, select

from genstore.blobs import Bodies
from genstore.dedup.gate import Gate
from genstore.errors import BlobCorrupt, BlobMissing, IndexUnavailable
from genstore.identity import sha256
from genstore.index.points import part_of, point_id
from genstore.search.projection import Projection
from genstore.sql import tables
from genstore.sql.delete import delete_orphans, sweep
from genstore.sql.engine import Database
from genstore.sql.outbox import SqlClaim, words_pending
from genstore.sql.read import chunked
from genstore.upkeep.sketches import mend, stray_keys, unsketched_bodies
from genstore.work import WORDS, Task

_parts, _contents, _outbox = tables.parts, tables.contents, tables.outbox
_READ_AT_ONCE = 1_000
_OF_SKETCHES = ("missing_sketch", "stray_key")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be. kind: missing_point, extra_point, missing_vector, missing_body,
    corrupt_body, unused_body, missing_sketch, stray_key, database, index."""

    kind: str
    what: str
    record_id: str | None = None


@dataclass(slots=True)
class Findings:
    """What a verification found. notes: leftovers of interrupted work that harm nobody."""

    records: int = 0
    bodies: int = 0
    points: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repaired: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing differs, or all that did was mended."""
        return len(self.differences) == self.repaired


def verify(database: Database, bodies: Bodies, projection: Projection, gate: Gate, *, repair: bool = False) -> Findings:
    """Check the database's own structure, every body's hash and sketch, every point of the index.

    What still waits in the outbox is not compared: it is known to be behind. With repair, records
    with wrong points are queued anew and indexed, points nobody needs and unused bodies are deleted; a body that is
    gone cannot be made again and stays listed.
    """
    findings = Findings()
    with database.read() as connection:
        findings.records = int(connection.scalar(select(func.count()).select_from(tables.records)) or 0)
        findings.differences += _database(connection)
        findings.differences += _bodies(connection, bodies, findings)
        findings.differences += _sketches(connection, gate)
        unnamed = _unnamed_blobs(connection, bodies)
    wrong_records, extra = _compared(database, projection, findings)
    if waiting := words_pending(projection.outbox.pending()):
        findings.notes.append(f"{waiting} records wait to be indexed; `genstore reindex --pending` does it")
    if unnamed:
        findings.notes.append(f"{len(unnamed)} blobs left by interrupted writes; --repair deletes them")
    if repair:
        _repair(database, bodies, projection, findings, wrong_records, extra, unnamed)
        if any(found.kind in _OF_SKETCHES for found in findings.differences):
            mend(database, gate)
    return findings


def _database(connection: Connection) -> Iterator[Difference]:
    if connection.dialect.name == "sqlite":
        for (line,) in connection.exec_driver_sql("PRAGMA quick_check"):
            if line != "ok":
                yield Difference("database", str(line))
        for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
            yield Difference("database", f"row {row} of {table} refers to a row of {parent} that is gone")


def _bodies(connection: Connection, bodies: Bodies, findings: Findings) -> Iterator[Difference]:
    """Every body is read and hashed, and must be named by a part."""
    last = ""
    while True:
        rows = connection.execute(
            select(_contents).where(_contents.c.sha256 > last).order_by(_contents.c.sha256).limit(_READ_AT_ONCE)
        ).all()
        if not rows:
            return
        last = rows[-1].sha256
        findings.bodies += len(rows)
        for row in rows:
            try:
                if sha256(bodies.unseal(row.sha256, row.encoding, row.body)) != row.sha256:
                    raise BlobCorrupt(f"the body {row.sha256} does not match its SHA-256")
            except (BlobMissing, BlobCorrupt) as error:
                kind = "missing_body" if isinstance(error, BlobMissing) else "corrupt_body"
                owners = select(_parts.c.record_id).where(_parts.c.sha256 == row.sha256).distinct()
                for record_id in connection.execute(owners).scalars():
                    yield Difference(kind, str(error), record_id)
        digests = [row.sha256 for row in rows]
        unused = select(_contents.c.sha256).where(
            _contents.c.sha256.in_(digests), ~exists().where(_parts.c.sha256 == _contents.c.sha256)
        )
        for digest in connection.execute(unused).scalars():
            yield Difference("unused_body", f"no record names the body {digest}")


def _sketches(connection: Connection, gate: Gate) -> Iterator[Difference]:
    """What duplicates are found by is there for every body, and for no other."""
    if missing := unsketched_bodies(connection, gate):
        yield Difference("missing_sketch", f"{missing:,} bodies are not found as duplicates")
    if stray := stray_keys(connection):
        yield Difference("stray_key", f"{stray:,} keys of duplicates belong to no body")


def _unnamed_blobs(connection: Connection, bodies: Bodies) -> list[str]:
    """Blobs that no content names: a write was killed between the blob and its commit."""
    if bodies.blobs is None:
        return []
    found: list[str] = []
    for chunk in chunked(bodies.blobs.list()):
        named = set(
            connection.execute(
                select(_contents.c.sha256).where(_contents.c.sha256.in_(chunk), _contents.c.body.is_(None))
            ).scalars()
        )
        found += [digest for digest in chunk if digest not in named]
    return found


def _compared(database: Database, projection: Projection, findings: Findings) -> tuple[set[str], list[int]]:
    """(records whose points are wrong, points that should not be)."""
    try:
        found = _index(database, projection, findings)
        if found:
            # Index and SQL are not read at one moment: what was written between shows once, what is wrong again.
            again = _index(database, projection, findings)
            found = {place: difference for place, difference in found.items() if again.get(place) == difference}
    except IndexUnavailable as error:
        findings.differences.append(Difference("index", str(error)))
        return set(), []
    findings.differences += found.values()
    extra = [point for point, difference in found.items() if difference.kind == "extra_point"]
    wrong = {str(difference.record_id) for difference in found.values() if difference.kind != "extra_point"}
    return wrong, extra


def _index(database: Database, projection: Projection, findings: Findings) -> dict[int, Difference]:
    """What differs between SQL and the index, by point."""
    held = {point: (record_id, has_dense) for point, record_id, has_dense in projection.index.scan()}
    findings.points = len(held)
    found: dict[int, Difference] = {}
    with database.read() as connection:
        without_words = _behind(connection, projection, WORDS)
        without_vectors = without_words | _behind(connection, projection, ("embed",))
        for record_id, point in _expected(connection, projection):
            entry = held.pop(point, None)
            if entry is None and record_id not in without_words:
                found[point] = Difference("missing_point", _named(point), record_id)
            elif entry is not None and not entry[1] and record_id not in without_vectors:
                found[point] = Difference("missing_vector", _named(point), record_id)
    for point, (record_id, _) in held.items():
        if record_id not in without_words:
            found[point] = Difference("extra_point", _named(point), record_id)
    return found


def _behind(connection: Connection, projection: Projection, actions: Sequence[str]) -> set[str]:
    """Records with such tasks in the outbox: known not to be as they should."""
    query = select(_outbox.c.record_id).where(_outbox.c.index_id == projection.info.id, _outbox.c.action.in_(actions))
    return set(connection.execute(query.distinct()).scalars())


def _expected(connection: Connection, projection: Projection) -> Iterator[tuple[str, int]]:
    """(record, point) of everything that is to be found; each should have a vector."""
    ids = connection.execute(select(tables.records.c.id).order_by(tables.records.c.id)).scalars().all()
    for chunk in chunked(ids):
        claim = SqlClaim(projection.outbox, connection, [Task(0, "index", record_id) for record_id in chunk])
        sources = claim.sources()
        cuts = claim.cuts(dict.fromkeys(source.sha256 for source in sources))
        # A blank text has no passages; any other was not cut although nothing is queued for it.
        uncut = claim.texts({source.sha256 for source in sources} - cuts.keys())
        for source in sources:
            ordinals = [cut.ordinal for cut in cuts.get(source.sha256, ())]
            if uncut.get(source.sha256, "").strip():
                ordinals = [0]
            for ordinal in ordinals:
                yield source.record_id, point_id(source.part_id, ordinal)


def _named(point: int) -> str:
    part_id, ordinal = part_of(point)
    return f"passage {ordinal} of part {part_id}"


def _repair(
    database: Database,
    bodies: Bodies,
    projection: Projection,
    findings: Findings,
    wrong: set[str],
    extra: list[int],
    unnamed: list[str],
) -> None:
    if extra:
        projection.index.delete_points(extra)
    with database.write() as connection:
        for chunk in chunked(sorted(wrong)):
            ids = select(literal(projection.info.id), literal("index"), tables.records.c.id).where(
                tables.records.c.id.in_(chunk)
            )
            connection.execute(insert(_outbox).from_select(["index_id", "action", "record_id"], ids))
        unused = [found.what.rsplit(" ", 1)[-1] for found in findings.differences if found.kind == "unused_body"]
        delete_orphans(connection, unused)
        marked = set(connection.execute(select(tables.garbage.c.sha256)).scalars())
        for digest in set(unnamed) - marked:
            connection.execute(insert(tables.garbage).values(sha256=digest))
    if bodies.blobs is not None:
        sweep(database, bodies.blobs)
    if wrong:
        projection.indexer.drain_words()
        projection.indexer.drain_dense()
    mended = ("missing_point", "missing_vector", "extra_point", "unused_body", *_OF_SKETCHES)
    findings.repaired = sum(found.kind in mended for found in findings.differences)
