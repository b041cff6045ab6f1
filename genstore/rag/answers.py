"""Answers as they are kept and read back: a record of the operation `ask`, its citations, what is known about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from genstore.blobs import Bodies
from genstore.errors import InvalidInput
from genstore.rag.documents import location
from genstore.rag.retrieve import ASK
from genstore.records import Answer, Citation, Record
from genstore.sql.citations import citations_of
from genstore.sql.read import load
from genstore.text.passages import Span

# Where in the record's metadata it stands, so that a filter reaches it: metadata.answer.abstained:true
KEY = "answer"


def facts(answer: Answer) -> dict[str, Any]:
    """What the record's metadata keeps of an answer."""
    return {
        "abstained": answer.abstained,
        "extractive": answer.extractive,
        "supported": answer.supported,
        "removed_markers": answer.removed_markers,
        "evidence": answer.evidence,
        "question": answer.question,
        "unsupported": [list(span) for span in answer.unsupported],
    }


def read_answer(connection: Connection, bodies: Bodies, record_id: str) -> Answer:
    """The answer that a record is, its citations with their quotes. Raises InvalidInput when it is none."""
    record = load(connection, bodies, [record_id], strict=True)[record_id]
    if record.operation != ASK:
        raise InvalidInput(f"record {record_id} is no answer of `ask`; `get` reads it")
    citations = citations_of(connection, [record_id]).get(record_id, [])
    cited = load(connection, bodies, list({citation.record_id for citation in citations}))
    # Deleted meanwhile, or of another project, whose texts this one does not show.
    there = [one for one in citations if one.record_id in cited and cited[one.record_id].project == record.project]
    return answer_of(record, [_with_quote(citation, cited[citation.record_id]) for citation in there])


def answer_of(record: Record, citations: Sequence[Citation]) -> Answer:
    """The answer that a record and its citations are. Metadata that was edited to something else is none."""
    known = record.metadata.get(KEY)
    known = known if isinstance(known, Mapping) else {}
    return Answer(
        id=record.id,
        text=record.output_text,
        citations=tuple(citations),
        unsupported=_spans(known.get("unsupported")),
        abstained=bool(known.get("abstained")),
        extractive=bool(known.get("extractive")),
        removed_markers=int(_number(known.get("removed_markers"))),
        evidence=float(_number(known.get("evidence"))),
        question=str(known.get("question", record.prompt_text)),
        model=record.model,
        usage=record.usage,
        session_id=record.session_id,
    )


def _number(value: Any) -> int | float:
    return value if isinstance(value, int | float) else 0


def _spans(value: Any) -> tuple[Span, ...]:
    rows = value if isinstance(value, list) else []
    return tuple((row[0], row[1]) for row in rows if isinstance(row, list) and list(map(type, row)) == [int, int])


def _with_quote(citation: Citation, record: Record) -> Citation:
    side = record.prompt if citation.side == "prompt" else record.output
    part = side[citation.position]
    quote = (part.text or "")[citation.start : citation.end]
    return replace(citation, quote=quote, location=location(record, part, citation.start))
