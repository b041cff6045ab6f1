"""What happens to duplicates as records arrive: they are looked for in the transaction that would store them.

Who writes asks, in that same transaction, what its project does with duplicates and which methods are live. Whoever
writes a body writes its sketches for the live methods; once those of what was there before are made, none is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, exists, select

from genstore.blobs import Bodies
from genstore.dedup.holders import BINARY, HISTORY, KIND, MEDIA_TYPE, PROJECT, SHA256, Holders
from genstore.dedup.method import Method, Methods, kind_of
from genstore.dedup.policy import ALL_POLICIES, Policy, from_row, save
from genstore.dedup.rule import Rule
from genstore.dedup.sketches import KnownMethod, Sketch, Sketches, known_methods, note_complete, note_methods
from genstore.dedup.unit import Comparer, Piece, Recent
from genstore.errors import MissingDependency, SketchMismatch
from genstore.sql import tables
from genstore.sql.engine import APPLICATION_ID, Database
from genstore.sql.read import body_reader
from genstore.sql.rows import RecordRows
from genstore.sql.write import Entry, Found, Unprepared

_records = tables.records
_KEEP = Policy()
_LIVE_LOCK = -1  # apart from the locks of sql/write.py, which count up from 0

ALL_RULES = (Rule("exact", "both"), Rule("exact", "both", ignore_case=True), Rule("near", "both"))
"""Between them they take every method that makes sketches."""


class Gate:
    """Decides what becomes of entries that may be duplicates; see sql.write.Writer, which asks it."""

    def __init__(self, database: Database, bodies: Bodies, shingle_words: int) -> None:
        self._database = database
        self._bodies = bodies
        self._shingle_words = shingle_words
        self.sketches = Sketches(database)
        self._policies: dict[str, Policy] = {}
        self._live: dict[str, KnownMethod] = {}  # by their kind
        # Of the bodies seen last, so that what a look for originals computes is not computed again to be stored.
        self._features, self._keys = Recent(), Recent()

    def methods(self, rule: Rule) -> Methods:
        """How bodies are compared under a rule."""
        return Methods(rule, self._shingle_words)

    def policy(self, project: str) -> Policy:
        """What the project does, as of this process's last commit."""
        return self._policies.get(project, _KEEP)

    def refresh(self) -> None:
        """Read every project's policy and which methods are live."""
        with self._database.read() as connection:
            self._read(connection.connection.cursor())

    def save(self, project: str, policy: Policy) -> None:
        """Make the policy the project's."""
        self._database.transact(lambda connection: save(connection, project, policy))
        self._policies[project] = policy

    def make_ready(self, rule: Rule) -> None:
        """Have every body sketched, and those to come as they are written; quick when that is so already.

        Raises SketchMismatch when the store's sketches were made with other settings.
        """
        if rule.level == "semantic":
            return
        methods = self.methods(Rule(rule.level, "both", ignore_case=rule.ignore_case))
        self.refresh()
        check_settings([method.name for method in self._live.values()], methods.all)
        if all(self._is_ready(method) for method in methods.usable):
            return
        self._database.transact(lambda connection: self._go_live(connection, methods))
        self.sketches.sketch_missing(self._bodies, methods)
        self._database.transact(lambda connection: note_complete(connection, methods.usable))
        self.refresh()

    def _is_ready(self, method: Method) -> bool:
        live = self._live.get(kind_of(method.name))
        return live is not None and live.name == method.name and live.complete

    def _go_live(self, connection: Connection, methods: Methods) -> None:
        self.keep_writers_out(connection)
        check_settings(known_methods(connection), methods.all)
        note_methods(connection, methods.all, live=True)

    def keep_writers_out(self, connection: Connection) -> None:
        """Whoever writes has asked which methods are live: wait until nobody is still at it with the old answer."""
        if not self._database.is_sqlite:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", (APPLICATION_ID, _LIVE_LOCK))

    # What the writer asks, inside its transaction

    def settle(self, cursor: Any, batch: Sequence[Entry]) -> bool:
        """Give entries that say nothing their project's policy; whether any has to be compared with what is stored."""
        if not self._database.is_sqlite:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", (APPLICATION_ID, _LIVE_LOCK))
        self._read(cursor)
        for entry in batch:
            if entry.on_duplicate is None:
                policy = self.policy(entry.rows.record[PROJECT])
                entry.on_duplicate, entry.rule = policy.on_duplicate, policy.rule
        return any(entry.rule is not None for entry in batch)

    def _read(self, cursor: Any) -> None:
        cursor.execute(ALL_POLICIES)
        self._policies = dict(map(from_row, cursor.fetchall()))
        self._live = {kind_of(method.name): method for method in self.sketches.methods(cursor) if method.live}

    def original(self, connection: Connection, entry: Entry) -> Found | None:
        """The stored record that the entry is a duplicate of under its rule, the most alike, then the oldest."""
        rule: Rule = entry.rule
        if rule.level == "semantic":
            if not entry.was_foreseen:
                raise Unprepared("its original has to be looked for in the vector index first")
            return entry.foreseen if entry.foreseen and _is_there(connection, entry.foreseen.record_id) else None
        read = body_reader(connection, self._bodies)
        comparer = Comparer(
            self.methods(rule), lambda digest: entry.rows.bodies.get(digest) or read(digest), self._features
        )
        cursor = connection.connection.cursor()
        return Holders(self._database, cursor, entry.rows, rule).original(
            comparer, lambda piece: self._alike(cursor, comparer, piece, entry)
        )

    def keep(self, cursor: Any, stored: Sequence[RecordRows]) -> None:
        """Sketch the bodies of the records with every live method."""
        if not self._live:
            return
        by_method: dict[str, tuple[Method, dict[str, bytes]]] = {}
        made: list[Sketch] = []
        for rows in stored:
            for part in rows.parts:
                digest = part[SHA256]
                for method in () if part[HISTORY] else self._methods_of(part):
                    if (keys := self._keys.get((method.name, digest))) is not None:
                        made.append(Sketch(digest, method.name, keys))
                    elif not self.sketches.has(cursor, digest, self._live[kind_of(method.name)].id):
                        by_method.setdefault(method.name, (method, {}))[1][digest] = rows.bodies[digest]
        for name, (method, found) in by_method.items():
            # Without the extra that reads them, images and sounds are stored all the same, and sketched another day.
            with suppress(MissingDependency):
                keys_of = method.keys([method.features(body) for body in found.values()])
                made += [Sketch(digest, name, own) for digest, own in zip(found, keys_of, strict=True)]
        self.sketches.keep(cursor, made)

    def _methods_of(self, part: Sequence[Any]) -> list[Method]:
        """The live methods that compare the part. Raises SketchMismatch when they are made otherwise by now."""
        found: list[Method] = []
        for methods in map(self.methods, ALL_RULES):
            method = methods.of(part[MEDIA_TYPE], part[BINARY])
            if method is not None and kind_of(method.name) in self._live:
                check_settings([self._live[kind_of(method.name)].name], [method])
                found.append(method)
        return found

    def _live_id(self, method: Method) -> int:
        """What the method's sketches go by.

        Raises SketchMismatch when they are made with other settings by now, Unprepared when some are missing.
        """
        live = self._live.get(kind_of(method.name))
        if live is not None:
            check_settings([live.name], [method])
        if live is None or not live.complete:
            raise Unprepared(f"what the store holds has to be sketched by {method.name!r} first")
        return live.id

    def _alike(self, cursor: Any, comparer: Comparer, piece: Piece, entry: Entry) -> list[str]:
        """Hashes of the stored bodies that may equal a part's, itself first."""
        method, features = comparer.method(piece), comparer.features(piece)
        if method is None or features is None:
            return [piece.sha256]
        keys = method.keys([features])[0]
        self._keys.keep((method.name, piece.sha256), keys)
        record, rule = entry.rows.record, entry.rule
        others = self.sketches.candidates(
            cursor, self._live_id(method), keys, record[PROJECT], record[KIND], rule.sides
        )
        return list(dict.fromkeys((piece.sha256, *others)))


def check_settings(known: Iterable[str], methods: Sequence[Method]) -> None:
    """Raise SketchMismatch when sketches of the same kind were made with other settings."""
    for method in methods:
        for name in known:
            if kind_of(name) == kind_of(method.name) and name != method.name:
                raise SketchMismatch(
                    f"the store's sketches were made with {name!r}, the settings say {method.name!r}; "
                    "set shingle_words back, or run `genstore dedup redo`"
                )


def _is_there(connection: Connection, record_id: str) -> bool:
    return connection.scalar(select(exists().where(_records.c.id == record_id))) or False
