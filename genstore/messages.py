"""What callers pass as prompt or output, as parts: text, bytes, chat messages in OpenAI's shape, parts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias

from genstore.errors import InvalidInput
from genstore.identity import canonical_json, encode_text, sha256
from genstore.records import Part, Side

Content: TypeAlias = "str | bytes | Part | Mapping[str, Any] | Sequence[Part | Mapping[str, Any]] | None"

_DEFAULT_ROLE = {"prompt": "user", "output": "assistant"}
_INSTRUCTIONS = ("system", "developer")
_TEXT_TYPES = ("text", "input_text", "output_text")


def as_parts(value: Content, side: Side, media_type: str | None = None) -> tuple[Part, ...]:
    """Parts with their hashes and sizes. Raises InvalidInput for a shape that is none of the known ones.

    media_type: of a value given as bytes, or of a text that is not plain ("text/markdown").
    """
    role = _DEFAULT_ROLE[side]
    if value is None:
        return ()
    if isinstance(value, str):
        return (text_part(value, role, media_type=media_type or "text/plain"),)
    if isinstance(value, bytes | bytearray | memoryview):
        return (data_part(bytes(value), role, media_type or "application/octet-stream"),)
    if isinstance(value, Part):
        return (hashed(value),)
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, Sequence):
        raise InvalidInput(f"{side} is a {type(value).__name__}; pass text, bytes, chat messages or genstore.Part")
    parts: list[Part] = []
    for number, item in enumerate(value):
        if isinstance(item, Part):
            parts.append(hashed(item))
        elif isinstance(item, Mapping):
            parts.extend(replace(part, message=number) for part in _message_parts(item, role, f"{side}[{number}]"))
        elif isinstance(item, str):
            parts.append(replace(text_part(item, role), message=number))
        else:
            raise InvalidInput(f"{side}[{number}] is a {type(item).__name__}; pass a chat message or genstore.Part")
    return tuple(_with_history(parts) if side == "prompt" else parts)


def text_part(text: str, role: str, type_: str = "text", **fields: Any) -> Part:
    """A part that holds text, hashed."""
    body = encode_text(text)
    return Part(type=type_, role=role, text=text, sha256=sha256(body), size_bytes=len(body), **fields)


def data_part(data: bytes, role: str, media_type: str, **fields: Any) -> Part:
    """A part that holds bytes, hashed; its type follows from the media type."""
    if not isinstance(media_type, str) or "/" not in media_type:
        raise InvalidInput(f"media_type {media_type!r} is not a media type such as image/png")
    main, _, sub = media_type.partition("/")
    if main == "text" or sub == "json":
        with suppress(UnicodeDecodeError):
            return text_part(data.decode(), role, media_type=media_type, **fields)
    type_ = main if main in ("image", "audio") else "file"
    return Part(
        type=type_, role=role, data=data, media_type=media_type, sha256=sha256(data), size_bytes=len(data), **fields
    )


def hashed(part: Part) -> Part:
    """The part with its hash and size computed from its body. Raises InvalidInput when it has no body or two."""
    if (part.text is None) == (part.data is None):
        raise InvalidInput(f"a {part.type} part needs exactly one of text and data")
    if not isinstance(part.text if part.text is not None else "", str) or not isinstance(part.data or b"", bytes):
        raise InvalidInput(f"a {part.type} part's text is a str and its data is bytes; decode or encode it first")
    body = encode_text(part.text) if part.text is not None else part.data or b""
    return replace(part, sha256=sha256(body), size_bytes=len(body), id=0)


def _message_parts(message: Mapping[str, Any], default_role: str, where: str) -> Iterator[Part]:
    """The parts of one chat message. Raises InvalidInput naming where it stands."""
    role = message.get("role", default_role)
    if not isinstance(role, str):
        raise InvalidInput(f"{where} has the role {role!r}; a role is text such as 'user'")
    known = {"role", "content", "tool_calls", "reasoning_content", "refusal", "parts", "text", "type"}
    extra = {key: value for key, value in message.items() if key not in known and value is not None}
    if reasoning := message.get("reasoning_content"):
        yield text_part(str(reasoning), role, "reasoning")
    if "content" not in message and "tool_calls" not in message and "type" in message:
        yield _content_part(message, role, where, {})
        return
    if "content" not in message and "tool_calls" not in message and not reasoning:
        raise InvalidInput(f"{where} has neither content nor tool_calls; keys: {', '.join(map(repr, message))}")
    content = message.get("content")
    if isinstance(content, str):
        yield text_part(content, role, "tool_result" if role == "tool" else "text", attributes=extra)
    elif isinstance(content, Sequence):
        for number, item in enumerate(content):
            if isinstance(item, str):
                yield text_part(item, role, attributes=extra)
            elif isinstance(item, Mapping):
                yield _content_part(item, role, f"{where}.content[{number}]", extra)
            else:
                raise InvalidInput(f"{where}.content[{number}] is a {type(item).__name__}, not text or an object")
    elif content is not None:
        raise InvalidInput(f"{where}.content is a {type(content).__name__}; pass text, a list of parts or null")
    if refusal := message.get("refusal"):
        yield text_part(str(refusal), role, attributes={"refusal": True})
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, Sequence):
        raise InvalidInput(f"{where}.tool_calls is a {type(calls).__name__}; pass a list")
    for call in calls:
        yield _tool_call(call, role, where)
    if extra and not content:
        # There is no part to hang them on: an older function_call, a spoken answer.
        yield text_part(canonical_json(extra, where), role, "data", media_type="application/json")


def _tool_call(call: Any, role: str, where: str) -> Part:
    if not isinstance(call, Mapping):
        raise InvalidInput(f"{where}.tool_calls holds a {type(call).__name__}, not an object")
    function = call.get("function") or call
    if not isinstance(function, Mapping):
        raise InvalidInput(f"{where}.tool_calls has the function {function!r}, not an object")
    arguments = function.get("arguments", "")
    text = arguments if isinstance(arguments, str) else canonical_json(arguments, f"{where}.tool_calls")
    attributes = {"id": call.get("id"), "name": function.get("name")}
    return text_part(text, role, "tool_call", media_type="application/json", attributes=attributes)


def _content_part(item: Mapping[str, Any], role: str, where: str, extra: Mapping[str, Any]) -> Part:
    """One entry of a message's content list."""
    kind = item.get("type")
    if kind in _TEXT_TYPES or (kind is None and "text" in item):
        text = item.get("text")
        if not isinstance(text, str):
            raise InvalidInput(f"{where}.text is a {type(text).__name__}, not text")
        return text_part(text, role, "tool_result" if role == "tool" else "text", attributes=extra)
    if kind in ("image_url", "input_image"):
        image = item.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else image
        if not isinstance(url, str):
            raise InvalidInput(f"{where}.image_url has no url")
        return _from_url(url, role, "image", where)
    if kind == "input_audio":
        audio = item.get("input_audio") or {}
        if not isinstance(audio, Mapping):
            raise InvalidInput(f"{where}.input_audio is a {type(audio).__name__}, not an object")
        data = _decoded(str(audio.get("data", "")), where)
        return data_part(data, role, f"audio/{audio.get('format', 'wav')}")
    # What we do not know is kept word for word: a new kind of content must not cost anyone a record.
    return text_part(
        canonical_json(dict(item), where), role, str(kind or "data"), media_type="application/json", attributes=extra
    )


def _from_url(url: str, role: str, type_: str, where: str) -> Part:
    if not url.startswith("data:"):
        return text_part(url, role, type_, media_type="text/uri-list")
    header, _, payload = url[5:].partition(",")
    media_type = header.split(";")[0] or "application/octet-stream"
    return data_part(_decoded(payload, where), role, media_type)


def _decoded(payload: str, where: str) -> bytes:
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(f"{where} is not base64: {error}") from error


def _with_history(parts: list[Part]) -> list[Part]:
    """Mark what a conversation repeats: everything up to the model's last turn, and its instructions."""
    last = max((number for number, part in enumerate(parts) if part.role == "assistant"), default=-1)
    return [
        replace(part, history=True) if number <= last or part.role in _INSTRUCTIONS else part
        for number, part in enumerate(parts)
    ]
