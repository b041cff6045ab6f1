"""Blobs, in a folder and over fsspec: whole or not at all, safe from paths, checked when read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genstore.blobs import INLINE_BYTES, Blobs, Bodies, DirectoryBlobs, RemoteBlobs
from genstore.errors import BlobCorrupt, BlobMissing, InvalidInput, StorageFull, StoreError
from genstore.identity import sha256

DATA = bytes(range(256)) * 1_000
DIGEST = sha256(DATA)


@pytest.fixture(params=["folder", "synced", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    if request.param == "memory":
        memory = RemoteBlobs(f"memory://{tmp_path.name}/blobs")
        yield memory
        for digest in list(memory.list()):
            memory.delete(digest)
    else:
        yield DirectoryBlobs(tmp_path / "blobs", sync=request.param == "synced")


def test_what_is_put_can_be_got_listed_and_deleted(blobs: Blobs) -> None:
    assert list(blobs.list()) == []
    assert not blobs.exists(DIGEST)
    blobs.put(DIGEST, DATA)
    blobs.put(DIGEST, DATA)
    blobs.put(sha256(b""), b"")
    assert (blobs.get(DIGEST), blobs.get(sha256(b""))) == (DATA, b"")
    assert blobs.exists(DIGEST)
    assert sorted(blobs.list()) == sorted([DIGEST, sha256(b"")])
    blobs.delete(DIGEST)
    blobs.delete(DIGEST)
    assert list(blobs.list()) == [sha256(b"")]
    with pytest.raises(BlobMissing, match="is gone; restore it from a backup, then run genstore verify"):
        blobs.get(DIGEST)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "a" * 65, "g" * 64])
def test_nothing_but_a_hash_becomes_a_path(blobs: Blobs, digest: str) -> None:
    for verb in (blobs.get, blobs.exists, blobs.delete, lambda name: blobs.put(name, b"")):
        with pytest.raises(InvalidInput, match="is not a SHA-256 in lower-case hexadecimal digits"):
            verb(digest)


def test_threads_that_put_the_same_blob_leave_one_whole(blobs: Blobs) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: blobs.put(DIGEST, DATA), range(40)))
    assert (list(blobs.list()), blobs.get(DIGEST)) == ([DIGEST], DATA)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    folder.mkdir()
    (folder / DIGEST[:2]).write_text("a file in the folder's place")
    with pytest.raises(StorageFull, match="nothing was stored"):
        DirectoryBlobs(folder).put(DIGEST, DATA)
    assert [path.name for path in folder.rglob("*")] == [DIGEST[:2]]


def test_files_that_are_no_blobs_are_not_listed(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put(DIGEST, DATA)
    (tmp_path / "ab").mkdir(exist_ok=True)
    for name in ("ab/notes.txt", f"ab/.{DIGEST}.x.tmp", DIGEST):
        (tmp_path / name).write_text("")
    assert list(blobs.list()) == [DIGEST]


def test_a_body_is_a_blob_above_64_kib_and_in_its_row_below(blobs: Blobs) -> None:
    bodies = Bodies(blobs)
    assert bodies.outside(b"x" * INLINE_BYTES) is None
    assert bodies.outside(b"x" * (INLINE_BYTES + 1)) is blobs
    assert Bodies(None).outside(DATA) is None


def test_what_is_sealed_is_unsealed_in_its_row_and_as_a_blob(blobs: Blobs) -> None:
    for compress, expected in ((False, "plain"), (True, "zstd")):
        bodies = Bodies(blobs, compress=compress)
        encoding, kept = bodies.seal(DATA)
        assert (encoding, len(kept) < len(DATA)) == (expected, compress)
        assert bodies.unseal(DIGEST, encoding, kept) == DATA
        blobs.delete(DIGEST)
        blobs.put(DIGEST, kept)
        assert bodies.unseal(DIGEST, encoding, None) == DATA


def test_compression_is_kept_only_where_it_saves() -> None:
    bodies = Bodies(None, compress=True)
    assert bodies.seal(b"a" * 100)[0] == "plain"
    assert bodies.seal(b"".join(sha256(bytes([n])).encode() for n in range(3)))[0] == "plain"
    assert bodies.seal(b"a" * 1_000)[0] == "zstd"


def test_a_blob_that_was_touched_is_refused(blobs: Blobs) -> None:
    bodies = Bodies(blobs)
    blobs.put(DIGEST, DATA[:-1] + b"!")
    with pytest.raises(BlobCorrupt, match="does not match its SHA-256; restore it from a backup"):
        bodies.unseal(DIGEST, "plain", None)
    with pytest.raises(BlobCorrupt, match="cannot be decompressed"):
        bodies.unseal(DIGEST, "zstd", None)
    with pytest.raises(BlobMissing, match="open the store with blobs= to read it"):
        Bodies(None).unseal(DIGEST, "plain", None)


def test_trouble_with_a_remote_place_is_told_with_the_address_and_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("where a folder should be")
    url = f"file://{tmp_path}/file/blobs"
    blobs = RemoteBlobs(url)
    with pytest.raises(StoreError, match=f"cannot write {url}.*check the address, the credentials and the network"):
        blobs.put(DIGEST, DATA)
    with pytest.raises(StoreError, match=f"cannot read {url}"):
        blobs.get(DIGEST)


def test_a_body_that_cannot_be_read_or_deleted_says_why(tmp_path: Path) -> None:
    path = tmp_path / DIGEST[:2] / DIGEST
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=f"cannot read {path}: Is a directory"):
        DirectoryBlobs(tmp_path).get(DIGEST)
    with pytest.raises(StoreError, match=f"cannot delete {path}"):
        DirectoryBlobs(tmp_path).delete(DIGEST)
