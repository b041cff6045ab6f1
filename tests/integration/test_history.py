"""A conversation that is sent again with every turn: bodies are kept once, each text is found where it was new."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from genstore import Record, Store
from genstore.sql import tables
from tests.conftest import OpenStore

SYSTEM = {"role": "system", "content": "You are a helpful gardener."}


def turn(store: Store, history: list[dict[str, Any]], question: str, answer: str, session: str = "s") -> Record:
    """Log one turn as a chat client does, with everything said before, and add it to the history."""
    history.append({"role": "user", "content": question})
    logged = store.log(prompt=list(history), output=answer, session_id=session)
    history.append({"role": "assistant", "content": answer})
    return logged


def passages(store: Store, text: str) -> list[tuple[str, str]]:
    """(record, text) of every passage that holds the word."""
    hits = store.search(text, mode="lexical", depth=1_000)
    return [(hit.record.id, passage.text) for hit in hits for passage in hit.passages]


def bodies(store: Store) -> int:
    with store.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.contents)).scalar_one())


def test_a_resent_history_costs_no_second_copy_and_is_found_once(store: Store) -> None:
    history = [SYSTEM]
    first = turn(store, history, "When do tulips flower?", "Tulips flower in April.")
    second = turn(store, history, "And the dahlias?", "Dahlias flower in August.")
    third = turn(store, history, "And snowdrops?", "Snowdrops come in February.")
    assert bodies(store) == 7
    store.flush_words()
    assert sorted(passages(store, "tulips")) == [
        (first.id, "Tulips flower in April."),
        (first.id, "When do tulips flower?"),
    ]
    assert {record_id for record_id, _ in passages(store, "dahlias")} == {second.id}
    assert {record_id for record_id, _ in passages(store, "snowdrops")} == {third.id}
    assert passages(store, "gardener") == [(first.id, "You are a helpful gardener.")]
    assert [part.text for part in store.get(third.id).prompt][-1] == "And snowdrops?"
    assert [part.history for part in store.get(third.id).prompt] == [True, True, True, True, True, False]


def test_a_history_whose_earlier_turns_were_never_logged_is_found_under_the_first_that_holds_it(store: Store) -> None:
    history = [SYSTEM, {"role": "user", "content": "tulips?"}, {"role": "assistant", "content": "in April"}]
    logged = turn(store, history, "dahlias?", "in August")
    turn(store, history, "snowdrops?", "in February")
    store.flush_words()
    assert passages(store, "tulips") == [(logged.id, "tulips?")]


def test_what_a_deleted_record_said_first_is_found_under_the_next_that_holds_it(store: Store) -> None:
    history = [SYSTEM]
    first = turn(store, history, "When do tulips flower?", "Tulips flower in April.")
    second = turn(store, history, "And the dahlias?", "Dahlias flower in August.")
    third = turn(store, history, "And snowdrops?", "Snowdrops come in February.")
    store.flush()
    store.delete(first.id)
    store.flush()
    assert {record_id for record_id, _ in passages(store, "tulips")} == {second.id}
    assert passages(store, "gardener") == [(second.id, "You are a helpful gardener.")]
    assert store.verify().differences == []
    store.delete(second.id)
    store.flush()
    assert {record_id for record_id, _ in passages(store, "tulips dahlias gardener")} == {third.id}
    assert store.verify().differences == []
    store.delete(third.id)
    store.flush()
    assert (bodies(store), store.stats().points) == (0, 0)


def test_records_deleted_before_they_were_indexed_leave_what_they_said_to_be_found(store: Store) -> None:
    history = [SYSTEM]
    first = turn(store, history, "When do tulips flower?", "Tulips flower in April.")
    second = turn(store, history, "And the dahlias?", "Dahlias flower in August.")
    store.delete(first.id)
    store.flush()
    assert {record_id for record_id, _ in passages(store, "tulips")} == {second.id}
    assert store.verify().differences == []


def test_a_question_asked_anew_is_found_under_every_record_that_asks_it(store: Store) -> None:
    ids = {store.log(prompt="When do tulips flower?", output=f"answer {number}").id for number in range(3)}
    store.flush_words()
    assert {record_id for record_id, _ in passages(store, "tulips")} == ids
    assert bodies(store) == 4


def test_a_history_in_another_project_is_found_there(open_store: OpenStore) -> None:
    ours, theirs = (open_store(project=name, auto_index=False) for name in ("ours", "theirs"))
    history = [SYSTEM]
    first = turn(ours, history, "tulips?", "in April")
    second = turn(theirs, history, "dahlias?", "in August")
    ours.flush_words()
    theirs.flush_words()
    assert {record_id for record_id, _ in passages(ours, "tulips")} == {first.id}
    assert {record_id for record_id, _ in passages(theirs, "tulips")} == {second.id}
