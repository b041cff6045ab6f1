"""What things are called: time-ordered ids, canonical JSON, SHA-256."""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
import time
from typing import Any

from genstore.errors import InvalidInput

_lock = threading.Lock()
_last: tuple[int, int] = (0, 0)  # (milliseconds, counter) of the id made last

_RANDOM_BITS = 62
_COUNTER_BITS = 12


def new_id(now_ns: int | None = None) -> str:
    """A UUIDv7 as text: later calls in one process sort after earlier ones.

    The 12 bits behind the milliseconds are a counter, so ids made within one millisecond keep their order;
    when it overflows the next millisecond is borrowed. Source: RFC 9562, section 6.2, method 1.
    """
    global _last
    now_ms = (time.time_ns() if now_ns is None else now_ns) // 1_000_000
    with _lock:
        last_ms, counter = _last
        if now_ms > last_ms:
            counter = 0
        else:
            now_ms, counter = last_ms, counter + 1
            if counter >> _COUNTER_BITS:
                now_ms, counter = now_ms + 1, 0
        _last = (now_ms, counter)
    random = int.from_bytes(os.urandom(8)) >> (64 - _RANDOM_BITS)
    value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | random
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def sha256(data: bytes) -> str:
    """The SHA-256 of data, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def encode_text(text: str) -> bytes:
    """UTF-8 that also carries lone surrogates, which models cut off mid-character do produce."""
    return text.encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    """The inverse of encode_text."""
    return data.decode("utf-8", "surrogatepass")


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(value: Any, what: str = "value") -> str:
    """JSON with sorted keys and no white space: equal values have equal text.

    Raises InvalidInput naming `what` and the offending path when value holds anything JSON cannot.
    """
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        reason = _unencodable(value, what) or f"{what} is not JSON: {error}"
        raise InvalidInput(f"{reason}; pass text, numbers, lists or objects") from error


def _unencodable(value: Any, path: str, depth: int = 0) -> str:
    """The path to, and the kind of, the first thing in value that JSON cannot hold; empty when there is none."""
    if depth > 100:
        return f"{path[:80]}… is nested deeper than 100 levels or refers to itself"
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"{path} has the key {key!r}, which is {type(key).__name__}, not text"
            if found := _unencodable(item, f"{path}.{key}", depth + 1):
                return found
        return ""
    if isinstance(value, list | tuple):
        for number, item in enumerate(value):
            if found := _unencodable(item, f"{path}[{number}]", depth + 1):
                return found
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path} is {value}, which JSON has no number for"
    if value is None or isinstance(value, str | int | float | bool):
        return ""
    return f"{path} is a {type(value).__name__}, which JSON cannot hold"
