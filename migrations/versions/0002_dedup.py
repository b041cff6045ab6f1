"""Duplicates: sketches of bodies, the keys that find them, and what projects do with what is found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_dedup"
down_revision = "0001_store"

_serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "duplicate_policies",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("on_duplicate", sa.Text(), nullable=False),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("compared", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("ignore_case", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_duplicate_policies")),
    )
    op.create_table(
        "sketch_methods",
        sa.Column("id", _serial, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sketch_methods")),
    )
    op.create_index(op.f("ix_sketch_methods_name"), "sketch_methods", ["name"], unique=True)
    op.create_table(
        "sketches",
        sa.Column("id", _serial, autoincrement=True, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("method_id", _serial, nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sha256"], ["contents.sha256"], name=op.f("fk_sketches_sha256_contents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["method_id"], ["sketch_methods.id"], name=op.f("fk_sketches_method_id_sketch_methods")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sketches")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sketches_sha256_method_id"), "sketches", ["sha256", "method_id"], unique=True)
    op.create_table(
        "sketch_keys",
        sa.Column("method_id", _serial, autoincrement=False, nullable=False),
        sa.Column("key", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sketch_id", _serial, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("method_id", "key", "sketch_id", name=op.f("pk_sketch_keys")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("sketch_keys")
    op.drop_index(op.f("ix_sketches_sha256_method_id"), table_name="sketches")
    op.drop_table("sketches")
    op.drop_index(op.f("ix_sketch_methods_name"), table_name="sketch_methods")
    op.drop_table("sketch_methods")
    op.drop_table("duplicate_policies")
