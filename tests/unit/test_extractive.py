"""The extractive generator: which sentences it quotes, and that it quotes nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genstore.rag.documents import Document, Heading
from genstore.rag.evidence import words
from genstore.rag.generators.extractive import ExtractiveGenerator
from genstore.rag.generators.generator import Request
from genstore.rag.sources import Source
from genstore.records import Record


def source(document: Document, number: int = 1, start: int = 0, score: float = 1.0) -> Source:
    part = replace(document.part(), id=number)
    record = Record(id=f"r{number}", kind="document", name="notes.md", output=(part,))
    return Source(record, part, "output", 0, start, len(document.text), number, score)


def answer(question: str, *sources: Source, quotes: int = 3) -> str:
    pieces: list[str] = []
    outcome = ExtractiveGenerator(words, quotes).generate(Request(question, [], sources), pieces.append, stream=True)
    assert outcome.finish_reason == "stop"
    return "".join(pieces)


def test_the_sentence_with_the_questions_rarer_words_comes_first() -> None:
    text = "The whale is a mammal. The whale sings. The bowhead whale lives for 200 years."
    assert answer("What does the bowhead whale do?", source(Document(text)), quotes=1) == (
        "“The bowhead whale lives for 200 years.” [1]"
    )


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("When was the tower built?", "It was built in 1889."),
        ("Who built the tower?", "It was built by Gustave Eiffel."),
        ("How many steps has the tower?", "It has 1665 steps."),
    ],
)
def test_what_kind_of_thing_is_asked_for_counts(question: str, expected: str) -> None:
    text = "It was built of iron. It was built in 1889. It was built by Gustave Eiffel. It has 1665 steps."
    assert expected in answer(question, source(Document(text)), quotes=1)


def test_headings_and_the_documents_name_are_not_quoted() -> None:
    text = "notes.md\n\nWhales\n\nWhales swim.\n\nDeep\nThey dive."
    headings = (Heading(text.index("Whales"), 1, "Whales"), Heading(text.index("Deep"), 2, "Deep"))
    assert answer("Do whales swim deep?", source(Document(text, headings=headings))) == (
        "“Whales swim.” [1] “They dive.” [1]"
    )


def test_a_passage_that_begins_in_a_sentence_is_quoted_from_the_next_one() -> None:
    text = "Whales of all kinds swim far. Whales dive."
    assert answer("Do whales swim?", source(Document(text), start=text.index("swim"))) == "“Whales dive.” [1]"


def test_the_better_source_counts_for_its_sentences() -> None:
    first, second = source(Document("Whales swim."), 1, score=0.5), source(Document("Whales do swim."), 2, score=1.0)
    assert answer("Do whales swim?", first, second, quotes=1) == "“Whales do swim.” [2]"


def test_nothing_to_quote_is_said() -> None:
    assert answer("Which?", source(Document("…"))) == answer("Which?") == "Not in the store."


def test_marks_of_code_and_heads_of_tables_are_not_quoted() -> None:
    text = (
        "Whales in numbers:\n\n| whale | age |\n|---|---:|\n| bowhead | 211 years |\n\n"
        "```console\n$ whale --age bowhead\n```\n\nBowheads get old."
    )
    said = answer("Which age do bowhead whales reach?", source(Document(text)), quotes=10)
    assert "|---" not in said
    assert "```" not in said
    assert "| bowhead | 211 years |" in said
    assert "$ whale --age bowhead" in said
