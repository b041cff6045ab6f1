"""What duplicates are found by, compared with SQL's bodies."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, func, select, update

from genstore.dedup.gate import ALL_RULES, Gate
from genstore.dedup.sketches import missing_sketches
from genstore.sql import tables
from genstore.sql.engine import Database

_keys, _sketches, _methods = tables.sketch_keys, tables.sketches, tables.sketch_methods


def stray_keys(connection: Connection) -> int:
    """How many keys belong to no sketch."""
    stray = ~exists().where(_sketches.c.id == _keys.c.sketch_id)
    return int(connection.scalar(select(func.count()).select_from(_keys).where(stray)) or 0)


def unsketched_bodies(connection: Connection, gate: Gate) -> int:
    """How many bodies have no sketch of a method that is said to be complete."""
    return sum(missing_sketches(connection, methods, _complete(connection)) for methods in map(gate.methods, ALL_RULES))


def mend(database: Database, gate: Gate) -> None:
    """Delete stray keys, and have what is missing sketched."""
    complete: set[str] = set()

    def begin(connection: Connection) -> None:
        connection.execute(delete(_keys).where(~exists().where(_sketches.c.id == _keys.c.sketch_id)))
        complete.update(_complete(connection))
        connection.execute(update(_methods).where(_methods.c.live).values(complete=False))

    database.transact(begin)
    for rule in ALL_RULES:
        if any(method.name in complete for method in gate.methods(rule).all):
            gate.make_ready(rule)


def _complete(connection: Connection) -> set[str]:
    return set(connection.execute(select(_methods.c.name).where(_methods.c.complete)).scalars())
