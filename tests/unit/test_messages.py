"""Text, bytes, chat messages and parts all become parts; nothing of what was said is dropped."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genstore.errors import InvalidInput
from genstore.identity import encode_text, sha256
from genstore.messages import as_parts, data_part, hashed, text_part
from genstore.records import Part

PNG = b"\x89PNG\r\n\x1a\n\x00"


def shown(value: Any, side: Any = "prompt") -> list[tuple[Any, ...]]:
    return [(part.role, part.type, part.text, part.message, part.history) for part in as_parts(value, side)]


def test_nothing_becomes_no_part_and_an_empty_text_one() -> None:
    assert as_parts(None, "prompt") == ()
    assert as_parts([], "prompt") == ()
    assert shown("") == [("user", "text", "", 0, False)]


@given(st.text(st.characters(codec=None)))
def test_any_text_becomes_one_part_with_its_hash_and_size(text: str) -> None:
    (part,) = as_parts(text, "output")
    assert (part.role, part.text, part.media_type) == ("assistant", text, "text/plain")
    assert (part.sha256, part.size_bytes) == (sha256(encode_text(text)), len(encode_text(text)))


@pytest.mark.parametrize(
    ("media_type", "type_"),
    [("image/png", "image"), ("audio/wav", "audio"), ("application/pdf", "file"), ("application/octet-stream", "file")],
)
def test_the_type_of_bytes_follows_from_their_media_type(media_type: str, type_: str) -> None:
    (part,) = as_parts(PNG, "output", media_type)
    assert (part.type, part.data, part.text, part.media_type, part.sha256) == (
        type_,
        PNG,
        None,
        media_type,
        sha256(PNG),
    )


def test_bytes_that_are_text_become_text_and_broken_ones_stay_bytes() -> None:
    assert data_part("é".encode(), "user", "text/csv").text == "é"
    assert data_part(b'{"a": 1}', "user", "application/json").text == '{"a": 1}'
    assert data_part(b"\xff", "user", "text/plain").data == b"\xff"
    for value in (bytearray(PNG), memoryview(PNG)):
        (part,) = as_parts(value, "prompt")  # type: ignore[arg-type]
        assert part.data == PNG


def test_a_plain_text_may_have_a_media_type() -> None:
    assert as_parts("# title", "output", "text/markdown")[0].media_type == "text/markdown"


def test_messages_keep_their_order_roles_and_numbers() -> None:
    assert shown([{"role": "user", "content": "a"}, "b", Part(text="c", role="tool", message=7)]) == [
        ("user", "text", "a", 0, False),
        ("user", "text", "b", 1, False),
        ("tool", "text", "c", 7, False),
    ]
    assert shown({"content": "lone"}, "output") == [("assistant", "text", "lone", 0, False)]


def test_what_a_conversation_repeats_is_marked() -> None:
    conversation = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1"},
        {"role": "user", "content": "q2"},
        {"role": "developer", "content": "d"},
    ]
    assert [part.history for part in as_parts(conversation, "prompt")] == [True, True, True, False, True]
    assert not any(part.history for part in as_parts(conversation, "output"))


def test_what_else_a_message_says_is_kept() -> None:
    (part,) = as_parts([{"role": "user", "content": "a", "name": "Ann", "cache": {"x": 1}, "empty": None}], "prompt")
    assert part.attributes == {"name": "Ann", "cache": {"x": 1}}


def test_reasoning_refusals_and_tool_calls_are_parts_of_their_own() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "hm",
        "refusal": "no",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": {"b": 1, "a": 2}}}],
    }
    parts = as_parts(message, "output")
    assert [(part.type, part.text) for part in parts] == [
        ("reasoning", "hm"),
        ("text", "no"),
        ("tool_call", '{"a":2,"b":1}'),
    ]
    assert parts[1].attributes == {"refusal": True}
    assert parts[2].attributes == {"id": "1", "name": "f"}
    assert parts[2].media_type == "application/json"


def test_pictures_sounds_and_addresses_are_told_apart() -> None:
    encoded = base64.b64encode(PNG).decode()
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}},
        {"type": "input_image", "image_url": "https://example.org/a.png"},
        {"type": "input_audio", "input_audio": {"data": encoded, "format": "mp3"}},
    ]
    parts = as_parts([{"role": "user", "content": content}], "prompt")
    assert [(part.type, part.media_type, part.text, part.data) for part in parts] == [
        ("image", "image/png", None, PNG),
        ("image", "text/uri-list", "https://example.org/a.png", None),
        ("audio", "audio/mp3", None, PNG),
    ]


def test_an_unknown_kind_of_content_is_kept_word_for_word() -> None:
    (part,) = as_parts([{"role": "user", "content": [{"type": "hologram", "z": [1], "a": None}]}], "prompt")
    assert (part.type, part.text, part.media_type) == (
        "hologram",
        '{"a":null,"type":"hologram","z":[1]}',
        "application/json",
    )


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (5, "prompt is a int; pass text, bytes, chat messages or genstore.Part"),
        ({"a": 1}, "prompt[0] has neither content nor tool_calls; keys: 'a'"),
        ([{"role": "user"}], "prompt[0] has neither content nor tool_calls; keys: 'role'"),
        ([{"role": None, "content": "a"}], "prompt[0] has the role None; a role is text such as 'user'"),
        ([{"content": 5}], "prompt[0].content is a int; pass text, a list of parts or null"),
        ([{"content": [5]}], "prompt[0].content[0] is a int, not text or an object"),
        ([{"content": [{"type": "text", "text": 5}]}], "prompt[0].content[0].text is a int, not text"),
        ([{"content": [{"type": "image_url"}]}], "prompt[0].content[0].image_url has no url"),
        ([{"content": [{"type": "input_audio", "input_audio": {"data": "!"}}]}], "prompt[0].content[0] is not base64"),
        ([{"tool_calls": ["f"]}], "prompt[0].tool_calls holds a str, not an object"),
        ([{"tool_calls": [{"function": {"arguments": {1}}}]}], "prompt[0].tool_calls is a set"),
        ([None], "prompt[0] is a NoneType; pass a chat message or genstore.Part"),
    ],
)
def test_another_shape_is_refused_with_where_it_stands(value: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        as_parts(value, "prompt")
    assert str(caught.value).startswith(says)


def test_a_parts_hash_is_computed_from_its_body_whatever_it_says() -> None:
    part = hashed(Part(text="a", sha256="0" * 64, size_bytes=99, id=5))
    assert (part.sha256, part.size_bytes, part.id) == (sha256(b"a"), 1, 0)
    assert text_part("a", "user") == part
    for both in (Part(), Part(text="a", data=b"a")):
        with pytest.raises(InvalidInput, match="needs exactly one of text and data"):
            hashed(both)
