"""Duplicates among what is stored, at any level."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection

from genstore.blobs import Bodies
from genstore.dedup.clusters import SketchFinder, find_clusters
from genstore.dedup.gate import ALL_RULES, Gate, check_settings
from genstore.dedup.method import Methods, kind_of
from genstore.dedup.rule import Rule
from genstore.dedup.sketches import forget_methods, known_methods, note_complete, note_methods
from genstore.dedup.unit import Comparer
from genstore.filters import Filter
from genstore.records import DuplicateCluster
from genstore.sql.engine import Database
from genstore.sql.read import body_reader
from genstore.work import Progress

if TYPE_CHECKING:
    from genstore.dedup.semantic import Space


@dataclass(frozen=True, slots=True)
class Asked:
    """Which duplicates are looked for: by what rule, among which records, and which one represents a cluster.

    scope and where are the same condition, for SQL and for the index. prefer: the name of a score, None: the mean of
    all. without: ids of records to leave out.
    """

    rule: Rule
    scope: ColumnElement[bool]
    where: Filter
    prefer: str | None = None
    without: Container[str] = ()


def sketched_duplicates(
    database: Database, bodies: Bodies, gate: Gate, asked: Asked, progress: Progress | None = None
) -> list[DuplicateCluster]:
    """Clusters at the exact or near level; what has no sketch yet gets one.

    progress is called with (bodies sketched, 0). Raises SketchMismatch when sketches were made with other settings.
    """
    methods = gate.methods(asked.rule)
    database.transact(lambda connection: _note_use(connection, methods))
    gate.sketches.sketch_missing(bodies, methods, asked.scope, progress)
    # Two connections: bodies are read while the rows of the other are still being fetched.
    with database.read() as connection, database.read() as beside:
        comparer = Comparer(methods, body_reader(beside, bodies))
        return find_clusters(connection, asked, comparer, SketchFinder(connection, methods))


def _note_use(connection: Connection, methods: Methods) -> None:
    check_settings(known_methods(connection), methods.all)
    note_methods(connection, methods.all, live=False)


def semantic_duplicates(
    database: Database, bodies: Bodies, space: Space, asked: Asked, progress: Progress | None = None
) -> list[DuplicateCluster]:
    """Clusters in meaning; what is not embedded yet is not seen.

    progress is called with (texts asked about, texts left).
    """
    from genstore.dedup.semantic import Semantic, SemanticFinder, SemanticText, stored_vector

    with database.read() as connection, database.read() as beside:
        comparer = Comparer(Semantic(SemanticText(stored_vector(beside, space))), body_reader(beside, bodies))
        finder = SemanticFinder(connection, space, asked.rule, asked.scope, asked.where, progress)
        return find_clusters(connection, asked, comparer, finder)


def redo_sketches(database: Database, bodies: Bodies, gate: Gate, progress: Progress | None = None) -> int:
    """Make every sketch anew with the settings as they are now; how many were made.

    Cut short, it goes on at the next use of a level: until then nothing counts as complete.
    """
    used: list[Methods] = []

    def begin(connection: Connection) -> None:
        used.clear()
        gate.keep_writers_out(connection)
        before = {kind_of(name): live for name, live in known_methods(connection).items()}
        forget_methods(connection)
        for methods in map(gate.methods, ALL_RULES):
            for method in methods.all:
                if kind_of(method.name) in before:
                    note_methods(connection, [method], live=before[kind_of(method.name)])
            if any(kind_of(method.name) in before for method in methods.all):
                used.append(methods)

    database.transact(begin)
    made = sum(gate.sketches.sketch_missing(bodies, methods, progress=progress) for methods in used)
    for methods in used:
        database.transact(lambda connection, methods=methods: note_complete(connection, methods.usable))  # type: ignore[misc]
    return made
