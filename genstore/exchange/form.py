"""Records as plain JSON values and back: the one shape of `--json`, of exports and of what they bring back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from genstore.entry import build_record, build_score, checked_moment
from genstore.errors import InvalidInput
from genstore.records import Hit, Part, Record, Relation, Score, SearchResult

_PLAIN = (
    "name", "model", "provider", "operation", "duration_s", "time_to_first_token_s", "finish_reason", "error",
    "session_id", "trace_id", "span_id", "parent_id", "user_id",
)  # fmt: skip
_JSON = ("params", "metadata", "attributes")
_PART_DEFAULTS = Part()


def record_to_json(record: Record) -> dict[str, Any]:
    """The whole record; what is empty is left out."""
    form: dict[str, Any] = {"id": record.id, "project": record.project, "kind": record.kind, "status": record.status}
    form["created_at"] = record.created_at.isoformat()
    form |= {name: value for name in _PLAIN if (value := getattr(record, name)) is not None}
    form |= {name: dict(value) for name in _JSON if (value := getattr(record, name))}
    if usage := {name: value for name, value in asdict(record.usage).items() if value is not None}:
        form["usage"] = usage
    if record.tags:
        form["tags"] = list(record.tags)
    if record.scores:
        form["scores"] = [score_to_json(score) for score in record.scores]
    if record.duplicate_of:
        form["duplicate_of"] = record.duplicate_of
    form["prompt"] = [part_to_json(part) for part in record.prompt]
    form["output"] = [part_to_json(part) for part in record.output]
    return form


def part_to_json(part: Part) -> dict[str, Any]:
    """A part; bytes are base64 under "data"."""
    form: dict[str, Any] = {"type": part.type, "role": part.role}
    if part.text is not None:
        form["text"] = part.text
    elif part.data is not None:
        form["data"] = base64.b64encode(part.data).decode()
    else:
        form["missing"] = part.sha256
    for name in ("media_type", "message", "history"):
        if (value := getattr(part, name)) != getattr(_PART_DEFAULTS, name):
            form[name] = value
    if part.attributes:
        form["attributes"] = dict(part.attributes)
    return form


def score_to_json(score: Score) -> dict[str, Any]:
    form = {name: value for name, value in asdict(score).items() if value is not None}
    return {**form, "created_at": score.created_at.isoformat()}


def relation_to_json(relation: Relation) -> dict[str, Any]:
    form: dict[str, Any] = {"role": relation.role, "target_id": relation.target_id}
    return {**form, "attributes": dict(relation.attributes)} if relation.attributes else form


def hit_to_json(hit: Hit) -> dict[str, Any]:
    """A hit with its record, its passages and why it ranks where it does."""
    passages = [
        {name: getattr(passage, name) for name in ("side", "role", "start", "end", "text", "score", "highlights")}
        for passage in hit.passages
    ]
    return {
        "score": hit.score,
        "explanation": asdict(hit.explanation),
        "passages": passages,
        "record": record_to_json(hit.record),
    }


def result_to_json(result: SearchResult) -> dict[str, Any]:
    return {
        "hits": [hit_to_json(hit) for hit in result],
        "mode": result.mode,
        "pending": result.pending,
        "pending_dense": result.pending_dense,
    }


def is_own_form(row: Mapping[str, Any]) -> bool:
    """Whether a row is an exported record rather than somebody else's."""
    return {"id", "project", "kind", "prompt", "output", "created_at"} <= row.keys()


def record_from_json(form: Mapping[str, Any], project: str | None = None) -> tuple[Record, list[Score]]:
    """The record and its scores. Raises InvalidInput naming what is wrong."""
    given = {name: form.get(name) for name in ("id", "kind", "status", "created_at", *_PLAIN, *_JSON, "usage")}
    record = build_record(
        [_part(item, f"prompt[{number}]") for number, item in enumerate(form["prompt"])],
        [_part(item, f"output[{number}]") for number, item in enumerate(form["output"])],
        project=project or form["project"],
        tags=form.get("tags") or (),
        **{name: value for name, value in given.items() if value is not None},
    )
    return record, [_score(item) for item in form.get("scores") or ()]


def _part(form: Any, where: str) -> Part:
    if not isinstance(form, Mapping):
        raise InvalidInput(f"{where} is a {type(form).__name__}, not an object")
    known = {field.name for field in fields(Part)} - {"sha256", "size_bytes", "id"}
    given = {name: value for name, value in form.items() if name in known}
    if "data" in given:
        try:
            given["data"] = base64.b64decode(given["data"], validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise InvalidInput(f"{where}.data is not base64: {error}") from error
    return Part(**given)


def _score(form: Mapping[str, Any]) -> Score:
    given = {name: form.get(name) for name in ("value", "label", "comment", "source", "user_id")}
    score = build_score(
        str(form.get("name", "")), **{name: value for name, value in given.items() if value is not None}
    )
    created: datetime = checked_moment(form.get("created_at"))
    object.__setattr__(score, "created_at", created)
    return score
