"""Import: rows of a file become records, streamed in batches; running it again goes on where it stopped."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

from sqlalchemy import insert, literal, select

from genstore.errors import InvalidInput
from genstore.exchange import jsonl, parquet
from genstore.exchange.form import Described
from genstore.exchange.jsonl import Row
from genstore.exchange.mapping import FieldMapping, as_mapping, guessed, reader_for
from genstore.identity import canonical_json
from genstore.records import Citation, Record, Relation, Score, to_microseconds
from genstore.sql import read, tables
from genstore.sql.annotate import reconsider
from genstore.sql.citations import restore_citations
from genstore.sql.engine import insert_once
from genstore.sql.rows import record_rows
from genstore.sql.write import POLICIES, Entry, OnDuplicate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from genstore.dedup.rule import Level, Rule
    from genstore.store import Store

Format = Literal["jsonl", "parquet"]
Source: TypeAlias = "str | os.PathLike[str] | BinaryIO"

_BATCH = 500
# Fields are recognised, and a mapping is checked, by the first rows: before anything is stored.
SAMPLE = 1_000
_MOST_ERRORS = 100


@dataclass(slots=True)
class ImportReport:
    """What an import did so far: read = stored + skipped + failed.

    errors: (line or row number, what is wrong) of the first hundred that failed. scores and relations: those added.
    guessed: what fields were taken as, where no mapping said so.
    position and size: bytes of the source read and in all, 0 when unknown.
    """

    read: int = 0
    stored: int = 0
    skipped: int = 0
    failed: int = 0
    scores: int = 0
    relations: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    guessed: str = ""
    seconds: float = 0.0
    position: int = 0
    size: int = 0

    def fail(self, line: int, message: str) -> None:
        self.failed += 1
        if len(self.errors) < _MOST_ERRORS:
            self.errors.append((line, message))


def import_file(
    store: Store,
    source: Source,
    *,
    format: Format | None = None,
    mapping: FieldMapping | Mapping[str, Any] | None = None,
    on_duplicate: OnDuplicate | None = None,
    dedup: Rule | Level | None = None,
    progress: Callable[[ImportReport], None] | None = None,
    limit: int | None = None,
    project: str | None = None,
) -> ImportReport:
    """Store the rows of a JSONL (plain, gzip, zstd) or Parquet file; "-" reads standard input.

    mapping: which field is what; None recognises genstore's own exports, messages, and the common names of prompt and
    output. on_duplicate and dedup: for rows whose content is there already, as in `Store.log`, but skipped where nobody
    says otherwise; rows of an own export keep their ids instead and are skipped by them. progress is called after each
    batch with the report, which goes on changing. limit: rows to read. project: put the records there, own exports too.
    A row that cannot be used is reported and passed over.
    Raises InvalidInput when the mapping does not fit the file, before anything is stored; what was committed before
    any other error stays.
    """
    if on_duplicate is None and (dedup is not None or store.policy().on_duplicate == "keep"):
        on_duplicate = "skip"  # so that an import can be run again
    if on_duplicate not in (None, *POLICIES):
        raise InvalidInput(f"on_duplicate is {on_duplicate!r}; it is one of {', '.join(POLICIES)}")
    chosen, started = as_mapping(mapping), time.monotonic()
    report = ImportReport()
    work = _Import(store, report, on_duplicate, dedup)
    with jsonl.opened(source) as file:
        report.size = _size(file)
        rows = islice(rows_of(file, source, format), limit)
        sample = list(islice(rows, SAMPLE))
        usable = [row.value for row in sample if not row.problem]
        as_record = reader_for(usable, chosen, store.settings.project, project)
        report.guessed = guessed(usable, chosen)
        for batch in _batches(chain(sample, rows), _BATCH):
            work.add(batch, as_record)
            report.seconds = time.monotonic() - started
            report.position = _position(file)
            if progress is not None:
                progress(report)
    work.finish()
    report.seconds = time.monotonic() - started
    return report


class _Import:
    """Writes batches and counts what became of each row."""

    def __init__(
        self, store: Store, report: ImportReport, on_duplicate: OnDuplicate | None, dedup: Rule | Level | None
    ) -> None:
        self._store = store
        self._report = report
        self._on_duplicate = on_duplicate
        self._dedup = dedup
        self._waiting: list[Relation] = []  # their target may still be to come
        self._cited: list[tuple[str, Sequence[Citation]]] = []  # and what is cited

    def add(self, rows: Sequence[Row], as_record: Callable[[Any], Described]) -> None:
        fresh: list[tuple[int, Described]] = []
        owned: dict[str, tuple[int, Described]] = {}
        entries: list[Entry] = []
        for row in rows:
            self._report.read += 1
            if row.problem:
                self._report.fail(row.line, row.problem)
                continue
            try:
                described = as_record(row.value)
            except (InvalidInput, OverflowError) as error:
                self._report.fail(row.line, str(error))
                continue
            record = described.record
            if not described.own:
                entries.append(self._store.entry(record, self._on_duplicate, self._dedup))
            elif record.id in owned:
                self._report.fail(row.line, f"the id {record.id} stands twice in this file")
            else:
                owned[record.id] = (row.line, described)
                fresh.append((row.line, described))
        there = self._present(owned)
        added = [described for _, described in fresh if described.record.id not in there]
        entries += [Entry(record_rows(described.record), "keep") for described in added]
        self._write(entries)
        self._annotate(added, [(*owned[record_id], record) for record_id, record in there.items()])

    def finish(self) -> None:
        """Add the relations whose target came later in the file, and say which have none."""
        waiting, self._waiting = self._waiting, []
        with self._store.database.write() as connection:
            for chunk in read.chunked(waiting):
                self._relate(connection, chunk)
            left_out = restore_citations(connection, self._cited)
        if self._waiting:
            first = self._waiting[0]
            self._report.notes.append(
                f"{len(self._waiting)} relations were left out, one of their records is not in the store "
                f"(the first: {first.source_id} {first.role} {first.target_id})"
            )

        if left_out:
            self._report.notes.append(f"{left_out} citations were left out, what they cite is not in the project")

    def _present(self, ids: Iterable[str]) -> dict[str, Record]:
        """The records that are in the store already, without their bodies."""
        if not ids:
            return {}
        with self._store.database.read() as connection:
            return read.load(connection, None, list(ids))

    def _write(self, entries: Sequence[Entry]) -> None:
        self._store.write_entries(entries)
        stored = sum(entry.stored for entry in entries)
        self._report.stored += stored
        self._report.skipped += len(entries) - stored

    def _annotate(self, added: Sequence[Described], there: Sequence[tuple[int, Described, Record]]) -> None:
        """Add scores and relations; those of records that were there, too: an import may have died before them."""
        scores = [(described.record.id, score) for described in added for score in described.record.scores]
        relations = [edge for described in added for edge in described.relations]
        self._cited += [(one.record.id, one.citations) for one in added if one.citations]
        for line, described, record in there:
            if differing := _differences(described.record, record):
                self._report.fail(
                    line, f"record {record.id} is in the store already with other {differing}; that one stays"
                )
                continue
            self._report.skipped += 1
            scores += [(record.id, score) for score in _missing(described.record.scores, record.scores)]
            relations += described.relations
            if described.citations:
                self._cited.append((record.id, described.citations))
        if not scores and not relations:
            return
        with self._store.database.write() as connection:
            _add_scores(connection, scores)
            self._relate(connection, relations)
        self._report.scores += len(scores)

    def _relate(self, connection: Connection, relations: Sequence[Relation]) -> None:
        """Add the edges whose records both exist; the others wait."""
        ends = {end for edge in relations for end in (edge.source_id, edge.target_id)}
        ids = tables.records.c.id
        there: set[str] = set()
        for chunk in read.chunked(ends):
            there.update(connection.execute(select(ids).where(ids.in_(chunk))).scalars())
        ready = [edge for edge in relations if edge.source_id in there and edge.target_id in there]
        self._waiting += [edge for edge in relations if edge.source_id not in there or edge.target_id not in there]
        if ready:
            rows = [
                {
                    "source_id": edge.source_id,
                    "role": edge.role,
                    "target_id": edge.target_id,
                    "attributes": canonical_json(dict(edge.attributes), "attributes"),
                }
                for edge in ready
            ]
            connection.execute(insert_once(connection, tables.relations), rows)
            for edge in ready:
                if edge.role == "edit_of":
                    reconsider(connection, edge.target_id)
            self._report.relations += len(rows)


def _add_scores(connection: Connection, scores: Sequence[tuple[str, Score]]) -> None:
    """Insert scores in one statement, and tell every index about their records."""
    for chunk in read.chunked(scores):
        rows = [
            {
                "record_id": record_id,
                "name": score.name,
                "value": score.value,
                "label": score.label,
                "comment": score.comment,
                "source": score.source,
                "user_id": score.user_id,
                "created_us": to_microseconds(score.created_at),
            }
            for record_id, score in chunk
        ]
        connection.execute(insert(tables.scores), rows)
        records, indexes = tables.records, tables.indexes
        scored = indexes.join(records, records.c.id.in_({record_id for record_id, _ in chunk}))
        told = select(indexes.c.id, literal("payload"), records.c.id).select_from(scored)
        told = told.where(indexes.c.state != "retired")
        connection.execute(insert(tables.outbox).from_select(["index_id", "action", "record_id"], told))


_COMPARED = tuple(
    field.name for field in fields(Record) if field.name not in ("prompt", "output", "scores", "tags", "duplicate_of")
)


def _differences(given: Record, there: Record) -> str:
    """The names of the fields in which two records of one id differ; bodies are compared by their fingerprint."""
    differing = [name for name in _COMPARED if getattr(given, name) != getattr(there, name)]
    if set(given.tags) != set(there.tags):
        differing.append("tags")
    return ", ".join("content" if name == "fingerprint" else name for name in differing)


def _missing(given: Sequence[Score], there: Sequence[Score]) -> list[Score]:
    return list((Counter(given) - Counter(there)).elements())


def rows_of(file: BinaryIO, source: Source, format: Format | None) -> Iterator[Row]:
    """The rows of a source in the format that it says, that is asked for, or that its first bytes show."""
    file, head = jsonl.first_bytes(file)
    if format == "parquet" and head != parquet.MAGIC:
        raise InvalidInput(f"{_name(source)} is not a Parquet file; leave out the format to have it recognised")
    if head == parquet.MAGIC and format != "jsonl":
        return parquet.read_rows(_seekable(file))
    if head == b"":
        return iter(())
    return jsonl.read_rows(file)


def _seekable(file: BinaryIO) -> BinaryIO:
    """The file itself, or a copy on disk: a Parquet file is read from its end."""
    if file.seekable():
        return file
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the rows are read
    shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "this"


def _size(file: BinaryIO) -> int:
    try:
        return os.fstat(file.fileno()).st_size if file.seekable() else 0
    except (OSError, ValueError):
        return 0


def _position(file: BinaryIO) -> int:
    try:
        return file.tell() if file.seekable() else 0
    except (OSError, ValueError):
        return 0


def _batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch
