"""Checking an answer: what its sentences rest on, whatever its markers claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from genstore.embed.embedder import resolve
from genstore.rag.citations import SUPPORTED, Checked, check
from genstore.rag.diversity import diversified
from genstore.rag.evidence import evidence, words
from genstore.rag.sources import Retrieved, Source
from genstore.records import Part, Record

WHALES = "Bowhead whales live in the Arctic. They can reach an age of 211 years. Their skull breaks thick ice."
EAGLES = "Golden eagles build their nests on cliffs. A pair defends a territory of 155 square kilometres."


def source(text: str, number: int, start: int = 0) -> Source:
    record = Record(id=f"record-{number}", kind="document", name=f"{number}.md")
    part = Part(text="x" * start + text, id=10 * number)
    return Source(record, part, "output", 0, start, start + len(text), number)


def encode(texts: Sequence[str]) -> NDArray[np.float32]:
    return resolve().encode(texts)


def checked(answer: str) -> Checked:
    return check(answer, [source(WHALES, 1, start=7), source(EAGLES, 2)], words, encode)


def test_a_quote_rests_on_its_place_with_full_support() -> None:
    citation = checked("“They can reach an age of 211 years.” [1]").citations[0]
    assert (citation.number, citation.support, citation.record_id, citation.part_id) == (1, 1.0, "record-1", 10)
    assert citation.quote == "They can reach an age of 211 years."
    assert citation.start == 7 + WHALES.index("They")


def test_a_paraphrase_rests_on_the_sentence_it_says_again() -> None:
    found = checked("Bowhead whales can reach 211 years of age [1]. Eagle pairs defend a territory [2].")
    assert [one.number for one in found.citations] == [1, 2]
    assert all(one.support >= SUPPORTED for one in found.citations)
    assert found.unsupported == ()
    assert found.citations[1].quote == "A pair defends a territory of 155 square kilometres."


def test_what_no_source_says_is_unsupported_even_with_a_marker() -> None:
    answer = "Bowhead whales live in the Arctic [1]. The stock market fell sharply on Monday [2]."
    found = checked(answer)
    assert [answer[start:end] for start, end in found.unsupported] == ["The stock market fell sharply on Monday [2]."]
    assert found.citations[-1].number == 2
    assert found.citations[-1].support < SUPPORTED


def test_a_wrong_figure_is_not_borne_out() -> None:
    answer = "They can reach an age of 400 years [1]."
    assert checked(answer).unsupported == ((0, len(answer)),)


@pytest.mark.parametrize("answer", ["11 years. [1]", "55 square kilometres. [2]", "each an age of 211 years. [1]"])
def test_part_of_a_figure_or_word_is_no_quote(answer: str) -> None:
    said = checked(answer)
    assert all(one.support < 1.0 for one in said.citations)


def test_a_figure_with_separators_is_quoted_whole() -> None:
    for text, answer, quoted in (
        ("It weighs 3.20 tons.", "20 tons.", False),
        ("It weighs 3.20 tons.", "3.20 tons.", True),
    ):
        found = check(answer, [source(text, 1)], words, encode)
        assert any(one.support == 1.0 for one in found.citations) == quoted


def test_a_sentence_without_a_marker_is_matched_as_well() -> None:
    found = checked("Golden eagles build nests on cliffs.")
    assert [one.number for one in found.citations] == [2]


def test_what_has_no_words_is_no_claim() -> None:
    for answer in ("… !", ""):
        assert checked(answer) == Checked()


def test_evidence_is_higher_for_what_is_asked_than_for_something_else() -> None:
    near = replace(source(WHALES, 1), cosine=0.7)
    far = replace(source(EAGLES, 2), cosine=0.1)
    question = "How old do bowhead whales get?"
    assert evidence(question, Retrieved([near], 0.5), words) > 0.6
    assert evidence(question, Retrieved([far], 0.05), words) < 0.05
    assert evidence(question, Retrieved([]), words) == 0.0


def test_a_passage_that_stands_out_is_evidence_though_none_is_near() -> None:
    some = replace(source(WHALES, 1), cosine=0.4)
    question = "What about these?"
    assert evidence(question, Retrieved([some], 0.38), words) < 0.1 < evidence(question, Retrieved([some], 0.0), words)


def test_diversity_passes_over_copies_and_prefers_what_is_new() -> None:
    unit = np.eye(3, dtype=np.float32)
    near = np.array([0.95, (1 - 0.95**2) ** 0.5, 0], np.float32)
    vectors = {1: unit[0], 2: unit[0], 3: near, 4: unit[2]}
    points, scores = [1, 2, 3, 4], [1.0, 0.99, 0.9, 0.7]
    assert diversified(points, scores, vectors, 3, 0.5) == [0, 3, 2]
    assert diversified(points, scores, vectors, 3, 0.0) == [0, 2, 3]
    assert diversified(points, scores, {}, 2, 0.5) == [0, 1]
    assert diversified([], [], {}, 2, 0.5) == []


@pytest.mark.parametrize("limit", [1, 2])
def test_diversity_keeps_to_the_limit(limit: int) -> None:
    assert len(diversified([1, 2, 3], [1.0, 0.5, 0.4], {}, limit, 0.3)) == limit
