"""Who holds what: from bodies that are alike to the records that are, as they arrive.

Through the driver's own cursor: this runs for every record that is compared, inside the transaction that writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from genstore.dedup.method import Match
from genstore.dedup.rule import Rule
from genstore.dedup.unit import Comparer, Piece, Unit
from genstore.sql.engine import Database
from genstore.sql.rows import PART_COLUMNS, RECORD_COLUMNS, RecordRows
from genstore.sql.write import Found

SIDE, MEDIA_TYPE, SHA256, BINARY, HISTORY = (
    PART_COLUMNS.index(name) for name in ("side", "media_type", "sha256", "binary", "history")
)
PROJECT, KIND = RECORD_COLUMNS.index("project"), RECORD_COLUMNS.index("kind")

_MOST = 100
"""Of the records that hold one and the same body, so many of those stored first are compared as a whole."""


class Holders:
    """The records that a new one may be a duplicate of: those of its project and kind."""

    def __init__(self, database: Database, cursor: Any, rows: RecordRows, rule: Rule) -> None:
        self._cursor = cursor
        self._rows = rows
        self._rule = rule
        self._mark = "?" if database.is_sqlite else "%s"

    def original(self, comparer: Comparer, alike: Callable[[Piece], Sequence[str]]) -> Found | None:
        """The record that is most alike, the oldest of equals; alike: stored bodies that may equal a part's."""
        unit = unit_of(self._rows, self._rule)
        if not comparer.comparable(unit):
            return None
        rarest, *others = sorted((list(alike(piece)) for piece in unit), key=len)
        found: list[tuple[float, int, str, Match]] = []
        for digest in rarest:
            for created_us, record_id in self._of(digest, others):
                match = comparer.compare(unit, self._stored_unit(record_id))
                if match is None or match.score < self._rule.least_score:
                    continue
                found.append((-match.score, created_us, record_id, match))
                if len(unit) == 1:
                    break  # younger holders of the same body are no more alike
        if not found:
            return None
        _, _, record_id, match = min(found, key=lambda item: item[:3])
        return Found(record_id, match.score, {"level": self._rule.level, "on": self._rule.on, **match.evidence})

    def _of(self, digest: str, others: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
        """Records that hold the body and one of each of the others, as (created_us, id), oldest first."""
        mark = self._mark
        statement = (
            "SELECT r.created_us, r.id FROM parts p JOIN records r ON r.id = p.record_id "
            f"WHERE p.sha256 = {mark} AND p.side IN ({self._marks(self._rule.sides)}) AND NOT p.history "
            f"AND r.project = {mark} AND r.kind = {mark}"
        )
        values = [digest, *self._rule.sides, self._rows.record[PROJECT], self._rows.record[KIND]]
        for digests in others:
            statement += (
                " AND EXISTS (SELECT 1 FROM parts o WHERE o.record_id = p.record_id "
                f"AND o.sha256 IN ({self._marks(digests)}))"
            )
            values += digests
        # In the order of the index: sorting all holders of a constant answer would take longer than all the rest.
        self._cursor.execute(f"{statement} ORDER BY p.id LIMIT {_MOST}", values)
        return sorted({(row[0], row[1]) for row in self._cursor.fetchall()})

    def _stored_unit(self, record_id: str) -> Unit:
        """What of a stored record is compared."""
        self._cursor.execute(
            f'SELECT side, sha256, media_type, "binary" FROM parts WHERE record_id = {self._mark} '
            f"AND side IN ({self._marks(self._rule.sides)}) AND NOT history ORDER BY id",
            (record_id, *self._rule.sides),
        )
        return tuple(Piece(side, sha, kind, bool(bits)) for side, sha, kind, bits in self._cursor.fetchall())

    def _marks(self, values: Sequence[object]) -> str:
        return ",".join([self._mark] * len(values))


def unit_of(rows: RecordRows, rule: Rule) -> Unit:
    """What of a record that is to be written is compared."""
    return tuple(
        Piece(part[SIDE], part[SHA256], part[MEDIA_TYPE], bool(part[BINARY]))
        for part in rows.parts
        if part[SIDE] in rule.sides and not part[HISTORY]
    )
