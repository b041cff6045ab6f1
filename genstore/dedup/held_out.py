"""Records that a training set must not hold: a file of them in memory, and what duplicates one of its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from genstore.dedup.holders import unit_of
from genstore.dedup.method import Methods
from genstore.dedup.rule import Rule
from genstore.dedup.unit import Comparer, Piece, Recent, Unit, best_match
from genstore.errors import InvalidInput
from genstore.sql.rows import RecordRows


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that was left out, and why: a duplicate of another record, or of a line of the held-out file."""

    record_id: str
    reason: Literal["duplicate", "held_out"]
    of: str
    score: float
    evidence: dict[str, Any] = field(default_factory=dict)


class _Row(NamedTuple):
    line: int
    unit: Unit


class HeldOut:
    """Finds the row of a file that a record duplicates. Memory grows with the file."""

    def __init__(self, rule: Rule, methods: Methods) -> None:
        """Raises InvalidInput for the semantic level: a file has no vectors."""
        if rule.level == "semantic":
            raise InvalidInput("a held-out file is compared by its wording; pass the level exact or near")
        self._rule = rule
        self._bodies: dict[str, bytes] = {}
        self._features = Recent(limit_bytes=None)
        self._comparer = Comparer(methods, self._bodies.get, self._features)
        self._rows: dict[tuple[str, object], list[_Row]] = {}

    def add(self, line: int, rows: RecordRows) -> None:
        """Take a row of the file in. Raises InvalidInput for one that has nothing on the compared sides."""
        unit = unit_of(rows, self._rule)
        if not unit:
            raise InvalidInput(f"line {line} of the held-out file has no {self._rule.on}; name the field that holds it")
        self._bodies.update(rows.bodies)
        if self._comparer.comparable(unit):
            for key in self._keys(unit[0]):
                self._rows.setdefault(key, []).append(_Row(line, unit))
        self._bodies.clear()  # their features stay

    def match(self, rows: RecordRows) -> Dropped | None:
        """The most alike row of the file that the record duplicates."""
        unit = unit_of(rows, self._rule)
        self._bodies.update(rows.bodies)
        own = [(method.name, piece.sha256) for piece in unit if (method := self._comparer.method(piece)) is not None]
        fresh = [key for key in own if key not in self._features]
        try:
            if not self._comparer.comparable(unit):
                return None
            near = {row.line: row.unit for key in self._keys(unit[0]) for row in self._rows.get(key, ())}
            best = best_match(self._comparer, unit, sorted(near.items()), self._rule.least_score)
        finally:
            self._bodies.clear()
            for key in fresh:
                self._features.drop(key)
        if best is None:
            return None
        line, match = best
        return Dropped(str(rows.record[0]), "held_out", f"line {line}", match.score, dict(match.evidence))

    def _keys(self, piece: Piece) -> Iterable[tuple[str, object]]:
        """What the part's candidates are found by: its own bytes, and its method's keys."""
        yield "bytes", piece.sha256
        method, features = self._comparer.method(piece), self._comparer.features(piece)
        if method is not None and features is not None:
            yield from ((method.name, key) for key in method.keys([features])[0])
