"""Damaged, missing and foreign files, full and read-only disks: named with what to do, and nothing else is lost."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import genstore
from genstore.errors import (
    BlobCorrupt,
    BlobMissing,
    DimensionMismatch,
    IndexUnavailable,
    InvalidInput,
    NotAStore,
    NotFound,
    StorageFull,
    StoreError,
)
from genstore.index.edge import EdgeIndex
from genstore.index.points import Point
from tests.integration.refusals import refused

LARGE = 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed store in a directory with one record, its body in a blob, indexed by its words."""
    path = tmp_path / "my.store"
    with genstore.open(path, auto_index=False) as store:
        store.log(prompt="q", output="word " * (LARGE // 5))
        store.flush_words()
    return path


def intact(folder: Path) -> None:
    with genstore.open(folder, auto_index=False) as store:
        (record,) = store.list().records
        assert record.output_text == "word " * (LARGE // 5)
        assert store.verify().differences == [] or store.pending() != (0, 0)


def test_a_file_in_the_place_of_a_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    refused(lambda: genstore.open(path), NotAStore, f"{path} is a file; a store is a directory")
    refused(lambda: genstore.open(path / "below"), StorageFull, "cannot make", "choose another place")
    assert path.read_text() == "mine"


def test_a_missing_store_is_not_made_when_it_is_only_to_be_read(tmp_path: Path) -> None:
    refused(lambda: genstore.open(tmp_path / "none", create=False), NotFound, "there is no store at", "genstore init")
    assert not (tmp_path / "none").exists()


def test_an_address_that_is_no_store_is_named(tmp_path: Path) -> None:
    refused(lambda: genstore.open("https://example.org"), InvalidInput, "this version opens directories")
    refused(lambda: genstore.open("mysql://host/db", index=str(tmp_path)), NotAStore, "mysql is not supported")
    refused(lambda: genstore.open("postgresql://host/db"), InvalidInput, "host/db needs index=")
    refused(lambda: genstore.open("a b://me:pw@x", index=str(tmp_path)), InvalidInput, "'x' is no database's URL")
    refused(
        lambda: genstore.open(tmp_path / "s", blobs="nowhere://x"), InvalidInput, "nowhere://x is no place for blobs"
    )


def test_a_postgresql_server_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        url = f"postgresql+psycopg://me:secret@127.0.0.1:{port}/db"
        with pytest.raises(StoreError, match=f"127.0.0.1:{port}/db cannot be reached") as caught:
            genstore.open(url, index=str(tmp_path))
    assert "secret" not in str(caught.value)


def test_a_missing_blob_is_named_and_the_record_listed_without_it(folder: Path) -> None:
    (blob,) = (folder / "blobs").glob("??/*")
    data = blob.read_bytes()
    blob.unlink()
    with genstore.open(folder, auto_index=False) as store:
        (record,) = store.list().records
        (part,) = record.output
        assert (part.text, part.data, part.size_bytes, record.prompt_text) == (None, None, LARGE, "q")
        refused(lambda: store.get(record.id), BlobMissing, str(blob), "is gone; restore it from a backup")
        assert [found.kind for found in store.verify().differences] == ["missing_body"]
        store.tag(record.id, add=["still here"])
        assert store.set_metadata(record.id, {"a": 1}).metadata == {"a": 1}
    blob.write_bytes(data)
    intact(folder)


def test_a_damaged_blob_is_not_taken_for_the_body(folder: Path) -> None:
    (blob,) = (folder / "blobs").glob("??/*")
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + b"!")
    with genstore.open(folder, auto_index=False) as store:
        (record,) = store.list().records
        assert record.output[0].text is None
        refused(lambda: store.get(record.id), BlobCorrupt, blob.name, "does not match its SHA-256; restore it")
        assert [found.kind for found in store.verify().differences] == ["corrupt_body"]
    blob.write_bytes(data)
    intact(folder)


def truncate_segments(shard: Path) -> None:
    for path in shard.rglob("*"):
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)


def delete_segments(shard: Path) -> None:
    shutil.rmtree(shard / "segments")


def garble_configuration(shard: Path) -> None:
    (shard / "edge_config.json").write_text("{")


@pytest.mark.parametrize("damage", [truncate_segments, delete_segments, garble_configuration])
def test_a_damaged_index_names_the_command_and_reindex_mends_it(folder: Path, damage: Callable[[Path], None]) -> None:
    (shard,) = (folder / "index").glob("*/shard")
    damage(shard)
    with genstore.open(folder, auto_index=False) as store:
        refused(lambda: store.search("word", mode="lexical"), IndexUnavailable, "damaged", "run `genstore reindex`")
        assert [found.kind for found in store.verify().differences] == ["index"]
        assert store.stats().points is None
        logged = store.log(prompt="logged all the same").id
        assert store.get(logged).prompt_text == "logged all the same"
        store.delete(logged)
        store.reindex()
        assert len(store.search("word", mode="lexical")) == 1
        assert store.verify().clean
    intact(folder)


def test_an_index_that_was_deleted_is_noticed_and_rebuilt(folder: Path) -> None:
    shutil.rmtree(folder / "index")
    with genstore.open(folder, auto_index=False) as store:
        (note,) = store.verify().notes
        assert note == f"{store.count()} records wait to be indexed; `genstore reindex --pending` does it"
        store.flush()
        assert len(store.search("word", mode="lexical")) == 1
        findings = store.verify()
        assert (findings.differences, findings.notes) == ([], [])
        assert findings.points > 0


def test_a_vector_of_another_length_is_refused(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path / "index", 8)
    index.upsert([Point(1, "r", ([1], [1.0]), np.ones(8))])
    refused(lambda: index.upsert([Point(2, "r", ([1], [1.0]), np.ones(4))]), DimensionMismatch, "holds 8-d", "got 4-d")
    refused(lambda: index.candidates(np.ones(3), None, None, 5), DimensionMismatch, "8-d", "got 3-d")
    refused(
        lambda: index.set_dense([1], np.ones((1, 9), np.float32)), DimensionMismatch, "8-d", "run `genstore reindex`"
    )
    index.close()
    other = EdgeIndex(tmp_path / "index", 4)
    refused(other.count, DimensionMismatch, "holds 8-d vectors, the embedder gives 4-d", "run `genstore reindex`")
    other.close()
    index = EdgeIndex(tmp_path / "index", 8)
    assert index.count() == 1
    index.close()


def test_logging_goes_on_while_the_qdrant_server_cannot_be_reached(tmp_path: Path) -> None:
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with genstore.open(tmp_path / "my.store", index=url) as store:
            logged = store.log(prompt="a word", output="b")
            refused(lambda: store.search("word", mode="lexical"), IndexUnavailable, url)
            assert store.get(logged.id).output_text == "b"
            assert store.stats().points is None
            assert [found.kind for found in store.verify().differences] == ["index"]
    with genstore.open(tmp_path / "my.store") as store:
        assert [hit.record.id for hit in store.search("word", mode="lexical")] == [logged.id]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a tmpfs needs root with CAP_SYS_ADMIN")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_refuses_what_does_not_fit_and_keeps_what_did(small_disk: Path, tmp_path: Path) -> None:
    index = str(tmp_path / "index")
    with genstore.open(small_disk / "s", index=index, auto_index=False) as store:
        ids: list[str] = []

        def fill() -> None:
            while True:
                ids.append(store.log(prompt=f"{len(ids)} " + "x" * 20_000).id)

        refused(fill, StorageFull, "out of space, nothing was written; free some and try again")
        assert len(ids) > 5
        with pytest.raises(StorageFull, match=r"cannot write .*No space left.*nothing was stored"):
            store.log(prompt="y" * 2_000_000)
        assert [record.id for record in store.list(limit=1_000, oldest_first=True).records] == ids
        for record_id in ids:
            assert len(store.get(record_id).prompt_text) > 20_000
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    with genstore.open(small_disk / "s", index=index, auto_index=False) as store:
        store.log(prompt="there is room again " * 5_000)
        assert store.count() == len(ids) + 1
        assert store.verify().clean


def test_a_read_only_disk_is_named_and_an_open_store_still_reads(small_disk: Path, tmp_path: Path) -> None:
    path, index = small_disk / "s", str(tmp_path / "index")
    with genstore.open(path, index=index, auto_index=False) as store:
        logged = store.log(prompt="before")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused(lambda: genstore.open(small_disk / "other"), StorageFull, "cannot make", "Read-only file system")
    refused(
        lambda: genstore.open(path, index=index, auto_index=False).log(prompt="q"),
        StorageFull, str(path), "cannot be written to; check its permissions and the disk's",
    )  # fmt: skip
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with genstore.open(path, index=index, auto_index=False) as store:
        assert store.get(logged.id).prompt_text == "before"
        assert store.verify().clean


def test_a_disk_that_becomes_read_only_costs_only_what_was_refused(small_disk: Path, tmp_path: Path) -> None:
    with genstore.open(small_disk / "s", index=str(tmp_path / "index"), auto_index=False) as store:
        logged = store.log(prompt="before")
    locked = small_disk / "s" / "genstore.db"
    with closing(sqlite3.connect(locked)) as connection:
        assert connection.execute("SELECT id FROM records").fetchall() == [(logged.id,)]
    with genstore.open(small_disk / "s", index=str(tmp_path / "index"), auto_index=False) as store:
        blobs = small_disk / "s" / "blobs"
        blobs.mkdir(exist_ok=True)
        subprocess.run(["mount", "--bind", "-o", "ro", str(blobs), str(blobs)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(blobs)], check=True)
        try:
            refused(lambda: store.log(prompt="z" * LARGE), StorageFull, "cannot write", "Read-only file system")
            assert store.log(prompt="small").id
        finally:
            subprocess.run(["umount", str(blobs)], check=True)
        assert store.count() == 2
