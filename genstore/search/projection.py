"""A search index with everything needed to fill and to query it, and which one is in use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genstore.blobs import Bodies
from genstore.config import Settings
from genstore.errors import EmbedderMismatch, IndexBusy, InvalidInput, NotFound
from genstore.sql import indexes
from genstore.sql.engine import Database
from genstore.sql.indexes import IndexInfo
from genstore.sql.outbox import SqlOutbox

if TYPE_CHECKING:
    from genstore.embed.embedder import Embedder
    from genstore.index.indexer import Indexer
    from genstore.index.points import VectorIndex

_WORDS_LOCK = "words"
_DENSE_LOCK = "dense"


@dataclass(frozen=True, slots=True)
class Projection:
    """One index: its row in SQL, its points, its queue, its embedder."""

    info: IndexInfo
    index: VectorIndex
    outbox: SqlOutbox
    embedder: Embedder
    indexer: Indexer


class Projections:
    """Opens indexes as they are asked for and keeps them open until close()."""

    def __init__(self, settings: Settings, database: Database, bodies: Bodies, folder: Path | None) -> None:
        self._settings = settings
        self._database = database
        self._bodies = bodies
        self._folder = folder
        self._open: dict[int, Projection] = {}
        self._embedders: dict[str, Embedder] = {}
        self._lock = threading.RLock()

    def active(self) -> Projection:
        """The index in use; another process may have switched to a new one since the last call."""
        with self._database.read() as connection:
            info = indexes.find(connection, "active")
        if info is None:
            raise NotFound("the store has no search index; run `genstore reindex`")
        return self.open(info)

    def building(self) -> Projection | None:
        """The index that is being built to replace the active one."""
        with self._database.read() as connection:
            info = indexes.find(connection, "building")
        return self.open(info) if info else None

    def ensure_active(self) -> None:
        """Make the row of the first index; check that the embedder asked for is the one in use.

        Raises EmbedderMismatch naming the command that re-embeds.
        """
        with self._database.read() as connection:
            info = indexes.find(connection, "active")
        if info is None:
            name, dimension, cutter = self.described(self._wanted())
            with self._database.write() as connection:
                indexes.lock(connection)
                if indexes.find(connection, "active") is None:
                    indexes.create(connection, "active", name, dimension, cutter)
        elif self._settings.embedder is not None or self._settings.precision != "fp32":
            wanted = self.embedder(self._wanted()).name
            if wanted != info.embedder:
                raise EmbedderMismatch(
                    f"the store was embedded with {info.embedder!r} ({info.dimension}-d), not {wanted!r}; "
                    f"leave the embedder out, or run `genstore reindex --embedder {wanted}`"
                )

    def described(self, embedder: str) -> tuple[str, int, str]:
        """(name, dimension, cutter) of an embedder, as they are recorded."""
        found = self.embedder(embedder)
        return found.name, found.dimension, found.cutter().name

    def embedder(self, name: str) -> Embedder:
        """The embedder of this name; nothing is loaded before it encodes."""
        from genstore.embed.embedder import resolve

        with self._lock:
            if name not in self._embedders:
                settings = self._settings
                self._embedders[name] = resolve(
                    name,
                    cache_dir=Path(settings.cache_dir) if settings.cache_dir else None,
                    api_key=settings.embedder_api_key,
                )
            return self._embedders[name]

    def open(self, info: IndexInfo) -> Projection:
        """The index behind a row."""
        with self._lock:
            if info.id not in self._open:
                self._open[info.id] = self._opened(info)
            return self._open[info.id]

    def discard(self, info: IndexInfo) -> None:
        """Delete an index's points for good."""
        with self._lock:
            projection = self._open.pop(info.id, None)
        index = projection.index if projection else self._vector_index(info)
        index.drop()

    def close(self) -> None:
        """Let go of every index."""
        with self._lock:
            for projection in self._open.values():
                projection.index.close()
            self._open.clear()

    def _wanted(self) -> str:
        suffix = "-int8" if self._settings.precision == "int8" and not self._settings.embedder else ""
        return self._settings.embedder_name + suffix

    def _opened(self, info: IndexInfo) -> Projection:
        from genstore.index.indexer import Indexer

        embedder = self.embedder(info.embedder)
        outbox = self._outbox(info)
        index = self._vector_index(info)
        indexer = Indexer(
            outbox,
            index,
            lambda texts: embedder.cutter().cut_many(texts),
            lambda: embedder,
            words_turn=self._turn(_WORDS_LOCK),
            dense_turn=self._free_turn(_DENSE_LOCK),
        )
        return Projection(info, index, outbox, embedder, indexer)

    def _vector_index(self, info: IndexInfo) -> VectorIndex:
        settings = self._settings
        if settings.index is not None and settings.index.startswith(("http://", "https://")):
            from genstore.index.server import ServerIndex

            return ServerIndex(
                settings.index,
                f"genstore_{self._store_id()}_{info.id}",
                info.dimension,
                api_key=settings.index_api_key,
                shards=settings.index_shards,
                replicas=settings.index_replicas,
                write_consistency=settings.index_write_consistency,
                on_disk=settings.index_on_disk,
                quantisation="int8" if settings.index_quantisation else None,
            )
        from genstore.index.edge import EdgeIndex

        folder = self._index_folder() / str(info.id)
        # Whoever deleted the folder has lost nothing: what SQL holds is queued again.
        return EdgeIndex(
            folder, info.dimension, settings.lease_timeout_s, settings.idle_s, on_new=self._outbox(info).enqueue_missing
        )

    def _outbox(self, info: IndexInfo) -> SqlOutbox:
        return SqlOutbox(self._database, self._bodies, info.id, info.embedder, info.cutter)

    def _index_folder(self) -> Path:
        if self._settings.index is not None:
            return Path(self._settings.index)
        if self._folder is None:
            raise InvalidInput(f"{self._database} needs index=: the URL of a Qdrant server, or a folder")
        return self._folder / "index"

    def _store_id(self) -> str:
        from genstore.sql.read import setting

        with self._database.read() as connection:
            return setting(connection, "store_id").replace("-", "")

    def _turn(self, name: str) -> Callable[[float | None], AbstractContextManager[Any]]:
        """A lock among the processes of an embedded store; with PostgreSQL the outbox's rows are the lock."""
        longest_s = self._settings.lease_timeout_s

        def turn(deadline: float | None) -> AbstractContextManager[Any]:
            left_s = longest_s if deadline is None else max(0.0, deadline - time.monotonic())
            return _wait_for(self._lock_path(name), min(left_s, longest_s))

        return turn

    def _free_turn(self, name: str) -> Callable[[], AbstractContextManager[bool]]:
        return lambda: _if_free(self._lock_path(name))

    def _lock_path(self, name: str) -> Path | None:
        return self._folder / "index" / f"{name}.lock" if self._folder is not None else None


@contextmanager
def _wait_for(path: Path | None, timeout_s: float) -> Iterator[bool]:
    """Hold the lock file at path; None means there is nobody to share with."""
    if path is None:
        yield True
        return
    from genstore.index.lease import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever waits stands in a queue of one: a process that takes the lock batch after batch would starve the others.
    queue, lock = FileLock(path.with_suffix(".queue")), FileLock(path)
    deadline = time.monotonic() + timeout_s
    try:
        if not queue.acquire(deadline) or not lock.acquire(deadline):
            raise IndexBusy(f"{path} is held by process {lock.holder()}; waited {timeout_s:g} s for it")
    finally:
        queue.release()
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def _if_free(path: Path | None) -> Iterator[bool]:
    """Hold the lock file at path if nobody does; whether we hold it."""
    with ExitStack() as held:
        try:
            held.enter_context(_wait_for(path, 0.0))
        except IndexBusy:
            yield False
            return
        yield True
