"""From the arguments of `log` to a record: checked, normalised, fingerprinted. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from genstore.errors import InvalidInput
from genstore.filters import storable
from genstore.identity import canonical_json, new_id, sha256
from genstore.messages import Content, as_parts
from genstore.records import (
    DEFAULT_PROJECT,
    KINDS,
    STATUSES,
    USAGE_FIELDS,
    Part,
    Record,
    Score,
    Usage,
)

_NAMES = (
    "name", "model", "provider", "operation", "finish_reason",
    "session_id", "trace_id", "span_id", "parent_id", "user_id",
)  # fmt: skip
_NO_MAPPING: Mapping[str, Any] = {}
_NO_USAGE = Usage()
# In UTF-8: two of them fit into an entry of PostgreSQL's indexes, which takes 2,704 bytes.
_LONGEST_NAME_BYTES = 1_000
# Filters compare no more of a text than LEAF_CHARACTERS; two projects must differ within that.
_LONGEST_PROJECT = 200

LOG_FIELDS = frozenset(field.name for field in fields(Record)) - {"fingerprint", "duplicate_of", "scores"}


def build_record(
    prompt: Content = None,
    output: Content = None,
    *,
    media_type: str | None = None,
    project: str = DEFAULT_PROJECT,
    id: str | None = None,
    kind: str = "generation",
    params: Mapping[str, Any] | None = None,
    usage: Usage | Mapping[str, Any] | None = None,
    duration_s: float | None = None,
    time_to_first_token_s: float | None = None,
    status: str | None = None,
    error: str | BaseException | None = None,
    tags: Iterable[str] = (),
    metadata: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
    created_at: datetime | str | None = None,
    **names: str | None,
) -> Record:
    """A record ready to be written. Raises InvalidInput naming the argument, its value and what to pass instead."""
    if unknown := names.keys() - set(_NAMES):
        raise InvalidInput(f"unknown field {sorted(unknown)[0]!r}; put your own fields into metadata={{…}}")
    if prompt is None and output is None:
        raise InvalidInput("nothing to log: pass a prompt, an output or both (an empty text counts)")
    if kind not in KINDS:
        raise InvalidInput(f"kind is {kind!r}; it is one of {', '.join(KINDS)}")
    status = status or ("error" if error else "ok")
    if status not in STATUSES:
        raise InvalidInput(f"status is {status!r}; it is one of {', '.join(STATUSES)}")
    if isinstance(error, BaseException):
        error = f"{type(error).__name__}: {error}"
    if params and (not isinstance(params, Mapping)):
        raise InvalidInput(f"params is a {type(params).__name__}, not a mapping")
    # One media type for two bodies: it describes the bytes, or the output when neither or both are bytes.
    of_prompt = isinstance(prompt, bytes) and not isinstance(output, bytes)
    prompt_parts = as_parts(prompt, "prompt", media_type if of_prompt else None)
    output_parts = as_parts(output, "output", None if of_prompt else media_type)
    checked_names: dict[str, Any] = {key: checked_name(value, key) for key, value in names.items()}
    for part in (*prompt_parts, *output_parts):
        checked_name(part.role, "a part's role")
        checked_name(part.type, "a part's type")
        checked_name(part.media_type, "media_type")
    record = Record(
        id=checked_id(id) if id is not None else new_id(),
        prompt=prompt_parts,
        output=output_parts,
        kind=kind,
        project=checked_project(project),
        params=checked_mapping(params, "params"),
        usage=checked_usage(usage),
        duration_s=checked_number(duration_s, "duration_s"),
        time_to_first_token_s=checked_number(time_to_first_token_s, "time_to_first_token_s"),
        status=status,
        error=storable(checked_text(error, "error")) if error else None,
        tags=checked_tags(tags),
        metadata=checked_mapping(metadata, "metadata"),
        attributes=checked_mapping(attributes, "attributes"),
        created_at=checked_moment(created_at),
        **checked_names,
    )
    object.__setattr__(record, "fingerprint", fingerprint(record))
    return record


def fingerprint(record: Record) -> str:
    """The SHA-256 of what makes a record the same record: project, kind, model, params, prompt and output."""
    lines = [record.project, record.kind, record.model or "", canonical_json(record.params, "params")]
    lines += _described(record.prompt)
    lines.append("")
    lines += _described(record.output)
    return sha256("\n".join(lines).encode())


def _described(parts: tuple[Part, ...]) -> list[str]:
    return [
        f"{part.role} {part.type} {part.media_type} {part.sha256}"
        + (canonical_json(part.attributes, "attributes") if part.attributes else "")
        for part in parts
    ]


def checked_name(value: Any, what: str) -> str | None:
    """A short text that SQL can hold: names, labels, ids that came from outside."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{what} is {value!r}, a {type(value).__name__}; pass text")
    if value.isascii() and "\0" not in value and len(value) <= _LONGEST_NAME_BYTES:
        return value
    if "\0" in value:
        raise InvalidInput(f"{what} is {value[:40]!r}: it holds a NUL character; remove it")
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} is {value[:40]!r}: it holds half a surrogate pair; remove it") from error
    if size_bytes > _LONGEST_NAME_BYTES:
        characters = f"{len(value):,} characters"
        raise InvalidInput(f"{what} has {characters}; at most {_LONGEST_NAME_BYTES:,} fit (UTF-8 bytes), use metadata")
    return value


def checked_project(value: Any) -> str:
    """A project's name, the default one for None."""
    name = checked_name(value, "project") or DEFAULT_PROJECT
    if len(name) > _LONGEST_PROJECT:
        raise InvalidInput(f"project has {len(name):,} characters; at most {_LONGEST_PROJECT} fit")
    return name


def checked_text(value: Any, what: str) -> str:
    """Text of any length and any characters."""
    if not isinstance(value, str):
        raise InvalidInput(f"{what} is {value!r}, a {type(value).__name__}; pass text")
    return value


def checked_id(value: Any) -> str:
    """An id in the form genstore makes: a UUID in lower-case text."""
    import uuid

    try:
        return str(uuid.UUID(value))
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidInput(f"id is {value!r}; pass a UUID such as {new_id()}, or leave it out") from error


def checked_number(value: Any, what: str) -> float | None:
    """A finite number >= 0."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{what} is {value!r}; pass a number")
    if not math.isfinite(value) or value < 0:
        raise InvalidInput(f"{what} is {value!r}; pass a finite number >= 0, or leave it out")
    return float(value)


def checked_usage(value: Usage | Mapping[str, Any] | None) -> Usage:
    """Usage from its dataclass, a mapping of its fields, or OpenAI's prompt_tokens and completion_tokens."""
    if value is None:
        return _NO_USAGE
    if isinstance(value, Usage):
        given: Mapping[str, Any] = {name: getattr(value, name) for name in USAGE_FIELDS}
    elif isinstance(value, Mapping):
        given = {_USAGE_ALIASES.get(key, key): item for key, item in value.items()}
    else:
        raise InvalidInput(f"usage is a {type(value).__name__}; pass genstore.Usage or a mapping")
    counts: dict[str, Any] = {}
    for key, item in given.items():
        if key == "total_tokens" or key.endswith("_details"):
            continue
        if key not in USAGE_FIELDS:
            raise InvalidInput(f"usage has the field {key!r}; it takes {', '.join(USAGE_FIELDS)}")
        number = checked_number(item, f"usage.{key}")
        if key != "cost_usd" and number is not None and (number != int(number) or number > 2**53):
            raise InvalidInput(f"usage.{key} is {item!r}; pass a whole number of tokens")
        counts[key] = number if key == "cost_usd" or number is None else int(number)
    return Usage(**counts)


_USAGE_ALIASES = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags without repeats, in the order given."""
    if isinstance(tags, str):
        raise InvalidInput(f"tags is the text {tags!r}; pass a list such as [{tags!r}]")
    if not tags:
        return ()
    names = dict.fromkeys(checked_name(tag, "a tag") or "" for tag in tags)
    if "" in names:
        raise InvalidInput("a tag is empty; leave it out")
    return tuple(names)


def checked_mapping(value: Mapping[str, Any] | None, what: str) -> Mapping[str, Any]:
    """A mapping that JSON can hold, as a copy of its own."""
    if not value:
        if value is None or isinstance(value, Mapping):
            return _NO_MAPPING
        raise InvalidInput(f"{what} is {value!r}; pass a mapping")
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{what} is a {type(value).__name__}; pass a mapping")
    canonical_json(value if isinstance(value, dict) else dict(value), what)
    return dict(value)


def checked_moment(value: datetime | str | None) -> datetime:
    """A moment in UTC; text is ISO 8601, a moment without a zone is taken as UTC."""
    if value is None:
        return datetime.now(UTC)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise InvalidInput(f"created_at is {value!r}; pass ISO 8601 such as 2026-01-31T12:00:00Z") from error
    if not isinstance(value, datetime):
        raise InvalidInput(f"created_at is a {type(value).__name__}; pass a datetime or ISO 8601 text")
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(f"created_at is {value.isoformat()}; pass a moment of the years 1 to 9999 in UTC") from error


def build_score(
    name: str,
    value: float | None = None,
    *,
    label: str | None = None,
    comment: str | None = None,
    source: str = "human",
    user_id: str | None = None,
) -> Score:
    """A score ready to be written. Raises InvalidInput for NaN, for no value and no label, for an empty name."""
    if not name:
        raise InvalidInput("a score needs a name such as 'quality'")
    if value is None and label is None:
        raise InvalidInput(f"score {name!r} has neither a value nor a label; pass one")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and math.isfinite(value)):
        raise InvalidInput(f"score {name!r} is {value!r}; pass a finite number, or label= for a word")
    return Score(
        name=checked_name(name, "score name") or "",
        value=None if value is None else float(value),
        label=checked_name(label, "label"),
        comment=None if comment is None else storable(checked_text(comment, "comment")),
        source=checked_name(source, "source") or "human",
        user_id=checked_name(user_id, "user_id"),
    )
