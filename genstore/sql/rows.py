"""A record as rows, and rows as records."""

from __future__ import annotations

import json
import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from genstore.filters import field_rows
from genstore.identity import canonical_json, decode_text, encode_text
from genstore.records import (
    Part,
    Record,
    Relation,
    Score,
    Usage,
    from_microseconds,
    to_microseconds,
)
from genstore.sql import tables

RECORD_COLUMNS = tuple(tables.records.c.keys())
PART_COLUMNS = (
    "record_id", "side", "position", "message", "role", "type", "media_type", "sha256", "binary", "history",
    "attributes",
)  # fmt: skip

Row = tuple[Any, ...]


class RecordRows(NamedTuple):
    """Everything one record puts into SQL, ready for executemany."""

    record: Row
    bodies: dict[str, bytes]
    parts: list[Row]
    tags: list[Row]
    fields: list[Row]


def record_rows(record: Record) -> RecordRows:
    """The rows of a record; bodies by their SHA-256."""
    usage = record.usage
    row = (
        record.id, record.project, record.kind, record.name, record.model, record.provider, record.operation,
        _json(record.params), usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens,
        usage.cost_usd, record.duration_s, record.time_to_first_token_s, record.finish_reason, record.status,
        record.error, record.session_id, record.trace_id, record.span_id, record.parent_id, record.user_id,
        _json(record.metadata), _json(record.attributes), to_microseconds(record.created_at), record.fingerprint,
    )  # fmt: skip
    bodies: dict[str, bytes] = {}
    parts: list[Row] = []
    for side, given in (("prompt", record.prompt), ("output", record.output)):
        for position, part in enumerate(given):
            if part.sha256 not in bodies:
                bodies[part.sha256] = encode_text(part.text) if part.text is not None else part.data or b""
            parts.append((
                record.id, side, position, part.message, part.role, part.type, part.media_type, part.sha256,
                part.text is None, part.history, _json(part.attributes) if part.attributes else None,
            ))  # fmt: skip
    return RecordRows(
        row, bodies, parts, [(record.id, tag) for tag in record.tags], field_table_rows(record.id, record)
    )


def field_table_rows(record_id: str, record: Record) -> list[Row]:
    """The rows of `fields`: (record, path, position, text, number) for each leaf of metadata and params."""
    if not record.metadata and not record.params:
        return []
    return [(record_id, *row) for row in field_rows(record.metadata, record.params)]


def _json(value: Mapping[str, Any]) -> str:
    return canonical_json(value) if value else "{}"


def pack_keys(keys: Iterable[int]) -> bytes:
    """Keys of a sketch, 8 bytes each, little-endian."""
    packed = array("q", keys)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_keys(data: bytes) -> list[int]:
    """The inverse of pack_keys."""
    keys = array("q", data)
    if sys.byteorder == "big":
        keys.byteswap()
    return list(keys)


def build_part(row: Any, body: bytes | None, size_bytes: int) -> Part:
    """A part from a row of `parts`; body None when it could not be read."""
    return Part(
        type=row.type,
        role=row.role,
        text=decode_text(body) if body is not None and not row.binary else None,
        data=body if row.binary else None,
        media_type=row.media_type,
        sha256=row.sha256,
        size_bytes=size_bytes,
        history=bool(row.history),
        message=row.message,
        attributes=json.loads(row.attributes) if row.attributes else {},
        id=row.id,
    )


def build_record(
    row: Any, prompt: Sequence[Part], output: Sequence[Part], tags: Iterable[str], scores: Iterable[Score]
) -> Record:
    """A record from its row and what hangs on it."""
    return Record(
        id=row.id,
        prompt=tuple(prompt),
        output=tuple(output),
        kind=row.kind,
        project=row.project,
        name=row.name,
        model=row.model,
        provider=row.provider,
        operation=row.operation,
        params=_loaded(row.params),
        usage=Usage(row.input_tokens, row.output_tokens, row.cached_tokens, row.reasoning_tokens, row.cost_usd),
        duration_s=row.duration_s,
        time_to_first_token_s=row.time_to_first_token_s,
        finish_reason=row.finish_reason,
        status=row.status,
        error=row.error,
        session_id=row.session_id,
        trace_id=row.trace_id,
        span_id=row.span_id,
        parent_id=row.parent_id,
        user_id=row.user_id,
        tags=tuple(tags),
        metadata=_loaded(row.metadata),
        attributes=_loaded(row.attributes),
        scores=tuple(scores),
        created_at=from_microseconds(row.created_us),
        fingerprint=row.fingerprint,
    )


def _loaded(text: str) -> dict[str, Any]:
    return {} if text == "{}" else json.loads(text)


def build_score(row: Any) -> Score:
    return Score(
        name=row.name,
        value=row.value,
        label=row.label,
        comment=row.comment,
        source=row.source,
        user_id=row.user_id,
        created_at=from_microseconds(row.created_us),
    )


def build_relation(row: Any) -> Relation:
    return Relation(row.source_id, row.role, row.target_id, _loaded(row.attributes))


def grouped(rows: Iterable[Any], key: Callable[[Any], str]) -> dict[str, list[Any]]:
    """Rows by key, in their order."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups
