"""The guard: texts that a vector takes for one and that say different things."""

from __future__ import annotations

import pytest

from genstore.text.guard import disagreement
from genstore.text.opposites import opposites

OPPOSED = [
    ("Turn on the heating in the hall.", "Turn off the heating in the hall.", "opposites"),
    ("Sales were more than expected.", "Sales were less than expected.", "opposites"),
    ("The build passed on Monday.", "The build failed on Monday.", "negation"),
    ("The door is locked.", "The door is unlocked.", "opposites"),
    ("The result is correct.", "The result is incorrect.", "opposites"),
    ("He paid 30 dollars for 5 books.", "He paid 5 dollars for 30 books.", "numbers"),
    ("It takes twelve minutes.", "It takes fifteen minutes.", "numbers"),
    ("It was -5 degrees.", "It was 5 degrees.", "numbers"),
    ("The patient is allergic to nuts.", "The patient is not allergic to nuts.", "negation"),
    ("You can use it here.", "You can't use it here.", "negation"),
    ("They flew from Rome to Paris.", "They flew from Rome to Madrid.", "names"),
    ("The NATO summit begins.", "The OPEC summit begins.", "names"),
    ("Alice sold the house to Bob.", "Bob sold the house to Alice.", "the same words in another order"),
    ("Cats were faster than dogs.", "Dogs were faster than cats.", "the same words in another order"),
    ("Copy it from the client to the server.", "Copy it from the server to the client.", "the same words in another"),
    ("The call is at 5 am.", "The call is at 5 pm.", "opposites"),
    ("The shop is closed on sunday.", "The shop is closed on monday.", "opposites"),
    ("😊👍", "😺🐾🎉", "no word in common"),
    ("The soup is salty.", "The soup is peppery.", "one word"),
]

AGREEING = [
    ("The meeting is at 12,500 feet.", "At 12500 feet is the meeting."),
    ("Please restart the router.", "Restart the router, please."),
    ("He reported that it works.", "He reports that it works."),
    ("She organised two meetings.", "She organized 2 meetings."),
    ("Prices in France rose.", "In France, prices rose."),
    ("The colour of the box is red.", "The color of the box is red."),
    ("On Monday it rained all day.", "It rained all day on Monday."),
    ("Ages 18-49 are covered.", "It covers ages 18-49."),
]


@pytest.mark.parametrize(("one", "other", "reason"), OPPOSED)
def test_what_says_something_else_is_told_apart_with_the_reason(one: str, other: str, reason: str) -> None:
    for left, right in ((one, other), (other, one)):
        found = disagreement(left, right)
        assert found is not None
        assert found.startswith(reason)


@pytest.mark.parametrize(("one", "other"), AGREEING)
def test_what_says_the_same_passes(one: str, other: str) -> None:
    assert disagreement(one, other) is None
    assert disagreement(other, one) is None


def test_opposites_are_mutual_and_no_word_is_its_own() -> None:
    for word in ("on", "off", "more", "fewer", "rejected", "cold"):
        assert word not in opposites(word)
        assert all(word in opposites(other) for other in opposites(word))
        assert opposites(word)
