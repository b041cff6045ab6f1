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
    return answer_of(record, [_with_quote(citation, cited) for citation in citations])


def answer_of(record: Record, citations: Sequence[Citation]) -> Answer:
    """The answer that a record and its citations are."""
    known = record.metadata.get(KEY)
    known = known if isinstance(known, Mapping) else {}
    return Answer(
        id=record.id,
        text=record.output_text,
        citations=tuple(citations),
        unsupported=tuple((span[0], span[1]) for span in known.get("unsupported", ())),
        abstained=bool(known.get("abstained")),
        extractive=bool(known.get("extractive")),
        removed_markers=int(known.get("removed_markers", 0)),
        evidence=float(known.get("evidence", 0.0)),
        question=str(known.get("question", record.prompt_text)),
        model=record.model,
        usage=record.usage,
        session_id=record.session_id,
    )


def _with_quote(citation: Citation, cited: Mapping[str, Record]) -> Citation:
    record = cited[citation.record_id]
    side = record.prompt if citation.side == "prompt" else record.output
    part = side[citation.position]
    quote = (part.text or "")[citation.start : citation.end]
    return replace(citation, quote=quote, location=location(record, part, citation.start))
