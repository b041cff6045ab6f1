"""Writing records: prepared outside, then one transaction for as many callers as are waiting."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from genstore.blobs import Bodies
from genstore.errors import InvalidInput, StoreError
from genstore.identity import canonical_json
from genstore.sql import tables
from genstore.sql.engine import APPLICATION_ID, ATTEMPTS, Database, is_collision, pause_before_retry
from genstore.sql.read import chunked
from genstore.sql.rows import PART_COLUMNS, RECORD_COLUMNS, RecordRows, Row

OnDuplicate = Literal["keep", "skip", "link"]
POLICIES: tuple[OnDuplicate, ...] = ("keep", "skip", "link")

# One transaction takes at most this many waiting records: the callers of the first should not wait for the last.
_MOST_AT_ONCE = 1_000
_CONTENT_LOCKS = 64
_PROJECT = RECORD_COLUMNS.index("project")


class Unprepared(Exception):
    """An entry's original can only be looked for after something that takes longer than a transaction may."""


class Found(NamedTuple):
    """The stored record that an entry is a duplicate of; score in [0, 1], evidence as JSON can hold it."""

    record_id: str
    score: float
    evidence: Mapping[str, Any]


@dataclass(slots=True)
class Entry:
    """One record on its way into SQL, and what became of it.

    on_duplicate: None leaves it to the record's project. rule: how it is compared, None by its fingerprint. foreseen:
    the original that was found before the transaction, where only that is possible. original: the record that already
    held the content; stored: whether this one was written as well.
    relations and citations: rows that start at this record and are committed with it, unless the other end is gone.
    """

    rows: RecordRows
    on_duplicate: OnDuplicate | None = "keep"
    rule: Any = None
    foreseen: Found | None = None
    was_foreseen: bool = False
    original: Found | None = None
    stored: bool = True
    relations: Sequence[Row] = ()
    citations: Sequence[Row] = ()

    @property
    def original_id(self) -> str | None:
        return None if self.original is None else self.original.record_id

    @property
    def id(self) -> str:
        return str(self.rows.record[0])

    @property
    def held_by(self) -> str:
        """The id of the record that holds the content, once it was written."""
        return self.id if self.stored or self.original is None else self.original.record_id

    @property
    def fingerprint(self) -> str:
        return str(self.rows.record[-1])


@dataclass(slots=True)
class _Call:
    """What one caller waits for: its entries stand or fall together."""

    entries: Sequence[Entry]
    error: BaseException | None = None
    committed: bool = False
    done: bool = False  # a flag, not an Event: who waits does so for its turn, and an Event costs 4 us


class Gate(Protocol):
    """Decides what is a duplicate of what; see dedup.gate."""

    def settle(self, cursor: Any, batch: Sequence[Entry]) -> bool:
        """Set on_duplicate and rule where they are left to the project; whether any entry has a rule."""

    def original(self, connection: Connection, entry: Entry) -> Found | None:
        """The original of an entry that has a rule."""

    def keep(self, cursor: Any, stored: Sequence[RecordRows]) -> None:
        """Note what records that are being stored will be found by."""


class Writer:
    """Writes entries. Callers that arrive while a transaction runs share the next one.

    There is no writer thread: the first caller in line commits for everyone behind it, so a lone caller pays
    no hand-over and a crowd pays one commit.
    """

    def __init__(self, database: Database, bodies: Bodies, gate: Gate) -> None:
        self._database = database
        self._bodies = bodies
        self._gate = gate
        self._statements = _Statements(database)
        self._waiting: deque[_Call] = deque()
        self._turn = threading.Lock()
        self._closed = False

    def write(self, entries: Sequence[Entry]) -> None:
        """Commit the entries in one transaction, or raise what kept them from being committed."""
        call = _Call(entries)
        self._commit_through([call])
        if call.error is not None:
            raise call.error

    def write_each(self, entries: Sequence[Entry]) -> list[BaseException | None]:
        """Commit what can be committed; for each entry what kept it from being stored, or None."""
        calls = [_Call([entry]) for entry in entries]
        self._commit_through(calls)
        return [call.error for call in calls]

    def close(self) -> None:
        """Let the commit in progress end; what comes later is refused."""
        with self._turn:
            self._closed = True

    def _commit_through(self, calls: Sequence[_Call]) -> None:
        """Get in line; return when the last of the calls was dealt with."""
        self._waiting.extend(calls)
        while not calls[-1].done:
            with self._turn:
                if not calls[-1].done:
                    self._commit_waiting()

    def _commit_waiting(self) -> None:
        calls: list[_Call] = []
        size = 0
        while self._waiting and (not calls or size + len(self._waiting[0].entries) <= _MOST_AT_ONCE):
            calls.append(self._waiting.popleft())
            size += len(calls[-1].entries)
        try:
            self._commit_calls(calls)
        finally:
            for call in calls:
                if not call.committed and call.error is None:
                    # Cut short (Ctrl-C, the database lost half-way): silence would be taken for a commit.
                    call.error = StoreError("the write was cut short before its commit; log it again")
                call.done = True

    def _commit_calls(self, calls: Sequence[_Call]) -> None:
        """Commit all at once; when a record of one call is refused, each call alone, so that it costs no other."""
        try:
            if self._closed:
                raise StoreError("the store is closed; open it again")
            self._commit_anew([entry for call in calls for entry in call.entries])
            for call in calls:
                call.committed = True
        except BaseException as error:
            if len(calls) > 1 and _is_of_one_call(error):
                for call in calls:
                    self._commit_calls([call])
                return
            for call in calls:
                call.error = self._explained(error, call)
            if not isinstance(error, Exception):
                raise

    def _commit_anew(self, batch: Sequence[Entry]) -> None:
        """Commit, and once more when another process's transaction was in the way."""
        for attempt in range(ATTEMPTS):
            try:
                self._commit(batch)
                return
            except StoreError as error:
                if attempt == ATTEMPTS - 1 or not is_collision(error):
                    raise
                pause_before_retry(attempt)

    def _explained(self, error: BaseException, call: _Call) -> BaseException:
        """What to tell the caller: an id that is taken is a mistake of its own, not the database's trouble."""
        if not _is_refusal(error):
            return error
        ids = [entry.id for entry in call.entries]
        taken = next((record_id for record_id, times in Counter(ids).items() if times > 1), None)
        if taken is None:
            with self._database.read() as connection:
                for chunk in chunked(ids):
                    query = select(tables.records.c.id).where(tables.records.c.id.in_(chunk))
                    taken = taken or connection.scalar(query.limit(1))
        if taken is None:
            return error
        explained = InvalidInput(f"the id {taken} is taken; leave id out for a new one, or delete that record first")
        explained.__cause__ = error
        return explained

    def _commit(self, batch: Sequence[Entry]) -> None:
        contents = self._sealed(batch)
        with self._database.cursor() as cursor:
            if not self._gate.settle(cursor, batch):
                self._store(cursor, batch, contents)
                return
        with self._database.write() as connection:
            self._store_compared(connection, batch, contents)

    def _store(self, cursor: Any, batch: Sequence[Entry], contents: dict[str, Row]) -> None:
        """Store the entries that are not skipped by their fingerprint."""
        self._find_originals(cursor, batch)
        self._insert_stored(cursor, batch, contents)

    def _store_compared(self, connection: Connection, batch: Sequence[Entry], contents: dict[str, Row]) -> None:
        """Store entries one after the other: each has to be found by those behind it."""
        cursor = connection.connection.cursor()
        self._gate.settle(cursor, batch)  # what it says holds within one transaction
        self._lock_projects(cursor, batch)
        for entry in batch:
            if entry.rule is None:
                self._store(cursor, [entry], contents)
                continue
            entry.original = self._gate.original(connection, entry)
            entry.stored = entry.original is None or entry.on_duplicate != "skip"
            self._insert_stored(cursor, [entry], contents)

    def _lock_projects(self, cursor: Any, batch: Sequence[Entry]) -> None:
        """Of two processes that store alike records at once, the second has to find the first's."""
        if not self._database.is_sqlite:
            for project in sorted({str(entry.rows.record[_PROJECT]) for entry in batch}):
                cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (APPLICATION_ID + 1, project))

    def _insert_stored(self, cursor: Any, batch: Sequence[Entry], contents: dict[str, Row]) -> None:
        stored = [entry for entry in batch if entry.stored]
        if not stored:
            return
        self._insert(cursor, [entry.rows for entry in stored], contents)
        links = [
            (entry.id, "duplicate_of", entry.original.record_id, _evidence(entry.original))
            for entry in stored
            if entry.original is not None
        ]
        _run(cursor, self._statements.relations, links)
        self._link(cursor, [entry for entry in stored if entry.relations or entry.citations])

    def _sealed(self, batch: Sequence[Entry]) -> dict[str, Row]:
        """Content rows by hash; large bodies are written to the blob store, which must precede the commit."""
        rows: dict[str, Row] = {}
        for entry in batch:
            for digest, data in entry.rows.bodies.items():
                if digest in rows:
                    continue
                encoding, kept = self._bodies.seal(data)
                if (blobs := self._bodies.outside(kept)) is not None:
                    blobs.put(digest, kept)
                    rows[digest] = (digest, len(data), encoding, None)
                else:
                    rows[digest] = (digest, len(data), encoding, kept)
        return rows

    def _find_originals(self, cursor: Any, batch: Sequence[Entry]) -> None:
        """Set original and stored by each entry's policy; earlier entries of the batch count as already there."""
        for entry in batch:  # a batch that is committed anew finds the world changed
            entry.original, entry.stored = None, True
        asked = {entry.fingerprint for entry in batch if entry.on_duplicate != "keep"}
        if not asked:
            return
        if not self._database.is_sqlite:
            # Two processes that look for the same content at once would both find none, and both store it.
            for lock in sorted({int(fingerprint[:8], 16) % _CONTENT_LOCKS for fingerprint in asked}):
                cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", (APPLICATION_ID, lock))
        found: dict[str, str] = {}
        for fingerprint in asked:
            cursor.execute(self._statements.original, (fingerprint,))
            if (row := cursor.fetchone()) is not None:
                found[fingerprint] = row[0]
        for entry in batch:
            if entry.on_duplicate != "keep":
                original = found.get(entry.fingerprint)
                entry.original = Found(original, 1.0, {"level": "record"}) if original else None
                entry.stored = original is None or entry.on_duplicate == "link"
            if entry.stored:
                found.setdefault(entry.fingerprint, entry.id)

    def _insert(self, cursor: Any, stored: Sequence[RecordRows], contents: dict[str, Row]) -> None:
        statements = self._statements
        _run(cursor, statements.records, [rows.record for rows in stored])
        # Sorted: two writers that insert the same bodies in different orders would wait for each other.
        needed = sorted({digest for rows in stored for digest in rows.bodies})
        _run(cursor, statements.contents, [contents[digest] for digest in needed])
        self._keep_blobs(needed, contents, stored)
        _run(cursor, statements.parts, [row for rows in stored for row in rows.parts])
        _run(cursor, statements.tags, [row for rows in stored for row in rows.tags])
        _run(cursor, statements.fields, [row for rows in stored for row in rows.fields])
        _run(cursor, statements.outbox, [("index", rows.record[0]) for rows in stored])
        self._gate.keep(cursor, stored)

    def _link(self, cursor: Any, entries: Sequence[Entry]) -> None:
        """Relations and citations; one whose target was deleted meanwhile is left out and costs no record."""
        statements = self._statements
        relations = [row for entry in entries for row in entry.relations]
        _run(cursor, statements.linked, [(*row, row[2]) for row in relations])
        _run(cursor, statements.cited, [(*row, row[5]) for entry in entries for row in entry.citations])
        edited = [row[2] for row in relations if row[1] == "edit_of"]
        # Whether the older version is still to be found is decided anew by the indexer.
        _run(cursor, statements.outbox, [(action, target) for target in edited for action in ("delete", "index")])

    def _keep_blobs(self, needed: Iterable[str], contents: dict[str, Row], stored: Sequence[RecordRows]) -> None:
        """Write a blob again if a deletion removed it between our put and this transaction.

        The deletion's unlink takes the same write lock (see delete.py), so from here on the file stays.
        """
        blobs = self._bodies.blobs
        if blobs is None:
            return
        for digest in needed:
            if contents[digest][3] is None and not blobs.exists(digest):
                data = next(rows.bodies[digest] for rows in stored if digest in rows.bodies)
                blobs.put(digest, self._bodies.seal(data)[1])


def _evidence(original: Found) -> str:
    return canonical_json({"score": round(original.score, 6), **original.evidence}, "evidence")


def _is_of_one_call(error: BaseException) -> bool:
    """Whether one call's records may be to blame: a value the database refused, or anything that is not its trouble."""
    return _is_refusal(error) or (isinstance(error, Exception) and not isinstance(error, StoreError))


def _is_refusal(error: BaseException) -> bool:
    """Whether the database refused a value or a key, rather than being out of order itself."""
    kinds = {kind.__name__ for kind in type(error.__cause__).__mro__}
    return not kinds.isdisjoint(("IntegrityError", "DataError"))


def _run(cursor: Any, statement: str, rows: Sequence[Row]) -> None:
    if len(rows) == 1:
        cursor.execute(statement, rows[0])
    elif rows:
        cursor.executemany(statement, rows)


class _Statements:
    """The inserts, compiled once: SQLAlchemy's own execution would cost more than SQLite's."""

    def __init__(self, database: Database) -> None:
        dialect_insert = sqlite.insert if database.is_sqlite else postgresql.insert

        def compiled(table: Any, columns: Sequence[str], *, ignore: bool = False) -> str:
            values = dict.fromkeys(columns)
            if ignore:
                return database.compiled(dialect_insert(table).values(values).on_conflict_do_nothing())
            return database.compiled(insert(table).values(values))

        self.records = compiled(tables.records, RECORD_COLUMNS)
        self.contents = compiled(tables.contents, tuple(tables.contents.c.keys()), ignore=True)
        self.parts = compiled(tables.parts, PART_COLUMNS)
        self.tags = compiled(tables.tags, tuple(tables.tags.c.keys()), ignore=True)
        self.fields = compiled(tables.fields, tuple(tables.fields.c.keys()))
        self.relations = compiled(tables.relations, tuple(tables.relations.c.keys()), ignore=True)
        mark = "?" if database.is_sqlite else "%s"
        self.linked = _where_there(tables.relations, mark)
        self.cited = _where_there(tables.citations, mark)
        self.original = f"SELECT id FROM records WHERE fingerprint = {mark} ORDER BY created_us, id LIMIT 1"
        # Every index, the one in use and one being built, is told of every record by the same statement.
        self.outbox = (
            "INSERT INTO outbox (index_id, action, record_id) "
            f"SELECT id, {mark}, {mark} FROM indexes WHERE state <> 'retired'"
        )


def _where_there(table: Any, mark: str) -> str:
    """An insert of one row, its values followed by the id of a record without which it is left out."""
    columns = tuple(table.c.keys())
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join([mark] * len(columns))} "
        f"WHERE EXISTS (SELECT 1 FROM records WHERE id = {mark}) ON CONFLICT DO NOTHING"
    )
