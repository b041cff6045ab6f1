"""Answers: the citations of each, sentence by sentence."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_answers"
down_revision = "0002_dedup"


def upgrade() -> None:
    op.create_table(
        "citations",
        sa.Column("answer_id", sa.String(length=36), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("sentence_start", sa.BigInteger(), nullable=False),
        sa.Column("sentence_end", sa.BigInteger(), nullable=False),
        sa.Column("cited_id", sa.String(length=36), nullable=False),
        sa.Column("part_id", sa.BigInteger(), nullable=False),
        sa.Column("start_char", sa.BigInteger(), nullable=False),
        sa.Column("end_char", sa.BigInteger(), nullable=False),
        sa.Column("support", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["records.id"], name=op.f("fk_citations_answer_id_records"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["cited_id"], ["records.id"], name=op.f("fk_citations_cited_id_records"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("answer_id", "ordinal", name=op.f("pk_citations")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_citations_cited_id"), "citations", ["cited_id"], unique=False)
    op.create_index(
        "ix_records_document",
        "records",
        ["project", "name"],
        unique=False,
        sqlite_where=sa.text("kind = 'document'"),
        postgresql_where=sa.text("kind = 'document'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_records_document",
        table_name="records",
        sqlite_where=sa.text("kind = 'document'"),
        postgresql_where=sa.text("kind = 'document'"),
    )
    op.drop_index(op.f("ix_citations_cited_id"), table_name="citations")
    op.drop_table("citations")
