"""Alembic revisions; installed as genstore.migrations."""
