"""One database: SQLite or PostgreSQL behind the same two verbs, read and write."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, PoolProxiedConnection, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.sql import ClauseElement

from genstore.errors import GenstoreError, InvalidInput, MissingDependency, NotAStore, StorageFull, StoreError

# "gens" in ASCII: `file genstore.db` and the check in upgrade.py tell a store from any other SQLite file by it.
APPLICATION_ID = 0x67656E73

BUSY_TIMEOUT_S = 60.0
_CACHE_KIB = 64 * 1024
# 16 MiB: a record touches about 18 pages, most of them again and again, so fewer checkpoints write fewer pages.
_CHECKPOINT_PAGES = 4_000

# PostgreSQL runs writers side by side; these say that two met and one has to begin again: serialization failure,
# deadlock, and a body deleted between a writer's look at it and the part that names it.
_COLLISIONS = ("40001", "40P01", "23503")
ATTEMPTS = 12
_LONGEST_PAUSE_S = 0.2

T = TypeVar("T")


class Database:
    """A pool of connections. `read` sees one snapshot; `write` is one transaction, alone on SQLite."""

    def __init__(self, url: str | URL, synchronous: str = "normal") -> None:
        try:
            self.url = make_url(url)
        except ArgumentError as error:
            shown = str(url).rpartition("@")[2]
            raise InvalidInput(f"{shown!r} is no database's URL; write postgresql+psycopg://user@host/name") from error
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._raw: PoolProxiedConnection | None = None
        self._process = os.getpid()
        self.engine: Engine = _sqlite(self.url, synchronous) if self.is_sqlite else _postgresql(self.url)

    def __str__(self) -> str:
        return self.url.database or "" if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @property
    def is_inherited(self) -> bool:
        """Whether another process opened it and this one is its fork: two would talk over one connection."""
        return self._process != os.getpid()

    def check_process(self) -> None:
        """Raise StoreError in a fork of the process that opened it."""
        if self.is_inherited:
            raise StoreError(
                f"{self} was opened by process {self._process}, of which this one, {os.getpid()}, is a fork; "
                "open the store again in this process"
            )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in a read transaction; its statements see one state of the store."""
        self.check_process()
        try:
            with self.engine.connect() as connection:
                if not self.is_sqlite:
                    connection.execution_options(isolation_level="REPEATABLE READ")
                yield connection
        except (sqlite3.Error, DBAPIError, NoConnection) as error:
            raise self._translated(error) from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection in a write transaction, committed at the end of the block and rolled back on an error."""
        self.check_process()
        try:
            with self.engine.connect().execution_options(genstore_write=True) as connection, connection.begin():
                yield connection
        except (sqlite3.Error, DBAPIError, NoConnection) as error:
            raise self._translated(error) from error

    def transact(self, work: Callable[[Connection], T]) -> T:
        """What work returns from a write transaction of its own; run anew when it collided with another's."""
        for attempt in range(ATTEMPTS):
            try:
                with self.write() as connection:
                    return work(connection)
            except StoreError as error:
                if attempt == ATTEMPTS - 1 or not is_collision(error):
                    raise
                pause_before_retry(attempt)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def session_locks(self) -> Iterator[SessionLocks]:
        """PostgreSQL's advisory locks on a connection of their own, outside any transaction; freed with the block."""
        try:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                try:
                    yield SessionLocks(connection)
                finally:
                    try:
                        connection.execute(select(func.pg_advisory_unlock_all()))
                    except BaseException:
                        connection.invalidate()  # back in the pool it would keep what it has locked
                        raise
        except (DBAPIError, NoConnection) as error:
            raise self._translated(error) from error

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """The driver's own cursor in a write transaction: a tenth of what SQLAlchemy's costs.

        There is one; the caller sees to it that one thread at a time asks for it.
        """
        self.check_process()
        try:
            if self._raw is None:
                self._raw = self.engine.raw_connection()
            cursor = self._raw.cursor()
            try:
                if self.is_sqlite:
                    cursor.execute("BEGIN IMMEDIATE")
                yield cursor
                self._raw.commit()
            except BaseException:
                self._discard_raw()
                raise
        except Exception as error:
            if isinstance(error, GenstoreError):
                raise
            raise self._translated(error) from error

    def _discard_raw(self) -> None:
        """Give the connection up, whatever state it is in; the transaction is rolled back with it."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with suppress(Exception):
                raw.rollback()
            raw.invalidate()

    def close(self) -> None:
        """Return every connection; in a fork they are the parent's, and stay as they are."""
        if self.is_inherited:
            return
        if self._raw is not None:
            self._raw.close()
            self._raw = None
        self.engine.dispose()

    def compiled(self, statement: ClauseElement) -> str:
        """The statement as the driver takes it, with positional parameters: for hot paths that skip SQLAlchemy."""
        style = "qmark" if self.is_sqlite else "format"
        return str(statement.compile(dialect=type(self.engine.dialect)(paramstyle=style)))  # type: ignore[call-arg]

    def _translated(self, error: Exception) -> GenstoreError:
        if isinstance(error, NoConnection):
            return StoreError(
                f"this process's connections to {self} all stayed in use; use fewer threads at once ({error.args[0]})"
            )
        reason = str(getattr(error, "orig", None) or error).strip()
        lower = reason.lower()
        if "disk is full" in lower or "no space left" in lower or "disk full" in lower:
            return StorageFull(f"{self} is out of space, nothing was written; free some and try again ({reason})")
        if "readonly" in lower or "read-only" in lower or "unable to open database" in lower:
            return StorageFull(f"{self} cannot be written to; check its permissions and the disk's ({reason})")
        if self.is_sqlite and "locked" in lower:
            return StoreError(f"{self} stayed locked by another writer for {BUSY_TIMEOUT_S:.0f} s ({reason})")
        if "not a database" in lower or "malformed" in lower:
            return NotAStore(f"{self} is not a readable genstore database ({reason}); restore it from a backup")
        if "connection" in lower:
            return StoreError(f"{self} cannot be reached: {reason}")
        return StoreError(f"{self}: {reason}")


class SessionLocks:
    """Locks that one database session holds under names, among all that use the database."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, name: str) -> bool:
        """Take the lock unless another session has it; whether it is ours."""
        key = func.hashtextextended(name, 0)
        return bool(self._connection.scalar(select(func.pg_try_advisory_lock(key))))


def is_collision(error: BaseException) -> bool:
    """Whether the database undid a transaction only because another was in its way: the same again may succeed."""
    driver = getattr(error.__cause__, "orig", None) or error.__cause__
    return getattr(driver, "sqlstate", None) in _COLLISIONS


def pause_before_retry(attempt: int) -> None:
    """Wait a random while, longer after each attempt: two that collided at once would collide again in step."""
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE_S, 0.002 * 2**attempt)))


def insert_once(database: Connection | Engine, table: Any) -> Any:
    """An insert that leaves a row with the same key as it is."""
    dialect_insert = sqlite.insert if database.dialect.name == "sqlite" else postgresql.insert
    return dialect_insert(table).on_conflict_do_nothing()


def _sqlite(url: URL, synchronous: str) -> Engine:
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, pool_size=8, max_overflow=-1
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: object) -> None:
        # The driver's own transaction control would begin late and deferred: a write could then fail with
        # "database is locked" at its first statement instead of waiting at BEGIN IMMEDIATE.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous.upper()}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("genstore_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    if url.get_backend_name() != "postgresql":
        raise NotAStore(f"{url.get_backend_name()} is not supported; use a directory or postgresql+psycopg://…")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    try:
        return create_engine(url, pool_pre_ping=True, pool_size=8, max_overflow=16)
    except ModuleNotFoundError as error:
        raise MissingDependency('PostgreSQL needs psycopg; pip install "genstore[postgres]"') from error


def sqlite_url(path: Path) -> URL:
    """The URL of a SQLite file; any character may stand in the path."""
    return URL.create("sqlite+pysqlite", database=str(path))
