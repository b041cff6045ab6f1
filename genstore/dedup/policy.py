"""What a project does with duplicates when a call does not say: rows in SQL, so that every process does the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete

from genstore.dedup.rule import Rule
from genstore.errors import InvalidInput
from genstore.sql import tables
from genstore.sql.engine import insert_once
from genstore.sql.write import OnDuplicate

_policies = tables.duplicate_policies


@dataclass(frozen=True, slots=True)
class Policy:
    """on_duplicate: keep both, skip the new one, or link it to the original. rule: None compares whole records, by
    their fingerprint."""

    on_duplicate: OnDuplicate = "keep"
    rule: Rule | None = None

    def __post_init__(self) -> None:
        if self.on_duplicate == "keep" and self.rule is not None:
            raise InvalidInput(
                f"on_duplicate is 'keep', so level {self.rule.level!r} would do nothing; pass skip or link"
            )

    @property
    def is_semantic(self) -> bool:
        """Whether originals have to be found before the transaction."""
        return self.rule is not None and self.rule.level == "semantic"


def save(connection: Connection, project: str, policy: Policy) -> None:
    """Make the policy the project's; "keep", the default, needs no row."""
    connection.execute(delete(_policies).where(_policies.c.project == project))
    if policy.on_duplicate != "keep":
        rule = policy.rule or Rule()
        connection.execute(
            insert_once(connection, _policies),
            {
                "project": project,
                "on_duplicate": policy.on_duplicate,
                "level": policy.rule.level if policy.rule else None,
                "compared": rule.on,
                "threshold": rule.threshold,
                "ignore_case": rule.ignore_case,
            },
        )


ALL_POLICIES = "SELECT project, on_duplicate, level, compared, threshold, ignore_case FROM duplicate_policies"


def from_row(row: Any) -> tuple[str, Policy]:
    """(project, policy) of a row of ALL_POLICIES."""
    project, on_duplicate, level, compared, threshold, ignore_case = row
    rule = None if level is None else Rule(level, compared, threshold, bool(ignore_case))
    return project, Policy(on_duplicate, rule)
