"""The same record logged again: kept, skipped or linked, by one rule, and the caller learns who holds the content."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pytest

from genstore import Store
from genstore.errors import InvalidInput
from tests.conftest import OpenStore

SAME: dict[str, Any] = {"prompt": "q", "output": "a", "model": "m", "params": {"t": 0, "s": [1]}}

Policy = Literal["keep", "skip", "link"]


def test_keep_stores_both(store: Store) -> None:
    first, second = store.log(**SAME), store.log(**SAME)
    assert first.id != second.id
    assert first.fingerprint == second.fingerprint
    assert second.duplicate_of is None
    assert store.count() == 2


def test_skip_answers_with_the_record_that_is_there(store: Store) -> None:
    first = store.log(**SAME, tags=["first"])
    second = store.log(**SAME, tags=["second"], on_duplicate="skip")
    assert (second.id, second.tags, store.count()) == (first.id, ("first",), 1)


def test_link_stores_it_and_names_the_original(store: Store) -> None:
    first = store.log(**SAME)
    second = store.log(**SAME, on_duplicate="link")
    assert second.duplicate_of == first.id
    assert store.get(second.id).duplicate_of == first.id
    assert [edge.role for edge in store.relations(first.id)] == ["duplicate_of"]


@pytest.mark.parametrize("policy", ["skip", "link"])
def test_a_first_record_is_stored_whatever_the_policy(store: Store, policy: Policy) -> None:
    logged = store.log(**SAME, on_duplicate=policy)
    assert store.get(logged.id).duplicate_of is None


def test_whatever_makes_a_record_another_one_is_told_apart(store: Store) -> None:
    first = store.log(**SAME)
    changes: list[dict[str, Any]] = [
        {"model": "other"},
        {"model": None},
        {"params": {"t": 1}},
        {"params": None},
        {"prompt": "Q"},
        {"output": None},
        {"kind": "document"},
        {"project": "elsewhere"},
        {"prompt": [{"role": "system", "content": "q"}]},
    ]
    ids = store.log_many([{**SAME, **change} for change in changes], on_duplicate="skip")
    assert len({first.id, *ids}) == 1 + len(changes)


def test_what_a_call_cost_or_is_filed_under_does_not_make_it_another(store: Store) -> None:
    first = store.log(**SAME)
    changes: list[dict[str, Any]] = [
        {"params": {"s": [1], "t": 0}},
        {"tags": ["x"]},
        {"duration_s": 3},
        {"session_id": "s"},
        {"metadata": {"a": 1}},
        {"prompt": [{"role": "user", "content": "q"}]},
        {"usage": {"input_tokens": 3}},
    ]
    ids = store.log_many([{**SAME, **change} for change in changes], on_duplicate="skip")
    assert set(ids) == {first.id}


def test_repeats_within_a_batch_count(store: Store) -> None:
    ids = store.log_many([SAME, {"prompt": "else"}, SAME, SAME], on_duplicate="skip")
    assert ids[0] == ids[2] == ids[3] != ids[1]
    linked = store.log_many([SAME, SAME], on_duplicate="link")
    assert {store.get(record_id).duplicate_of for record_id in linked} == {ids[0]}
    assert store.count() == 4


def test_the_original_of_a_deleted_record_is_the_next_one(store: Store) -> None:
    first = store.log(**SAME)
    second = store.log(**SAME, on_duplicate="link")
    store.delete(first.id)
    assert store.get(second.id).duplicate_of is None
    assert store.log(**SAME, on_duplicate="skip").id == second.id


def test_an_unknown_policy_is_refused(store: Store) -> None:
    with pytest.raises(InvalidInput, match="on_duplicate is 'drop'; it is one of keep, skip, link"):
        store.log(**SAME, on_duplicate="drop")  # type: ignore[arg-type]
    assert store.count() == 0


def test_threads_and_stores_that_skip_agree_on_one_record(open_store: OpenStore) -> None:
    stores = [open_store(auto_index=False) for _ in range(2)]

    def log(number: int) -> str:
        return stores[number % 2].log(**SAME, on_duplicate="skip").id

    with ThreadPoolExecutor(6) as pool:
        ids = list(pool.map(log, range(30)))
    assert len(set(ids)) == 1
    assert stores[0].count() == 1
