"""Parquet: rows of any file, and our own columns.

A record's side that is one plain text stands in `prompt_text` or `output_text` alone; anything else (messages, images,
text that UTF-8 cannot hold) stands in `prompt_parts` or `output_parts` as JSON, with its readable text beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import ModuleType
from typing import Any, BinaryIO

from genstore.errors import InvalidInput, MissingDependency
from genstore.exchange.form import Form, part_to_json
from genstore.exchange.jsonl import Row
from genstore.filters import storable
from genstore.records import USAGE_FIELDS, Part

MAGIC = b"PAR1"
_ROWS_AT_ONCE = 500
# As an uncompressed estimate; a row group is what a reader holds in memory.
_ROW_GROUP_BYTES = 64 << 20

_TEXT = (
    "id", "project", "kind", "name", "model", "provider", "operation", "status", "error", "finish_reason",
    "session_id", "trace_id", "span_id", "parent_id", "user_id", "fingerprint", "duplicate_of",
)  # fmt: skip
_NUMBERS = ("duration_s", "time_to_first_token_s")
_JSON = ("params", "metadata", "attributes", "scores", "relations", "citations")
_SIDES = {"prompt": "user", "output": "assistant"}
_OWN = ("id", "project", "kind", "created_at", "prompt_text", "prompt_parts", "output_text", "output_parts")


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise MissingDependency('Parquet needs pyarrow; pip install "genstore[parquet]"') from error
    return pyarrow, pyarrow.parquet


def read_rows(file: BinaryIO) -> Iterator[Row]:
    """Rows of a Parquet file, in batches as they are read; line is the row's number from 1.

    Files of our own give forms (see form.py). Raises InvalidInput for a file that is damaged, MissingDependency.
    """
    pyarrow, parquet = _pyarrow()
    try:
        table = parquet.ParquetFile(file)
        own = set(_OWN) <= set(table.schema_arrow.names)
        line = 0
        for batch in table.iter_batches(_ROWS_AT_ONCE):
            for row in batch.to_pylist():
                line += 1
                yield Row(line, _as_form(row) if own else {key: _plain(value) for key, value in row.items()})
    except pyarrow.ArrowException as error:
        raise InvalidInput(f"this is not a readable Parquet file: {error}") from error


def _as_form(row: Mapping[str, Any]) -> Form:
    form: Form = {name: row[name] for name in (*_TEXT, *_NUMBERS) if row.get(name) is not None}
    form["created_at"] = row["created_at"].isoformat()
    form["usage"] = {name: row[name] for name in USAGE_FIELDS if row.get(name) is not None}
    form["tags"] = row.get("tags") or []
    for name in _JSON:
        if row.get(name) is not None:
            form[name] = json.loads(row[name])
    for side, role in _SIDES.items():
        if row[f"{side}_parts"] is not None:
            form[side] = json.loads(row[f"{side}_parts"])
        elif row[f"{side}_text"] is not None:
            form[side] = [part_to_json(Part(role=role, text=row[f"{side}_text"]))]
    return form


def _plain(value: Any) -> Any:
    """What JSON can hold of a cell. Bytes stay bytes: they may be an output."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class ParquetWriter:
    """Writes forms into a Parquet file, a row group at a time; close() finishes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._pyarrow, parquet = _pyarrow()
        self._schema = _schema(self._pyarrow)
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def write(self, form: Form) -> None:
        row = _as_row(form)
        self._rows.append(row)
        self._bytes += 200 + sum(len(value) for value in row.values() if isinstance(value, str))
        if self._bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0


def _schema(pyarrow: ModuleType) -> Any:
    # large_string: one row group may hold more than 2 GiB of one column.
    columns = [(name, pyarrow.string()) for name in _TEXT]
    columns.insert(3, ("created_at", pyarrow.timestamp("us", tz="UTC")))
    columns += [(name, pyarrow.large_string()) for name in ("prompt_text", "output_text")]
    columns += [(name, pyarrow.float64()) for name in (*_NUMBERS, "cost_usd")]
    columns += [(name, pyarrow.int64()) for name in USAGE_FIELDS if name != "cost_usd"]
    columns += [("tags", pyarrow.list_(pyarrow.string()))]
    columns += [(name, pyarrow.large_string()) for name in ("prompt_parts", "output_parts", *_JSON)]
    return pyarrow.schema(columns)


def _as_row(form: Form) -> dict[str, Any]:
    row = {name: form.get(name) for name in (*_TEXT, *_NUMBERS)}
    row |= form.get("usage", {})
    row["created_at"] = datetime.fromisoformat(form["created_at"])
    row["tags"] = form.get("tags", [])
    row |= {name: json.dumps(form[name]) for name in _JSON if name in form}
    for side, role in _SIDES.items():
        parts: list[Form] = form.get(side, [])
        texts = [part["text"] for part in parts if "text" in part]
        text = storable("\n\n".join(texts)) if texts else None
        row[f"{side}_text"] = text
        plain = not parts or parts == [part_to_json(Part(role=role, text=text))]
        row[f"{side}_parts"] = None if plain else json.dumps(parts)
    return row
