"""verify lists every difference between SQL, index and blobs; with repair it mends them and nothing else."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, insert, select, text

from genstore import Store
from genstore.blobs import DirectoryBlobs
from genstore.identity import sha256
from genstore.index.points import Point, point_id
from genstore.search.projection import Projection
from genstore.sql import tables
from tests.conftest import OpenStore

LARGE = "a large body " * 8_000


@pytest.fixture
def ids(store: Store) -> list[str]:
    """Three indexed records, the last with its output in a blob."""
    found = [
        store.log(prompt="tulips", output="flower in April").id,
        store.log(prompt="dahlias", output="flower in August").id,
        store.log(prompt="much", output=LARGE).id,
    ]
    store.flush()
    return found


def projection(store: Store) -> Projection:
    return store._projections.active()


def kinds(store: Store) -> list[str]:
    return sorted({difference.kind for difference in store.verify().differences})


def points_of(store: Store, record_id: str) -> list[int]:
    return [point for point, owner, _ in projection(store).index.scan() if owner == record_id]


def blobs(store: Store) -> DirectoryBlobs:
    assert isinstance(store.bodies.blobs, DirectoryBlobs)
    return store.bodies.blobs


def test_a_store_as_it_should_be_is_clean_and_counted(store: Store, ids: list[str]) -> None:
    findings = store.verify()
    assert (findings.clean, findings.differences, findings.notes) == (True, [], [])
    assert (findings.records, findings.bodies) == (3, 6)
    assert findings.points == sum(len(points_of(store, record_id)) for record_id in ids)
    assert store.verify(repair=True).repaired == 0


def test_an_empty_store_is_clean(store: Store) -> None:
    assert store.verify(repair=True).clean


def test_a_point_that_is_missing_is_made_again(store: Store, ids: list[str]) -> None:
    projection(store).index.delete_points(points_of(store, ids[0])[:1])
    (difference,) = store.verify().differences
    assert (difference.kind, difference.record_id) == ("missing_point", ids[0])
    findings = store.verify(repair=True)
    assert (findings.clean, findings.repaired) == (True, 1)
    assert store.verify().differences == []
    assert [hit.record.id for hit in store.search("tulips", mode="lexical")] == [ids[0]]


def test_a_vector_that_is_missing_is_set_again_without_embedding(store: Store, ids: list[str]) -> None:
    (point, *_) = points_of(store, ids[1])
    projection(store).index.upsert([Point(point, ids[1], ([1], [1.0]))])
    assert kinds(store) == ["missing_vector"]
    assert store.verify(repair=True).clean
    assert store.verify().differences == []


def test_a_point_of_no_record_is_deleted(store: Store, ids: list[str]) -> None:
    vector = np.ones(384, np.float32) / np.sqrt(384)
    stray = Point(point_id(10**6, 0), "00000000-0000-7000-8000-000000000000", ([1], [1.0]), vector)
    projection(store).index.upsert([stray])
    (difference,) = store.verify().differences
    assert (difference.kind, difference.what) == ("extra_point", "passage 0 of part 1000000")
    assert store.verify(repair=True).clean
    assert store.verify().differences == []


def test_a_whole_index_that_is_gone_is_made_again(store: Store, ids: list[str]) -> None:
    projection(store).index.delete_records(ids)
    assert kinds(store) == ["missing_point"]
    assert store.verify(repair=True).clean
    assert store.verify().differences == []


def test_a_body_that_no_record_names_is_removed(store: Store, ids: list[str]) -> None:
    with store.database.write() as connection:
        row = {"sha256": sha256(b"x"), "size_bytes": 1, "encoding": "plain", "body": b"x"}
        connection.execute(insert(tables.contents).values(row))
    assert kinds(store) == ["unused_body"]
    assert store.verify(repair=True).clean
    assert store.verify().differences == []


def test_a_blob_that_an_interrupted_write_left_is_noted_and_removed(store: Store, ids: list[str]) -> None:
    digest = sha256(b"left over")
    blobs(store).put(digest, b"left over")
    findings = store.verify()
    assert findings.clean
    assert findings.notes == ["1 blobs left by interrupted writes; --repair deletes them"]
    store.verify(repair=True)
    assert not blobs(store).exists(digest)
    assert blobs(store).exists(sha256(LARGE.encode()))
    assert store.verify().notes == []


def test_a_body_that_is_gone_or_damaged_stays_listed_with_its_records(store: Store, ids: list[str]) -> None:
    again = store.log(prompt="the same", output=LARGE).id
    store.flush()
    (blob,) = [path for path in blobs(store).folder.glob("??/*") if path.is_file()]
    data = blob.read_bytes()
    for kind, damage in (("missing_body", None), ("corrupt_body", b"other")):
        blob.unlink(missing_ok=True)
        if damage is not None:
            blob.write_bytes(damage)
        findings = store.verify(repair=True)
        assert {(found.kind, found.record_id) for found in findings.differences} == {(kind, ids[2]), (kind, again)}
        assert not findings.clean
    blob.write_bytes(data)
    assert store.verify().clean


def test_a_damaged_body_in_its_row_is_found(store: Store, ids: list[str]) -> None:
    with store.database.write() as connection:
        digest = sha256(b"tulips")
        where = tables.contents.c.sha256 == digest
        connection.execute(tables.contents.update().where(where).values(body=b"tulipS"))
    (difference,) = store.verify().differences
    assert (difference.kind, difference.record_id) == ("corrupt_body", ids[0])


def test_a_row_whose_parent_is_gone_is_found(open_store: OpenStore, ids: list[str], store: Store) -> None:
    if not store.database.is_sqlite:
        pytest.skip("PostgreSQL cannot be made to break a foreign key by an ordinary user")
    with store.database.engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN")
        connection.execute(delete(tables.contents).where(tables.contents.c.sha256 == sha256(b"tulips")))
        connection.commit()
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        connection.exec_driver_sql("BEGIN")
    found = [difference.what for difference in store.verify().differences if difference.kind == "database"]
    assert any("refers to a row of contents that is gone" in what for what in found)


def test_what_still_waits_to_be_indexed_is_no_difference(store: Store, ids: list[str]) -> None:
    store.log(prompt="not yet indexed")
    store.delete(ids[0])
    assert store.verify().differences == []
    store.flush_words()
    assert store.verify().differences == []
    projection(store).index.delete_records([store.list(limit=1).records[0].id])
    assert kinds(store) == ["missing_point"]


def test_a_repair_while_others_write_takes_nothing_of_theirs(open_store: OpenStore) -> None:
    checking, writing = open_store(auto_index=False), open_store(auto_index=False)
    writing.log_many({"prompt": f"before {number}"} for number in range(50))
    writing.flush_words()
    done = threading.Event()

    def write() -> list[str]:
        kept: list[str] = []
        while not done.is_set():
            kept.append(writing.log(prompt=f"meanwhile {len(kept)}").id)
            writing.delete(writing.log(prompt=f"gone {len(kept)}").id)
            writing.flush_words()
        return kept

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        for _ in range(3):
            findings = checking.verify(repair=True)
            assert findings.differences == []
        done.set()
        kept = written.result()
    writing.flush()
    assert checking.verify().differences == []
    assert checking.count() == 50 + len(kept)


def test_every_record_of_a_store_with_projects_is_verified(open_store: OpenStore) -> None:
    ours, theirs = open_store(project="ours", auto_index=False), open_store(project="theirs", auto_index=False)
    ours.log(prompt="one")
    logged = theirs.log(prompt="two")
    ours.flush()
    projection(ours).index.delete_records([logged.id])
    assert [difference.record_id for difference in ours.verify().differences] == [logged.id]


def table_sizes(store: Store) -> dict[str, int]:
    with store.database.read() as connection:
        return {
            name: int(connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one())
            for name in tables.metadata.tables
        }


def test_deleting_everything_leaves_nothing_behind(store: Store, ids: list[str], tmp_path: Path) -> None:
    store.score(ids[0], "q", 1)
    store.tag(ids[0], add=["t"])
    store.set_metadata(ids[0], {"a": {"b": [1, "x"]}})
    store.relate(ids[0], "input", ids[1])
    store.flush()
    removal = sum((store.delete(record_id) for record_id in ids[1:]), store.delete(ids[0]))
    assert (removal.records, removal.scores, removal.relations, removal.contents) == (3, 1, 1, 6)
    store.flush()
    left = {name: size for name, size in table_sizes(store).items() if size}
    assert left == {"settings": 2, "indexes": 1}
    assert list(blobs(store).list()) == []
    assert projection(store).index.count() == 0


def test_stats_count_what_is_there(store: Store, ids: list[str]) -> None:
    usage: dict[str, Any] = {"input_tokens": 10, "output_tokens": 5, "cost_usd": 0.5}
    store.log(prompt="tulips", model="m", usage=usage, status="error")
    stats = store.stats()
    assert (stats.records, stats.by_model, stats.by_status) == (4, {"m": 1}, {"ok": 3, "error": 1})
    assert (stats.input_tokens, stats.output_tokens, stats.cost_usd) == (10, 5, 0.5)
    assert (stats.bodies, stats.repeated_bytes, stats.pending) == (6, len("tulips"), 1)
    assert stats.points == len([*projection(store).index.scan()])
    store.score(ids[0], "quality", 1)
    own = store.stats("model:m")
    assert (own.records, own.bodies, own.body_bytes, own.repeated_bytes, own.scores) == (1, 1, len("tulips"), 0, 0)
    assert (own.passages, own.embeddings, own.points) == (1, 1, 0)
    store.flush()
    assert (store.stats("model:m").points, store.stats().scores) == (1, 1)
    with store.database.read() as connection:
        assert stats.passages == len(connection.execute(select(tables.passages)).all())


def test_stats_leave_other_projects_out(open_store: OpenStore) -> None:
    ours, theirs = open_store(auto_index=False), open_store(auto_index=False, project="theirs")
    ours.log(prompt="tulips", output="flower in April")
    theirs.log(prompt="tulips")
    ours.flush()
    stats = theirs.stats()
    assert (stats.bodies, stats.passages, stats.embeddings, stats.points) == (1, 1, 1, 1)
    assert (ours.stats().bodies, ours.stats().points) == (2, 2)
