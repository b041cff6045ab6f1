"""Acting on clusters: link, delete or merge, a transaction each, and a receipt of what that saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from sqlalchemy import Connection, delete, insert, select, update

from genstore.errors import InvalidInput
from genstore.records import Duplicate, DuplicateCluster, Relation
from genstore.sql import tables
from genstore.sql.annotate import enqueue, relate
from genstore.sql.delete import delete_record
from genstore.sql.engine import Database
from genstore.sql.read import chunked
from genstore.work import Progress

Action = Literal["link", "delete", "merge"]
ACTIONS: tuple[Action, ...] = get_args(Action)

_records, _scores, _tags, _relations = tables.records, tables.scores, tables.tags, tables.relations


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was done, and what the duplicates had cost: tokens in and out, dollars, and bytes of bodies that went.

    clusters and records: acted on; skipped: records that were deleted by someone else in between.
    """

    action: str
    clusters: int = 0
    records: int = 0
    skipped: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    size_bytes: int = 0
    scores: int = 0
    tags: int = 0
    relations: int = 0

    def __add__(self, other: Receipt) -> Receipt:
        sums = (getattr(self, name) + getattr(other, name) for name in self.__slots__[1:])
        return Receipt(self.action, *sums)


def checked_action(action: Action) -> Action:
    """The action. Raises InvalidInput unless it is one of link, delete and merge."""
    if action not in ACTIONS:
        raise InvalidInput(f"the action is {action!r}; it is one of {', '.join(ACTIONS)}")
    return action


def apply(
    database: Database,
    clusters: Sequence[DuplicateCluster],
    action: Action,
    project: str,
    progress: Progress | None = None,
) -> Receipt:
    """Do it to every cluster, each in a transaction of its own: cut short, what was done stays done.

    link: relate the duplicates to their representative. delete: delete them. merge: give their scores, tags and
    relations to the representative, then delete them. Only records of the project are touched.
    """
    receipt = Receipt(action)
    for number, cluster in enumerate(clusters, 1):
        receipt += database.transact(lambda connection, cluster=cluster: _one(connection, cluster, action, project))  # type: ignore[misc]
        if progress is not None:
            progress(number, len(clusters) - number)
    return receipt


def cost_of(database: Database, clusters: Sequence[DuplicateCluster]) -> Receipt:
    """What the duplicates had cost; nothing is changed."""
    receipt = Receipt("none", clusters=len(clusters))
    with database.read() as connection:
        ids = [duplicate.record_id for cluster in clusters for duplicate in cluster.duplicates]
        for chunk in chunked(ids):
            receipt += _spent(connection, "none", chunk)
    return receipt


def _one(connection: Connection, cluster: DuplicateCluster, action: Action, project: str) -> Receipt:
    ids = [cluster.representative, *(duplicate.record_id for duplicate in cluster.duplicates)]
    there = _held(connection, ids, project)
    if cluster.representative not in there:
        return Receipt(action, skipped=len(cluster.duplicates))
    present = [duplicate for duplicate in cluster.duplicates if duplicate.record_id in there]
    receipt = Receipt(action, clusters=1 if present else 0, skipped=len(cluster.duplicates) - len(present))
    for chunk in chunked([duplicate.record_id for duplicate in present]):
        receipt += _spent(connection, action, chunk)
    for duplicate in present:
        receipt += _ACTIONS[action](connection, cluster, duplicate)
    return receipt


def _held(connection: Connection, ids: Sequence[str], project: str) -> set[str]:
    """Those of the records that exist in the project, kept as they are until the transaction ends."""
    found: set[str] = set()
    for chunk in chunked(sorted(ids)):
        query = select(_records.c.id).where(_records.c.id.in_(chunk), _records.c.project == project)
        found |= set(connection.execute(query.order_by(_records.c.id).with_for_update()).scalars())
    return found


def _spent(connection: Connection, action: str, ids: Sequence[str]) -> Receipt:
    columns = (_records.c.input_tokens, _records.c.output_tokens, _records.c.cost_usd)
    rows = connection.execute(select(*columns).where(_records.c.id.in_(ids))).all()
    tokens = sum((row.input_tokens or 0) + (row.output_tokens or 0) for row in rows)
    return Receipt(action, records=len(rows), tokens=tokens, cost_usd=sum(row.cost_usd or 0.0 for row in rows))


def _link(connection: Connection, cluster: DuplicateCluster, duplicate: Duplicate) -> Receipt:
    # Linked before, when another record was the best: two records are not each other's original.
    back = (_relations.c.source_id == cluster.representative) & (_relations.c.target_id == duplicate.record_id)
    connection.execute(delete(_relations).where(back, _relations.c.role == "duplicate_of"))
    evidence = {"level": cluster.level, "on": cluster.on, "score": round(duplicate.score, 6), **duplicate.evidence}
    relate(connection, Relation(duplicate.record_id, "duplicate_of", cluster.representative, evidence))
    return Receipt("link", relations=1)


def _delete(connection: Connection, cluster: DuplicateCluster, duplicate: Duplicate) -> Receipt:
    removal = delete_record(connection, duplicate.record_id)
    return Receipt("delete", size_bytes=removal.size_bytes, scores=removal.scores, relations=removal.relations)


def _merge(connection: Connection, cluster: DuplicateCluster, duplicate: Duplicate) -> Receipt:
    representative, own = cluster.representative, duplicate.record_id
    scores = connection.execute(
        update(_scores).where(_scores.c.record_id == own).values(record_id=representative)
    ).rowcount
    held, given = (_tags_of(connection, record_id) for record_id in (representative, own))
    new = [{"record_id": representative, "tag": tag} for tag in sorted(given - held)]
    if new:
        connection.execute(insert(_tags), new)
    relations = _move_relations(connection, own, representative)
    removal = delete_record(connection, own)
    enqueue(connection, "payload", representative)
    moved = Receipt("merge", scores=scores, tags=len(new), relations=relations)
    return moved + Receipt("merge", size_bytes=removal.size_bytes)


def _tags_of(connection: Connection, record_id: str) -> set[str]:
    return set(connection.execute(select(_tags.c.tag).where(_tags.c.record_id == record_id)).scalars())


def _move_relations(connection: Connection, own: str, representative: str) -> int:
    """Give the record's edges to its representative, but for those between the two; how many were new to it."""
    held = {edge.key for edge in _edges_of(connection, representative)}
    moved: dict[tuple[str, str, str], _Edge] = {}
    for edge in _edges_of(connection, own):
        given = edge.moved(own, representative)
        if given.source_id != given.target_id and given.key not in held:
            moved[given.key] = given
    if moved:
        connection.execute(insert(_relations), [edge._asdict() for edge in moved.values()])
    return len(moved)


class _Edge(NamedTuple):
    """A row of `relations`."""

    source_id: str
    role: str
    target_id: str
    attributes: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self[:3]

    def moved(self, own: str, other: str) -> _Edge:
        """The same edge with one record in another's place."""
        ends = {"source_id": self.source_id, "target_id": self.target_id}
        return self._replace(**{name: other if end == own else end for name, end in ends.items()})


def _edges_of(connection: Connection, record_id: str) -> list[_Edge]:
    touching = (_relations.c.source_id == record_id) | (_relations.c.target_id == record_id)
    return [_Edge(*row) for row in connection.execute(select(_relations).where(touching))]


_ACTIONS: dict[Action, Callable[[Connection, DuplicateCluster, Duplicate], Receipt]] = {
    "link": _link,
    "delete": _delete,
    "merge": _merge,
}
