"""BM25 terms and weights."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genstore.index.bm25 import Bm25


@pytest.fixture(scope="module")
def bm25() -> Bm25:
    return Bm25()


def shared(bm25: Bm25, text: str, query: str) -> int:
    """How many of the query's terms the text has."""
    return len(set(bm25.terms(text).indices) & set(bm25.query(query)[0]))


def test_counts_and_length_are_those_of_the_text(bm25: Bm25) -> None:
    terms = bm25.terms("dog cat dog bird dog")
    assert sorted(terms.counts) == [1, 1, 3]
    assert terms.length == 5


@pytest.mark.parametrize("count", [1, 2, 9, 255, 1_000, 9_999, 100_000])
def test_a_repeated_word_is_counted_exactly(bm25: Bm25, count: int) -> None:
    assert bm25.terms("word " * count).counts == [count]


def test_weights_follow_the_published_formula() -> None:
    bm25 = Bm25(k=1.5, b=0.5)
    terms = bm25.terms("dog cat dog bird dog")
    indices, weights = bm25.weights(terms, average_length=10.0)
    norm = 1.5 * (1 - 0.5 + 0.5 * 5 / 10)
    assert indices == terms.indices
    assert weights == pytest.approx([count * 2.5 / (count + norm) for count in terms.counts])


def test_weights_are_those_of_qdrant_for_the_same_average_length(bm25: Bm25) -> None:
    import qdrant_edge

    text = "The quick brown fox jumps over the lazy dog; the dog barks, dogs bark"
    config = qdrant_edge.Bm25Config(
        k=bm25.k, b=bm25.b, avg_len=7.0, tokenizer=qdrant_edge.TokenizerType.Word, language="english"
    )
    theirs = qdrant_edge.Bm25(config).embed_document(text)
    ours = dict(zip(*bm25.weights(bm25.terms(text), 7.0), strict=True))
    assert ours == pytest.approx(dict(zip(theirs.indices, theirs.values, strict=True)), rel=1e-5)


def test_english_words_are_found_by_their_stem_and_stop_words_are_left_out(bm25: Bm25) -> None:
    assert shared(bm25, "The runners were running", "run") == 1
    assert bm25.query("the and of") == ([], [])


def test_identifiers_are_found_by_their_pieces(bm25: Bm25) -> None:
    assert shared(bm25, "KeyError: 'user_id' in gpt-4o, HTTP 503", "user_id 503") == len(bm25.query("user_id 503")[0])


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("今日は天気がいいので公園を散歩します", "公園"),
        ("今日は天気がいいので公園を散歩します", "天気"),
        ("カタカナのテスト", "テスト"),
        ("今天天气很好我们去公园散步。", "天气"),
        ("今天天气很好我们去公园散步。", "散步"),
        ("我喜欢python编程", "编程 python"),
        ("我有一只猫", "猫"),
        ("한국어 문장입니다", "문장"),
    ],
)
def test_a_word_is_found_in_a_text_without_spaces(bm25: Bm25, text: str, query: str) -> None:
    assert shared(bm25, text, query) == len(bm25.query(query)[0]) > 0


def test_two_characters_that_are_not_neighbours_are_not_a_word(bm25: Bm25) -> None:
    assert shared(bm25, "公共の庭園", "公園") == 0


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "\ud800", "\ud800\udfff\x00", "…!?", "😀", "\ufdd0"])
def test_texts_without_words_have_no_terms_or_at_least_no_error(bm25: Bm25, text: str) -> None:
    terms = bm25.terms(text)
    assert terms.length == sum(terms.counts)
    assert bm25.weights(terms, 10.0)[0] == terms.indices


@given(st.text(st.characters(exclude_categories=[]), max_size=80))
def test_any_text_shares_all_its_query_terms_with_itself(text: str) -> None:
    bm25 = Bm25()
    terms = bm25.terms(text)
    assert len(set(terms.indices)) == len(terms.indices) == len(terms.counts)
    assert all(count >= 1 for count in terms.counts)


def test_lone_surrogates_separate_words(bm25: Bm25) -> None:
    assert shared(bm25, "dog\ud800cat", "dog cat") == 2


@pytest.mark.parametrize("piece", ["word other ", "x", "猫と犬が"], ids=["words", "one word", "japanese"])
def test_a_text_of_megabytes_is_taken(bm25: Bm25, piece: str) -> None:
    started = time.monotonic()
    assert bm25.terms(piece * (2_000_000 // len(piece))).length >= 0
    assert time.monotonic() - started < 20


def test_no_texts_yet_give_weights_without_a_length_correction(bm25: Bm25) -> None:
    assert bm25.weights(bm25.terms("dog"), 0.0)[1] == pytest.approx([1.0])
