"""Bad input gets an error that says what, which value and what to do; whatever was stored before is intact after."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from genstore import Part, Store
from genstore.errors import (
    AmbiguousId,
    InvalidFilter,
    InvalidInput,
    NotFound,
)
from tests.integration.refusals import refused

LARGE = 100_000


@pytest.fixture
def kept(store: Store) -> Iterator[str]:
    """The id of a record that must be as it was when the test is over, alone in its store."""
    logged = store.log(prompt="kept", output="as it was", tags=["t"], metadata={"a": 1})
    before = store.get(logged.id)
    yield logged.id
    assert store.get(logged.id) == before
    assert store.count() == 1
    assert store.log(prompt="more") is not None


BAD_ARGUMENTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "nothing": ({"prompt": None}, ("nothing to log", "pass a prompt, an output or both")),
    "prompt of a number": ({"prompt": 5}, ("prompt is a int", "pass text, bytes, chat messages")),
    "list of numbers": ({"prompt": ["a", 5]}, ("prompt[1] is a int",)),
    "message without content": ({"prompt": [{"role": "user"}]}, ("prompt[0] has neither content nor tool_calls",)),
    "role that is no text": ({"prompt": [{"role": 1, "content": "a"}]}, ("prompt[0] has the role 1",)),
    "role with NUL": ({"prompt": [{"role": "us\0er", "content": "a"}]}, ("role", "NUL character; remove it")),
    "role with half a pair": ({"prompt": [{"role": "\ud800", "content": "a"}]}, ("role", "half a surrogate pair")),
    "broken image": (
        {"prompt": [{"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]}]},
        ("prompt[0].content[0] is not base64",),
    ),
    "empty part": ({"prompt": Part()}, ("a text part needs exactly one of text and data",)),
    "part of a number": ({"prompt": Part(text=5)}, ("part's text is a str",)),  # type: ignore[arg-type]
    "part with odd attributes": ({"prompt": Part(text="a", attributes={"x": {1}})}, ("attributes.x is a set",)),
    "media type": ({"prompt": b"a", "media_type": "png"}, ("'png' is not a media type such as image/png",)),
    "media type that is no text": ({"prompt": b"a", "media_type": 5}, ("5 is not a media type",)),
    "unknown field": ({"modle": "gpt"}, ("unknown field 'modle'", "metadata=")),
    "model": ({"model": 4}, ("model is 4, a int; pass text",)),
    "long name": ({"model": "x" * 1_001}, ("model has 1,001 characters; at most 1,000 fit",)),
    "NUL in a name": ({"session_id": "a\0"}, ("session_id", "NUL character; remove it")),
    "surrogate in a name": ({"user_id": "\udc00"}, ("user_id", "half a surrogate pair; remove it")),
    "error that is no text": ({"error": 5}, ("error is 5", "pass text")),
    "kind": ({"kind": "answer"}, ("kind is 'answer'; it is one of generation, document, example",)),
    "status": ({"status": "fine"}, ("status is 'fine'; it is one of ok, error, partial",)),
    "id": ({"id": "42"}, ("id is '42'; pass a UUID such as 0",)),
    "object in metadata": ({"metadata": {"a": [{"b": object()}]}}, ("metadata.a[0].b is a object, which JSON",)),
    "NaN in metadata": ({"metadata": {"a": math.nan}}, ("metadata.a is nan, which JSON has no number for",)),
    "odd key in metadata": ({"metadata": {"a": {(1, 2): 3}}}, ("metadata.a has the key (1, 2)",)),
    "metadata that is no mapping": ({"metadata": ["a"]}, ("metadata is a list; pass a mapping",)),
    "bytes in params": ({"params": {"a": b"x"}}, ("params.a is a bytes",)),
    "params that are no mapping": ({"params": "t=1"}, ("params is a str",)),
    "infinite duration": ({"duration_s": math.inf}, ("duration_s is inf; pass a finite number >= 0",)),
    "negative duration": ({"duration_s": -1}, ("duration_s is -1",)),
    "tokens": ({"usage": {"input_tokens": 1.5}}, ("usage.input_tokens is 1.5; pass a whole number",)),
    "unknown usage": ({"usage": {"tokens": 1}}, ("usage has the field 'tokens'; it takes input_tokens",)),
    "tags as text": ({"tags": "prod"}, ("tags is the text 'prod'; pass a list such as ['prod']",)),
    "empty tag": ({"tags": ["a", ""]}, ("a tag is empty; leave it out",)),
    "tag that is no text": ({"tags": [1]}, ("a tag is 1",)),
    "date": ({"created_at": "yesterday"}, ("created_at is 'yesterday'; pass ISO 8601",)),
    "moment at the end of time": ({"created_at": "0001-01-01T00:00:00+14:00"}, ("created_at", "pass")),
}  # fmt: skip


def test_arguments_that_cannot_be_stored_are_refused_by_name(store: Store, kept: str) -> None:
    for what, (arguments, says) in BAD_ARGUMENTS.items():
        with pytest.raises(InvalidInput) as caught:
            store.log(**{"prompt": "p", **arguments})
        for words in says:
            assert words in str(caught.value), what


def test_metadata_that_refers_to_itself_is_refused(store: Store, kept: str) -> None:
    circular: dict[str, Any] = {}
    circular["again"] = circular
    refused(lambda: store.log(prompt="p", metadata=circular), InvalidInput, "nested deeper than 100 levels or refers")


def test_metadata_of_any_depth_is_kept_or_refused(store: Store, kept: str) -> None:
    for depth in (50, 500, 900, 5_000):
        deep: dict[str, Any] = {"end": 1}
        for _ in range(depth):
            deep = {"d": deep}
        try:
            logged = store.log(prompt="p", metadata=deep)
        except InvalidInput:
            refused(partial(store.log, prompt="p", metadata=deep), InvalidInput, "metadata.d.d", "nested deeper")
        else:
            assert store.get(logged.id).metadata == deep
            store.delete(logged.id)


def test_scores_that_are_no_numbers_are_refused(store: Store, kept: str) -> None:
    values: list[Any] = [math.nan, math.inf, "0.5", True]
    for value in values:
        refused(partial(store.score, kept, "q", value), InvalidInput, f"score 'q' is {value!r}", "label=")
    refused(lambda: store.score(kept, "q"), InvalidInput, "neither a value nor a label; pass one")
    refused(lambda: store.score(kept, "", 1), InvalidInput, "a score needs a name such as 'quality'")
    refused(lambda: store.score(kept, "q", 1, comment=5), InvalidInput, "comment is 5")
    refused(lambda: store.score(kept, "q\0", 1), InvalidInput, "score name", "NUL")


def test_what_is_said_of_a_record_is_checked_before_it_is_written(store: Store, kept: str) -> None:
    refused(lambda: store.tag(kept, add="prod"), InvalidInput, "tags is the text 'prod'")
    refused(lambda: store.tag(kept, add=["\0"]), InvalidInput, "NUL")
    refused(lambda: store.set_metadata(kept, {"a": {1}}), InvalidInput, "metadata.a is a set")
    refused(lambda: store.relate(kept, "likes", kept), InvalidInput, "role is 'likes'; it is one of retrieved")


def test_unknown_and_ambiguous_ids_say_what_to_do(store: Store, kept: str) -> None:
    unknown = "00000000-0000-7000-8000-000000000000"
    verbs: list[Callable[[str], object]] = [
        store.get, store.delete, store.similar, store.relations, store.tag,
        lambda name: store.score(name, "q", 1), lambda name: store.set_metadata(name, {}),
        lambda name: store.relate(kept, "input", name),
    ]  # fmt: skip
    for verb in verbs:
        refused(partial(verb, unknown), NotFound, f"no record has the id '{unknown}'", "`genstore list` shows")
        refused(partial(verb, "not an id!"), NotFound, "'not an id!' is not an id: those look like")
        refused(partial(verb, " "), InvalidInput, "the id is empty; pass a record's id or its first characters")
        refused(partial(verb, None), InvalidInput, "None", "pass a record's id")  # type: ignore[arg-type]
    other = store.log(prompt="other").id
    prefix = kept[:4]
    assert other.startswith(prefix)
    for verb in verbs:
        refused(partial(verb, prefix), AmbiguousId, kept, other, "add characters")
    store.delete(other)


def test_a_malformed_filter_points_at_the_character(store: Store, kept: str) -> None:
    verbs: list[Callable[[Any], object]] = [
        store.list, store.count, store.stats, store.delete_where, lambda where: store.search("a", where),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(InvalidFilter) as caught:
            verb("tag:t (model:x")
        assert str(caught.value).splitlines()[1:] == ["  tag:t (model:x", "        ^"]
        refused(partial(verb, "modle:x"), InvalidFilter, "did you mean 'model'?")
        refused(partial(verb, ["tag:t"]), InvalidFilter, "where is a text or a filter, got ['tag:t']")


def test_listing_and_searching_check_what_they_are_asked(store: Store, kept: str) -> None:
    refused(lambda: store.list(limit=0), InvalidInput, "limit is 0; pass 1 to 10,000")
    refused(lambda: store.list(cursor="?"), InvalidInput, "'?' is not a cursor; pass the one the page before gave")
    refused(lambda: store.search(" "), InvalidInput, "the search text is empty")
    refused(lambda: store.search("a", limit=101), InvalidInput, "raise its depth (--depth) to 101 or more")
    refused(lambda: store.search("a", limit=0), InvalidInput, "limit is 0; pass 1 or more")
    refused(lambda: store.search("a", min_score=2), InvalidInput, "min_score is 2; a hit's score lies between 0 and 1")
    refused(lambda: store.search("a", mode="fuzzy"), InvalidInput, "mode is 'fuzzy'; it is one of hybrid")  # type: ignore[arg-type]
    refused(lambda: store.search("a", side="left"), InvalidInput, "side is 'left'; it is one of prompt, output")
    refused(lambda: store.search("a", dense_weight=math.nan), InvalidInput, "dense_weight is nan")
    refused(lambda: store.search("a", fuson="rrf"), InvalidInput, "fuson")
    picture = store.log(output=b"\x89PNG", media_type="image/png").id
    refused(lambda: store.similar(picture), InvalidInput, "holds no text to compare by")
    store.delete(picture)


def test_a_prompt_of_ten_megabytes_is_stored_indexed_and_deleted(store: Store, kept: str) -> None:
    word = "lorem ipsum dolor sit amet "
    huge = word * (10_000_000 // len(word))
    logged = store.log(prompt=huge, output="small")
    assert store.get(logged.id).prompt_text == huge
    removal = store.delete(logged.id)
    assert removal.size_bytes == len(huge) + len("small")


def test_odd_texts_are_indexed_and_found(store: Store, kept: str) -> None:
    ids = store.log_many({"prompt": text} for text in ("", "zebra \ud800 half", "zebra a\0b", " \n", "\0", "\udfff"))
    store.flush()
    assert {hit.record.id for hit in store.search("zebra", "-tag:t", mode="lexical")} == {ids[1], ids[2]}
    assert len(store.search("\ud800", mode="hybrid")) >= 0
    assert store.verify().clean
    for record_id in ids:
        store.delete(record_id)


def test_what_log_many_cannot_take_is_named(store: Store, kept: str) -> None:
    refused(lambda: store.log_many(["text"]), InvalidInput, "log_many takes mappings or records, not a str")  # type: ignore[list-item]
    refused(lambda: store.log_many([{"prompt": "a", "modle": "b"}]), InvalidInput, "unknown field 'modle'")
    refused(lambda: store.log_many([{1: "a"}]), InvalidInput, "1")  # type: ignore[dict-item]


def test_a_date_out_of_the_calendar_is_refused_in_either_form(store: Store, kept: str) -> None:
    refused(lambda: store.log(prompt="a", created_at=datetime.max.isoformat() + "-01:00"), InvalidInput, "created_at")
