"""Which revision a database is at, and how it gets to the newest."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, inspect, text

from genstore.errors import NotAStore, StoreTooNew, UpgradeNeeded
from genstore.identity import new_id
from genstore.sql.engine import APPLICATION_ID, Database

# Kept beside the migrations so that opening a store need not import Alembic; a test compares the two.
REVISIONS = ("0001_store", "0002_dedup", "0003_answers")
HEAD = REVISIONS[-1]


def revision_of(connection: Connection) -> str | None:
    """The database's revision, None when it is empty. Raises NotAStore when its tables are somebody else's."""
    names = set(inspect(connection).get_table_names())
    _check_tables(names, connection.engine.url.database or "the database")
    if not names:
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found) if found else None


def _check_tables(names: set[str], where: str) -> None:
    """Raise NotAStore unless the tables are a store's, of whatever revision, or none."""
    if names and "alembic_version" not in names:
        listed = ", ".join(sorted(names)[:5])
        raise NotAStore(f"{where} holds other tables ({listed}), not a genstore store; choose another")
    if names and not {"records", "outbox"} <= names:
        raise NotAStore(f"{where} is another application's database; choose another")


def prepare(database: Database, *, upgrade: bool) -> None:
    """Bring the database to HEAD, or say why not.

    upgrade: whether an older revision may be upgraded here; an empty database always is.
    Raises StoreTooNew, UpgradeNeeded, NotAStore.
    """
    with database.read() as connection:
        found = revision_of(connection)
    if found == HEAD:
        return
    if found is not None and found not in REVISIONS:
        raise StoreTooNew(
            f"{database} was written by a newer genstore (schema {found!r}; this one knows up to {HEAD!r}); "
            "run pip install --upgrade genstore"
        )
    if found is not None and not upgrade:
        raise UpgradeNeeded(
            f"{database} is at schema {found!r}, this genstore needs {HEAD!r}; stop its writers and run "
            f"genstore --store '{database.url.render_as_string(hide_password=True)}' upgrade"
        )
    run_migrations(database)


def run_migrations(database: Database) -> None:
    """Run every missing revision in one transaction; a second process waits for it and finds nothing left to do."""
    from alembic import command

    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": APPLICATION_ID})
        fresh = revision_of(connection) is None
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if fresh:
            _first_rows(connection, database.is_sqlite)


def alembic_config() -> Any:
    """Alembic's configuration, pointing at the installed revisions."""
    from alembic.config import Config

    import genstore.migrations

    config = Config()
    config.set_main_option("script_location", str(Path(genstore.migrations.__file__).parent).replace("%", "%%"))
    return config


def _first_rows(connection: Connection, is_sqlite: bool) -> None:
    if is_sqlite:
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(
        text("INSERT INTO settings (key, value) VALUES (:key, :value)"),
        [{"key": "store_id", "value": new_id()}, {"key": "created_at", "value": datetime.now(UTC).isoformat()}],
    )


def check_file(path: Path) -> None:
    """Raise NotAStore unless the file is a SQLite database of ours, an empty one, or absent."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        header = file.read(100)
    if not header.startswith(b"SQLite format 3\0"):
        raise NotAStore(f"{path} is not a SQLite database; move it away or choose another store")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            tables = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
            # Before the engine opens it: that alone turns another application's file to write-ahead logging.
            _check_tables({name for (name,) in tables}, str(path))
    except sqlite3.DatabaseError as error:
        if "malformed" in str(error) or "not a database" in str(error):
            raise NotAStore(f"{path} is damaged ({error}); restore it from a backup") from error
