"""Who embeds what, and what the database is kept from meanwhile: nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import genstore
from genstore import Store
from genstore.search.projection import Projection
from tests.conftest import OpenStore

Encode = Callable[[Any, Sequence[str]], Any]


def projection(store: Store) -> Projection:
    return store._projections.active()


def watch_encoding(store: Store, monkeypatch: pytest.MonkeyPatch, seen: Callable[[Sequence[str]], object]) -> None:
    """Have seen() called with the texts before the embedder encodes them."""
    kind = type(projection(store).embedder)
    original: Encode = kind.encode

    def encode(self: Any, texts: Sequence[str]) -> Any:
        seen(texts)
        return original(self, texts)

    monkeypatch.setattr(kind, "encode", encode)


def open_transactions(store: Store) -> int:
    """Transactions that stand idle, or keep SQLite from emptying its log."""
    with store.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if store.database.is_sqlite:
            return int(connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0])
        idle = "state LIKE 'idle in transaction%' AND datname = current_database()"
        return int(connection.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {idle}")) or 0)


def test_no_transaction_is_open_while_texts_are_embedded(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(auto_index=False)
    store.log(prompt="a zebra")
    store.flush_words()
    counted: list[int] = []

    def look(_: Sequence[str]) -> None:
        if not counted:
            store.log(prompt="written meanwhile")
            counted.append(open_transactions(store))

    watch_encoding(store, monkeypatch, look)
    store.flush()
    assert counted == [0]
    assert store.pending() == (0, 0)


def test_what_is_deleted_while_it_is_embedded_leaves_nothing(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(auto_index=False)
    gone, kept = store.log(prompt="a zebra").id, store.log(prompt="an okapi").id
    store.flush_words()
    watch_encoding(store, monkeypatch, lambda texts: store.delete(gone) if store.count() == 2 else None)
    store.flush()
    assert store.verify().differences == []
    assert [record.id for record in store.iterate()] == [kept]
    assert (store.stats().embeddings, store.stats().points) == (1, 1)


def test_indexers_of_one_postgresql_embed_different_records_at_once(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = open_store(auto_index=False, idle_s=0.2), open_store(auto_index=False, idle_s=0.2)
    if slow.database.is_sqlite:
        pytest.skip("one process at a time embeds for a store in a directory")
    slow.log_many({"prompt": f"zebra number {number}"} for number in range(150))
    slow.flush_words()
    begun, go_on = threading.Event(), threading.Event()
    embedded: dict[str, list[str]] = {"slow": [], "quick": []}
    thread = threading.Thread(target=slow._projections.active().indexer.drain_dense, kwargs={"most": 1})

    def look(texts: Sequence[str]) -> None:
        embedded["slow" if threading.current_thread() is thread else "quick"].extend(texts)
        if threading.current_thread() is thread:
            begun.set()
            assert go_on.wait(60)

    watch_encoding(slow, monkeypatch, look)
    thread.start()
    assert begun.wait(60)
    done = projection(quick).indexer.drain_dense()
    go_on.set()
    thread.join()
    assert done > 0
    assert not set(embedded["slow"]) & set(embedded["quick"])
    quick.flush()
    assert len(embedded["slow"] + embedded["quick"]) == 150
    assert quick.verify().differences == []


RESERVES = """
import sys, time, genstore
store = genstore.open(sys.argv[1], index=sys.argv[2], auto_index=False)
with store._projections.active().outbox.reserve("embed", 10) as tasks:
    print(len(tasks), flush=True)
    sys.stdin.read()
"""


def test_tasks_of_a_killed_indexer_are_free_again(pg_url: str, tmp_path: Path) -> None:
    index = str(tmp_path / "index")
    with genstore.open(pg_url, index=index, auto_index=False) as store:
        store.log_many({"prompt": f"zebra {number}"} for number in range(3))
        store.flush_words()
        outbox = projection(store).outbox
        other = subprocess.Popen(
            [sys.executable, "-c", RESERVES, pg_url, index], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "3\n"
        with outbox.reserve("embed", 10) as tasks:
            assert tasks == []
        other.kill()
        other.communicate()
        deadline, freed = time.monotonic() + 30, 0
        while not freed:  # the server notices a moment later
            assert time.monotonic() < deadline
            with outbox.reserve("embed", 10) as tasks:
                freed = len(tasks)
        assert freed == 3
        store.flush()
        assert store.verify().differences == []
