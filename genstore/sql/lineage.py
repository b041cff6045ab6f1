"""Lineage: a walk along relations, in SQL, to what a record came from and to what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sqlalchemy import Connection, String, cast, func, literal, select

from genstore.errors import InvalidInput
from genstore.records import ROLES, Record, Relation
from genstore.sql import tables
from genstore.sql.read import chunked, load
from genstore.sql.rows import build_relation

Direction = Literal["up", "down", "both"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

# Nothing real is deeper, and a circle ends.
DEEPEST = 64

_relations, _records = tables.relations, tables.records


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is connected with a record. records: by id, the root among them, without their bodies; distances: how many
    relations away each is, below 0 for what the root came from; relations: those between them."""

    root: str
    records: Mapping[str, Record]
    distances: Mapping[str, int]
    relations: Sequence[Relation]


def walk(
    connection: Connection,
    root: str,
    project: str,
    *,
    depth: int | None = None,
    roles: Iterable[str] | None = None,
    direction: Direction = "both",
) -> Lineage:
    """The records of the project within `depth` relations (None: all) of these roles.

    up: from a record to what it retrieved, was derived from, replied to; down: the other way; both: the two walks,
    not the siblings that walking to and fro would find. Raises InvalidInput.
    """
    chosen = _checked(depth, roles, direction)
    most = DEEPEST if depth is None else min(depth, DEEPEST)
    distances: dict[str, int] = {root: 0}
    edges: dict[tuple[str, str, str], Relation] = {}
    for sign, way in ((-1, "up"), (1, "down")):
        if direction in (way, "both"):
            reached = _reached(connection, root, project, most, chosen, up=way == "up")
            for record_id, distance in reached.items():
                if distance < abs(distances.get(record_id, DEEPEST + 1)):  # in a circle the shorter way counts
                    distances[record_id] = sign * distance
            for edge in _between(connection, reached, chosen):
                edges[edge.source_id, edge.role, edge.target_id] = edge
    order = sorted(edges, key=lambda key: (distances[key[0]], key))
    return Lineage(root, load(connection, None, list(distances)), distances, [edges[key] for key in order])


def _checked(depth: int | None, roles: Iterable[str] | None, direction: str) -> tuple[str, ...]:
    """The roles to follow."""
    chosen = (roles,) if isinstance(roles, str) else tuple(roles or ROLES)
    if unknown := set(chosen) - set(ROLES):
        raise InvalidInput(f"role is {sorted(unknown)[0]!r}; it is one of {', '.join(ROLES)}")
    if depth is not None and depth < 0:
        raise InvalidInput(f"depth is {depth}; pass 0 or more, or leave it out for everything")
    if direction not in DIRECTIONS:
        raise InvalidInput(f"direction is {direction!r}; it is one of {', '.join(DIRECTIONS)}")
    return chosen


def _reached(
    connection: Connection, root: str, project: str, most: int, roles: Sequence[str], *, up: bool
) -> dict[str, int]:
    """Record id -> how many relations away it is, at the least. A union without repeats, so that a circle ends."""
    ends = (_relations.c.source_id, _relations.c.target_id)
    here, there = ends if up else ends[::-1]
    start = select(cast(literal(root), String(36)).label("id"), literal(0).label("distance"))
    steps = start.cte("steps", recursive=True)
    further = (
        select(there, steps.c.distance + 1)
        .join(steps, here == steps.c.id)
        .join(_records, _records.c.id == there)
        .where(steps.c.distance < most, _relations.c.role.in_(roles), _records.c.project == project)
    )
    steps = steps.union(further)
    query = select(steps.c.id, func.min(steps.c.distance)).group_by(steps.c.id)
    rows = connection.execute(query.order_by(func.min(steps.c.distance), steps.c.id))
    return {record_id: int(distance) for record_id, distance in rows}


def _between(connection: Connection, reached: Mapping[str, int], roles: Sequence[str]) -> list[Relation]:
    """The relations between the records that were reached."""
    found: list[Relation] = []
    for chunk in chunked(reached):
        query = select(_relations).where(_relations.c.source_id.in_(chunk), _relations.c.role.in_(roles))
        found += [build_relation(row) for row in connection.execute(query) if row.target_id in reached]
    return found
