"""add: files become documents in the store; a changed file takes the place of its earlier version."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from genstore.entry import build_record, checked_mapping, checked_tags
from genstore.errors import InvalidInput, MissingDependency
from genstore.identity import canonical_json, sha256
from genstore.rag.documents import Document
from genstore.rag.extractors.extract import extract
from genstore.rag.files import Found, find_files
from genstore.records import Record
from genstore.sql.rows import record_rows
from genstore.sql.versions import current, settle
from genstore.sql.write import Entry

if TYPE_CHECKING:
    from genstore.store import Store
    from genstore.work import Progress

Outcome = Literal["added", "changed", "unchanged", "ignored", "failed"]


@dataclass(slots=True)
class AddReport:
    """What became of the files. records: the ids of the documents that hold them now, in their order.

    changed: a version of the name was there, and is kept behind the new one; ignored: met in a folder, not text;
    errors: (name, what is wrong) of those that failed.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    ignored: int = 0
    failed: int = 0
    records: list[str] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def count(self, outcome: Outcome) -> None:
        setattr(self, outcome, getattr(self, outcome) + 1)


def add(
    store: Store,
    paths: Sequence[str | os.PathLike[str]],
    text: str | None,
    name: str,
    *,
    progress: Progress | None = None,
    **fields: Any,
) -> AddReport:
    """Add files, folders, patterns, "-" for standard input, or a text that is at hand.

    name: what the text, standard input or a single file is called; its suffix says the format ("notes.md").
    progress is called with (done, left). fields: of every document, as `log` takes them.
    Raises NotFound for a path that is not there, before anything is stored.
    """
    if (text is None) == (not paths):
        raise InvalidInput("nothing to add, or two things at once: pass paths, or text= with name=")
    fields["metadata"] = checked_mapping(fields.get("metadata"), "metadata")
    fields["tags"] = checked_tags(fields.get("tags") or ())
    report = AddReport()
    if text is not None:
        if not name:
            raise InvalidInput("a text needs a name=, such as 'notes.md'; another text of that name replaces it later")
        report.count(_store(store, text.encode("utf-8", "replace"), name, fields, report))
        return report
    files = find_files(paths, name or "stdin")
    if name and len(files) != 1:
        raise InvalidInput(f"name is {name!r} for {len(files)} files; leave it out, or add one file at a time")
    for done, file in enumerate(files):
        if progress is not None:
            progress(done, len(files) - done)
        report.count(_add_file(store, file, name or file.name, fields, report))
    if progress is not None:
        progress(len(files), 0)
    return report


def _add_file(store: Store, file: Found, name: str, fields: Mapping[str, Any], report: AddReport) -> Outcome:
    if not file.is_document():
        return "ignored"
    try:
        return _store(store, file.read(), name, fields, report)
    except (InvalidInput, MissingDependency) as error:  # of this file: the others can be read
        report.errors.append((name, str(error)))
        return "failed"


def _store(store: Store, data: bytes, name: str, fields: Mapping[str, Any], report: AddReport) -> Outcome:
    """Write the document unless its newest version is the same."""
    document = extract(data, name)
    record = _record(document, data, name, {"project": store.settings.project, **fields})
    with store.database.read() as connection:
        versions = current(connection, record.project, name)
    if len(versions) == 1 and versions[0][1] == record.fingerprint:
        report.records.append(versions[0][0])
        return "unchanged"
    older = [found for found, _ in versions]
    report.records += store.write_entries([Entry(record_rows(record), relations=_takes_the_place_of(record, older))])
    with store.database.read() as connection:
        now = current(connection, record.project, name)
    if len(now) > 1:  # another process added it meanwhile
        with store.database.write() as connection:
            settle(connection, record.project, name)
    return "changed" if older else "added"


def _record(document: Document, data: bytes, name: str, fields: Mapping[str, Any]) -> Record:
    known: dict[str, Any] = {"source_sha256": sha256(data), "size_bytes": len(data)}
    if document.title:
        known["title"] = document.title
    metadata = {**known, **fields["metadata"]}
    return build_record(None, [document.part()], **{**fields, "kind": "document", "name": name, "metadata": metadata})


def _takes_the_place_of(record: Record, older: Iterable[str]) -> list[tuple[str, str, str, str]]:
    return [(record.id, "edit_of", found, canonical_json({}, "attributes")) for found in older]
