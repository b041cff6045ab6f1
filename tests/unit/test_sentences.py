"""Sentences: where they end, and where a full stop ends nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genstore.text.sentences import sentences


def texts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Dr. J. R. R. Tolkien wrote it.  In 1937.", ["Dr. J. R. R. Tolkien wrote it.", "In 1937."]),
        ("Made in the U.S. by hand. See e.g. Fig. 3.", ["Made in the U.S. by hand.", "See e.g. Fig. 3."]),
        ("Version 3.14 is out. It costs $2.50.", ["Version 3.14 is out.", "It costs $2.50."]),
        ('He said "Yes." Then he left.', ['He said "Yes."', "Then he left."]),
        ("Wait... what? Yes.", ["Wait...", "what?", "Yes."]),
        ("Whales swim [1]. Eagles fly.[2] [3] Done.", ["Whales swim [1].", "Eagles fly.[2] [3]", "Done."]),
        ("“a table | row” [1] “and another” [2]", ["“a table | row” [1]", "“and another” [2]"]),
        ("A heading\n\nA text\nthat goes on. End", ["A heading", "A text\nthat goes on.", "End"]),
        ("First:\n- one\n- two\n1. three", ["First:", "- one", "- two", "1. three"]),
        ("日本語の文。次の文です！終わり", ["日本語の文。", "次の文です！", "終わり"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_a_line_of_dots_takes_no_longer_than_it_is() -> None:
    assert texts("." * 200_000 + "x. End.") == ["." * 200_000 + "x.", "End."]


@given(st.text(alphabet="aB .!?\n”[1]。-“", max_size=60))
def test_sentences_are_in_order_trimmed_and_hold_everything_but_white_space(text: str) -> None:
    spans = sentences(text)
    assert all(start < end for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)
    assert sum(len("".join(text[start:end].split())) for start, end in spans) == len("".join(text.split()))
