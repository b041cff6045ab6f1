"""Export: records as JSONL or Parquet, complete enough that importing them is the identity."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

from sqlalchemy import select

from genstore.errors import InvalidInput
from genstore.exchange import jsonl
from genstore.exchange.form import Form, encoded, record_to_json
from genstore.exchange.parquet import ParquetWriter
from genstore.filters import Where
from genstore.records import Record, Relation
from genstore.sql import tables
from genstore.sql.citations import citations_of
from genstore.sql.rows import build_relation

if TYPE_CHECKING:
    from genstore.store import Store

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet")
Target: TypeAlias = "str | os.PathLike[str] | BinaryIO"

# A page is held in memory with all its bodies.
_PAGE = 200


def export_file(
    store: Store,
    target: Target,
    *,
    where: Where = None,
    format: Format | None = None,
    keep: Callable[[Record], bool] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the records that satisfy the filter, oldest first; returns how many.

    keep: asked about each record, leaves out those that it answers False to.
    target: a file, which appears when all is written and not before, or "-" for standard output; .gz and .zst
    compress JSONL. format: from the suffix when None. overwrite: replace a file that is there. progress is called with
    (done, left). Raises InvalidInput for a format that is not known, and for a file that is there already;
    StorageFull when the file cannot be written.
    """
    chosen = checked_target(target, format, overwrite)
    name = str(target) if isinstance(target, str | os.PathLike) else ""
    total = store.count(where) if progress is not None else 0
    with jsonl.replaced(target) as raw, jsonl.compressed(raw, name if chosen == "jsonl" else "") as file:
        writer = ParquetWriter(file) if chosen == "parquet" else _LineWriter(file)
        seen = written = 0
        for record, form in _described(store, where):
            seen += 1
            if keep is None or keep(record):
                writer.write(form)
                written += 1
            if progress is not None and seen % _PAGE == 0:
                progress(seen, max(total - seen, 0))
        writer.close()
        if progress is not None:
            progress(seen, 0)
    return written


def checked_target(target: Target, format: Format | None, overwrite: bool) -> Format:
    """The format to write. Raises InvalidInput for one that is not known, and for a file that is there already."""
    chosen = format_of(target, format)
    if not overwrite:
        jsonl.refuse_existing(target)
    return chosen


def format_of(target: Target, format: Format | None) -> Format:
    """The format asked for, or the one that the target's suffix says; standard output is JSONL."""
    if format is not None:
        if format not in FORMATS:
            raise InvalidInput(f"format is {format!r}; it is one of {', '.join(FORMATS)}")
        return format
    if not isinstance(target, str | os.PathLike) or str(target) == jsonl.STANDARD:
        return "jsonl"
    name = str(target).lower()
    for suffix in (".gz", ".gzip", ".zst", ".zstd"):
        name = name.removesuffix(suffix)
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return "jsonl"
    raise InvalidInput(f"{target} does not say its format; name it .jsonl or .parquet, or pass the format")


def _described(store: Store, where: Where) -> Iterator[tuple[Record, Form]]:
    """Every record that satisfies the filter, oldest first, and its form with its relations and citations."""
    cursor: str | None = None
    while True:
        page = store.list(where, limit=_PAGE, cursor=cursor, oldest_first=True)
        relations = _relations(store, [record.id for record in page.records])
        with store.database.read() as connection:
            citations = citations_of(connection, [record.id for record in page.records])
        for record in page.records:
            yield record, record_to_json(record, relations.get(record.id, ()), citations.get(record.id, ()))
        if (cursor := page.cursor) is None:
            return


def _relations(store: Store, ids: Sequence[str]) -> dict[str, list[Relation]]:
    edges = tables.relations
    query = select(edges).where(edges.c.source_id.in_(ids)).order_by(edges.c.source_id, edges.c.role, edges.c.target_id)
    found: dict[str, list[Relation]] = {}
    with store.database.read() as connection:
        for row in connection.execute(query):
            found.setdefault(row.source_id, []).append(build_relation(row))
    return found


class _LineWriter:
    """One form a line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, form: Form) -> None:
        self._file.write(encoded(form) + b"\n")

    def close(self) -> None:
        """Nothing is held back."""
