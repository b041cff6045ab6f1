"""Evidence: a file that speaks of many things is asked about each of them, and about none that it does not hold."""

from __future__ import annotations

import pytest

from genstore import Store

HANDBOOK = """---
title: Falcon Handbook
---
# Falcon Handbook

Falcon is the tool that we deploy with. Mara Lindqvist wrote it in 2019.

## Setting up

Falcon runs on Node 20 and later. Type `npm install falcon` in an empty folder.

## Undoing a release

With `falcon undo VERSION` a release is taken back. That takes about one minute.

| region | machines | night shift |
|--------|----------|-------------|
| north  | 14       | Tobias      |
| south  | 31       | Ines        |

## Limits

A request may take 75 seconds. Files of up to 300 MB can be sent.
"""
NOTES = "Team meeting of 3 March\n\nWe talked about the garden party and who brings the cake."

HELD = {
    "How is a release undone?": "falcon undo",
    "How long does it take to undo a release?": "about one minute",
    "Which version of Node is needed?": "Node 20",
    "How large can a file be?": "300 MB",
    "How many seconds may a request take?": "75 seconds",
    "Who has the night shift in the north?": "Tobias",
}
NOT_HELD = (
    "How many days of holiday are there?",
    "Who won the world cup in 1998?",
    "How do I bake bread without yeast?",
)


@pytest.fixture
def handbook(store: Store) -> Store:
    store.add(text=HANDBOOK, name="handbook.md")
    store.add(text=NOTES, name="minutes.txt")
    return store


@pytest.mark.parametrize(("question", "held"), HELD.items())
def test_a_section_is_asked_about_though_its_file_speaks_of_much_else(
    handbook: Store, question: str, held: str
) -> None:
    answer = handbook.ask(question)
    assert not answer.abstained
    assert held in answer.text
    assert "---" not in answer.text


@pytest.mark.parametrize("question", NOT_HELD)
def test_what_the_file_does_not_hold_is_not_answered(handbook: Store, question: str) -> None:
    assert handbook.ask(question).abstained
