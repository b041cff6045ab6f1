"""Sessions: the conversations that records belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from genstore.records import from_microseconds
from genstore.sql import tables


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One conversation: how many records it has, and when its first and last were made."""

    session_id: str
    records: int
    started_at: datetime
    last_at: datetime


def sessions(connection: Connection, project: str, limit: int) -> Sequence[SessionSummary]:
    """The project's sessions, the latest first."""
    records = tables.records
    last = func.max(records.c.created_us)
    query = (
        select(records.c.session_id, func.count(), func.min(records.c.created_us), last)
        .where(records.c.project == project, records.c.session_id.is_not(None))
        .group_by(records.c.session_id)
        .order_by(last.desc(), records.c.session_id)
        .limit(limit)
    )
    return [
        SessionSummary(session_id, count, from_microseconds(first), from_microseconds(latest))
        for session_id, count, first, latest in connection.execute(query)
    ]
