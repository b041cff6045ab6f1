"""The plain shape of a record outside the store: what `--json` prints, exports hold and imports of them read."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from genstore.entry import (
    build_record,
    build_score,
    checked_id,
    checked_mapping,
    checked_moment,
    checked_name,
    fingerprint,
)
from genstore.errors import InvalidInput
from genstore.messages import hashed
from genstore.records import (
    ROLES,
    SIDES,
    USAGE_FIELDS,
    Answer,
    Citation,
    Hit,
    Page,
    Part,
    Passage,
    Record,
    Relation,
    Score,
    SearchResult,
)

Form: TypeAlias = dict[str, Any]

# In the order a reader wants them; what is empty is left out.
_NAMES = (
    "name", "model", "provider", "operation", "status", "error", "finish_reason", "duration_s",
    "time_to_first_token_s", "session_id", "trace_id", "span_id", "parent_id", "user_id",
)  # fmt: skip
_ALWAYS = ("id", "project", "kind", "created_at")
_READ = frozenset((*_ALWAYS, *_NAMES, "params", "usage", "tags", "metadata", "attributes"))
_PART_KEYS = frozenset(field.name for field in fields(Part)) - {"id"}
_PART_TYPES = {"role": str, "type": str, "media_type": str, "text": str, "history": bool, "message": int}


class Described(NamedTuple):
    """A record read from a row, with the edges and citations that start at it. own: the row said which id it has."""

    record: Record
    relations: tuple[Relation, ...] = ()
    own: bool = False
    citations: tuple[Citation, ...] = ()


def encoded(value: Any, indent: int | None = None) -> bytes:
    """JSON in UTF-8. A lone surrogate, which UTF-8 has no bytes for, is escaped, and so then is all beyond ASCII."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent).encode()
    except UnicodeEncodeError:
        return json.dumps(value, ensure_ascii=True, indent=indent).encode()


def moment_text(moment: datetime) -> str:
    """ISO 8601 in UTC, with Z."""
    return moment.isoformat().removesuffix("+00:00") + "Z"


def record_to_json(record: Record, relations: Iterable[Relation] = (), citations: Iterable[Citation] = ()) -> Form:
    """Everything a record is, as JSON holds it; record_from_json is the inverse. What is empty is left out."""
    usage = record.usage
    form: Form = {"id": record.id, "project": record.project, "kind": record.kind}
    form["created_at"] = moment_text(record.created_at)
    form |= {name: getattr(record, name) for name in _NAMES}
    form["prompt"] = [part_to_json(part) for part in record.prompt]
    form["output"] = [part_to_json(part) for part in record.output]
    form["params"] = dict(record.params)
    form["usage"] = {name: value for name in USAGE_FIELDS if (value := getattr(usage, name)) is not None}
    form["tags"] = list(record.tags)
    form["metadata"] = dict(record.metadata)
    form["attributes"] = dict(record.attributes)
    form["scores"] = [score_to_json(score) for score in record.scores]
    form["relations"] = [relation_to_json(edge) for edge in relations]
    form["citations"] = [citation_to_json(citation) for citation in citations]
    form["fingerprint"] = record.fingerprint
    form["duplicate_of"] = record.duplicate_of
    return {key: value for key, value in form.items() if value is not None and value != [] and value != {}}


def part_to_json(part: Part) -> Form:
    """A part: `text`, or `data` in base64, or neither and `missing` when its body is gone from the blob store."""
    form: Form = {"role": part.role, "type": part.type, "media_type": part.media_type}
    if part.message:
        form["message"] = part.message
    if part.history:
        form["history"] = True
    if part.attributes:
        form["attributes"] = dict(part.attributes)
    if part.text is not None:
        form["text"] = part.text
    elif part.data is not None:
        form["data"] = base64.b64encode(part.data).decode()
    else:
        form |= {"missing": True, "sha256": part.sha256, "size_bytes": part.size_bytes}
    return form


def score_to_json(score: Score) -> Form:
    form = {name: getattr(score, name) for name in ("name", "value", "label", "comment", "source", "user_id")}
    moment = {"created_at": moment_text(score.created_at)}
    return {key: value for key, value in form.items() if value is not None} | moment


def relation_to_json(relation: Relation) -> Form:
    """An edge as the record it starts at has it."""
    form: Form = {"role": relation.role, "target_id": relation.target_id}
    return {**form, "attributes": dict(relation.attributes)} if relation.attributes else form


# What both databases count to.
_LARGEST = 2**31 - 1
_CITATION = ("number", "record_id", "side", "position", "start", "end", "support")


def citation_to_json(citation: Citation) -> Form:
    """A citation as an export holds it: the part it points at by its place, for a part's id is each store's own."""
    return {"sentence": list(citation.sentence), **{name: getattr(citation, name) for name in _CITATION}}


def answer_to_json(answer: Answer) -> Form:
    """An answer, its citations with what they quote and where that stands."""
    names = (
        "id", "text", "question", "abstained", "extractive", "supported", "evidence", "removed_markers", "model",
        "session_id",
    )  # fmt: skip
    usage = {name: value for name in USAGE_FIELDS if (value := getattr(answer.usage, name)) is not None}
    cited = [{**citation_to_json(one), "quote": one.quote, "location": str(one.location)} for one in answer.citations]
    facts = {name: getattr(answer, name) for name in names}
    return {**facts, "citations": cited, "unsupported": [list(span) for span in answer.unsupported], "usage": usage}


def passage_to_json(passage: Passage) -> Form:
    """A passage; start and end are character offsets into its part, highlights into its text."""
    names = ("side", "role", "start", "end", "score", "text")
    form: Form = {name: getattr(passage, name) for name in names}
    return {**form, "highlights": [list(span) for span in passage.highlights]}


def hit_to_json(hit: Hit) -> Form:
    """A hit with its record, its passages and why it ranks where it does."""
    names = ("dense_rank", "dense_score", "sparse_rank", "sparse_score")
    return {
        "score": hit.score,
        "explanation": {name: getattr(hit.explanation, name) for name in names},
        "passages": [passage_to_json(passage) for passage in hit.passages],
        "record": record_to_json(hit.record),
    }


def result_to_json(result: SearchResult) -> Form:
    """A search's answer; pending and pending_dense: records it could not see yet by words, by meaning."""
    return {
        "mode": result.mode,
        "pending": result.pending,
        "pending_dense": result.pending_dense,
        "hits": [hit_to_json(hit) for hit in result.hits],
    }


def page_to_json(page: Page) -> Form:
    """A page of records; pass cursor back for the next one, null at the end."""
    return {"records": [record_to_json(record) for record in page.records], "cursor": page.cursor}


def is_own_form(row: Mapping[str, Any]) -> bool:
    """Whether a row is an exported record rather than somebody else's."""
    return row.keys() >= set(_ALWAYS) and all(isinstance(row.get(side, []), list) for side in ("prompt", "output"))


def record_from_json(form: Mapping[str, Any], project: str | None = None) -> Described:
    """The record a form stands for, with its scores and edges, in the project given or its own.

    Raises InvalidInput naming what is wrong.
    """
    given = {name: value for name, value in form.items() if name in _READ and value is not None}
    if project is not None:
        given["project"] = project
    # The parts are put in afterwards: build_record would mark anew what repeats an earlier turn.
    record = build_record([], [], **given)
    prompt, output = _parts(form, "prompt"), _parts(form, "output")
    scores = tuple(_score(item) for item in _objects(form, "scores"))
    edges = tuple(_relation(record.id, item) for item in _objects(form, "relations"))
    record = replace(record, prompt=prompt, output=output, scores=scores)
    citations = tuple(_citation(item) for item in _objects(form, "citations"))
    return Described(replace(record, fingerprint=fingerprint(record)), edges, "id" in given, citations)


def _objects(form: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = form.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise InvalidInput(f"{name} is {str(value)[:80]!r}; it is a list of objects")
    return value


def _parts(form: Mapping[str, Any], side: str) -> tuple[Part, ...]:
    return tuple(_part(item, f"{side}[{number}]") for number, item in enumerate(_objects(form, side)))


def _part(form: Mapping[str, Any], where: str) -> Part:
    if form.get("missing"):
        raise InvalidInput(f"{where} has no body: it was gone from the blob store when the record was exported")
    given = {name: value for name, value in form.items() if name in _PART_KEYS}
    for name, kind in _PART_TYPES.items():
        if name in given and type(given[name]) is not kind:
            raise InvalidInput(f"{where}.{name} is {str(given[name])[:40]!r}; it takes a {kind.__name__}")
        if name in given and name in ("role", "type", "media_type"):
            checked_name(given[name], f"{where}.{name}")
    if "data" in given:
        try:
            given["data"] = base64.b64decode(given["data"], validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise InvalidInput(f"{where}.data is not base64: {error}") from error
    given["attributes"] = checked_mapping(form.get("attributes"), f"{where}.attributes")
    return hashed(Part(**given))


def _score(form: Mapping[str, Any]) -> Score:
    names = ("value", "label", "comment", "source", "user_id")
    given = {name: form[name] for name in names if form.get(name) is not None}
    score = build_score(str(form.get("name", "")), **given)
    return replace(score, created_at=checked_moment(form["created_at"])) if form.get("created_at") else score


def _relation(source_id: str, form: Mapping[str, Any]) -> Relation:
    role = form.get("role")
    if role not in ROLES:
        raise InvalidInput(f"a relation's role is {role!r}; it is one of {', '.join(ROLES)}")
    attributes = checked_mapping(form.get("attributes"), "a relation's attributes")
    return Relation(source_id, str(role), checked_id(form.get("target_id")), attributes)


def _citation(form: Mapping[str, Any]) -> Citation:
    """A citation whose part is still to be found: its id is 0."""
    span = form.get("sentence")
    numbers = [*(span if isinstance(span, list) else ()), *(form.get(name) for name in ("number", "position"))]
    numbers += [form.get("start"), form.get("end")]
    support = form.get("support")
    whole = len(numbers) == 6 and all(type(number) is int and number >= 0 for number in numbers)
    # Spans that hold something; NaN is in no range.
    spans = whole and max(numbers) <= _LARGEST and numbers[0] < numbers[1] and numbers[4] < numbers[5]
    if not spans or form.get("side") not in SIDES or not isinstance(support, int | float) or not 0 <= support <= 1:
        raise InvalidInput(f"a citation is {str(dict(form))[:120]}; export one to see its shape")
    return Citation(
        number=numbers[2],
        sentence=(numbers[0], numbers[1]),
        record_id=checked_id(form.get("record_id")),
        part_id=0,
        side=form["side"],
        position=numbers[3],
        start=numbers[4],
        end=numbers[5],
        support=float(support),
    )
