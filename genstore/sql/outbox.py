"""The outbox: what each search index has still to learn from SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, delete, exists, false, func, insert, literal, or_, select, update

from genstore.blobs import Bodies
from genstore.errors import BlobCorrupt, BlobMissing
from genstore.identity import decode_text
from genstore.records import Record
from genstore.sql import tables, versions
from genstore.sql.engine import Database, SessionLocks, insert_once
from genstore.sql.read import chunked, load
from genstore.work import WORDS, Action, Average, Cut, Source, Task

# Outbox rows with neighbouring ids are embedded by one process: it takes one lock for all of them.
_BLOCK = 64
# Among how many of the oldest rows a block that nobody has in hand is looked for.
_LOOKED_AT = 4_096

_outbox, _parts, _passages = tables.outbox, tables.parts, tables.passages
_indexes, _embeddings = tables.indexes, tables.embeddings


_ABSTAINED = "metadata.answer.abstained"


class SqlOutbox:
    """The tasks of one index."""

    def __init__(self, database: Database, bodies: Bodies, index_id: int, embedder: str, cutter: str) -> None:
        self.database = database
        self.bodies = bodies
        self.index_id = index_id
        self.embedder = embedder
        self.cutter = cutter
        # For the driver itself: thousands of passages a second would each become a dictionary on the way.
        columns = ("sha256", "cutter", "ordinal", "start_char", "end_char", "text_sha256", "terms")
        self.keep_cuts = database.compiled(insert_once(database.engine, _passages).values(dict.fromkeys(columns)))

    @contextmanager
    def claim(self, actions: Sequence[Action], limit: int) -> Iterator[SqlClaim]:
        """The oldest tasks of these kinds.

        PostgreSQL locks their rows until the block ends, so that several indexers share the queue; on SQLite
        the embedded index has one owner at a time, whose lease the caller holds.
        """
        if self.database.is_sqlite:
            with self.database.read() as connection:
                yield SqlClaim(self, connection, self._oldest(connection, actions, limit))
        else:
            with self.database.write() as connection:
                yield SqlClaim(self, connection, self._oldest(connection, actions, limit), in_write=True)

    @contextmanager
    def reserve(self, action: Action, limit: int) -> Iterator[list[Task]]:
        """The oldest tasks of this kind that nobody else has in hand, for work that takes long.

        No transaction is open meanwhile. On PostgreSQL an advisory lock of the session keeps other indexers from the
        tasks; the server drops it when the process dies. Doing one twice would be harmless all the same.
        """
        if self.database.is_sqlite:
            with self.database.read() as connection:
                tasks = self._oldest(connection, (action,), limit)
            yield tasks
            return
        with self.database.session_locks() as locks:
            yield self._first_free(locks, action, limit)

    def _first_free(self, locks: SessionLocks, action: Action, limit: int) -> list[Task]:
        """Tasks of the first block whose lock is to be had; the locks of blocks that turn out to be done stay too."""
        own = (_outbox.c.index_id == self.index_id, _outbox.c.action == action)
        looked_at = select(_outbox.c.id).where(*own).order_by(_outbox.c.id).limit(_LOOKED_AT).subquery()
        block = (looked_at.c.id // _BLOCK).label("block")
        with self.database.read() as connection:
            blocks = connection.execute(select(block).distinct().order_by(block)).scalars().all()
        for number in blocks:
            if not locks.take(f"genstore {action} {self.index_id} {number}"):
                continue
            first = int(number) * _BLOCK
            query = select(_outbox.c.id, _outbox.c.action, _outbox.c.record_id).where(
                *own, _outbox.c.id.between(first, first + _BLOCK - 1)
            )
            # Looked at only now that the lock is ours: whoever had it before may have done them.
            with self.database.read() as connection:
                rows = connection.execute(query.order_by(_outbox.c.id).limit(limit)).all()
            if rows:
                return [Task(row.id, row.action, row.record_id) for row in rows]
        return []

    @contextmanager
    def look(self, tasks: Sequence[Task] = ()) -> Iterator[SqlClaim]:
        """What SQL knows about the tasks' records; their claim can be finished when the block has ended."""
        with self.database.read() as connection:
            yield SqlClaim(self, connection, list(tasks))

    def _oldest(self, connection: Connection, actions: Sequence[Action], limit: int) -> list[Task]:
        query = (
            select(_outbox.c.id, _outbox.c.action, _outbox.c.record_id)
            .where(_outbox.c.index_id == self.index_id, _outbox.c.action.in_(actions))
            .order_by(_outbox.c.id)
            .limit(limit)
        )
        if not self.database.is_sqlite:
            # A record's tasks are done in order, also when two indexers share them: the later one stays
            # invisible until the earlier is committed, or a stale payload could overwrite a fresh one.
            earlier = _outbox.alias("earlier")
            query = query.where(
                ~exists().where(
                    earlier.c.index_id == self.index_id,
                    earlier.c.record_id == _outbox.c.record_id,
                    earlier.c.id < _outbox.c.id,
                    earlier.c.action.in_(actions),
                )
            ).with_for_update(skip_locked=True)
        return [Task(row.id, row.action, row.record_id) for row in connection.execute(query)]

    def keep_embeddings(self, vectors: Mapping[str, bytes]) -> None:
        """Store vectors; one that another indexer stored first stays.

        What was deleted while it was embedded is left out: nothing would ever delete its vector.
        """
        with self.database.write() as connection:
            for chunk in chunked(sorted(vectors)):
                query = select(_passages.c.text_sha256).where(_passages.c.text_sha256.in_(chunk)).distinct()
                rows = [
                    {"text_sha256": digest, "embedder": self.embedder, "vector": vectors[digest]}
                    for digest in sorted(connection.execute(query).scalars())
                ]
                if rows:
                    connection.execute(insert_once(connection, _embeddings), rows)

    def pending(self) -> dict[str, int]:
        """How many tasks wait, by action."""
        query = select(_outbox.c.action, func.count()).where(_outbox.c.index_id == self.index_id)
        with self.database.read() as connection:
            return {action: int(count) for action, count in connection.execute(query.group_by(_outbox.c.action))}

    def average_in_use(self) -> float:
        """The average the index's weights are computed with; 0 before the first."""
        with self.database.read() as connection:
            return float(connection.scalar(select(_indexes.c.average_terms).where(_indexes.c.id == self.index_id)) or 0)

    def average_terms(self) -> Average:
        """The average in use beside the real one now, which takes a look at every passage."""
        used = self.average_in_use()
        query = select(func.avg(_passages.c.terms), func.count()).where(_passages.c.cutter == self.cutter)
        with self.database.read() as connection:
            real, passages = connection.execute(query).one()
        return Average(used, float(real or 0), int(passages))

    def set_average_terms(self, average: float) -> None:
        """Note the average that weights are computed with from now on."""
        with self.database.write() as connection:
            connection.execute(update(_indexes).where(_indexes.c.id == self.index_id).values(average_terms=average))

    def enqueue_missing(self) -> None:
        """Queue every record that does not wait to be indexed already: the index was found empty."""
        records = tables.records
        waiting = exists().where(
            _outbox.c.index_id == self.index_id, _outbox.c.action == "index", _outbox.c.record_id == records.c.id
        )
        missing = select(literal(self.index_id), literal("index"), records.c.id).where(~waiting).order_by(records.c.id)
        with self.database.write() as connection:
            connection.execute(insert(_outbox).from_select(["index_id", "action", "record_id"], missing))

    def enqueue_all(self) -> None:
        """Queue every record to be indexed anew; what a crash leaves of it is done later."""
        everything = select(literal(self.index_id), literal("index"), tables.records.c.id).order_by(tables.records.c.id)
        with self.database.write() as connection:
            connection.execute(insert(_outbox).from_select(["index_id", "action", "record_id"], everything))


class SqlClaim:
    """Claimed tasks; reads see the state of the claim's transaction."""

    def __init__(self, outbox: SqlOutbox, connection: Connection, tasks: list[Task], *, in_write: bool = False) -> None:
        """in_write: the connection is in a write transaction, which finish() is to be part of."""
        self.tasks = tasks
        self._outbox = outbox
        self._connection = connection
        self._in_write = in_write
        self._ids = list(dict.fromkeys(task.record_id for task in tasks if task.action != "delete"))

    def records(self) -> dict[str, Record]:
        """The records that still exist, without their bodies."""
        return load(self._connection, None, self._ids)

    def sources(self) -> list[Source]:
        """The text parts to index: of what a conversation repeats, only what no earlier part of the project holds; of
        a document's versions, the newest."""
        earlier, other = _parts.alias("earlier"), tables.records.alias("other")
        said_before = (
            exists()
            .where(
                earlier.c.sha256 == _parts.c.sha256,
                earlier.c.id < _parts.c.id,
                other.c.id == earlier.c.record_id,
                other.c.project == tables.records.c.project,
            )
            .correlate(_parts, tables.records)
        )
        columns = (_parts.c.id, _parts.c.record_id, _parts.c.side, _parts.c.role, _parts.c.sha256)
        superseded = versions.superseded().correlate(tables.records)
        # A question that found no answer: nobody who searches is looking for it.
        fields = tables.fields
        unanswered = (tables.records.c.operation == "ask") & exists().where(
            fields.c.record_id == tables.records.c.id, fields.c.path == _ABSTAINED, fields.c.text == "true"
        ).correlate(tables.records)
        found: list[Source] = []
        for chunk in chunked(self._ids):
            query = (
                select(*columns)
                .join(tables.records, tables.records.c.id == _parts.c.record_id)
                .where(
                    _parts.c.record_id.in_(chunk),
                    _parts.c.binary.is_(False),
                    _parts.c.media_type != "text/uri-list",
                    or_(_parts.c.history.is_(False), ~said_before),
                    ~superseded,
                    ~func.coalesce(unanswered, false()),
                )
                .order_by(_parts.c.id)
            )
            found += [Source(*row) for row in self._connection.execute(query).all()]
        return found

    def texts(self, digests: Iterable[str]) -> dict[str, str]:
        """Texts by hash; a body that is gone is left out, `verify` reports it."""
        contents = tables.contents
        found: dict[str, str] = {}
        for chunk in chunked(digests):
            for row in self._connection.execute(select(contents).where(contents.c.sha256.in_(chunk))).all():
                try:
                    body = self._outbox.bodies.unseal(row.sha256, row.encoding, row.body)
                except (BlobMissing, BlobCorrupt):
                    continue
                found[row.sha256] = decode_text(body)
        return found

    def cuts(self, digests: Iterable[str]) -> dict[str, list[Cut]]:
        """How texts were cut before, by hash."""
        found: dict[str, list[Cut]] = {}
        for chunk in chunked(digests):
            query = select(_passages).where(_passages.c.sha256.in_(chunk), _passages.c.cutter == self._outbox.cutter)
            for row in self._connection.execute(query.order_by(_passages.c.sha256, _passages.c.ordinal)).all():
                cut = Cut(row.ordinal, row.start_char, row.end_char, row.text_sha256, row.terms)
                found.setdefault(row.sha256, []).append(cut)
        return found

    def embedded(self, text_digests: Iterable[str]) -> dict[str, bytes]:
        """Vectors that exist, by the hash of their text."""
        found: dict[str, bytes] = {}
        columns = (_embeddings.c.text_sha256, _embeddings.c.vector)
        for chunk in chunked(text_digests):
            query = select(*columns).where(
                _embeddings.c.text_sha256.in_(chunk), _embeddings.c.embedder == self._outbox.embedder
            )
            found.update((row.text_sha256, row.vector) for row in self._connection.execute(query).all())
        return found

    def finish(self, cuts: Mapping[str, Sequence[Cut]], to_embed: Iterable[str], done: Iterable[Task]) -> None:
        """Keep new cuts, queue records for embedding, drop the tasks that are done: one transaction."""
        if self._in_write:
            self._finish(self._connection, cuts, to_embed, done)
        else:
            with self._outbox.database.write() as connection:
                self._finish(connection, cuts, to_embed, done)

    def _finish(
        self,
        connection: Connection,
        cuts: Mapping[str, Sequence[Cut]],
        to_embed: Iterable[str],
        done: Iterable[Task],
    ) -> None:
        self._keep_cuts(connection, cuts)
        queued = [
            {"index_id": self._outbox.index_id, "action": "embed", "record_id": record_id} for record_id in to_embed
        ]
        if queued:
            connection.execute(insert(_outbox), queued)
        for chunk in chunked(task.id for task in done):
            connection.execute(delete(_outbox).where(_outbox.c.id.in_(chunk)))

    def _keep_cuts(self, connection: Connection, cuts: Mapping[str, Sequence[Cut]]) -> None:
        contents = tables.contents
        for chunk in chunked(sorted(cuts)):
            # A text may have been deleted since the claim; its passages would have nothing to refer to.
            query = select(contents.c.sha256).where(contents.c.sha256.in_(chunk))
            if not self._outbox.database.is_sqlite:
                query = query.with_for_update(read=True, key_share=True)
            # In one order everywhere: two indexers that share texts would wait for each other.
            alive = connection.execute(query.order_by(contents.c.sha256))
            cutter = self._outbox.cutter
            rows = [
                (digest, cutter, cut.ordinal, cut.start, cut.end, cut.text_sha256, cut.terms)
                for digest in alive.scalars().all()
                for cut in cuts[digest]
            ]
            if rows:
                connection.exec_driver_sql(self._outbox.keep_cuts, rows)


def words_pending(pending: Mapping[str, int]) -> int:
    """How many of the tasks keep words from being found."""
    return sum(pending.get(action, 0) for action in WORDS)
