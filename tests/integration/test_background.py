"""A background store takes records without waiting and loses none of them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import genstore
from genstore.background import BackgroundStore
from genstore.capture.handover import Handover, HandoverQueue
from genstore.errors import InvalidInput, StoreError
from tests.conftest import OpenStore


@pytest.fixture
def background(open_store: OpenStore) -> BackgroundStore:
    store = open_store(background=True, auto_index=False)
    assert isinstance(store, BackgroundStore)
    return store


def test_a_record_has_its_id_at_once_and_is_there_after_flush(background: BackgroundStore) -> None:
    handed_over = [background.log(prompt=f"p{number}", output="o") for number in range(300)]
    background.flush_words()
    assert [record.id for record in background.list(limit=1_000, oldest_first=True).records] == [
        handover.id for handover in handed_over
    ]
    assert handed_over[7].result(timeout_s=1) == handed_over[7].id


def test_the_outcome_of_one_record_can_be_waited_for(background: BackgroundStore) -> None:
    handover = background.log(prompt="p")
    assert background.get(handover.result(timeout_s=30)).prompt_text == "p"


def test_a_skipped_duplicate_names_the_record_that_holds_the_content(background: BackgroundStore) -> None:
    first = background.log(prompt="p")
    second = background.log(prompt="p", on_duplicate="skip")
    assert second.result(timeout_s=30) == first.id != second.id


def test_a_record_that_cannot_be_stored_costs_the_others_nothing(background: BackgroundStore) -> None:
    good = background.log(prompt="good")
    taken = good.result(timeout_s=30)
    bad = [background.log(prompt="bad", metadata={"a": {1}}), background.log(prompt="bad", id=taken)]
    more = [background.log(prompt=f"good {number}") for number in range(20)]
    with pytest.raises(StoreError, match=r"2 records could not be written; the first: metadata\.a is a set"):
        background.flush()
    assert [handover.result() for handover in more] == [handover.id for handover in more]
    for handover, message in zip(bad, ["a is a set", "is taken"], strict=True):
        with pytest.raises(InvalidInput, match=message):
            handover.result()
    assert background.count() == 21
    background.flush()


def test_what_the_caller_changes_after_log_is_not_stored(background: BackgroundStore) -> None:
    metadata, messages = {"a": [1]}, [{"role": "user", "content": "before"}]
    handover = background.log(prompt=messages, metadata=metadata)
    metadata["a"].append(2)
    messages[0]["content"] = "after"
    found = background.get(handover.result(timeout_s=30))
    assert (found.metadata, found.prompt_text) == ({"a": [1]}, "before")


def test_search_sees_what_was_handed_over_before_it(background: BackgroundStore) -> None:
    handover = background.log(prompt="a zebra")
    assert [hit.record.id for hit in background.search("zebra", mode="lexical")] == [handover.id]


def test_closing_writes_everything_and_then_refuses(open_store: OpenStore) -> None:
    with open_store(background=True, auto_index=False) as store:
        for number in range(200):
            store.log(prompt=str(number))
    with pytest.raises(StoreError, match="closed; open it again"):
        store.log(prompt="late")
    assert open_store(auto_index=False).count() == 200


def test_many_threads_hand_over_at_once(background: BackgroundStore) -> None:
    def log(number: int) -> str:
        return background.log(prompt=str(number)).id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(log, range(400)))
    background.flush_words()
    assert {record.id for record in background.iterate()} == set(ids)


def test_a_full_queue_makes_its_callers_wait_and_drops_nothing() -> None:
    written: list[Any] = []
    go = threading.Event()

    def write(batch: Any) -> None:
        go.wait()
        for handover in batch:
            written.append(handover.arguments["n"])
            handover.settle(handover.id)

    waiting = HandoverQueue(write, size=5)
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(lambda: [waiting.put({"n": number}) for number in range(40)])
        time.sleep(0.1)
        assert not putting.done()
        go.set()
        assert len(putting.result(timeout=10)) == 40
    waiting.close()
    assert written == list(range(40))


def test_waiting_for_a_record_has_an_end() -> None:
    with pytest.raises(TimeoutError, match=r"record 1 was not written within 0\.01 s"):
        Handover("1", {}).result(timeout_s=0.01)


@pytest.mark.parametrize("ending", ["", "raise SystemExit(0)"], ids=["end of the script", "sys.exit"])
def test_a_script_that_just_ends_loses_nothing_and_says_nothing(tmp_path: Path, ending: str) -> None:
    script = f"""
import sys, genstore
store = genstore.open(sys.argv[1], background=True)
for number in range(500):
    store.log(prompt=f"p{{number}}", output="o")
{ending}
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "s")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    with genstore.open(tmp_path / "s", auto_index=False) as store:
        assert store.count() == 500
        store.flush_words()
        assert store.verify().differences == []
