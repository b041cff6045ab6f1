"""Bad input gets an error that says what, which value and what to do; whatever was stored before is intact after."""

from __future__ import annotations

import math
import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genstore
from genstore import Part, Store
from genstore.errors import (
    AmbiguousId,
    BlobCorrupt,
    BlobMissing,
    DimensionMismatch,
    GenstoreError,
    IndexUnavailable,
    InvalidFilter,
    InvalidInput,
    NotAStore,
    NotFound,
    StorageFull,
    StoreError,
)
from genstore.index.edge import EdgeIndex
from genstore.index.points import Point

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


def refused(call: Callable[..., object], error: type[GenstoreError], *says: str) -> None:
    with pytest.raises(error) as caught:
        call()
    for words in says:
        assert words in str(caught.value)


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
    refused(lambda: store.search("a", limit=101), InvalidInput, "pass depth=101 or more")
    refused(lambda: store.search("a", limit=0), InvalidInput, "limit is 0; pass 1 or more")
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


# The disk and the files on it


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
        assert {found.kind for found in store.verify().differences} == {"missing_point"}
        assert store.verify(repair=True).clean
        assert len(store.search("word", mode="lexical")) == 1
        assert store.verify().differences == []


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
