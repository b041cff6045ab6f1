"""Run by Alembic. genstore hands its own connection over, so that an upgrade is one transaction of its own."""

from __future__ import annotations

from alembic import context

from genstore.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
