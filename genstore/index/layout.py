"""How a point looks inside Qdrant, embedded and server alike: names of vectors, keys of fields, escaping.

A payload is {"record": id, "side": […], "role": […], "r": {…}}: the record's fields are nested under one key so that
one overwrite replaces them all and leaves the passage's own alone. Under it, fields that have an index of their own
stand as key: [leaves]. All others (what a caller may name freely, in any number) share two indexes:
"tokens": ["key", "key=text", "key#number", …] says which leaves there are, and
"numbers": [{"of": key, "is": number}, …] is searched by ranges.
"""

from __future__ import annotations

import re
from functools import lru_cache
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

TOKENS = f"{FIELDS}.tokens"
PAIRS = f"{FIELDS}.numbers"
NUMBER_OF, NUMBER_IS = "of", "is"

PAIR_OF, PAIR_IS = f"{PAIRS}[].{NUMBER_OF}", f"{PAIRS}[].{NUMBER_IS}"
"""What the index of pairs is made of; each pair is an entry of its own, so that both sides hold for one number."""

_OWN_INDEX = frozenset((*KEYWORDS, *NUMBERS, "id", *POINT_FIELDS))
_ELSEWHERE = ("id", *POINT_FIELDS)
# The engine reads numbers back from JSON with an error in the last bit, unless they are whole and fit.
_WHOLE_BELOW = 2**53
_UNSAFE = re.compile(r"[^A-Za-z0-9_]")


def payload_key(field: str) -> str:
    """The JSON path of a field.

    Qdrant's paths give dots, brackets and quotes a meaning and cannot escape them, so every other character is
    written as its code point in hexadecimal between hyphens: "metadata.a-b" is r.metadata-2e-a-2d-b. No two fields
    share a key.
    """
    if field == "id":
        return RECORD_ID
    return field if field in POINT_FIELDS else f"{FIELDS}.{escaped(field)}"


@lru_cache(maxsize=4_096)
def escaped(field: str) -> str:
    """The field's name as a key and in tokens: letters, digits, _ and - only, so that = and # end it."""
    return _UNSAFE.sub(lambda match: f"-{ord(match[0]):x}-", field) or "--"


def has_own_index(field: str) -> bool:
    """Whether the field stands under its own key; all others are found by their tokens and pairs."""
    return field in _OWN_INDEX


def text_token(field: str, text: str) -> str:
    """The token of a text leaf; the beginning of one is a prefix of its token."""
    return f"{escaped(field)}={text}"


def number_token(field: str, number: float) -> str:
    """The token of a number: its shortest exact spelling, which no storage rounds."""
    return f"{escaped(field)}#{float(number) + 0.0!r}"  # + 0.0 turns -0.0 into 0.0


def _leaves(values: Any) -> Any:
    # A lone value stands without its list: filters see no difference and Qdrant takes it in half the time.
    return _leaf(values[0]) if len(values) == 1 else [_leaf(value) for value in values]


def _leaf(value: Any) -> Any:
    return value if isinstance(value, str) else _number(float(value))


def _number(value: float) -> float:
    return int(value) if value.is_integer() and abs(value) < _WHOLE_BELOW else value


def record_payload(payload: Payload) -> dict[str, Any]:
    """The part of a point's payload that all of a record's points share and set_payload replaces."""
    fields: dict[str, Any] = {}
    tokens: list[str] = []
    pairs: list[dict[str, Any]] = []
    for field, values in payload.items():
        if not values or field in _ELSEWHERE:
            continue
        key = escaped(field)
        if has_own_index(field):
            fields[key] = _leaves(values)
            continue
        tokens.append(key)
        for value in values:
            if isinstance(value, str):
                tokens.append(text_token(field, value))
            else:
                tokens.append(number_token(field, value))
                pairs.append({NUMBER_OF: key, NUMBER_IS: _number(float(value))})
    if tokens:
        fields["tokens"] = tokens
    if pairs:
        fields["numbers"] = pairs
    return {FIELDS: fields}


def point_payload(record_id: str, payload: Payload) -> dict[str, Any]:
    """The whole payload of a new point."""
    own = {field: _leaves(payload[field]) for field in POINT_FIELDS if payload.get(field)}
    return {RECORD_ID: record_id, **own, **record_payload(payload)}
