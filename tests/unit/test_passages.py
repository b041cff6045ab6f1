from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genstore.embed.tokens import WordCounter
from genstore.text.highlight import highlights
from genstore.text.passages import Cutter, estimating_cutter, printable

PROSE = "The boundary layer grows along the plate. Its thickness depends on the flow.\n\nA second paragraph follows. "


def letters(text: str) -> int:
    """An honest token count for tests: a token a byte of what is not white space."""
    return sum(len(character.encode()) for character in printable(text) if not character.isspace())


def a_cutter(capacity: int = 40, overlap_tokens: int = 0) -> Cutter:
    return Cutter("test", capacity, letters, overlap_tokens)


def missed(text: str, spans: list[tuple[int, int]]) -> set[int]:
    covered = {at for start, end in spans for at in range(start, end)}
    return {at for at, character in enumerate(text) if not character.isspace()} - covered


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(), max_size=600) | st.text("ab é汉👩‍\u0301\n.\ud800\x00", max_size=600))
def test_passages_cover_every_character_that_is_not_white_space_and_fit(text: str) -> None:
    spans = a_cutter().cut(text)
    assert not missed(text, spans)
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        assert letters(text[start:end]) <= 40 or end - start == 1
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000\n" * 500])
def test_a_text_without_content_has_no_passages(text: str) -> None:
    assert a_cutter().cut(text) == []


def test_a_short_text_is_one_passage_and_is_not_counted() -> None:
    def fail(text: str) -> int:
        raise AssertionError(text)

    assert Cutter("test", 254, fail).cut("  a short answer \n") == [(2, 16)]


def test_offsets_are_characters_where_bytes_differ() -> None:
    text = "👩‍👩‍👧 über 汉字。 cafe\u0301 " * 40
    spans = a_cutter().cut(text)
    assert not missed(text, spans)
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)


def test_cuts_fall_between_paragraphs_where_they_can() -> None:
    text = "First paragraph here.\n\nSecond paragraph there.\n\nThird one at last."
    assert [text[a:b] for a, b in a_cutter(25).cut(text)] == [
        "First paragraph here.",
        "Second paragraph there.",
        "Third one at last.",
    ]


def test_overlap_repeats_the_end_of_the_passage_before() -> None:
    text = "Heat flows. Air moves. Plates bend. " * 30
    spans = a_cutter(100, overlap_tokens=50).cut(text)
    assert any(before[1] > after[0] for before, after in itertools.pairwise(spans))
    assert not missed(text, spans)


@pytest.mark.parametrize("text", ["word " * 200_000, "a" * 1_000_000, "汉" * 100_000, "e\u0301" * 200_000])
def test_huge_texts_are_cut_in_linear_time(text: str) -> None:
    cutter = Cutter("test", 254, WordCounter(len))
    started = time.perf_counter()
    spans = cutter.cut(text)
    assert time.perf_counter() - started < 5
    assert sum(end - start for start, end in spans) >= len(text.replace(" ", ""))


def test_cut_many_cuts_each() -> None:
    texts = ["", "short", PROSE * 3]
    assert a_cutter().cut_many(texts) == [a_cutter().cut(text) for text in texts]


def test_an_estimate_serves_where_no_tokenizer_is() -> None:
    cutter = estimating_cutter("estimate/254", 254)
    spans = cutter.cut(PROSE * 100)
    assert all(end - start <= 3 * 254 for start, end in spans)
    assert not missed(PROSE * 100, spans)


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("The Flow flows; flowing in flowerbeds, overflow", "what is a flow?", ["Flow", "flows", "flowing"]),
        ("Boundary layers, studied", "studies of the boundary layer", ["Boundary", "layers", "studied"]),
        ("公園は広い。東京の公園", "公園", ["公園", "公園"]),
        ("我喜欢北京大学的图书馆", "北京大学图书馆", ["北京大学", "图书馆"]),
        ("CAFÉ and cafe\u0301", "café", ["CAFÉ", "cafe\u0301"]),
        ("call foo_bar(1.5)", "foo_bar", ["foo_bar"]),
        ("to be or not to be", "to be", ["to", "be", "to", "be"]),
        ("a\ud800b flow", "\ud800 flow", ["flow"]),
        ("anything", "", []),
        ("anything", "?!", []),
        ("", "flow", []),
    ],
)
def test_highlights_are_the_querys_words(text: str, query: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in highlights(text, query)] == found


def test_highlights_stop_at_the_limit() -> None:
    assert highlights("flow " * 100, "flow", limit=3) == ((0, 4), (5, 9), (10, 14))


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=50))
def test_highlights_are_ordered_and_inside_any_text(text: str, query: str) -> None:
    spans = highlights(text, query)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert list(spans) == sorted(spans)
