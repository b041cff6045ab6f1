"""What is logged comes back as it was given, once it is acknowledged."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

import genstore
from genstore import Part, Record, Store, Usage
from genstore.errors import AmbiguousId, GenstoreError, InvalidInput, NotFound, StoreError
from genstore.identity import new_id, sha256
from genstore.sql import tables
from tests.conftest import OpenStore

EVERY_FIELD: dict[str, Any] = {
    "kind": "document",
    "name": "a name",
    "model": "gpt-4o",
    "provider": "openai",
    "operation": "chat",
    "params": {"temperature": 0.7, "stop": ["\n"], "deep": {"a": None}},
    "usage": {"input_tokens": 10, "output_tokens": 20, "cached_tokens": 3, "reasoning_tokens": 4, "cost_usd": 0.01},
    "duration_s": 1.5,
    "time_to_first_token_s": 0.25,
    "finish_reason": "stop",
    "status": "partial",
    "error": "broke off",
    "session_id": "chat-1",
    "trace_id": "t" * 32,
    "span_id": "s" * 16,
    "parent_id": "p",
    "user_id": "someone",
    "tags": ["a", "ü b", "c"],
    "metadata": {"lang": "en", "n": 1, "list": [1, "x", {"y": True}], "": "empty key", "日本": "\u0000"},
    "attributes": {"gen_ai.system": "openai"},
    "created_at": datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC),
}


def rows(store: Store, table: Any) -> int:
    with store.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def comparable(record: Record) -> Record:
    """The record without what SQL gives its parts."""

    def bare(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        return tuple(replace(part, id=0) for part in parts)

    return replace(record, prompt=bare(record.prompt), output=bare(record.output), tags=tuple(sorted(record.tags)))


def test_every_field_comes_back_as_it_was_logged(store: Store) -> None:
    logged = store.log(prompt="question", output="answer", **EVERY_FIELD)
    found = store.get(logged.id)
    assert comparable(found) == comparable(logged)
    for name, value in EVERY_FIELD.items():
        if name not in ("usage", "tags"):
            assert getattr(found, name) == value, name
    assert found.usage == Usage(10, 20, 3, 4, 0.01)
    assert sorted(found.tags) == sorted(EVERY_FIELD["tags"])


def test_a_record_needs_neither_model_nor_output(store: Store) -> None:
    found = store.get(store.log(prompt="only this").id)
    assert (found.prompt_text, found.output, found.model, found.project) == ("only this", (), None, "default")
    assert (found.params, found.metadata, found.tags, found.status) == ({}, {}, (), "ok")


def test_any_text_comes_back_character_by_character(store: Store) -> None:
    texts = ["", " ", "\n", "日本語 🙂 é", "a\0b", "\ud800 half", "x" * 65_536, "y" * 65_537, "\r\n\t", "e\u0301"]
    for text in texts:
        found = store.get(store.log(prompt=text, output=text[::-1]).id)
        assert (found.prompt_text, found.output_text) == (text, text[::-1])


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "zstd"])
def test_bytes_come_back_byte_by_byte(open_store: OpenStore, compress: bool) -> None:
    store = open_store(compress=compress, auto_index=False)
    for size_bytes in (0, 1, 511, 512, 100_000):
        data = (bytes(range(256)) * 400)[:size_bytes]
        (part,) = store.get(store.log(output=data, media_type="image/png").id).output
        assert (part.data, part.text, part.media_type, part.type) == (data, None, "image/png", "image")
        assert (part.sha256, part.size_bytes) == (sha256(data), size_bytes)


def test_chat_messages_come_back_as_parts_in_order(store: Store) -> None:
    logged = store.log(
        prompt=[
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [{"type": "text", "text": "what is this?"}, {"type": "input_text", "text": "?"}],
            },
            {"role": "tool", "content": "42", "tool_call_id": "call-1"},
        ],
        output={
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
        },
    )
    found = store.get(logged.id)
    assert [(part.role, part.type, part.text, part.message) for part in found.prompt] == [
        ("system", "text", "be brief", 0),
        ("user", "text", "what is this?", 1),
        ("user", "text", "?", 1),
        ("tool", "tool_result", "42", 2),
    ]
    assert found.prompt[3].attributes == {"tool_call_id": "call-1"}
    assert [(part.type, part.text, part.attributes) for part in found.output] == [
        ("tool_call", "{}", {"id": "c", "name": "f"})
    ]


def test_a_text_and_bytes_of_equal_content_keep_what_they_are(store: Store) -> None:
    found = store.get(store.log(prompt="PNG", output=b"PNG", media_type="image/png").id)
    assert (found.prompt[0].text, found.output[0].data) == ("PNG", b"PNG")
    assert rows(store, tables.contents) == 1


def test_a_body_is_kept_once_however_often_it_is_logged(store: Store) -> None:
    for number in range(20):
        store.log(prompt="the same system prompt", output=f"answer {number}")
    assert rows(store, tables.contents) == 21
    assert rows(store, tables.parts) == 40


def test_an_acknowledged_record_is_there_for_whoever_opens_the_store_next(open_store: OpenStore) -> None:
    first = open_store(auto_index=False)
    logged = first.log(prompt="question", output="answer")
    assert open_store(auto_index=False).get(logged.id).output_text == "answer"


def test_ids_sort_by_time_and_a_unique_prefix_is_enough(store: Store) -> None:
    ids = [store.log(prompt=str(number)).id for number in range(5)]
    assert ids == sorted(ids)
    assert [record.id for record in store.list(oldest_first=True).records] == ids
    assert store.get(ids[3].upper()).id == ids[3]
    with pytest.raises(AmbiguousId, match=r"fits .* add characters"):
        store.get(ids[0][:4])


def test_an_id_may_be_given_and_is_taken_once(store: Store) -> None:
    own = "0f000000-0000-7000-8000-000000000000"
    assert store.log(prompt="a", id=own).id == own
    with pytest.raises(InvalidInput, match=f"{own} is taken"):
        store.log(prompt="b", id=own)
    assert store.get(own).prompt_text == "a"
    assert store.count() == 1


def test_many_are_logged_in_batches_from_any_iterable(store: Store) -> None:
    ids = store.log_many({"prompt": f"p{number}", "output": "o"} for number in range(1_203))
    assert len(set(ids)) == 1_203
    assert store.count() == 1_203
    assert [store.get(ids[number]).prompt_text for number in (0, 499, 500, 1_202)] == ["p0", "p499", "p500", "p1202"]
    assert store.log_many([]) == []


def test_what_was_committed_before_a_bad_item_stays(store: Store) -> None:
    items: list[dict[str, Any]] = [{"prompt": str(number)} for number in range(700)]
    items.insert(600, {"prompt": "x", "metadata": {"a": object()}})
    with pytest.raises(InvalidInput, match=r"metadata\.a is a object"):
        store.log_many(items)
    assert store.count() == 500


def test_records_of_one_store_can_be_logged_into_another(store: Store, tmp_path: Path) -> None:
    logged = store.log(prompt=[{"role": "user", "content": "q"}], output="a", **EVERY_FIELD)
    with genstore.open(tmp_path / "other.store", auto_index=False) as other:
        assert other.log_many(store.iterate()) == [logged.id]
        assert comparable(other.get(logged.id)) == comparable(store.get(logged.id))


def test_a_record_made_by_hand_is_hashed_before_it_is_written(store: Store) -> None:
    by_hand = Record(id=new_id(), prompt=(Part(text="q"),), output=(Part(role="assistant", text="a"),))
    assert store.log_many([by_hand]) == [by_hand.id]
    found = store.get(by_hand.id)
    assert (found.prompt_text, found.fingerprint) == ("q", store.log(prompt="q", output="a").fingerprint)


def test_concurrent_callers_all_get_their_record(store: Store) -> None:
    def log(number: int) -> str:
        return store.log(prompt=f"p{number}", output="shared").id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(log, range(200)))
    assert [store.get(record_id).prompt_text for record_id in ids] == [f"p{number}" for number in range(200)]


def test_a_caller_whose_record_is_refused_costs_no_other_caller_theirs(store: Store) -> None:
    taken = store.log(prompt="first").id
    start = threading.Barrier(16)

    def log(number: int) -> str | Exception:
        start.wait()
        try:
            return store.log(prompt=f"p{number}", id=taken if number % 4 == 0 else None).id
        except GenstoreError as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(log, range(16)))
    assert [type(answer) for answer in found] == [InvalidInput if number % 4 == 0 else str for number in range(16)]
    assert store.count() == 13


def test_batches_that_share_bodies_in_any_order_do_not_block_each_other(open_store: OpenStore) -> None:
    stores = [open_store(auto_index=False) for _ in range(2)]
    texts = [f"shared body {number}" for number in range(60)]

    def log(store: Store, texts: list[str]) -> None:
        for _ in range(4):
            store.log_many({"prompt": text} for text in texts)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(log, stores, [texts, texts[::-1]]))
    assert stores[0].count() == 2 * 4 * 60
    assert rows(stores[0], tables.contents) == 60


def test_logging_a_text_while_its_last_record_is_deleted_loses_nothing(open_store: OpenStore) -> None:
    stores = [open_store(auto_index=False) for _ in range(2)]
    body = "the same large body " * 4_000

    def churn(store: Store) -> str:
        for _ in range(8):
            kept = store.log(prompt=body).id
            assert store.get(kept).prompt_text == body
            store.delete(kept)
        return store.log(prompt=body).id

    with ThreadPoolExecutor(2) as pool:
        kept = list(pool.map(churn, stores))
    assert [stores[0].get(record_id).prompt_text for record_id in kept] == [body, body]


def test_pages_neither_repeat_nor_skip_while_records_arrive(store: Store) -> None:
    before = [store.log(prompt=str(number)).id for number in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = store.list(limit=3, cursor=cursor)
        seen += [record.id for record in page.records]
        store.log(prompt="meanwhile")
        if (cursor := page.cursor) is None:
            break
    assert seen == before[::-1]


def test_a_listing_is_whole_while_records_are_deleted(open_store: OpenStore) -> None:
    reader, writer = open_store(auto_index=False), open_store(auto_index=False)
    ids = writer.log_many({"prompt": str(number)} for number in range(60))
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for record in reader.list(limit=100).records:
                assert record.prompt_text

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        for record_id in ids:
            writer.delete(record_id)
        done.set()
        reading.result()


def test_projects_do_not_see_each_other(open_store: OpenStore) -> None:
    ours, theirs = open_store(project="ours", auto_index=False), open_store(project="theirs", auto_index=False)
    logged = ours.log(prompt="secret")
    assert (ours.count(), theirs.count()) == (1, 0)
    for verb in (theirs.get, theirs.delete, theirs.relations):
        with pytest.raises(NotFound, match="in project 'theirs'"):
            verb(logged.id)
    assert theirs.list("project:ours").records == ()


def test_scores_tags_and_metadata_can_be_changed_later(store: Store) -> None:
    logged = store.log(prompt="q", tags=["a", "b"], metadata={"x": 1, "y": {"z": 2}, "void": None})
    store.score(logged.id, "quality", 0.5, label="fair", comment="half\0 \ud800", source="model", user_id="judge")
    store.score(logged.id, "quality", 0.9)
    store.tag(logged.id, add=["c", "a"], remove=["b", "never there"])
    store.set_metadata(logged.id, {"x": None, "y": [3], "new": "n"})
    found = store.get(logged.id)
    assert [(score.value, score.label, score.source) for score in found.scores] == [
        (0.5, "fair", "model"),
        (0.9, None, "human"),
    ]
    assert found.tags == ("a", "c")
    assert found.metadata == {"y": [3], "new": "n", "void": None}
    asked = ("metadata.x:*", "metadata.y:3", "tag:b", "score.quality>0.8")
    assert [store.count(where) for where in asked] == [0, 1, 0, 1]


def test_concurrent_changes_of_metadata_are_all_kept(open_store: OpenStore) -> None:
    stores = [open_store(auto_index=False) for _ in range(2)]
    logged = stores[0].log(prompt="q")

    def change(number: int) -> None:
        stores[number % 2].set_metadata(logged.id, {f"k{number}": number})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(change, range(24)))
    assert stores[0].get(logged.id).metadata == {f"k{number}": number for number in range(24)}


def test_relations_are_seen_from_both_ends_and_go_with_either(store: Store) -> None:
    answer, source = store.log(prompt="q", output="a"), store.log(prompt="source")
    for _ in range(2):
        store.relate(answer.id, "retrieved", source.id, rank=1)
    (edge,) = store.relations(source.id)
    assert (edge.source_id, edge.role, edge.target_id, edge.attributes) == (
        answer.id, "retrieved", source.id, {"rank": 1},
    )  # fmt: skip
    assert store.relations(answer.id) == [edge]
    store.delete(source.id)
    assert store.relations(answer.id) == []


def test_what_is_given_is_not_shared_with_the_caller(store: Store) -> None:
    metadata = {"a": 1}
    logged = store.log(prompt="q", metadata=metadata)
    metadata["a"] = 2
    assert logged.metadata == {"a": 1}


def test_a_closed_store_says_so(open_store: OpenStore) -> None:
    store = open_store()
    store.log(prompt="q")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed; open it again"):
        store.log(prompt="late")
    assert open_store().count() == 1
