"""Duplicates among what is stored, at any level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement

from genstore.blobs import Bodies
from genstore.dedup.clusters import SketchFinder, body_reader, find_clusters
from genstore.dedup.gate import ALL_RULES, Gate, check_settings
from genstore.dedup.method import Methods, kind_of
from genstore.dedup.rule import Rule
from genstore.dedup.sketches import forget_methods, known_methods, note_methods
from genstore.dedup.unit import Comparer
from genstore.filters import Filter
from genstore.records import DuplicateCluster
from genstore.sql.engine import Database
from genstore.work import Progress

if TYPE_CHECKING:
    from genstore.dedup.semantic import Space


def sketched_duplicates(
    database: Database,
    bodies: Bodies,
    gate: Gate,
    rule: Rule,
    scope: ColumnElement[bool],
    progress: Progress | None = None,
) -> list[DuplicateCluster]:
    """Clusters at the exact or near level among the records that satisfy scope; what has no sketch yet gets one.

    progress is called with (bodies sketched, 0). Raises SketchMismatch when sketches were made with other settings.
    """
    methods = gate.methods(rule)
    with database.write() as connection:
        check_settings(known_methods(connection), methods.all)
        note_methods(connection, methods.all, live=False)
    gate.sketches.sketch_missing(bodies, methods, scope, progress)
    # Two snapshots of one moment: bodies are read while the rows of the other are still being fetched.
    with database.read() as connection, database.read() as beside:
        comparer = Comparer(methods, body_reader(beside, bodies))
        return find_clusters(connection, rule, comparer, SketchFinder(connection, methods), scope)


def semantic_duplicates(
    database: Database,
    bodies: Bodies,
    space: Space,
    rule: Rule,
    scope: ColumnElement[bool],
    where: Filter,
    progress: Progress | None = None,
) -> list[DuplicateCluster]:
    """Clusters in meaning; scope and where are the same condition for SQL and for the index.

    progress is called with (texts asked about, texts left). What is not embedded yet is not seen.
    """
    from genstore.dedup.semantic import Semantic, SemanticFinder, SemanticText, stored_vector

    with database.read() as connection, database.read() as beside:
        comparer = Comparer(Semantic(SemanticText(stored_vector(beside, space))), body_reader(beside, bodies))
        finder = SemanticFinder(connection, space, rule, scope, where, progress)
        return find_clusters(connection, rule, comparer, finder, scope)


def redo_sketches(database: Database, bodies: Bodies, gate: Gate, progress: Progress | None = None) -> int:
    """Make every sketch anew with the settings as they are now; how many were made."""
    used: list[Methods] = []
    with database.write() as connection:
        before = {kind_of(name): live for name, live in known_methods(connection).items()}
        forget_methods(connection)
        for methods in map(gate.methods, ALL_RULES):
            for method in methods.all:
                if kind_of(method.name) in before:
                    note_methods(connection, [method], live=before[kind_of(method.name)])
            if any(kind_of(method.name) in before for method in methods.all):
                used.append(methods)
    return sum(gate.sketches.sketch_missing(bodies, methods, progress=progress) for methods in used)
