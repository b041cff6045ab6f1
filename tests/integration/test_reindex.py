"""Rebuilding the index, with another embedder too: searches go on, a crash costs nothing, mix-ups are refused."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

import genstore
from genstore import Store
from genstore.errors import EmbedderMismatch, EmbedderUnavailable, GenstoreError
from genstore.index.edge import EdgeIndex
from genstore.sql import tables
from tests.conftest import OpenStore

DEFAULT = "all-MiniLM-L6-v2"
WIDTH = 32


def bag_of_words(text: str) -> list[float]:
    """Each word adds to one component, chosen by its hash: texts that share words are alike."""
    vector = np.full(WIDTH, 1e-3)
    for word in re.findall(r"\w+", text.lower()):
        vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % WIDTH] += 1
    return [float(value) for value in vector / np.linalg.norm(vector)]


class EmbeddingsServer(ThreadingHTTPServer):
    """OpenAI's embeddings protocol over bag_of_words; delay_s slows it, broken makes it refuse."""

    daemon_threads = True
    delay_s = 0.0
    broken = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.texts: list[str] = []
        self.name = f"http://127.0.0.1:{self.server_address[1]}/v1#tiny"


class _Handler(BaseHTTPRequestHandler):
    server: EmbeddingsServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.texts += body["input"]
        time.sleep(self.server.delay_s)
        if self.server.broken:
            self.send_error(400, "out of order")
            return
        data = [{"index": number, "embedding": bag_of_words(text)} for number, text in enumerate(body["input"])]
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def tiny() -> Iterator[EmbeddingsServer]:
    with EmbeddingsServer() as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.shutdown()
        serving.join()


@pytest.fixture
def ids(store: Store) -> list[str]:
    found = store.log_many({"prompt": f"zebra {number}", "output": f"answer {number}"} for number in range(30))
    store.flush()
    return found


def states(store: Store) -> list[tuple[str, str]]:
    with store.database.read() as connection:
        query = select(tables.indexes.c.state, tables.indexes.c.embedder).order_by(tables.indexes.c.id)
        return [(row.state, row.embedder) for row in connection.execute(query)]


def found(store: Store, text: str = "zebra", **options: Any) -> set[str]:
    return {hit.record.id for hit in store.search(text, depth=1_000, limit=200, **options)}


def folders(store: Store) -> list[str]:
    folder = store._projections._index_folder()
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and (path / "shard").exists())


def test_a_rebuilt_index_is_the_same_and_embeds_nothing_again(
    store: Store, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.tag(ids[0], add=["t"])
    before = store.search("zebra 7", limit=20)
    embedder = type(store._projections.active().embedder)
    with monkeypatch.context() as patch:
        patch.setattr(embedder, "encode", lambda *_: pytest.fail("a text was embedded again"))
        told: list[tuple[int, int]] = []
        store.reindex(progress=lambda done, left: told.append((done, left)))
    assert told[-1][1] == 0
    assert [(hit.record.id, round(hit.score, 5)) for hit in store.search("zebra 7", limit=20)] == [
        (hit.record.id, round(hit.score, 5)) for hit in before
    ]
    assert states(store) == [("active", DEFAULT)]
    assert len(folders(store)) == 1
    assert store.verify().differences == []


def test_another_embedder_takes_over_with_vectors_of_its_own(
    store: Store, ids: list[str], tiny: EmbeddingsServer
) -> None:
    store.reindex(tiny.name)
    assert states(store) == [("active", tiny.name)]
    assert sorted(tiny.texts[-60:]) == sorted([*(f"zebra {n}" for n in range(30)), *(f"answer {n}" for n in range(30))])
    assert store.search("answer 7", mode="dense")[0].record.id == ids[7]
    with store.database.read() as connection:
        embedders = set(connection.execute(select(tables.embeddings.c.embedder)).scalars())
    assert embedders == {tiny.name}
    assert store.verify().differences == []
    logged = store.log(prompt="zebra logged after")
    assert logged.id in found(store)
    store.reindex(DEFAULT)
    assert states(store) == [("active", DEFAULT)]
    assert len(found(store)) == 31
    assert store.verify().differences == []


def test_a_store_opens_with_the_embedder_it_was_reindexed_with(
    store: Store, ids: list[str], tiny: EmbeddingsServer, open_store: OpenStore
) -> None:
    store.reindex(tiny.name)
    store.close()
    again = open_store(auto_index=False)
    assert again.stats().embedder == tiny.name
    assert again.search("answer 7", mode="dense")[0].record.id == ids[7]
    assert open_store(auto_index=False, embedder=tiny.name).count() == 30


def test_opening_with_another_embedder_is_refused_with_the_command(
    store: Store, ids: list[str], tiny: EmbeddingsServer, open_store: OpenStore
) -> None:
    with pytest.raises(EmbedderMismatch) as caught:
        open_store(embedder=tiny.name)
    assert f"embedded with '{DEFAULT}' (384-d), not '{tiny.name}'" in str(caught.value)
    assert f"run `genstore reindex --embedder {tiny.name}`" in str(caught.value)
    with pytest.raises(EmbedderMismatch, match=f"genstore reindex --embedder {DEFAULT}-int8"):
        open_store(precision="int8")
    assert open_store(auto_index=False, embedder=DEFAULT).count() == 30
    assert store.verify().differences == []


def test_searches_go_on_and_new_records_reach_both_indexes(
    store: Store, ids: list[str], tiny: EmbeddingsServer, open_store: OpenStore
) -> None:
    tiny.delay_s = 0.15
    other = open_store(auto_index=False, idle_s=0.1)
    failures: list[BaseException] = []

    def rebuild() -> None:
        try:
            store.reindex(tiny.name)
        except BaseException as error:
            failures.append(error)

    rebuilding = threading.Thread(target=rebuild)
    rebuilding.start()
    logged: list[str] = []
    searches = 0
    while rebuilding.is_alive():
        for searching in (store, other):
            assert set(ids) <= found(searching, mode="lexical")
            searches += 1
        if len(logged) < 5:
            logged.append(other.log(prompt=f"zebra logged meanwhile {len(logged)}").id)
        time.sleep(0.01)
    rebuilding.join()
    assert failures == []
    assert searches >= 4
    for searching in (store, other):
        searching.flush()
        assert found(searching, mode="lexical") == {*ids, *logged}
    assert states(other) == [("active", tiny.name)]
    assert other.verify().differences == []


def test_deletions_and_changes_during_a_rebuild_reach_the_new_index(
    store: Store, ids: list[str], tiny: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = EdgeIndex.set_dense
    changed = threading.Event()

    def set_dense(self: EdgeIndex, *args: Any) -> None:
        original(self, *args)
        if not changed.is_set():
            changed.set()
            store.delete(ids[0])
            store.tag(ids[1], add=["changed"])

    monkeypatch.setattr(EdgeIndex, "set_dense", set_dense)
    store.reindex(tiny.name)
    store.flush()
    assert found(store) == set(ids[1:])
    assert {hit.record.id for hit in store.search("zebra", "tag:changed")} == {ids[1]}
    assert store.verify().differences == []


def test_an_embedder_that_breaks_off_leaves_the_old_index_in_use_and_reindex_goes_on(
    store: Store, ids: list[str], tiny: EmbeddingsServer
) -> None:
    store._projections.embedder(tiny.name).encode_query("ask for the dimension before it breaks")
    tiny.broken = True
    with pytest.raises(EmbedderUnavailable, match="refused: 400"):
        store.reindex(tiny.name)
    assert states(store) == [("active", DEFAULT), ("building", tiny.name)]
    assert found(store) == set(ids)
    assert store.verify().differences == []
    tiny.broken = False
    tiny.texts.clear()
    store.reindex(tiny.name)
    assert states(store) == [("active", tiny.name)]
    assert store.verify().differences == []


def test_a_rebuild_with_yet_another_embedder_discards_the_one_that_was_begun(
    store: Store, ids: list[str], tiny: EmbeddingsServer
) -> None:
    store._projections.embedder(tiny.name).encode_query("ask for the dimension before it breaks")
    tiny.broken = True
    with pytest.raises(EmbedderUnavailable):
        store.reindex(tiny.name)
    store.reindex(DEFAULT)
    assert states(store) == [("active", DEFAULT)]
    assert len(folders(store)) == 1
    assert found(store) == set(ids)
    assert store.verify().differences == []


KILLED = """
import sys, genstore
with genstore.open(sys.argv[1], auto_index=False) as store:
    store.reindex(sys.argv[2], lambda done, left: print(done, left, flush=True))
"""


def test_a_killed_rebuild_goes_on_and_embeds_nothing_twice(tmp_path: Path, tiny: EmbeddingsServer) -> None:
    path = tmp_path / "my.store"
    with genstore.open(path, auto_index=False) as store:
        ids = store.log_many({"prompt": f"zebra {number}"} for number in range(200))
        store.flush_words()
    tiny.delay_s = 0.1
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), tiny.name], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line.split()[0]) >= 200 + 96:
            break
    process.kill()
    process.communicate()
    tiny.delay_s = 0.0
    before = len(tiny.texts)
    with genstore.open(path, auto_index=False) as store:
        assert [state for state, _ in states(store)] == ["active", "building"]
        assert found(store, mode="lexical") == set(ids)
        store.reindex(tiny.name)
        assert states(store) == [("active", tiny.name)]
        assert found(store, mode="lexical") == set(ids)
        assert store.verify().differences == []
    assert len(tiny.texts) - before <= 200 - 96 + 1


def test_an_embedder_that_cannot_be_had_changes_nothing(store: Store, ids: list[str]) -> None:
    for name in ("http://127.0.0.1:9/v1", " "):
        with pytest.raises(GenstoreError):
            store.reindex(name)
    assert states(store) == [("active", DEFAULT)]
    assert found(store) == set(ids)
