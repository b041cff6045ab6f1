"""Duplicates among what is stored: clusters around their best records.

Memory grows with what is found: a record is looked at only when each of its parts has a partner, another body that
shares a key with it or another record that names the same body.

Clusters do not chain: the records are taken best first, and each joins the representative it is most alike, if it is
alike enough to that one, or else becomes a representative itself. Two records that are each like a third but not like
each other are in one cluster only when the third represents it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Row, func, select

from genstore.dedup.method import Methods
from genstore.dedup.rule import Rule
from genstore.dedup.sketches import shared_keys
from genstore.dedup.unit import Comparer, Piece, Unit, best_match
from genstore.records import Duplicate, DuplicateCluster
from genstore.sql import tables

_parts, _records, _scores = tables.parts, tables.records, tables.scores

_FIRST_OF_MANY = 64
"""Of bodies that all share a key, each is compared with so many of the best: the rest share what is boilerplate."""

Neighbours = Mapping[str, set[str]]
"""The hash of a body -> those of the bodies it has to be compared with."""


class Finder(Protocol):
    """Says which bodies have to be compared at all."""

    def members(self) -> set[str]:
        """Hashes of the bodies that have a neighbour."""

    def neighbours(self, order: Mapping[str, int]) -> Neighbours:
        """The neighbours of the bodies in `order`, which numbers them from the best."""


@dataclass(order=True, slots=True)
class _Holder:
    """A record that holds a unit; the best comes first: highest mean score, then oldest."""

    rank: tuple[float, int, str]

    @property
    def record_id(self) -> str:
        return self.rank[2]


@dataclass(slots=True)
class _Group:
    """Records of one kind that hold one unit, and the duplicates found for them."""

    kind: str
    unit: Unit
    holders: list[_Holder] = field(default_factory=list)
    duplicates: list[Duplicate] = field(default_factory=list)

    @property
    def first(self) -> str:
        """The hash of the first part, by which the group is found."""
        return self.unit[0].sha256


class SketchFinder:
    """Neighbours are bodies that share a key."""

    def __init__(self, connection: Connection, methods: Methods) -> None:
        self._connection = connection
        self._methods = methods.all

    def members(self) -> set[str]:
        """Hashes of the bodies that share a key with another."""
        return {digest for digests in shared_keys(self._connection, self._methods) for digest in digests}

    def neighbours(self, order: Mapping[str, int]) -> Neighbours:
        """For each body the best of those it shares a key with."""
        found: dict[str, set[str]] = {}
        for digests in shared_keys(self._connection, self._methods):
            best = sorted((digest for digest in digests if digest in order), key=order.__getitem__)
            leaders = best[:_FIRST_OF_MANY]
            for digest in best:
                found.setdefault(digest, set()).update(leaders)
        return found


class Question(Protocol):
    """Which duplicates are looked for; see duplicates.Asked."""

    @property
    def rule(self) -> Rule: ...

    @property
    def scope(self) -> ColumnElement[bool]: ...

    @property
    def prefer(self) -> str | None: ...

    @property
    def without(self) -> Container[str]: ...


def find_clusters(
    connection: Connection, asked: Question, comparer: Comparer, finder: Finder
) -> list[DuplicateCluster]:
    """Clusters of duplicates, largest first."""
    groups = [group for group in _groups(connection, asked, finder.members()) if comparer.comparable(group.unit)]
    groups.sort(key=lambda group: group.holders[0])
    order: dict[str, int] = {}
    for group in groups:
        order.setdefault(group.first, len(order))
    leaders = _led(groups, comparer, finder.neighbours(order), asked.rule.least_score)
    clusters = [_cluster(group, asked.rule) for group in leaders if len(group.holders) > 1 or group.duplicates]
    return sorted(clusters, key=lambda cluster: -len(cluster))


def _groups(connection: Connection, asked: Question, members: set[str]) -> list[_Group]:
    """Records by what they hold, without those that cannot have a duplicate."""
    partnered = members | _shared_bodies(connection, asked)
    by_kind: dict[tuple[str, Unit], _Group] = {}
    for record_id, rows in groupby(_compared_parts(connection, asked), key=lambda row: row.record_id):
        parts = list(rows)
        if record_id in asked.without or not all(part.sha256 in partnered for part in parts):
            continue
        unit = tuple(Piece(part.side, part.sha256, part.media_type, bool(part.binary)) for part in parts)
        first = parts[0]
        rank = (-first.mean if first.mean is not None else float("inf"), first.created_us, first.record_id)
        by_kind.setdefault((first.kind, unit), _Group(first.kind, unit)).holders.append(_Holder(rank))
    for group in by_kind.values():
        group.holders.sort()
    return list(by_kind.values())


def _shared_bodies(connection: Connection, asked: Question) -> set[str]:
    """Hashes of the bodies that several records of the scope hold."""
    query = (
        select(_parts.c.sha256)
        .join(_records, _records.c.id == _parts.c.record_id)
        .where(asked.scope, _parts.c.side.in_(asked.rule.sides), _parts.c.history.is_(False))
        .group_by(_parts.c.sha256)
        .having(func.count() > 1)
    )
    return set(connection.execute(query).scalars())


def _compared_parts(connection: Connection, asked: Question) -> Iterable[Row[Any]]:
    """The compared parts of every record of the scope, record by record, with what ranks the record."""
    scored: list[ColumnElement[bool]] = [_scores.c.value.is_not(None)]
    if asked.prefer is not None:
        scored.append(_scores.c.name == asked.prefer)
    means = (
        select(_scores.c.record_id, func.avg(_scores.c.value).label("mean"))
        .where(*scored)
        .group_by(_scores.c.record_id)
        .subquery()
    )
    query = (
        select(
            _parts.c.record_id, _parts.c.side, _parts.c.sha256, _parts.c.media_type, _parts.c.binary,
            _records.c.kind, _records.c.created_us, means.c.mean,
        )
        .join(_records, _records.c.id == _parts.c.record_id)
        .outerjoin(means, means.c.record_id == _parts.c.record_id)
        .where(asked.scope, _parts.c.side.in_(asked.rule.sides), _parts.c.history.is_(False))
        .order_by(_parts.c.record_id, _parts.c.id)
    )  # fmt: skip
    return connection.execution_options(yield_per=5_000).execute(query)


def _led(ordered: Sequence[_Group], comparer: Comparer, neighbours: Neighbours, least_score: float) -> list[_Group]:
    """The groups that represent a cluster; each other one has become duplicates of one of them."""
    leaders: list[_Group] = []
    found: dict[tuple[str, str], list[_Group]] = {}
    for group in ordered:
        near = {group.first, *neighbours.get(group.first, ())}
        known = [(leader, leader.unit) for digest in near for leader in found.get((group.kind, digest), ())]
        known.sort(key=lambda pair: pair[0].holders[0])
        best = best_match(comparer, group.unit, known, least_score)
        if best is None:
            leaders.append(group)
            found.setdefault((group.kind, group.first), []).append(group)
            continue
        leader, match = best
        leader.duplicates += [Duplicate(holder.record_id, match.score, match.evidence) for holder in group.holders]
    return leaders


def _cluster(group: _Group, rule: Rule) -> DuplicateCluster:
    same = [Duplicate(holder.record_id, 1.0, {"identical": True}) for holder in group.holders[1:]]
    others = sorted(group.duplicates, key=lambda duplicate: -duplicate.score)
    return DuplicateCluster(group.holders[0].record_id, (*same, *others), rule.level, rule.on)
