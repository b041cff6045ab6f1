"""Documents: files become records; a changed file takes the place of its earlier version, which stays in SQL."""

from __future__ import annotations

import io
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection

import genstore
from genstore import Store
from genstore.errors import InvalidInput, NotFound
from genstore.sql.versions import current
from tests.conftest import OpenStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    (made / "deep").mkdir(parents=True)
    (made / ".git").mkdir()
    (made / "whales.md").write_text("# Whales\n\nThey swim in the sea.\n")
    (made / "deep" / "eagles.txt").write_text("Eagles nest on cliffs.")
    (made / ".git" / "config").write_text("hidden")
    (made / "logo.png").write_bytes(b"\x89PNG\0")
    (made / "empty.txt").touch()
    return made


def found(store: Store, text: str) -> list[str]:
    return [hit.record.id for hit in store.search(text, mode="lexical")]


def test_a_folder_is_added_bad_files_are_reported_and_hidden_and_binary_ones_passed_over(
    store: Store, folder: Path
) -> None:
    steps: list[tuple[int, int]] = []
    report = store.add(folder, tags=["docs"], progress=lambda done, left: steps.append((done, left)))
    assert (report.added, report.ignored, report.failed) == (2, 1, 1)
    assert report.errors == [((folder / "empty.txt").as_posix(), "it is empty")]
    assert steps[0] == (0, 4)
    assert steps[-1] == (4, 0)
    whales = store.get(found(store, "sea")[0])
    assert (whales.kind, whales.name, whales.tags) == ("document", (folder / "whales.md").as_posix(), ("docs",))
    assert (whales.metadata["title"], whales.metadata["size_bytes"]) == ("Whales", 32)


def test_a_pattern_and_a_named_file(store: Store, folder: Path) -> None:
    assert store.add(f"{folder}/**/*.txt").added == 1
    assert store.add(folder / "logo.png").errors[0][1].startswith("it is image/png")
    for absent in (folder / "absent.md", f"{folder}/*.absent"):
        with pytest.raises(NotFound, match="absent"):
            store.add(absent)


def test_a_pattern_goes_round_no_circle_of_links(store: Store, folder: Path) -> None:
    (folder / "deep" / "up").symlink_to(folder, target_is_directory=True)
    report = store.add(f"{folder}/**/*.md", f"{folder}/*.md", folder / "whales.md")
    assert (report.added, report.failed, store.count()) == (1, 0, 1)
    assert store.add(folder).added == 1  # eagles.txt, by no link


def test_a_store_within_the_folder_is_no_document(store: Store, folder: Path) -> None:
    with genstore.open(folder / "genstore.store", auto_index=False) as inner:
        inner.log(output="text of another store")
        inner.flush()
    (folder / "genstore.store" / "notes.txt").write_text("Somebody's own notes.")
    report = store.add(folder, f"{folder}/**/*")
    assert {store.get(one).name for one in report.records} == {
        (folder / name).as_posix() for name in ("whales.md", "deep/eagles.txt", "genstore.store/notes.txt")
    }


@pytest.mark.parametrize("path", ["", b"docs", 3, None])
def test_what_is_no_path_is_named(store: Store, path: object) -> None:
    with pytest.raises(InvalidInput, match="is no path"):
        store.add(path)  # type: ignore[arg-type]


def test_a_name_too_long_for_a_file_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no x"):
        store.add("x" * 300)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_reported(store: Store, folder: Path) -> None:
    (folder / "deep").chmod(0)
    try:
        report = store.add(folder)
    finally:
        (folder / "deep").chmod(0o700)
    assert ((folder / "deep").as_posix(), "it cannot be read: Permission denied") in report.errors
    assert report.added == 1


def test_a_file_that_needs_an_extra_leaves_the_others(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.html").write_text("<p>text</p>")
    monkeypatch.setitem(sys.modules, "inscriptis", None)
    report = store.add(folder)
    assert (report.added, report.failed) == (2, 2)
    assert 'pip install "genstore[documents]"' in report.errors[0][1]


def test_a_wrong_field_is_said_once_and_not_of_every_file(store: Store, folder: Path) -> None:
    for fields in ({"tags": [""]}, {"metadata": 3}):
        with pytest.raises(InvalidInput):
            store.add(folder, **fields)


def test_a_file_that_is_added_by_many_at_once_is_one_document(
    store: Store, open_store: OpenStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [open_store(auto_index=False) for _ in range(4)]
    everyone_looked = threading.Barrier(4, timeout=30)
    looked: set[int] = set()

    def look(connection: Connection, project: str, name: str) -> list[tuple[str, str]]:
        found = current(connection, project, name)
        if (thread := threading.get_ident()) not in looked:
            looked.add(thread)
            everyone_looked.wait()
        return found

    monkeypatch.setattr("genstore.rag.add.current", look)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.add(folder / "whales.md"), stores))
    monkeypatch.undo()
    assert store.count("kind:document") == 4
    assert len(found(store, "sea")) == 1
    assert store.add(folder / "whales.md").unchanged == 1


def test_a_file_that_did_not_change_is_not_stored_again(store: Store, folder: Path) -> None:
    first = store.add(folder / "whales.md")
    again = store.add(folder / "whales.md")
    assert (again.unchanged, again.records) == (1, first.records)
    assert store.count() == 1


def test_a_changed_file_replaces_its_passages_and_keeps_the_old_version(open_store: OpenStore, folder: Path) -> None:
    store = open_store(auto_index=False)
    old = store.add(folder / "whales.md").records[0]
    assert found(store, "sea") == [old]
    (folder / "whales.md").write_text("# Whales\n\nThey swim in every ocean.\n")
    report = store.add(folder / "whales.md")
    new = report.records[0]
    assert (report.changed, found(store, "sea"), found(store, "ocean")) == (1, [], [new])
    assert "in the sea" in store.get(old).output_text
    assert [(edge.source_id, edge.role, edge.target_id) for edge in store.relations(new)] == [(new, "edit_of", old)]
    store.flush()
    assert store.verify().differences == []
    store.reindex()
    assert (found(store, "sea"), found(store, "ocean")) == ([], [new])
    assert store.verify().differences == []


def test_deleting_the_newest_version_brings_back_the_one_before(store: Store) -> None:
    versions = [store.add(text=f"They swim in the {place}.", name="whales.md").records[0] for place in ("sea", "ocean")]
    store.delete(versions[1])
    assert found(store, "sea") == [versions[0]]
    store.flush()
    assert store.verify().differences == []


def test_a_file_that_changes_back_is_a_version_of_its_own(store: Store) -> None:
    for place in ("sea", "ocean", "sea"):
        store.add(text=f"They swim in the {place}.", name="whales.md")
    assert store.count("kind:document") == 3
    assert len(found(store, "sea")) == 1
    assert found(store, "ocean") == []


def test_an_edited_generation_is_still_found(store: Store) -> None:
    draft, final = store.log(output="They swim in the sea."), store.log(output="They swim in the ocean.")
    store.relate(final.id, "edit_of", draft.id)
    assert found(store, "sea") == [draft.id]
    store.flush()
    assert store.verify().differences == []


def test_two_documents_of_one_text_stay_two(store: Store) -> None:
    for name in ("a.md", "b.md"):
        assert store.add(text="Narwhals dive.", name=name).added == 1
    assert store.add(text="Narwhals dive.", name="a.md").unchanged == 1
    assert len(found(store, "narwhals")) == 2


def test_standard_input_is_read_under_a_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"# Piped\n\nText.")))
    record = store.get(store.add("-", name="notes.md").records[0])
    assert (record.name, record.metadata["title"]) == ("notes.md", "Piped")


def test_what_cannot_be_added_is_named(store: Store, folder: Path) -> None:
    for arguments, says in (
        ({}, "nothing to add"),
        ({"text": "x"}, "a text needs a name="),
        ({"text": "x", "name": "a.md", "colour": "red"}, "unknown field 'colour'"),
        ({"text": "", "name": "a.md"}, "it is empty"),
    ):
        with pytest.raises(InvalidInput, match=says):
            store.add(**arguments)
    with pytest.raises(InvalidInput, match="name is 'x' for 4 files"):
        store.add(folder, name="x")
    assert store.count() == 0


def test_versions_and_their_places_survive_export_and_import(store: Store, tmp_path: Path) -> None:
    import genstore

    for place in ("sea", "ocean"):
        store.add(text=f"# Whales\n\nThey swim in the {place}.", name="whales.md")
    store.export(tmp_path / "all.jsonl")
    with genstore.open(tmp_path / "other.store", auto_index=False) as other:
        assert other.import_(tmp_path / "all.jsonl").relations == 1
        assert found(other, "sea") == []
        assert [hit.record.output[0].attributes for hit in other.search("ocean")] == [{"headings": [[0, 1, "Whales"]]}]
        assert other.add(text="# Whales\n\nThey swim in the ocean.", name="whales.md").unchanged == 1
        other.flush()
        assert other.verify().differences == []
