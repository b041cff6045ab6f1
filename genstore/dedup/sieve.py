"""What goes into a training set and what is left out: copies of its own records, and of held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from genstore.dedup.held_out import Dropped, HeldOut
from genstore.dedup.method import Methods
from genstore.dedup.rule import Rule
from genstore.records import DuplicateCluster, Record
from genstore.sql.rows import record_rows


class Sieve:
    """Says of each record whether it is kept, and tells of each that is not."""

    def __init__(self, on_dropped: Callable[[Dropped], None]) -> None:
        self._copies: dict[str, Dropped] = {}
        self._held_out: HeldOut | None = None
        self._on_dropped = on_dropped

    def hold_out(self, records: Iterable[tuple[int, Record]], rule: Rule, methods: Methods) -> None:
        """Leave out what duplicates one of these records, which come with their line."""
        self._held_out = HeldOut(rule, methods)
        for line, record in records:
            self._held_out.add(line, record_rows(record))

    def leave_out(self, clusters: Iterable[DuplicateCluster]) -> None:
        """Leave out all of each cluster but its representative."""
        for cluster in clusters:
            for one in cluster.duplicates:
                evidence = dict(one.evidence)
                self._copies[one.record_id] = Dropped(
                    one.record_id, "duplicate", cluster.representative, one.score, evidence
                )

    def is_held_out(self, record: Record) -> bool:
        """Whether the record duplicates a held-out one."""
        return self._held_out is not None and self._held_out.match(record_rows(record)) is not None

    def keep(self, record: Record) -> bool:
        """Whether the record is kept."""
        dropped = self._held_out.match(record_rows(record)) if self._held_out is not None else None
        dropped = dropped or self._copies.get(record.id)
        if dropped is not None:
            self._on_dropped(dropped)
        return dropped is None
