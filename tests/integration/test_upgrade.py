"""Opening what is not a store of this version: refused with what to do, and left as it was."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

import genstore
from genstore.errors import NotAStore, StoreTooNew, UpgradeNeeded
from genstore.sql import upgrade
from genstore.sql.engine import Database
from genstore.sql.tables import metadata
from tests.conftest import OpenStore


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    """The database of a closed store that holds a few records."""
    with genstore.open(tmp_path / "my.store", auto_index=False) as store:
        store.log_many({"prompt": f"p{number}", "output": "o" * 2_000} for number in range(40))
    return tmp_path / "my.store" / "genstore.db"


def set_revision(path: Path, revision: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_revisions_known_without_alembic_are_alembics() -> None:
    scripts = ScriptDirectory.from_config(upgrade.alembic_config())
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == upgrade.REVISIONS
    assert scripts.get_current_head() == upgrade.HEAD


def test_the_migrations_make_exactly_the_tables(open_store: OpenStore) -> None:
    store = open_store(auto_index=False)
    with store.database.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        differences: list[Any] = compare_metadata(context, metadata)
    assert differences == []


def test_checks_and_keys_of_the_migrations_are_those_of_the_tables(tmp_path: Path, database_file: Path) -> None:
    """What compare_metadata does not look at: SQLite's own text of each table, spaces and order aside."""

    def tables(path: Path) -> dict[str, list[str]]:
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%'").fetchall()
        listed = {name: sql for name, sql in rows if sql and name != "sqlite_stat1"}
        return {name: sorted(sql.replace(",", " ").replace('"', "").lower().split()) for name, sql in listed.items()}

    plain = create_engine(f"sqlite:///{tmp_path / 'plain.db'}")
    metadata.create_all(plain)
    plain.dispose()
    assert tables(database_file) == tables(tmp_path / "plain.db")


def test_a_downgrade_leaves_an_empty_database(tmp_path: Path) -> None:
    from alembic import command

    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    upgrade.run_migrations(database)
    config = upgrade.alembic_config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with database.read() as connection:
        left = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'").scalars()
        assert set(left) <= {"alembic_version", "sqlite_autoindex_alembic_version_1"}
    database.close()


def test_a_store_of_the_first_revision_is_upgraded_with_what_it_holds(database_file: Path) -> None:
    from alembic import command

    database = Database(f"sqlite:///{database_file}")
    config = upgrade.alembic_config()
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, upgrade.REVISIONS[0])
    database.close()
    with genstore.open(database_file.parent, auto_index=False) as store:
        assert store.count() == 40
        store.add(text="Whales swim in the sea.", name="whales.md")
        assert store.ask("Where do whales swim?", abstain_below=0.0).citations


def test_a_store_of_a_newer_genstore_is_refused_and_untouched(database_file: Path) -> None:
    set_revision(database_file, "0099_future")
    before = digest(database_file)
    with pytest.raises(StoreTooNew, match=r"newer genstore \(schema '0099_future'.*pip install --upgrade genstore"):
        genstore.open(database_file.parent)
    assert digest(database_file) == before
    set_revision(database_file, upgrade.HEAD)
    with genstore.open(database_file.parent, auto_index=False) as store:
        assert store.count() == 40


def test_a_sqlite_file_of_another_application_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "their.store" / "genstore.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.execute("INSERT INTO recipes VALUES ('soup')")
    with pytest.raises(NotAStore, match=r"holds other tables \(recipes\), not a genstore store; choose another"):
        genstore.open(path.parent)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM recipes").fetchall() == [("soup",)]
        assert [name for (name,) in connection.execute("SELECT name FROM sqlite_master")] == ["recipes"]
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_another_application_that_uses_alembic_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "their.store" / "genstore.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('abc')")
    with pytest.raises(NotAStore, match="is another application's database; choose another"):
        genstore.open(path.parent)


def test_a_text_file_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "my.store" / "genstore.db"
    path.parent.mkdir()
    path.write_text("Dear diary,\n" * 1_000)
    with pytest.raises(NotAStore, match=r"genstore\.db is not a SQLite database; move it away or choose another"):
        genstore.open(path.parent)
    assert path.read_text() == "Dear diary,\n" * 1_000


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "my.store" / "genstore.db"
    path.parent.mkdir()
    path.touch()
    with genstore.open(path.parent, auto_index=False) as store:
        assert store.count() == 0


@pytest.mark.parametrize("share", [0, 0.03, 0.3, 0.6, 0.9])
def test_a_truncated_database_is_refused_or_says_what_is_gone_and_is_not_made_worse(
    database_file: Path, share: float
) -> None:
    whole = database_file.read_bytes()
    os.truncate(database_file, max(10, int(len(whole) * share)))
    before = digest(database_file)
    expected = "restore it from a backup" if share else "is not a SQLite database; move it away"
    with pytest.raises(NotAStore, match=rf"genstore\.db .*{expected}"):
        genstore.open(database_file.parent, auto_index=False).verify()
    assert digest(database_file) == before
    database_file.write_bytes(whole)
    with genstore.open(database_file.parent, auto_index=False) as store:
        assert store.count() == 40
        assert store.verify().clean


def test_a_database_with_a_garbled_page_says_that_it_is_damaged(database_file: Path) -> None:
    whole = database_file.read_bytes()
    garbled = bytearray(whole)
    garbled[4096 : 4096 * 3] = os.urandom(4096 * 2)
    database_file.write_bytes(bytes(garbled))
    with pytest.raises(NotAStore, match=r"genstore\.db.*restore it from a backup"):
        genstore.open(database_file.parent, auto_index=False).count()
    database_file.write_bytes(whole)
    with genstore.open(database_file.parent, auto_index=False) as store:
        assert store.count() == 40


@pytest.fixture
def older_store(pg_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of the one record in a store whose revision is not this genstore's newest."""
    with genstore.open(pg_url, index=str(tmp_path / "index"), auto_index=False) as store:
        logged = store.log(prompt="kept")
    monkeypatch.setattr(upgrade, "REVISIONS", (*upgrade.REVISIONS, "9999_next"))
    monkeypatch.setattr(upgrade, "HEAD", "9999_next")
    return logged.id


def test_an_older_postgresql_store_is_refused_with_the_command(
    pg_url: str, tmp_path: Path, older_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = str(tmp_path / "index")
    with pytest.raises(UpgradeNeeded, match=r"is at schema '\d{4}_\w+'.*needs '9999_next'; stop its writers and run"):
        genstore.open(pg_url, index=index)
    monkeypatch.undo()
    with genstore.open(pg_url, index=index, auto_index=False) as store:
        assert store.get(older_store).prompt_text == "kept"


def test_an_empty_postgresql_database_becomes_a_store_and_a_foreign_one_does_not(pg_url: str, tmp_path: Path) -> None:
    engine = create_engine(pg_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE recipes (name TEXT)"))
    with pytest.raises(NotAStore, match=r"holds other tables \(recipes\)"):
        genstore.open(pg_url, index=str(tmp_path / "index"))
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar() == 1
        connection.execute(text("DROP TABLE recipes"))
    engine.dispose()
    with genstore.open(pg_url, index=str(tmp_path / "index"), auto_index=False) as store:
        assert store.count() == 0


def test_a_store_is_told_from_other_sqlite_files_by_its_header(database_file: Path) -> None:
    assert database_file.read_bytes()[68:72] == b"gens"


OPEN = """
import sys, time, genstore
arguments = dict(index=sys.argv[2], blobs=sys.argv[2] + "-blobs") if "://" in sys.argv[1] else {}
while time.time() < float(sys.argv[3]):
    pass
with genstore.open(sys.argv[1], auto_index=False, **arguments) as store:
    print(store.log(prompt="from " + sys.argv[4]).id)
"""


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_processes_that_open_a_new_store_at_once_make_one(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    target = str(tmp_path / "s") if backend == "sqlite" else str(request.getfixturevalue("pg_url"))
    arguments = [sys.executable, "-c", OPEN, target, str(tmp_path / "index"), str(time.time() + 1.5)]
    started = [
        subprocess.Popen([*arguments, str(number)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    ended = [process.communicate(timeout=60) for process in started]
    assert [error for _, error in ended] == [""] * 4
    settings: dict[str, Any] = {"index": str(tmp_path / "index")} if backend == "postgresql" else {}
    with genstore.open(target, auto_index=False, **settings) as store:
        assert {record.id for record in store.list().records} == {output.strip() for output, _ in ended}
        with store.database.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM indexes")).scalar() == 1
            assert connection.execute(text("SELECT count(*) FROM settings")).scalar() == 2
