"""What goes into a training set and what is left out: copies of its own records, and of held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from genstore.dedup.held_out import Dropped, HeldOut
from genstore.dedup.method import Methods
from genstore.dedup.rule import Rule
from genstore.records import DuplicateCluster, Record
from genstore.sql.rows import record_rows


class Sieve:
    """Says of each record whether it is kept, and tells of each that is not."""

    def __init__(self, clusters: Sequence[DuplicateCluster], on_dropped: Callable[[Dropped], None]) -> None:
        self._copies = {
            duplicate.record_id: Dropped(
                duplicate.record_id, "duplicate", cluster.representative, duplicate.score, dict(duplicate.evidence)
            )
            for cluster in clusters
            for duplicate in cluster.duplicates
        }
        self._held_out: HeldOut | None = None
        self._on_dropped = on_dropped

    def hold_out(self, records: Iterable[tuple[int, Record]], rule: Rule, methods: Methods) -> None:
        """Leave out what duplicates one of these records, which come with their line."""
        self._held_out = HeldOut(rule, methods)
        for line, record in records:
            self._held_out.add(line, record_rows(record))

    def keep(self, record: Record) -> bool:
        """Whether the record is kept."""
        dropped = self._copies.get(record.id)
        if dropped is None and self._held_out is not None:
            dropped = self._held_out.match(record_rows(record))
        if dropped is not None:
            self._on_dropped(dropped)
        return dropped is None
