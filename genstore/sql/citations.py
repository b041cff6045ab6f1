"""Citations as rows: written with their answer, read back with what they point at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import Connection, select

from genstore.records import Citation
from genstore.sql import tables
from genstore.sql.engine import insert_once
from genstore.sql.read import chunked
from genstore.sql.rows import Row

_citations, _parts, _records, _contents = tables.citations, tables.parts, tables.records, tables.contents
_PART = tuple(_citations.c.keys()).index("part_id")


def citation_rows(answer_id: str, citations: Iterable[Citation]) -> list[Row]:
    """The rows of an answer's citations, in their order; see `Entry.citations`."""
    return [
        (
            answer_id, ordinal, found.number, *found.sentence, found.record_id, found.part_id, found.start, found.end,
            found.support,
        )
        for ordinal, found in enumerate(citations)
    ]  # fmt: skip


def citations_of(connection: Connection, answer_ids: Sequence[str]) -> dict[str, list[Citation]]:
    """The citations of each answer, in order, without quotes and locations; answers without any are left out."""
    found: dict[str, list[Citation]] = {}
    for chunk in chunked(answer_ids):
        query = (
            select(_citations, _parts.c.side, _parts.c.position)
            .join(_parts, _parts.c.id == _citations.c.part_id)
            .where(_citations.c.answer_id.in_(chunk))
            .order_by(_citations.c.answer_id, _citations.c.ordinal)
        )
        for row in connection.execute(query):
            citation = Citation(
                number=row.number,
                sentence=(row.sentence_start, row.sentence_end),
                record_id=row.cited_id,
                part_id=row.part_id,
                side=row.side,
                position=row.position,
                start=row.start_char,
                end=row.end_char,
                support=row.support,
            )
            found.setdefault(row.answer_id, []).append(citation)
    return found


def restore_citations(connection: Connection, answers: Iterable[tuple[str, Sequence[Citation]]]) -> int:
    """Write the citations of answers that come from elsewhere, whose parts are named by place; those that are there
    stay. Returns how many were left out: what they cite is not in the answer's project, or has no such span."""
    left_out = 0
    for chunk in chunked(answers):
        places = _parts_at(connection, {one.record_id for _, citations in chunk for one in citations})
        projects = _projects(connection, [answer_id for answer_id, _ in chunk])
        rows: list[Row] = []
        for answer_id, citations in chunk:
            project = projects.get(answer_id)
            found = [replace(one, part_id=_part_of(one, places, project)) for one in citations]
            rows += [row for row in citation_rows(answer_id, found) if row[_PART]]
            left_out += sum(not one.part_id for one in found)
        if rows:
            columns = tables.citations.c.keys()
            connection.execute(
                insert_once(connection, _citations), [dict(zip(columns, row, strict=True)) for row in rows]
            )
    return left_out


class _Cited(NamedTuple):
    """A part that may be cited; size_bytes: of its text, which has no more characters."""

    part_id: int
    project: str
    size_bytes: int


_Places = dict[tuple[str, str, int], _Cited]


def _part_of(citation: Citation, places: _Places, project: str | None) -> int:
    """The id of the part that a citation points into; 0 where it is not to be cited."""
    found = places.get((citation.record_id, citation.side, citation.position))
    return found.part_id if found and found.project == project and citation.end <= found.size_bytes else 0


def _parts_at(connection: Connection, record_ids: Iterable[str]) -> _Places:
    """(record, side, position) -> the part, of every part of the records."""
    places: _Places = {}
    for chunk in chunked(record_ids):
        query = (
            select(
                _parts.c.record_id, _parts.c.side, _parts.c.position, _parts.c.id, _records.c.project,
                _contents.c.size_bytes,
            )
            .join(_records, _records.c.id == _parts.c.record_id)
            .join(_contents, _contents.c.sha256 == _parts.c.sha256)
            .where(_parts.c.record_id.in_(chunk))
        )  # fmt: skip
        for *place, part_id, project, size_bytes in connection.execute(query):
            places[place[0], place[1], place[2]] = _Cited(part_id, project, size_bytes)
    return places


def _projects(connection: Connection, record_ids: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for chunk in chunked(record_ids):
        query = select(_records.c.id, _records.c.project).where(_records.c.id.in_(chunk))
        found |= {row.id: row.project for row in connection.execute(query)}
    return found
