"""The database behind its two verbs."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import QueuePool, create_engine

from genstore.errors import StoreError
from genstore.sql.engine import Database, sqlite_url


def test_more_readers_than_connections_are_told_so(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "x.db"))
    database.engine = create_engine(database.url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with database.read(), pytest.raises(StoreError, match="all stayed in use; use fewer threads at once"):
        database.read().__enter__()
    database.close()
