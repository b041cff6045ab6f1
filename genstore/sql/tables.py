"""The tables. SQL is the truth: whatever the search index holds can be rebuilt from these rows.

JSON is kept as text, not as a database's JSON type: what came in comes back byte for byte, including the escapes
(\\u0000, lone surrogates) that PostgreSQL's jsonb refuses. What filters need of it stands in `fields`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from genstore.records import KINDS, STATUSES

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite only counts up a column that is declared INTEGER, PostgreSQL only has room for the long run in a BIGINT.
_Serial = BigInteger().with_variant(Integer(), "sqlite")
Serial = Annotated[int, mapped_column(_Serial, primary_key=True, autoincrement=True)]
RecordKey = Annotated[str, mapped_column(String(36), ForeignKey("records.id", ondelete="CASCADE"))]
Hash = Annotated[str, mapped_column(String(64))]


def _present(column: str) -> dict[str, Any]:
    """Options that restrict an index to the rows that have the column."""
    return _only(f"{column} IS NOT NULL")


def _only(condition: str) -> dict[str, Any]:
    """Options that restrict an index to the rows that satisfy the condition."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _one_of(column: str, values: Sequence[str]) -> str:
    """The condition that the column holds one of the values.

    As comparisons: for `in (…)` of three and more SQLite builds a temporary B-tree at every insert, 4 us each.
    """
    return " or ".join(f"{column} = '{value}'" for value in values)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {str: Text(), int: BigInteger(), float: Double(), bytes: LargeBinary()}  # noqa: RUF012


class SettingRow(Base):
    """Facts about the whole store: its id and when it was made."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class RecordRow(Base):
    """One record; its texts are in `parts` and `contents`."""

    __tablename__ = "records"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project: Mapped[str]
    kind: Mapped[str]
    name: Mapped[str | None]
    model: Mapped[str | None]
    provider: Mapped[str | None]
    operation: Mapped[str | None]
    params: Mapped[str]
    input_tokens: Mapped[int | None]
    output_tokens: Mapped[int | None]
    cached_tokens: Mapped[int | None]
    reasoning_tokens: Mapped[int | None]
    cost_usd: Mapped[float | None]
    duration_s: Mapped[float | None]
    time_to_first_token_s: Mapped[float | None]
    finish_reason: Mapped[str | None]
    status: Mapped[str]
    error: Mapped[str | None]
    session_id: Mapped[str | None]
    trace_id: Mapped[str | None]
    span_id: Mapped[str | None]
    parent_id: Mapped[str | None]
    user_id: Mapped[str | None]
    metadata_: Mapped[str] = mapped_column("metadata")
    attributes: Mapped[str]
    created_us: Mapped[int]
    fingerprint: Mapped[Hash]

    __table_args__ = (
        CheckConstraint(_one_of("kind", KINDS), name="kind"),
        CheckConstraint(_one_of("status", STATUSES), name="status"),
        Index(None, "project", "created_us", "id"),
        Index(None, "fingerprint"),
        # Most records have neither; a partial index costs their writes nothing.
        Index("ix_records_session_id", "session_id", **_present("session_id")),
        Index("ix_records_trace_id_span_id", "trace_id", "span_id", **_present("trace_id")),
        # How a file that is added again finds its earlier version.
        Index("ix_records_document", "project", "name", **_only("kind = 'document'")),
        {"sqlite_with_rowid": False},
    )


class ContentRow(Base):
    """A body, stored once however many parts name it. body is NULL when it lives in the blob store."""

    __tablename__ = "contents"

    sha256: Mapped[Hash] = mapped_column(primary_key=True)
    size_bytes: Mapped[int]
    encoding: Mapped[str]
    body: Mapped[bytes | None]


class PartRow(Base):
    """A piece of a record's prompt or output. Ids are never reused: the index derives its point ids from them."""

    __tablename__ = "parts"

    id: Mapped[Serial]
    record_id: Mapped[RecordKey]
    side: Mapped[str]
    position: Mapped[int]
    message: Mapped[int]
    role: Mapped[str]
    type: Mapped[str]
    media_type: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64), ForeignKey("contents.sha256"))
    binary: Mapped[bool]
    history: Mapped[bool]
    attributes: Mapped[str | None]

    __table_args__ = (Index(None, "record_id"), Index(None, "sha256"), {"sqlite_autoincrement": True})


class TagRow(Base):
    __tablename__ = "tags"

    record_id: Mapped[RecordKey] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)

    __table_args__ = (Index(None, "tag", "record_id"), {"sqlite_with_rowid": False})


class FieldRow(Base):
    """One leaf of a record's metadata or params, so that both databases filter on it in the same plain SQL.

    Exactly one of text and number is set; position tells a list's elements apart.
    """

    __tablename__ = "fields"

    record_id: Mapped[RecordKey] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None]
    number: Mapped[float | None]

    __table_args__ = (
        Index("ix_fields_path_text", "path", "text", **_present("text")),
        Index("ix_fields_path_number", "path", "number", **_present("number")),
        {"sqlite_with_rowid": False},
    )


class ScoreRow(Base):
    __tablename__ = "scores"

    id: Mapped[Serial]
    record_id: Mapped[RecordKey]
    name: Mapped[str]
    value: Mapped[float | None]
    label: Mapped[str | None]
    comment: Mapped[str | None]
    source: Mapped[str]
    user_id: Mapped[str | None]
    created_us: Mapped[int]

    __table_args__ = (Index(None, "record_id"), Index(None, "name", "value"))


class RelationRow(Base):
    """An edge: source was `role` target. A relation outlives neither of its records."""

    __tablename__ = "relations"

    source_id: Mapped[RecordKey] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    target_id: Mapped[RecordKey] = mapped_column(primary_key=True)
    attributes: Mapped[str]

    __table_args__ = (Index(None, "target_id"), {"sqlite_with_rowid": False})


class CitationRow(Base):
    """What a sentence of an answer rests on: character offsets into the answer's text and a part of another record.

    part_id needs no key of its own: a part goes with its record, and its id is never given again.
    """

    __tablename__ = "citations"

    answer_id: Mapped[RecordKey] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]
    sentence_start: Mapped[int]
    sentence_end: Mapped[int]
    cited_id: Mapped[RecordKey]
    part_id: Mapped[int]
    start_char: Mapped[int]
    end_char: Mapped[int]
    support: Mapped[float]

    __table_args__ = (Index(None, "cited_id"), {"sqlite_with_rowid": False})


class PassageRow(Base):
    """Where one cutter cuts one text: character offsets, the slice's own hash, its length in BM25 terms."""

    __tablename__ = "passages"

    sha256: Mapped[str] = mapped_column(String(64), ForeignKey("contents.sha256", ondelete="CASCADE"), primary_key=True)
    cutter: Mapped[str] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    start_char: Mapped[int]
    end_char: Mapped[int]
    text_sha256: Mapped[Hash]
    terms: Mapped[int]

    __table_args__ = (Index(None, "text_sha256"), {"sqlite_with_rowid": False})


class EmbeddingRow(Base):
    """The vector of one text under one embedder: half precision, little-endian."""

    __tablename__ = "embeddings"

    text_sha256: Mapped[Hash] = mapped_column(primary_key=True)
    embedder: Mapped[str] = mapped_column(primary_key=True)
    vector: Mapped[bytes]


class IndexRow(Base):
    """One search index: the one in use, and the one being built to replace it."""

    __tablename__ = "indexes"

    id: Mapped[Serial]
    state: Mapped[str]
    embedder: Mapped[str]
    dimension: Mapped[int]
    cutter: Mapped[str]
    average_terms: Mapped[float]
    created_us: Mapped[int]

    __table_args__ = (
        CheckConstraint(_one_of("state", ("active", "building", "retired")), name="state"),
        {"sqlite_autoincrement": True},
    )


class OutboxRow(Base):
    """Work an index has still to do. A row is gone only when the index has acknowledged its effect."""

    __tablename__ = "outbox"

    id: Mapped[Serial]
    index_id: Mapped[int] = mapped_column(_Serial, ForeignKey("indexes.id", ondelete="CASCADE"))
    action: Mapped[str]
    record_id: Mapped[str] = mapped_column(String(36))

    __table_args__ = (
        CheckConstraint(_one_of("action", ("index", "embed", "payload", "delete")), name="action"),
        Index(None, "index_id", "action", "id"),
        {"sqlite_autoincrement": True},
    )


class GarbageRow(Base):
    """A blob file that no content names any more and that is still to be unlinked."""

    __tablename__ = "garbage"

    sha256: Mapped[Hash] = mapped_column(primary_key=True)


class SketchMethodRow(Base):
    """A method that sketches were made with.

    live: every new body is sketched in the transaction that writes it. complete: and all that were there before are.
    """

    __tablename__ = "sketch_methods"

    id: Mapped[Serial]
    name: Mapped[str]
    live: Mapped[bool]
    complete: Mapped[bool]

    __table_args__ = (Index(None, "name", unique=True),)


class SketchRow(Base):
    """What one method of comparing bodies made of one body; see dedup/method.py. packed: its keys, 8 bytes each."""

    __tablename__ = "sketches"

    id: Mapped[Serial]
    sha256: Mapped[str] = mapped_column(String(64), ForeignKey("contents.sha256", ondelete="CASCADE"))
    method_id: Mapped[int] = mapped_column(_Serial, ForeignKey("sketch_methods.id"))
    packed: Mapped[bytes]

    __table_args__ = (Index(None, "sha256", "method_id", unique=True), {"sqlite_autoincrement": True})


class SketchKeyRow(Base):
    """A key of a sketch: bodies that share one under a method are candidates for being duplicates.

    No foreign key: the index it would need is as large as the table. Who deletes a sketch knows its keys.
    """

    __tablename__ = "sketch_keys"

    method_id: Mapped[int] = mapped_column(_Serial, primary_key=True)
    key: Mapped[int] = mapped_column(primary_key=True)
    sketch_id: Mapped[int] = mapped_column(_Serial, primary_key=True)

    __table_args__ = ({"sqlite_with_rowid": False},)


class DuplicatePolicyRow(Base):
    """What a project does with duplicates when a call does not say."""

    __tablename__ = "duplicate_policies"

    project: Mapped[str] = mapped_column(primary_key=True)
    on_duplicate: Mapped[str]
    level: Mapped[str | None]
    compared: Mapped[str]
    threshold: Mapped[float | None]
    ignore_case: Mapped[bool]


def _table(row: type[Base]) -> Table:
    return cast("Table", row.__table__)


metadata = Base.metadata
settings = _table(SettingRow)
records = _table(RecordRow)
contents = _table(ContentRow)
parts = _table(PartRow)
tags = _table(TagRow)
fields = _table(FieldRow)
scores = _table(ScoreRow)
relations = _table(RelationRow)
citations = _table(CitationRow)
passages = _table(PassageRow)
embeddings = _table(EmbeddingRow)
indexes = _table(IndexRow)
outbox = _table(OutboxRow)
garbage = _table(GarbageRow)
sketches = _table(SketchRow)
sketch_keys = _table(SketchKeyRow)
sketch_methods = _table(SketchMethodRow)
duplicate_policies = _table(DuplicatePolicyRow)
