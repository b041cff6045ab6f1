"""CSV and TSV: a row becomes a line of "column: value", so that a row found alone says what its values are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from genstore.errors import InvalidInput
from genstore.rag.documents import Document
from genstore.rag.extractors.plain import decoded

_SAMPLE = 16_384
# The module's own limit, of 128 KiB, is less than one long text in a column.
_LONGEST_FIELD = 1 << 27


def extract(data: bytes, name: str) -> Document:
    """Each row under the first row's names. Raises InvalidInput for what is no table."""
    text = decoded(data)
    csv.field_size_limit(max(_LONGEST_FIELD, csv.field_size_limit()))
    try:
        rows = list(csv.reader(io.StringIO(text), _dialect(text, name)))
    except csv.Error as error:
        raise InvalidInput(f"it cannot be read as CSV: {error}") from error
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    if not filled:
        raise InvalidInput("it is empty")
    if len(filled) == 1:  # a header without rows is all there is to be found
        return Document("; ".join(filled[0]), media_type="text/csv")
    header = [cell.strip() or f"column {number}" for number, cell in enumerate(filled[0], 1)]
    return Document("\n\n".join(_line(header, row) for row in filled[1:]), media_type="text/csv")


def _dialect(text: str, name: str) -> type[csv.Dialect]:
    if name.lower().endswith(".tsv"):
        return csv.excel_tab
    try:
        return csv.Sniffer().sniff(text[:_SAMPLE], delimiters=",;\t|")
    except csv.Error:  # one column, or too irregular to tell
        return csv.excel


def _line(header: Sequence[str], row: Sequence[str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in _cells(header, row))


def _cells(header: Sequence[str], row: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, cell in enumerate(row):
        if value := " ".join(cell.split()):
            yield (header[number] if number < len(header) else f"column {number + 1}"), value
