"""Checking an answer: each of its sentences against the passages it may rest on, whatever its markers claim."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genstore.rag.evidence import Terms
from genstore.rag.markers import markers, without_markers
from genstore.rag.neutral import neutral
from genstore.rag.sources import Source
from genstore.records import Citation
from genstore.text.passages import Span
from genstore.text.sentences import sentences

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Texts to unit vectors, (n, dimension)."""

SUPPORTED = 0.55
"""From here a passage bears a sentence out: see docs/rag.md for what it lets through and what it holds back."""

# Of two sentences that share all words but not the figure, the figure is what matters.
_WRONG_FIGURE = 0.5
# Embedding is what takes time, and a passage without any of a sentence's words hardly bears it out.
_MOST_SPANS = 4
_QUOTES = '“”"„«»'
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True)
class Checked:
    """citations: in the order of the sentences; unsupported: sentences no source bears out, as offsets."""

    citations: tuple[Citation, ...] = ()
    unsupported: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class _Span:
    """A sentence of a source. start: offset into the source's text."""

    source: Source
    start: int
    end: int
    text: str
    terms: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Claim:
    """A sentence of the answer, without markers and quotation marks."""

    span: Span
    text: str
    terms: frozenset[int]
    markers: tuple[int, ...]


def check(answer: str, sources: Sequence[Source], terms: Terms, encode: Encode) -> Checked:
    """What each sentence rests on.

    A sentence that is quoted rests on its quote, with support 1. Any other is held against the sentences of the
    sources: the mean of the share of its words that one has and of their cosine, half of that where a figure differs.
    The passages that its markers name are cited with what support they give; others from SUPPORTED on.
    """
    claims = [claim for span in sentences(answer) if (claim := _claim(answer, span, terms)).terms]
    texts = [(source, neutral(source.text)) for source in sources]
    spans = [span for source, text in texts for span in _spans(source, text, terms)]
    quoted = {claim: _quote(claim, texts) for claim in claims}
    near = {claim: _nearest(claim, spans) for claim in claims if not quoted[claim]}
    vectors = _vectors([claim.text for claim in near], [span.text for found in near.values() for span in found], encode)
    citations: list[Citation] = []
    unsupported: list[Span] = []
    for claim in claims:
        rests_on = quoted[claim] or _rests_on(claim, near[claim], vectors)
        citations += rests_on
        if not any(citation.support >= SUPPORTED for citation in rests_on):
            unsupported.append(claim.span)
    return Checked(tuple(citations), tuple(unsupported))


def _claim(answer: str, span: Span, terms: Terms) -> _Claim:
    sentence = answer[span[0] : span[1]]
    text = without_markers(sentence).strip().strip(_QUOTES)
    return _Claim(span, text, terms(text), markers(sentence))


def _spans(source: Source, text: str, terms: Terms) -> list[_Span]:
    return [_Span(source, start, end, text[start:end], terms(text[start:end])) for start, end in sentences(text)]


def _quote(claim: _Claim, texts: Sequence[tuple[Source, str]]) -> list[Citation]:
    """The claim word for word in the sources that its markers name, or else in any. texts: neutral, as the prompt's."""
    words = _whole_words(claim.text)
    for source, text in sorted(texts, key=lambda one: one[0].number not in claim.markers):
        if found := words.search(text):
            return [_citation(claim, source, *found.span(), 1.0)]
    return []


def _whole_words(text: str) -> re.Pattern[str]:
    """What finds the text, but not within a word or figure: "20 years" is not said by "120 years"."""
    before = r"(?<!\w)(?<!\d[.,])" if re.match(r"\w", text) else ""
    behind = r"(?!\w)(?![.,]\d)" if re.search(r"\w\Z", text) else ""
    return re.compile(before + re.escape(text) + behind)


def _nearest(claim: _Claim, spans: Sequence[_Span]) -> list[_Span]:
    """The few sentences of each source that share most words with the claim; of sources it does not name, only
    sentences that share any."""
    found: list[_Span] = []
    for number in dict.fromkeys(span.source.number for span in spans):
        named = number in claim.markers
        own = [span for span in spans if span.source.number == number and (named or span.terms & claim.terms)]
        found += sorted(own, key=lambda span: -_shared(claim, span))[:_MOST_SPANS]
    return found


def _rests_on(claim: _Claim, spans: Sequence[_Span], vectors: dict[str, NDArray[np.float32]]) -> list[Citation]:
    """The best span of each source that is named or bears the claim out, best first."""
    best: dict[int, tuple[float, _Span]] = {}
    for span in spans:
        support = _support(claim, span, float(vectors[claim.text] @ vectors[span.text]))
        if support > best.get(span.source.number, (-1.0, span))[0]:
            best[span.source.number] = (support, span)
    return [
        _citation(claim, span.source, span.start, span.end, support)
        for support, span in sorted(best.values(), key=lambda found: -found[0])
        if support >= SUPPORTED or span.source.number in claim.markers
    ]


def _support(claim: _Claim, span: _Span, cosine: float) -> float:
    support = 0.5 * _shared(claim, span) + 0.5 * min(max(cosine, 0.0), 1.0)
    figures = set(_FIGURE.findall(claim.text))
    return support if figures <= set(_FIGURE.findall(span.source.text)) else support * _WRONG_FIGURE


def _shared(claim: _Claim, span: _Span) -> float:
    return len(claim.terms & span.terms) / len(claim.terms)


def _vectors(claims: Sequence[str], spans: Sequence[str], encode: Encode) -> dict[str, NDArray[np.float32]]:
    texts = list(dict.fromkeys((*claims, *spans)))
    return dict(zip(texts, encode(texts), strict=True)) if texts and spans else {}


def _citation(claim: _Claim, source: Source, start: int, end: int, support: float) -> Citation:
    """start and end: offsets into the source's text."""
    return Citation(
        number=source.number,
        sentence=claim.span,
        record_id=source.record.id,
        part_id=source.part.id,
        side=source.side,
        position=source.position,
        start=source.start + start,
        end=source.start + end,
        support=support,
        quote=source.text[start:end],
        location=source.located(start),
    )
