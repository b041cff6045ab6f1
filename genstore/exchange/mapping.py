"""Rows of other tools as records: which field is what, given or recognised."""

from __future__ import annotations

import base64
import math
import mimetypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeAlias

from genstore.entry import build_record
from genstore.errors import InvalidInput
from genstore.exchange.form import Described, is_own_form, record_from_json
from genstore.identity import canonical_json
from genstore.messages import Content, data_part, text_part
from genstore.records import KINDS, STATUSES

Row: TypeAlias = Mapping[str, Any]
Reader: TypeAlias = Callable[[Row], Described]

PROMPTS = ("prompt", "instruction", "question", "query", "input")
OUTPUTS = ("output", "completion", "response", "answer")

_NAMES = (
    "name", "model", "provider", "operation", "finish_reason", "error",
    "session_id", "trace_id", "span_id", "parent_id", "user_id",
)  # fmt: skip
_ALIASES = {"tag": "tags", "session": "session_id", "user": "user_id"}
_MOST_NAMED = 40
_MOST_GUESSED = 8


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """Which field of a row becomes what; a dot goes into nested objects and lists ("choices.0.text").

    only: leave out the fields that are not named here; otherwise they become metadata, or what their name says when
    it is one of ours.
    """

    prompt: str | None = None
    output: str | None = None
    model: str | None = None
    provider: str | None = None
    name: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    created_at: str | None = None
    id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    only: bool = False

    @property
    def named(self) -> dict[str, str]:
        """The single fields that are mapped: theirs by ours."""
        return {name: value for name in _SINGLE if (value := getattr(self, name)) is not None}

    @property
    def paths(self) -> tuple[str, ...]:
        """Every field of theirs that is named."""
        return (*self.named.values(), *self.tags, *self.metadata)


_SINGLE = tuple(field.name for field in fields(FieldMapping) if field.name not in ("tags", "metadata", "only"))


def as_mapping(given: FieldMapping | Mapping[str, Any] | None) -> FieldMapping:
    """A mapping from a plain one such as {"prompt": "instruction", "tags": ["dataset"]}. Raises InvalidInput."""
    if given is None or isinstance(given, FieldMapping):
        return given or FieldMapping()
    known = [field.name for field in fields(FieldMapping)]
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = _ALIASES.get(key, key)
        if name not in known:
            raise InvalidInput(f"the mapping has {key!r}; it takes {', '.join(known)}")
        if name in ("tags", "metadata"):
            value = (value,) if isinstance(value, str) else tuple(value)
        elif name != "only" and not isinstance(value, str):
            raise InvalidInput(f"the mapping's {key} is {value!r}; pass the name of a field")
        values[name] = value
    return FieldMapping(**values)


def reader_for(sample: Sequence[Row], mapping: FieldMapping, project: str, forced_project: str | None) -> Reader:
    """What makes records of rows like the sample's.

    project: of rows that do not say; forced_project: of all. Raises InvalidInput, listing the fields there are, when
    the mapping names a field that no row of the sample has, or when nothing is mapped and nothing is recognised.
    """
    for path in mapping.paths:
        if not any(found(row, path) is not _ABSENT for row in sample):
            raise InvalidInput(f"no row has the field {path!r}; {_fields_of(sample)}")
    foreign = ForeignReader(sample, mapping, forced_project or project)
    unmapped = mapping == FieldMapping()
    if unmapped and sample and not foreign.recognised and not any(is_own_form(row) for row in sample):
        raise InvalidInput(
            f"no field is known to be a prompt or an output; name them with --prompt and --output: {_fields_of(sample)}"
        )
    if not unmapped:
        return foreign

    def read(row: Row) -> Described:
        return record_from_json(row, forced_project) if is_own_form(row) else foreign(row)

    return read


def guessed(sample: Sequence[Row], mapping: FieldMapping) -> str:
    """What the fields of rows like the sample's are taken as, "" when a mapping says so or all rows are our own."""
    rows = [row for row in sample if not is_own_form(row)]
    if mapping != FieldMapping() or not rows:
        return ""
    return ForeignReader(rows, mapping, "").described(rows)


class ForeignReader:
    """Makes a record of a row of somebody else's."""

    def __init__(self, sample: Sequence[Row], mapping: FieldMapping, project: str) -> None:
        present = {key for row in sample for key in row}
        named: dict[str, str] = dict(mapping.named)
        self._chat = False
        if "prompt" not in named and "output" not in named:
            named |= _recognised(present)
            self._chat = "messages" in present and not named.keys() & {"prompt", "output"}
        self.recognised = self._chat or "prompt" in named or "output" in named
        self._named = named
        self._content = [(side, named[side]) for side in ("prompt", "output") if side in named]
        self._plain = [(name, path) for name, path in named.items() if name not in ("prompt", "output", "created_at")]
        self._mapping = mapping
        self._project = project
        self._used = {path for path in (*named.values(), *mapping.tags, *mapping.metadata) if path in present}
        self._nested = [path for path in mapping.paths if path not in present]
        self._alpaca = named.get("prompt") == "instruction" and "prompt" not in mapping.named and "input" in present

    def __call__(self, row: Row) -> Described:
        mapping = self._mapping
        values: dict[str, Any] = {}
        for name, path in self._plain:
            value = found(row, path)
            if value is not _ABSENT and value is not None:
                values[name] = value if isinstance(value, str) else str(value)
        rest = {} if mapping.only else self._rest(row, values)
        values |= self._contents(row, rest)
        metadata = values.pop("metadata", {}) | {
            key: _storable(value) for key, value in rest.items() if value is not None
        }
        for path in mapping.metadata:
            if (value := found(row, path)) is not _ABSENT and value is not None:
                metadata[path] = _storable(value)
        if mapping.tags:
            values["tags"] = [*values.get("tags", ()), *_tags(row, mapping.tags)]
        if (when := self._named.get("created_at")) is not None and (moment := found(row, when)) not in (_ABSENT, None):
            values["created_at"] = _moment(moment, when)
        return Described(build_record(**{"project": self._project, **values}, metadata=metadata), own="id" in values)

    def described(self, sample: Sequence[Row]) -> str:
        """Which fields become what, for a person: "instruction as prompt, output as output; lang as metadata"."""
        taken: dict[str, str] = {path: name for name, path in self._content}
        if self._chat:
            taken["messages"] = "prompt and output"
        if self._alpaca:
            taken["input"] = "the end of the prompt"
        present = dict.fromkeys(key for row in sample for key in row if key not in taken)
        ours = [
            key for key in present if (fits := _KNOWN.get(key)) and any(key in row and fits(row[key]) for row in sample)
        ]
        rest = [key for key in present if key not in ours]
        parts = [", ".join(f"{path} as {name}" for path, name in taken.items()), ", ".join(ours), _short(rest)]
        return "; ".join(part for part in parts if part)

    def _contents(self, row: Row, rest: dict[str, Any]) -> dict[str, Any]:
        """The row's prompt and output; what they take is removed from rest."""
        if self._chat:
            rest.pop("messages", None)
            return _conversation(row.get("messages"))
        contents: dict[str, Any] = {
            side: _content(value) for side, path in self._content if (value := found(row, path)) is not _ABSENT
        }
        if self._alpaca and isinstance(contents.get("prompt"), str) and isinstance(more := rest.pop("input", ""), str):
            contents["prompt"] = f"{contents['prompt']}\n\n{more}" if more else contents["prompt"]
        if all(value is None for value in contents.values()):
            wanted = " nor ".join(repr(path) for _, path in self._content)
            raise InvalidInput(f"it has neither {wanted}; {_fields_of([row])}")
        return contents

    def _rest(self, row: Row, values: dict[str, Any]) -> dict[str, Any]:
        """The fields nobody named; those that are called as ours are, and hold what ours do, go into values."""
        rest = {}
        for key, value in row.items():
            if key in self._used:
                continue
            fits = _KNOWN.get(key)
            if fits is not None and key not in self._named and fits(value):
                values[key] = value
            else:
                rest[key] = value
        for path in self._nested:
            _remove(rest, path)
        return rest


def _recognised(present: set[str]) -> dict[str, str]:
    """Prompt and output by the names that are common for them; empty when there are none."""
    prompt = next((name for name in PROMPTS if name in present), None)
    output = next((name for name in OUTPUTS if name in present), None)
    if prompt and output:
        return {"prompt": prompt, "output": output}
    return {name: name for name in ("prompt", "output") if name in present and "messages" not in present}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


# A field that has our name but holds something else becomes metadata: a stranger's `status` costs nobody the row.
_KNOWN: dict[str, Callable[[Any], bool]] = {
    **{name: lambda value: isinstance(value, str) and 0 < len(value) <= 1_000 for name in _NAMES},
    "tags": lambda value: isinstance(value, list) and all(isinstance(tag, str) and tag for tag in value),
    "params": lambda value: isinstance(value, dict),
    "metadata": lambda value: isinstance(value, dict),
    "attributes": lambda value: isinstance(value, dict),
    "usage": lambda value: isinstance(value, dict),
    "duration_s": _is_number,
    "time_to_first_token_s": _is_number,
    "status": lambda value: value in STATUSES if isinstance(value, str) else False,
    "kind": lambda value: value in KINDS if isinstance(value, str) else False,
    "created_at": _is_moment,
}


def _conversation(messages: Any) -> dict[str, Any]:
    """A chat: what the model said last is the output, all before it the prompt."""
    if not isinstance(messages, list) or not messages:
        raise InvalidInput("its messages are not a list of chat messages")
    at = len(messages)
    while at > 0 and isinstance(messages[at - 1], Mapping) and messages[at - 1].get("role") == "assistant":
        at -= 1
    return {"prompt": messages[:at] or None, "output": messages[at:] or None}


def _content(value: Any) -> Content:
    """A field's value as a prompt or an output: text, messages, bytes; anything else as the JSON it is."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return data_part(value, "assistant", _media_type(value))
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        guessed = mimetypes.guess_type(str(value.get("path") or ""))[0]
        return data_part(value["bytes"], "assistant", guessed or _media_type(value["bytes"]))
    if isinstance(value, list) and value and all(_is_message(item) for item in value):
        return value
    if isinstance(value, dict) and _is_message(value):
        return [value]
    return text_part(canonical_json(value), "user", media_type="application/json")


def _is_message(item: Any) -> bool:
    return isinstance(item, Mapping) and "role" in item and ("content" in item or "tool_calls" in item)


def _media_type(data: bytes) -> str:
    if data.startswith(b"\x89PNG"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    return "application/octet-stream"


def _tags(row: Row, paths: Iterable[str]) -> list[str]:
    tags: list[str] = []
    for path in paths:
        value = found(row, path)
        items = value if isinstance(value, list) else [value]
        tags += [str(item) for item in items if item is not _ABSENT and item is not None and item != ""]
    return tags


def _moment(value: Any, path: str) -> datetime | str:
    """ISO 8601, or seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size."""
    if isinstance(value, str):
        return value
    if not _is_number(value):
        raise InvalidInput(f"{path} is {value!r}; a moment is ISO 8601 text or seconds since 1970")
    seconds = float(value)
    while seconds > 1e11:  # the year 5138 in seconds; 1973 in milliseconds
        seconds /= 1_000
    return datetime.fromtimestamp(seconds, UTC)


class _Absent:
    """What a row has where it lacks a field; None would be a field that is null."""


_ABSENT = _Absent()


def found(row: Row, path: str) -> Any:
    """The value of a field; its name as a whole comes before a walk along its dots."""
    if path in row:
        return row[path]
    value: Any = row
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _ABSENT
    return value


def _remove(rest: dict[str, Any], path: str) -> None:
    """Take a nested field out, copying the objects on the way to it: the row itself stays as it is."""
    *steps, last = path.split(".")
    here = rest
    for step in steps:
        if not isinstance(here.get(step), dict):
            return
        here[step] = dict(here[step])
        here = here[step]
    here.pop(last, None)


def _storable(value: Any) -> Any:
    """Bytes, which Parquet has and JSON has not, as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _short(names: Sequence[str]) -> str:
    """The names that become metadata; a table may have hundreds."""
    more = f" and {len(names) - _MOST_GUESSED} more" if len(names) > _MOST_GUESSED else ""
    return f"{', '.join(names[:_MOST_GUESSED])}{more} as metadata" if names else ""


def _fields_of(sample: Iterable[Row]) -> str:
    """The fields there are, for an error."""
    names: dict[str, None] = {}
    for row in sample:
        for key, value in row.items():
            names[key] = None
            if isinstance(value, dict):
                names |= dict.fromkeys(f"{key}.{inner}" for inner in value)
    shown = ", ".join(list(names)[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    return f"the fields are {shown}" if names else "there are no fields"
