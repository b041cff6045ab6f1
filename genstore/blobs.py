"""Bodies too large for SQL: one file each, named by its SHA-256, beside the database or in object storage.

Also the seam through which every body passes on its way in and out, so that nothing else knows how one is kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from genstore.errors import (
    BlobCorrupt,
    BlobMissing,
    GenstoreError,
    InvalidInput,
    MissingDependency,
    StorageFull,
    StoreError,
)
from genstore.identity import new_id, sha256

# Above this a body is a file: SQLite reads a row's overflow pages one by one, a file system does better.
INLINE_BYTES = 64 * 1024
# Below this compression saves less than its row costs to look at.
_COMPRESS_BYTES = 512
_COMPRESS_LEVEL = 3

_HASH = re.compile(r"[0-9a-f]{64}")


class Blobs(Protocol):
    """Where large bodies live. put is atomic and idempotent; get raises BlobMissing, all of them StoreError."""

    def put(self, digest: str, data: bytes) -> None: ...
    def get(self, digest: str) -> bytes: ...
    def exists(self, digest: str) -> bool: ...
    def delete(self, digest: str) -> None: ...
    def list(self) -> Iterator[str]: ...


def checked_digest(digest: str) -> str:
    """The digest, when it is one: nothing else may become part of a path. Raises InvalidInput."""
    if not _HASH.fullmatch(digest):
        raise InvalidInput(f"{digest!r} is not a SHA-256 in lower-case hexadecimal digits")
    return digest


class DirectoryBlobs:
    """Files under a folder, 256 subfolders wide. A file appears whole or not at all (rename)."""

    def __init__(self, folder: Path, *, sync: bool = False) -> None:
        self.folder = folder
        self._sync = sync

    def put(self, digest: str, data: bytes) -> None:
        path = self._path(digest)
        if path.exists():
            return
        temporary = path.with_name(f".{digest}.{new_id()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                if self._sync:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
            if self._sync:
                _sync_folders(path.parent, self.folder)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StorageFull(f"cannot write {path}: {error.strerror}; nothing was stored") from error

    def get(self, digest: str) -> bytes:
        path = self._path(digest)
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise BlobMissing(f"{path} is gone; restore it from a backup, then run genstore verify") from error
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}; check its permissions and the disk") from error

    def exists(self, digest: str) -> bool:
        return self._path(digest).exists()

    def delete(self, digest: str) -> None:
        path = self._path(digest)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot delete {path}: {error.strerror}; check its folder's permissions") from error

    def list(self) -> Iterator[str]:
        for path in sorted(self.folder.glob("??/*")):
            if _HASH.fullmatch(path.name):
                yield path.name

    def _path(self, digest: str) -> Path:
        checked_digest(digest)
        return self.folder / digest[:2] / digest


def _sync_folders(*folders: Path) -> None:
    """Bring the folders' entries to disk: a file that was synced is lost with its name all the same."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class RemoteBlobs:
    """The same over any fsspec file system: s3://bucket/prefix, gs://…, memory://…"""

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ModuleNotFoundError as error:
            raise MissingDependency(f'{url} needs fsspec; pip install "genstore[s3]"') from error
        try:
            filesystem, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise MissingDependency(f'{url}: {error}; for S3 pip install "genstore[s3]"') from error
        except ValueError as error:
            raise InvalidInput(f"{url} is no place for blobs ({error}); pass a folder or s3://bucket/prefix") from error
        self._files: Any = filesystem

    def put(self, digest: str, data: bytes) -> None:
        path = self._path(digest)
        with self._translated("write", path):
            if not self._files.exists(path):
                self._files.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
                self._files.pipe_file(path, data)

    def get(self, digest: str) -> bytes:
        path = self._path(digest)
        with self._translated("read", path):
            try:
                return bytes(self._files.cat_file(path))
            except FileNotFoundError as error:
                raise BlobMissing(f"{path} is gone; restore it from a backup, then run genstore verify") from error

    def exists(self, digest: str) -> bool:
        path = self._path(digest)
        with self._translated("look for", path):
            return bool(self._files.exists(path))

    def delete(self, digest: str) -> None:
        path = self._path(digest)
        with self._translated("delete", path), suppress(FileNotFoundError):
            self._files.rm_file(path)

    def list(self) -> Iterator[str]:
        names: list[str] = []
        with self._translated("list", self._root), suppress(FileNotFoundError):
            names = [path.rsplit("/", 1)[-1] for path in self._files.find(self._root)]
        yield from (name for name in names if _HASH.fullmatch(name))

    @contextmanager
    def _translated(self, verb: str, path: str) -> Iterator[None]:
        """Each kind of storage raises its own library's errors, most of them no children of OSError."""
        try:
            yield
        except GenstoreError:
            raise
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise StoreError(
                f"cannot {verb} {self._files.unstrip_protocol(path)}: {reason}; check the address, the credentials and "
                "the network, then try again"
            ) from error

    def _path(self, digest: str) -> str:
        return f"{self._root}/{checked_digest(digest)[:2]}/{digest}"


class Bodies:
    """How a body is kept: its encoding, and whether in its row or in a blob. Encodings: plain, zstd."""

    def __init__(self, blobs: Blobs | None, *, compress: bool = False) -> None:
        """blobs: None keeps every body in its row, however large."""
        self.blobs = blobs
        self._compress = compress

    def outside(self, kept: bytes) -> Blobs | None:
        """Where a body of this size lives outside SQL, None when it stays in its row."""
        return self.blobs if len(kept) > INLINE_BYTES else None

    def seal(self, data: bytes) -> tuple[str, bytes]:
        """(encoding, bytes as they are kept)."""
        if self._compress and len(data) >= _COMPRESS_BYTES:
            import zstandard

            packed = zstandard.ZstdCompressor(level=_COMPRESS_LEVEL).compress(data)
            if len(packed) < len(data):
                return "zstd", packed
        return "plain", data

    def unseal(self, digest: str, encoding: str, body: bytes | None) -> bytes:
        """The body as it was given; None means it lives in a blob. Raises BlobMissing, BlobCorrupt.

        Only what comes from a blob is hashed again: a row changes only through the database,
        a file beside them may have been touched by anyone.
        """
        in_row = body is not None
        if body is None and self.blobs is None:
            raise BlobMissing(f"the body {digest} is in a blob store; open the store with blobs= to read it")
        kept = body if body is not None else self.blobs.get(digest)  # type: ignore[union-attr]
        if encoding == "zstd":
            import zstandard

            try:
                kept = zstandard.ZstdDecompressor().decompress(kept)
            except zstandard.ZstdError as error:
                raise BlobCorrupt(f"the body {digest} cannot be decompressed: {error}") from error
        if not in_row and sha256(kept) != digest:
            raise BlobCorrupt(f"the blob {digest} does not match its SHA-256; restore it from a backup")
        return kept
