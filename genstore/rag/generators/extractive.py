"""The generator that needs nothing: the sentences of the sources that answer best, quoted and cited."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from genstore.rag.evidence import Terms
from genstore.rag.generators.generator import EXTRACTIVE, Emit, Outcome, Request
from genstore.rag.neutral import neutral
from genstore.rag.sources import Source
from genstore.rag.template import NOT_FOUND
from genstore.text.passages import Span
from genstore.text.sentences import sentences

# Chosen on the first half of NQ-open's questions, see docs/rag.md: what a source's rank and the kind of thing that is
# asked for weigh beside the share of the question's words.
_RANK, _KIND = 4.0, 0.2

_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand|million|billion)\b",
    re.I,
)
_DATE = re.compile(
    r"\b(?:1\d{3}|20\d{2}|\d+ (?:BC|AD|BCE|CE))\b"
    r"|\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b"
)
# Markdown's marks of code, and the rule below a table's head, which names columns and says nothing of them.
_FENCE = re.compile(r"\A(?:```|~~~)[^\n]*(?:\n|\Z)|\n(?:```|~~~)\Z")
_RULE = re.compile(r"^[ \t]*\|?(?:[ \t]*:?-{3,}:?[ \t]*\|)+[ \t:|-]*$", re.M)
_NAME = re.compile(r"(?<!\A)(?<![.!?] )\b[A-Z][a-z]+")
_KINDS = (
    (re.compile(r"\bwhen\b|\b(?:what|which) (?:year|date|day|month)\b", re.I), _DATE),
    (re.compile(r"\bhow (?:many|much|long|old|tall|far|big|fast|often)\b|\bwhat (?:number|percent)", re.I), _NUMBER),
    (re.compile(r"\b(?:who|whose|whom|where)\b", re.I), _NAME),
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sentence of a source, and its words."""

    source: Source
    text: str
    terms: frozenset[int]


class ExtractiveGenerator:
    """Chooses by the question's words, weighed by how few of the sentences have them, by the source's rank and by
    whether a date, a number or a name is there where one is asked for."""

    name = EXTRACTIVE
    provider = "genstore"
    extractive = True
    neighbours = 0
    budget_tokens = 1 << 20  # it reads sentence by sentence

    def __init__(self, terms: Terms, quotes: int = 3) -> None:
        self._terms = terms
        self._quotes = quotes

    def count(self, text: str) -> int:
        return len(text) // 4

    def generate(self, request: Request, emit: Emit, *, stream: bool) -> Outcome:
        """The quotes, each followed by its source's number, best first; NOT_FOUND where there is no sentence."""
        chosen = self._chosen(request.question, _candidates(request.sources, self._terms))
        if not chosen:
            emit(NOT_FOUND)
        for number, candidate in enumerate(chosen):
            emit(f"{' ' if number else ''}“{candidate.text}” [{candidate.source.number}]")
        return Outcome("stop")

    def _chosen(self, question: str, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        asked = self._terms(question)
        holders = Counter(term for candidate in candidates for term in candidate.terms & asked)
        count = len(candidates)
        weights = {term: math.log(1 + (count - holders[term] + 0.5) / (holders[term] + 0.5)) for term in asked}
        total = sum(weights.values()) or 1.0
        kind = next((found for pattern, found in _KINDS if pattern.search(question)), None)

        def score(candidate: _Candidate) -> float:
            words = sum(weights[term] for term in candidate.terms & asked) / total
            is_kind = kind is not None and kind.search(candidate.text) is not None
            return words + _RANK * candidate.source.score + _KIND * is_kind

        by_text: dict[str, _Candidate] = {}
        for candidate in candidates:
            by_text.setdefault(candidate.text, candidate)  # a repeat is quoted once, from its best source
        return sorted(by_text.values(), key=score, reverse=True)[: self._quotes]


def _candidates(sources: Sequence[Source], terms: Terms) -> list[_Candidate]:
    """The sentences of the sources, without titles, the heads of Markdown's tables and what has no words."""
    found = []
    for source in sources:
        text, titles = neutral(source.text), source.titles()
        found_here = sentences(text)
        for start, end in found_here[_is_cut(source) and len(found_here) > 1 :]:
            sentence = text[_behind_titles(titles, start, end) : end].strip()
            sentence = _FENCE.sub("", sentence).strip()
            if _RULE.search(sentence):
                continue
            if sentence != source.record.name and (words := terms(sentence)):
                found.append(_Candidate(source, sentence, words))
    return found


def _is_cut(source: Source) -> bool:
    """Whether the source begins in the middle of a sentence, which is no quote."""
    before = (source.part.text or "")[: source.start]
    said = before.rstrip()
    return bool(said) and said[-1] not in ".!?…:;”|" and "\n" not in before[len(said) :]


def _behind_titles(titles: Sequence[Span], start: int, end: int) -> int:
    """Where the sentence begins that a title, having no full stop of its own, stands before."""
    return max((last for first, last in titles if start <= first and last <= end), default=start)
