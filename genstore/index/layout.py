"""How a point looks inside Qdrant, embedded and server alike: names of vectors, keys of fields, escaping.

A payload is {"record": id, "side": […], "role": […], "r": {key: [leaves]}}: the record's fields are nested under one
key so that one overwrite replaces them all and leaves the passage's own alone. A leaf list may mix texts and numbers.
"""

from __future__ import annotations

import re
from typing import Any

from genstore.index.points import POINT_FIELDS, Payload

DENSE = "dense"
SPARSE = "bm25"
RECORD_ID = "record"
FIELDS = "r"

KEYWORDS = ("project", "kind", "model", "provider", "status", "session_id", "user_id", "tag", "side")
"""Fields with a keyword index."""

PARTITIONING = ("project", "kind", "model", "provider", "status", "tag", "side")
"""Fields of few values, each shared by many points: the graph gets extra edges within each value."""

NUMBERS = ("created_at",)
"""Fields with an index for ranges."""

_ELSEWHERE = ("id", *POINT_FIELDS)
_UNSAFE = re.compile(r"[^A-Za-z0-9_]")


def payload_key(field: str) -> str:
    """The JSON path of a field.

    Qdrant's paths give dots, brackets and quotes a meaning and cannot escape them, so every other character is
    written as its code point in hexadecimal between hyphens: "metadata.a-b" is r.metadata-2e-a-2d-b. No two fields
    share a key.
    """
    if field == "id":
        return RECORD_ID
    return field if field in POINT_FIELDS else f"{FIELDS}.{_escaped(field)}"


def _escaped(field: str) -> str:
    return _UNSAFE.sub(lambda match: f"-{ord(match[0]):x}-", field) or "--"


def _leaves(values: Any) -> Any:
    # A lone value stands without its list: filters see no difference and Qdrant takes it in half the time.
    if len(values) == 1:
        return values[0] if isinstance(values[0], str) else float(values[0])
    return [value if isinstance(value, str) else float(value) for value in values]


def record_payload(payload: Payload) -> dict[str, Any]:
    """The part of a point's payload that all of a record's points share and set_payload replaces."""
    shared = {field: values for field, values in payload.items() if values and field not in _ELSEWHERE}
    return {FIELDS: {_escaped(field): _leaves(values) for field, values in shared.items()}}


def point_payload(record_id: str, payload: Payload) -> dict[str, Any]:
    """The whole payload of a new point."""
    own = {field: _leaves(payload[field]) for field in POINT_FIELDS if payload.get(field)}
    return {RECORD_ID: record_id, **own, **record_payload(payload)}
