"""The rows of a file as records that are compared with and not stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from genstore.errors import InvalidInput
from genstore.exchange import jsonl
from genstore.exchange.import_ import SAMPLE, Source, rows_of
from genstore.exchange.mapping import FieldMapping, as_mapping, reader_for
from genstore.records import Record


def records_of(
    source: Source, mapping: FieldMapping | Mapping[str, Any] | None, project: str
) -> Iterator[tuple[int, Record]]:
    """(line, record) of each row of a JSONL or Parquet file, its fields recognised or mapped as by an import.

    Raises InvalidInput for the first row that cannot be used: a leak check that passes over rows checks nothing.
    """
    with jsonl.opened(source) as file:
        rows = rows_of(file, source, None)
        sample = list(islice(rows, SAMPLE))
        as_record = reader_for([row.value for row in sample if not row.problem], as_mapping(mapping), project, project)
        for row in chain(sample, rows):
            if row.problem:
                raise InvalidInput(f"line {row.line} of {source} cannot be used: {row.problem}")
            yield row.line, as_record(row.value).record
