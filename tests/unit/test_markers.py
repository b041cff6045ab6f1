"""Markers: those of no source are taken out, and how a text was cut into pieces makes no difference."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genstore.rag.markers import MarkerFilter, markers, without_markers


def filtered(pieces: list[str], sources: int) -> tuple[str, int]:
    passed_on = MarkerFilter(sources)
    text = "".join([*map(passed_on.feed, pieces), passed_on.end()])
    return text, passed_on.removed


@pytest.mark.parametrize(
    ("text", "expected", "removed"),
    [
        ("Whales swim [1].", "Whales swim [1].", 0),
        ("Whales swim [7].", "Whales swim.", 1),
        ("Whales swim [1, 7; 2].", "Whales swim [1][2].", 1),
        ("Whales swim [1-3].", "Whales swim [1][2].", 1),
        ("Whales swim [7–9] and dive [1, 8-9].", "Whales swim and dive [1].", 5),
        ("Whales swim [Source 2][source 9][^1].", "Whales swim [2][1].", 1),
        ("Whales swim 【1】【9†L1-L3】.", "Whales swim [1].", 1),
        ("It reigned [1200-1300000] so.", "It reigned so.", 2),
        ("The [sources] and [s 1] and 【note】 stay.", "The [sources] and [s 1] and 【note】 stay.", 0),
        ("Whales [0] swim [3][2]", "Whales swim[2]", 2),
        ("An array a[i] and [note] stay, [", "An array a[i] and [note] stay, [", 0),
        ("In 1937 [1", "In 1937 [1", 0),
    ],
)
def test_markers_of_no_source_are_taken_out_and_counted(text: str, expected: str, removed: int) -> None:
    assert filtered([text], 2) == (expected, removed)


@given(st.text(alphabet="a [1],;9 \n-–^【】†soure", max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_pieces_make_no_difference(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert filtered(pieces, 3) == filtered([text], 3)


def test_what_a_text_names() -> None:
    assert markers("Both [2][1] and [1, 3].") == (2, 1, 3)
    assert without_markers("Both [2][1] and [1, 3].") == "Both and."
