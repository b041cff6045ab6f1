"""The store: records, parts, contents, what is said of them, and the search index's queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_store"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "contents",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_contents")),
    )
    op.create_table(
        "embeddings",
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("embedder", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("text_sha256", "embedder", name=op.f("pk_embeddings")),
    )
    op.create_table(
        "garbage",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_garbage")),
    )
    op.create_table(
        "indexes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("embedder", sa.Text(), nullable=False),
        sa.Column("dimension", sa.BigInteger(), nullable=False),
        sa.Column("cutter", sa.Text(), nullable=False),
        sa.Column("average_terms", sa.Double(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state = 'active' or state = 'building' or state = 'retired'", name=op.f("ck_indexes_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_indexes")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "records",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("operation", sa.Text(), nullable=True),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=True),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost_usd", sa.Double(), nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("time_to_first_token_s", sa.Double(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.Text(), nullable=True),
        sa.Column("span_id", sa.Text(), nullable=True),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.CheckConstraint(
            "kind = 'generation' or kind = 'document' or kind = 'example'", name=op.f("ck_records_kind")
        ),
        sa.CheckConstraint("status = 'ok' or status = 'error' or status = 'partial'", name=op.f("ck_records_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_records")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_records_fingerprint"), "records", ["fingerprint"], unique=False)
    op.create_index(op.f("ix_records_project_created_us_id"), "records", ["project", "created_us", "id"], unique=False)
    op.create_index(
        "ix_records_session_id",
        "records",
        ["session_id"],
        unique=False,
        sqlite_where=sa.text("session_id IS NOT NULL"),
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    op.create_index(
        "ix_records_trace_id_span_id",
        "records",
        ["trace_id", "span_id"],
        unique=False,
        sqlite_where=sa.text("trace_id IS NOT NULL"),
        postgresql_where=sa.text("trace_id IS NOT NULL"),
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings")),
    )
    op.create_table(
        "fields",
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("number", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["record_id"], ["records.id"], name=op.f("fk_fields_record_id_records"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("record_id", "path", "position", name=op.f("pk_fields")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_fields_path_number",
        "fields",
        ["path", "number"],
        unique=False,
        sqlite_where=sa.text("number IS NOT NULL"),
        postgresql_where=sa.text("number IS NOT NULL"),
    )
    op.create_index(
        "ix_fields_path_text",
        "fields",
        ["path", "text"],
        unique=False,
        sqlite_where=sa.text("text IS NOT NULL"),
        postgresql_where=sa.text("text IS NOT NULL"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("index_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.CheckConstraint(
            "action = 'index' or action = 'embed' or action = 'payload' or action = 'delete'",
            name=op.f("ck_outbox_action"),
        ),
        sa.ForeignKeyConstraint(
            ["index_id"], ["indexes.id"], name=op.f("fk_outbox_index_id_indexes"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_outbox_index_id_action_id"), "outbox", ["index_id", "action", "id"], unique=False)
    op.create_table(
        "parts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("binary", sa.Boolean(), nullable=False),
        sa.Column("history", sa.Boolean(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["record_id"], ["records.id"], name=op.f("fk_parts_record_id_records"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["sha256"], ["contents.sha256"], name=op.f("fk_parts_sha256_contents")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_parts_record_id"), "parts", ["record_id"], unique=False)
    op.create_index(op.f("ix_parts_sha256"), "parts", ["sha256"], unique=False)
    op.create_table(
        "passages",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("cutter", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("start_char", sa.BigInteger(), nullable=False),
        sa.Column("end_char", sa.BigInteger(), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("terms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["contents.sha256"], name=op.f("fk_passages_sha256_contents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sha256", "cutter", "ordinal", name=op.f("pk_passages")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_passages_text_sha256"), "passages", ["text_sha256"], unique=False)
    op.create_table(
        "relations",
        sa.Column("source_id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("target_id", sa.String(length=36), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["records.id"], name=op.f("fk_relations_source_id_records"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["records.id"], name=op.f("fk_relations_target_id_records"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "role", "target_id", name=op.f("pk_relations")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_relations_target_id"), "relations", ["target_id"], unique=False)
    op.create_table(
        "scores",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"], ["records.id"], name=op.f("fk_scores_record_id_records"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scores")),
    )
    op.create_index(op.f("ix_scores_name_value"), "scores", ["name", "value"], unique=False)
    op.create_index(op.f("ix_scores_record_id"), "scores", ["record_id"], unique=False)
    op.create_table(
        "tags",
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["record_id"], ["records.id"], name=op.f("fk_tags_record_id_records"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("record_id", "tag", name=op.f("pk_tags")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_tags_tag_record_id"), "tags", ["tag", "record_id"], unique=False)
    if op.get_bind().dialect.name == "sqlite":
        # Without statistics SQLite takes a project for a handful of records: a search or a get by prefix would then
        # read every record of the project. A million says that an id or a part is always the better way in.
        op.execute("ANALYZE")
        op.execute("DELETE FROM sqlite_stat1")
        op.execute(
            "INSERT INTO sqlite_stat1 VALUES ('records', 'ix_records_project_created_us_id', '1000000 1000000 2 1')"
        )
        op.execute("ANALYZE sqlite_schema")


def downgrade() -> None:
    op.drop_index(op.f("ix_tags_tag_record_id"), table_name="tags")
    op.drop_table("tags")
    op.drop_index(op.f("ix_scores_record_id"), table_name="scores")
    op.drop_index(op.f("ix_scores_name_value"), table_name="scores")
    op.drop_table("scores")
    op.drop_index(op.f("ix_relations_target_id"), table_name="relations")
    op.drop_table("relations")
    op.drop_index(op.f("ix_passages_text_sha256"), table_name="passages")
    op.drop_table("passages")
    op.drop_index(op.f("ix_parts_sha256"), table_name="parts")
    op.drop_index(op.f("ix_parts_record_id"), table_name="parts")
    op.drop_table("parts")
    op.drop_index(op.f("ix_outbox_index_id_action_id"), table_name="outbox")
    op.drop_table("outbox")
    op.drop_index(
        "ix_fields_path_text",
        table_name="fields",
        sqlite_where=sa.text("text IS NOT NULL"),
        postgresql_where=sa.text("text IS NOT NULL"),
    )
    op.drop_index(
        "ix_fields_path_number",
        table_name="fields",
        sqlite_where=sa.text("number IS NOT NULL"),
        postgresql_where=sa.text("number IS NOT NULL"),
    )
    op.drop_table("fields")
    op.drop_table("settings")
    op.drop_index(
        "ix_records_trace_id_span_id",
        table_name="records",
        sqlite_where=sa.text("trace_id IS NOT NULL"),
        postgresql_where=sa.text("trace_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_records_session_id",
        table_name="records",
        sqlite_where=sa.text("session_id IS NOT NULL"),
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    op.drop_index(op.f("ix_records_project_created_us_id"), table_name="records")
    op.drop_index(op.f("ix_records_fingerprint"), table_name="records")
    op.drop_table("records")
    op.drop_table("indexes")
    op.drop_table("garbage")
    op.drop_table("embeddings")
    op.drop_table("contents")
