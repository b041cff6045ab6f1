"""A Store behaves as a dictionary of records would, whatever is done to it in whatever order."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

import genstore
from genstore import Store
from genstore.errors import NotFound
from genstore.filters import leaves as leaves_of
from genstore.filters import matches
from tests.property.strategies import filters, json_values, keys, mappings, names, numbers, texts

_texts = texts | st.sampled_from(["z" * 70_000, "shared"])
_tags = st.sampled_from(["a", "A", "é", "日本", "%", "a b"])
_NAMES = ("model", "session_id", "provider", "finish_reason")


@dataclass
class Known:
    """What the machine knows of a record."""

    prompt: str
    output: str | None
    fields: dict[str, Any]
    tags: set[str]
    metadata: dict[str, Any]
    scores: list[tuple[str, float | None, str | None]] = field(default_factory=list)

    @property
    def content(self) -> tuple[Any, ...]:
        return (self.fields.get("model"), self.prompt, self.output)


class StoreMachine(RuleBasedStateMachine):
    """SQLite, not indexed: what is true of SQL on its own."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="genstore-test-"))
        self.known: dict[str, Known] = {}
        self.store = self._opened()

    def _opened(self) -> Store:
        return genstore.open(self.folder / "s", auto_index=False)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(
        target=ids,
        prompt=_texts,
        output=st.none() | _texts,
        fields=st.fixed_dictionaries({}, optional=dict.fromkeys(_NAMES, names)),
        tags=st.lists(_tags, max_size=3),
        metadata=mappings(),
        policy=st.sampled_from(["keep", "skip", "link"]),
    )
    def log(
        self,
        prompt: str,
        output: str | None,
        fields: dict[str, Any],
        tags: list[str],
        metadata: dict[str, Any],
        policy: Any,
    ) -> str:
        given = Known(prompt, output, fields, set(tags), metadata)
        logged = self.store.log(prompt, output, **fields, tags=tags, metadata=metadata, on_duplicate=policy)
        same = [record_id for record_id, other in self.known.items() if _alike(other, given)]
        if policy == "skip" and same:
            assert logged.id == min(same)
            return logged.id
        assert logged.id not in self.known
        assert logged.duplicate_of == (min(same) if policy == "link" and same else None)
        self.known[logged.id] = given
        return logged.id

    @rule(record_id=ids, name=names.filter(bool), value=st.none() | numbers, label=st.none() | names)
    def score(self, record_id: str, name: str, value: float | None, label: str | None) -> None:
        if value is None and label is None:
            return
        if record_id not in self.known:
            with pytest.raises(NotFound):
                self.store.score(record_id, name, value, label=label)
            return
        self.store.score(record_id, name, value, label=label)
        self.known[record_id].scores.append((name, value, label))

    @rule(record_id=ids, add=st.lists(_tags, max_size=2), remove=st.lists(_tags, max_size=2))
    def tag(self, record_id: str, add: list[str], remove: list[str]) -> None:
        if record_id in self.known:
            self.store.tag(record_id, add, remove)
            self.known[record_id].tags = (self.known[record_id].tags | set(add)) - set(remove)

    @rule(record_id=ids, changes=st.dictionaries(keys, st.none() | json_values(), max_size=2))
    def set_metadata(self, record_id: str, changes: Mapping[str, Any]) -> None:
        if record_id in self.known:
            self.store.set_metadata(record_id, changes)
            merged = {**self.known[record_id].metadata, **changes}
            self.known[record_id].metadata = {
                key: value for key, value in merged.items() if value is not None or key not in changes
            }

    @rule(record_id=consumes(ids))
    def delete(self, record_id: str) -> None:
        if record_id in self.known:
            assert self.store.delete(record_id).records == 1
            del self.known[record_id]
        with pytest.raises(NotFound):
            self.store.get(record_id)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def get(self, data: st.DataObject) -> None:
        record_id = data.draw(st.sampled_from(sorted(self.known)))
        expected, found = self.known[record_id], self.store.get(record_id)
        assert (found.prompt_text, found.output_text) == (expected.prompt, expected.output or "")
        assert set(found.tags) == expected.tags
        assert found.metadata == expected.metadata
        assert [(score.name, score.value, score.label) for score in found.scores] == expected.scores
        assert {name: getattr(found, name) for name in expected.fields} == expected.fields

    @rule(where=filters(), limit=st.integers(1, 4), oldest_first=st.booleans())
    def list_what_satisfies_a_filter(self, where: Any, limit: int, oldest_first: bool) -> None:
        expected = sorted(record.id for record in self.store.iterate() if matches(where, leaves_of(record)))
        found: list[str] = []
        cursor = None
        while True:
            page = self.store.list(where, limit=limit, cursor=cursor, oldest_first=oldest_first)
            found += [record.id for record in page.records]
            if (cursor := page.cursor) is None:
                break
        assert sorted(found) == expected
        assert found == sorted(found, reverse=not oldest_first)
        assert self.store.count(where) == len(expected)

    @rule(where=filters())
    def delete_what_satisfies_a_filter(self, where: Any) -> None:
        gone = {record.id for record in self.store.list(where).records}
        assert self.store.delete_where(where).records == len(gone)
        for record_id in gone:
            del self.known[record_id]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self._opened()

    @invariant()
    def everything_known_is_there_and_nothing_else(self) -> None:
        assert {record.id for record in self.store.list(limit=1_000).records} == set(self.known)

    @rule()
    def verify_bodies(self) -> None:
        bodies = {text for known in self.known.values() for text in (known.prompt, known.output) if text is not None}
        stats = self.store.stats()
        assert stats.bodies == len(bodies)
        assert len(list((self.folder / "s" / "blobs").glob("??/*"))) == sum(len(text) > 65_536 for text in bodies)


def _alike(one: Known, other: Known) -> bool:
    return one.content == other.content or (
        (one.fields.get("model") or "") == (other.fields.get("model") or "") and one.content[1:] == other.content[1:]
    )


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
