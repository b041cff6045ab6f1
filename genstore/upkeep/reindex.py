"""Rebuild the index beside the one in use, and switch when it is complete. Killed, it goes on where it stopped."""

from __future__ import annotations

import time

from genstore.search.projection import Projection, Projections
from genstore.sql import indexes
from genstore.sql.engine import Database
from genstore.work import Progress

# Between two looks at work that another process has in hand.
_OTHERS_S = 0.05


def reindex(
    database: Database, projections: Projections, embedder: str | None, progress: Progress | None = None
) -> Projection:
    """Build a new index from SQL and make it the one in use; returns it.

    embedder: another one to embed with; with the same one no text is embedded again. Searches go on in the old
    index meanwhile, and what is logged meanwhile reaches both.
    """
    discard_retired(database, projections)
    name, dimension, cutter = projections.described(embedder or projections.active().info.embedder)
    with database.write() as connection:
        indexes.lock(connection)
        started = indexes.find(connection, "building")
        if started is not None and started.embedder != name:
            indexes.retire(connection, started.id)
            started = None
        info = started or indexes.create(connection, "building", name, dimension, cutter)
    new = projections.open(info)
    _fill(new, progress)
    with database.write() as connection:
        indexes.switch_to(connection, info.id)
    discard_retired(database, projections)
    return projections.active()


def _fill(projection: Projection, progress: Progress | None) -> None:
    """Drain the new index's queue, words and vectors alike."""
    total = done = 0

    def report(finished: int) -> None:
        nonlocal total, done
        done += finished
        left = sum(projection.outbox.pending().values())
        total = max(total, done + left)
        if progress is not None:
            progress(done, left)

    report(0)
    while sum(projection.outbox.pending().values()):
        before = done
        report(projection.indexer.drain_words())
        projection.indexer.drain_dense(on_batch=report)
        if done == before:
            time.sleep(_OTHERS_S)
    if projection.index.wants_optimising():
        projection.index.optimise()


def discard_retired(database: Database, projections: Projections) -> None:
    """Delete the points and rows of indexes that were replaced."""
    while True:
        with database.read() as connection:
            info = indexes.find(connection, "retired")
        if info is None:
            return
        projections.discard(info)
        with database.write() as connection:
            indexes.forget(connection, info.id)
