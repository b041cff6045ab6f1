"""Reading what servers really send: the client does not check it, and an answer must not be lost for its frills."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_LONGEST_WORD = 100


def field(found: Any, name: str) -> Any:
    """A field of an object or mapping; None where it is neither, or has no such field."""
    return found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)


def first_choice(answer: Any) -> Any:
    """The first of the answer's choices; None where there is none that has fields."""
    choices = field(answer, "choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return None if isinstance(first, str | int | float | list) else first


def text_of(message: Any) -> str:
    """The text of a message or a piece of one, whose content may come as a list of parts."""
    content = field(message, "content")
    if isinstance(content, list):
        content = "".join(part for item in content if isinstance(part := field(item, "text"), str))
    return content if isinstance(content, str) else ""


def said(answer: Any) -> str:
    """What a reply that is no answer says went wrong."""
    error = field(answer, "error")
    message = field(error, "message") or error
    return message if isinstance(message, str) else ""


def word(value: Any) -> str | None:
    """A short text that a record can hold, whatever came; None for nothing."""
    if value is None:
        return None
    return str(value)[:_LONGEST_WORD].replace("\0", "").encode("utf-8", "replace").decode()


def count(value: Any, *, whole: bool = True) -> Any:
    """A count of tokens, or with whole=False a cost; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value) or not 0 <= value <= 2**53 or (whole and value != int(value)):
        return None
    return int(value) if whole else float(value)
