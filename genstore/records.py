"""The nouns: what a store holds and what it answers with. Frozen, typed, without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

Kind = Literal["generation", "document", "example"]
Side = Literal["prompt", "output"]
Status = Literal["ok", "error", "partial"]

KINDS: tuple[Kind, ...] = ("generation", "document", "example")
SIDES: tuple[Side, ...] = ("prompt", "output")
STATUSES: tuple[Status, ...] = ("ok", "error", "partial")

DEFAULT_PROJECT = "default"

_MICROSECOND = 1_000_000


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC; a moment without a zone is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * _MICROSECOND + elapsed.microseconds


def from_microseconds(value: int) -> datetime:
    """The inverse of to_microseconds, in UTC."""
    seconds, micros = divmod(value, _MICROSECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a generation consumed. input_tokens includes cached_tokens, output_tokens includes reasoning_tokens."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None


USAGE_FIELDS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_usd")


def _shortened(text: str | None, width: int = 60) -> str | None:
    return text if text is None or len(text) <= width else text[: width - 1] + "…"


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """One piece of a record's prompt or output.

    Exactly one of text and data is set, unless the body is missing from the blob store: then neither is.
    history: the part repeats an earlier turn of a conversation (or its system prompt), so it is searched for
    under the record that said it first.
    message: which message of the prompt or output it belongs to, from 0.
    """

    type: str = "text"
    role: str = "user"
    text: str | None = None
    data: bytes | None = None
    media_type: str = "text/plain"
    sha256: str = ""
    size_bytes: int = 0
    history: bool = False
    message: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0

    def __repr__(self) -> str:
        held = repr(_shortened(self.text)) if self.text is not None else f"{self.size_bytes:,} bytes"
        return f"<genstore.Part {self.role} {self.type} {self.media_type}: {held}>"


@dataclass(frozen=True, slots=True)
class Score:
    """A judgement of a record; value, label or both are set."""

    name: str
    value: float | None = None
    label: str | None = None
    comment: str | None = None
    source: str = "human"
    user_id: str | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Relation:
    """An edge from one record to another: `source_id` was `role` `target_id` (an answer *retrieved* a document)."""

    source_id: str
    role: str
    target_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


ROLES = ("retrieved", "input", "derived_from", "reply_to", "edit_of", "duplicate_of", "generated_by")


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """One thing in the store: what was asked, what came back, and everything known about how."""

    id: str
    prompt: tuple[Part, ...] = ()
    output: tuple[Part, ...] = ()
    kind: Kind = "generation"
    project: str = DEFAULT_PROJECT
    name: str | None = None
    model: str | None = None
    provider: str | None = None
    operation: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    duration_s: float | None = None
    time_to_first_token_s: float | None = None
    finish_reason: str | None = None
    status: Status = "ok"
    error: str | None = None
    session_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_id: str | None = None
    user_id: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    fingerprint: str = ""
    duplicate_of: str | None = None

    def __repr__(self) -> str:
        asked, answered = _shortened(self.prompt_text), _shortened(self.output_text)
        return f"<genstore.Record {self.id} {self.model or self.name or self.kind}: {asked!r} -> {answered!r}>"

    @property
    def prompt_text(self) -> str:
        """The texts of the prompt's parts, in order."""
        return _joined(self.prompt)

    @property
    def output_text(self) -> str:
        """The texts of the output's parts, in order."""
        return _joined(self.output)


def _joined(parts: Sequence[Part]) -> str:
    return "\n\n".join(part.text for part in parts if part.text is not None)


@dataclass(frozen=True, slots=True)
class Passage:
    """A slice of a text part; start and end are character offsets into it. highlights are offsets into `text`."""

    part_id: int
    side: Side
    role: str
    start: int
    end: int
    text: str
    score: float = 0.0
    highlights: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a hit ranks where it does: its best passage's rank (from 1) and raw score in each list.

    A rank is None when the list's first `depth` entries do not hold the passage; its score may be known even so.
    """

    dense_rank: int | None = None
    dense_score: float | None = None
    sparse_rank: int | None = None
    sparse_score: float | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """A record that a search found; score in [0, 1], passages best first."""

    record: Record
    score: float
    passages: tuple[Passage, ...]
    explanation: Explanation

    def __repr__(self) -> str:
        return f"<genstore.Hit {self.score:.3f} {self.record!r}>"


@dataclass(frozen=True, slots=True, repr=False)
class SearchResult(Sequence[Hit]):
    """Hits, best first, and how much of the store the search could not see yet.

    pending: records whose words are not indexed yet; pending_dense: records whose meaning is not.
    """

    hits: tuple[Hit, ...]
    mode: str
    pending: int = 0
    pending_dense: int = 0

    def __getitem__(self, index: Any) -> Any:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)

    def __repr__(self) -> str:
        return f"<genstore.SearchResult {self.mode}, {len(self.hits)} hits>"


@dataclass(frozen=True, slots=True, repr=False)
class Page(Sequence[Record]):
    """Some records of a listing, newest first; pass `cursor` back for the next ones, None at the end."""

    records: tuple[Record, ...]
    cursor: str | None

    def __getitem__(self, index: Any) -> Any:
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<genstore.Page {len(self.records)} records{', more to come' if self.cursor else ''}>"


@dataclass(frozen=True, slots=True)
class Location:
    """Where in its document a passage stands: the title, the page (from 1), the headings above it, outermost first."""

    title: str = ""
    page: int | None = None
    headings: tuple[str, ...] = ()

    def __str__(self) -> str:
        page = [f"page {self.page}"] if self.page is not None else []
        heading = [f"§ {' › '.join(self.headings)}"] if self.headings else []
        return ", ".join([*([self.title] if self.title else []), *page, *heading])


@dataclass(frozen=True, slots=True)
class Citation:
    """What a sentence of an answer rests on: a span of a part of another record.

    number: the source's number in the answer's markers; sentence: offsets into the answer's text; start and end:
    offsets into the cited part, which is the `position`-th of its record's `side`; support in [0, 1]: how far the
    sentence is borne out by the span. quote and location are read from the cited record.
    """

    number: int
    sentence: tuple[int, int]
    record_id: str
    part_id: int
    side: Side
    position: int
    start: int
    end: int
    support: float
    quote: str = ""
    location: Location = Location()


@dataclass(frozen=True, slots=True)
class Answer:
    """What `ask` answers, as it stands in the store under `id`.

    citations: by sentence, best support first; unsupported: sentences that no passage bears out; abstained: the store
    does not hold the answer, and the text says so; extractive: the sentences are quotes, no model wrote them;
    removed_markers: markers that pointed at no source and were taken out; evidence in [0, 1]: how sure it is that
    what was retrieved holds the answer; question: as it was understood in its conversation.
    """

    id: str
    text: str
    citations: tuple[Citation, ...] = ()
    unsupported: tuple[tuple[int, int], ...] = ()
    abstained: bool = False
    extractive: bool = False
    removed_markers: int = 0
    evidence: float = 0.0
    question: str = ""
    model: str | None = None
    usage: Usage = field(default_factory=Usage)
    session_id: str | None = None

    @property
    def supported(self) -> bool:
        """Whether every sentence is borne out by a passage; an abstention has nothing to bear out."""
        return bool(self.citations) and not self.unsupported and not self.abstained


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A record that says what another one says. score in [0, 1]; evidence: what makes it a duplicate."""

    record_id: str
    score: float
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DuplicateCluster:
    """A record and its duplicates, each verified against it. representative: the best scored, then the oldest.

    level and on: what they were compared by.
    """

    representative: str
    duplicates: tuple[Duplicate, ...]
    level: str = ""
    on: str = ""

    def __len__(self) -> int:
        return 1 + len(self.duplicates)
