"""A follow-up is searched for together with what it follows."""

from __future__ import annotations

import pytest

from genstore.rag.conversation import Turn, leans_on_earlier, turns, understood
from genstore.records import Part, Record


@pytest.mark.parametrize(
    ("question", "leans"),
    [
        ("How long does it live?", True),
        ("And in winter?", True),
        ("What about dolphins and porpoises in the sea?", True),
        ("Where do they sleep at night?", True),
        ("Why?", True),
        ("How do I export records to Parquet?", False),
        ("Which animals sleep under water at night?", False),
    ],
)
def test_what_leans_on_the_turn_before(question: str, leans: bool) -> None:
    assert leans_on_earlier(question) is leans


def test_a_chain_of_follow_ups_keeps_its_subject() -> None:
    first = Turn("1", "How old do bowhead whales get?", "Over 200 years.", "How old do bowhead whales get?")
    second = understood("And what do they eat?", [first])
    assert second == "How old do bowhead whales get? And what do they eat?"
    third = understood("Where?", [first, Turn("2", "And what do they eat?", "Krill.", second)])
    assert third == f"{second} Where?"
    assert understood("How do I export records to Parquet?", [first]) == "How do I export records to Parquet?"
    assert understood("Where?", []) == "Where?"


def test_a_long_chain_is_cut_at_its_beginning() -> None:
    long = " ".join(f"word{number}" for number in range(200))
    assert understood("Where is it?", [Turn("1", long, "", long)]).split()[-4:] == ["word199", "Where", "is", "it?"]
    assert len(understood("Where is it?", [Turn("1", long, "", long)]).split()) == 48


def test_turns_are_what_ended_well() -> None:
    said = Record(id="a", prompt=(Part(text="Which?"),), metadata={"answer": {"question": "Which whale?"}})
    failed = Record(id="b", prompt=(Part(text="Whose?"),), status="error")
    assert turns([said, failed]) == [Turn("a", "Which?", "", "Which whale?")]
