"""Shingles and normal forms: what two texts are compared by."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genstore.text.normal import normalised
from genstore.text.shingles import FEWEST, jaccard, shingles

TEXT = "The quick brown fox jumps over the lazy dog and then it runs away into the dark forest."


def test_the_normal_form_ignores_white_space_and_how_accents_are_composed() -> None:
    assert normalised("  a\tb\n\u00a0c  ") == "a b c"
    assert normalised("cafe\u0301") == normalised("café")
    assert normalised("Straße") != normalised("STRASSE")
    assert normalised("Straße", ignore_case=True) == normalised("STRASSE", ignore_case=True)


@given(st.text())
def test_the_normal_form_of_a_normal_form_is_itself(text: str) -> None:
    for ignore_case in (False, True):
        once = normalised(text, ignore_case)
        assert normalised(once, ignore_case) == once


def test_case_and_punctuation_do_not_count() -> None:
    assert jaccard(shingles(TEXT), shingles(TEXT.upper().replace(".", "!!"))) == 1.0


def test_a_typo_costs_the_shingles_it_stands_in() -> None:
    one, other = shingles(TEXT), shingles(TEXT.replace("jumps", "jumsp"))
    assert len(one) == 16
    assert jaccard(one, other) == pytest.approx(13 / 19)


def test_one_word_has_no_shingles() -> None:
    for text in ("", "  ", "Yes", "yes!", "…"):
        assert len(shingles(text)) == 0
    assert jaccard(shingles("Yes"), shingles("Yes")) == 0.0


def test_a_short_text_equals_only_one_of_the_same_words_in_the_same_order() -> None:
    assert jaccard(shingles("It is on."), shingles("it is ON")) == 1.0
    assert jaccard(shingles("It is on now."), shingles("It is on then.")) == 0.0
    assert jaccard(shingles("the dog bites the man"), shingles("the man bites the dog")) == 0.0


def test_a_word_over_and_over_is_like_no_other_count_of_it() -> None:
    assert jaccard(shingles("la " * 1_000), shingles("la " * 1_000)) == 1.0
    assert jaccard(shingles("la " * 1_000), shingles("la " * 999)) == 0.0


def test_scripts_without_spaces_are_shingled_by_character() -> None:
    one = "今日は公園で犬と遊びました。とても楽しかったです。"
    assert len(shingles(one)) >= FEWEST
    assert jaccard(shingles(one), shingles(one.replace("犬", "猫"))) > 0.5


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=40), st.integers(1, 4))
def test_shingles_are_as_many_as_the_distinct_runs_of_words(words: list[str], width: int) -> None:
    runs = {tuple(words[at : at + width]) for at in range(len(words) - width + 1)}
    found = shingles(" ".join(words), width)
    assert len(found) == (len(runs) if len(runs) >= FEWEST else 1)
    assert np.all(np.diff(found.astype(object)) > 0)


def test_shingles_are_the_same_in_another_process() -> None:
    code = f"from genstore.text.shingles import shingles; print(shingles({TEXT!r}).tolist())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(shingles(TEXT).tolist())


def test_lone_surrogates_and_ten_megabytes_are_taken() -> None:
    assert len(shingles("one \ud800 two three four five six seven")) >= FEWEST
    long = shingles(" ".join(map(str, range(1_500_000))))
    assert len(long) == 1_499_998
