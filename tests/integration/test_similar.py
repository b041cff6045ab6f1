"""Records that mean about the same: by vectors that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import event

from genstore import Store
from tests.conftest import OpenStore

LONG = " ".join(f"Sentence number {number} is about whales that swim in the ocean." for number in range(400))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the embedder is given."""
    from genstore.embed.onnx import OnnxEmbedder

    texts: list[str] = []
    original = OnnxEmbedder.encode

    def encode(self: Any, given: Sequence[str]) -> Any:
        texts.extend(given)
        return original(self, given)

    monkeypatch.setattr(OnnxEmbedder, "encode", encode)
    return texts


def test_similar_embeds_nothing_that_has_its_vector(open_store: OpenStore, encoded: list[str]) -> None:
    store = open_store(auto_index=False)
    whales = store.log(prompt="q", output=LONG)
    near = store.log(prompt="q", output="Dolphins live in the sea.")
    store.log(prompt="q", output="Interest rates rose in March.")
    store.flush()
    encoded.clear()
    assert store.similar(whales.id)[0].record.id == near.id
    assert encoded == []


def test_similar_embeds_what_has_no_vector_yet(open_store: OpenStore, encoded: list[str]) -> None:
    store = open_store(auto_index=False)
    near = store.log(prompt="q", output="Dolphins live in the sea.")
    store.flush()
    for cut in (False, True):
        whales = store.log(prompt="q", output=f"Whales swim in the ocean, {cut}.")
        if cut:
            store.flush_words()
        encoded.clear()
        assert near.id in [hit.record.id for hit in store.similar(whales.id)]
        assert encoded.count(whales.output_text) >= 1


def averages(store: Store) -> list[str]:
    """The statements that average all passages, from now on."""
    seen: list[str] = []

    @event.listens_for(store.database.engine, "before_cursor_execute")
    def _(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "avg(" in statement:
            seen.append(statement)

    return seen


def test_passages_are_averaged_only_when_enough_have_come(open_store: OpenStore) -> None:
    store = open_store(auto_index=False)
    store.log_many({"prompt": f"zebra number {number}"} for number in range(200))
    store.flush()
    seen = averages(store)
    for number in range(4):
        store.log(prompt=f"okapi number {number}")
        store.flush()
    assert seen == []
    store.log(prompt="one more than the fiftieth part")
    store.flush()
    assert len(seen) == 1
