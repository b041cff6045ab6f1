"""BM25 weights: a passage's terms with their counts, and sparse vectors from them.

Words come from Qdrant's own BM25 (tokenised, stop words dropped, stemmed, hashed), which gives counts when asked for
weights that hardly saturate; so the average length can be the real one and change later without reading texts again.
Its Word tokenizer keeps numbers, which its Multilingual one drops ("404" could not be found), and is 2.7 times faster.
Chinese, Japanese and Korean have no spaces, and a tokenizer that guesses words cuts a query unlike the text it should
be found in ("公園" alone is read as Chinese, inside a Japanese sentence as Japanese), so they are indexed as characters
and pairs of neighbours, as Lucene's CJK analyzer does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from genstore.index.points import SparseVector

_LINEAR_K = 1e6  # weight = count * (k + 1) / (count + k) is then all but the count itself
_ROUNDS_TO_ITSELF = 500  # up to here the weight is less than a half short of the count: 500 * 499 / k

_IDEOGRAPHIC = (
    "\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)
_RUN = re.compile(f"[{_IDEOGRAPHIC}]+")


@dataclass(frozen=True, slots=True)
class Terms:
    """The distinct terms of a text and how often each occurs; length is the sum of the counts."""

    indices: list[int]
    counts: list[int]
    length: int


class Bm25:
    """k: saturation of repeated words, >= 0; b: how much longer texts are discounted, in [0, 1].

    Source: Robertson, Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009. The inverse document
    frequency is the index's part. Thread-safe.
    """

    def __init__(self, k: float = 0.9, b: float = 0.4, language: str = "english") -> None:
        self.k = k
        self.b = b
        self.language = language

    def terms(self, text: str) -> Terms:
        """The terms of a text; a text without words has none and length 0."""
        words, pairs = _split(text)
        indices, counts = _counts(self._words.embed_document(words))
        if pairs:
            more_indices, more_counts = _counts(self._verbatim.embed_document(pairs))
            indices, counts = _merged(indices + more_indices, counts + more_counts)
        return Terms(indices, counts, sum(counts))

    def weights(self, terms: Terms, average_length: float) -> SparseVector:
        """A document's BM25 weights where documents have average_length terms in the mean (counted by `terms`)."""
        relative = terms.length / average_length if average_length > 0 else 1.0
        norm = self.k * (1 - self.b + self.b * relative)
        gain = self.k + 1
        return terms.indices, [count * gain / (count + norm) for count in terms.counts]

    def query(self, text: str) -> SparseVector:
        """A query's terms, each of weight 1; empty when the text has no words."""
        words, pairs = _split(text, query=True)
        indices = list(self._words.embed_query(words).indices)
        if pairs:
            indices = list(dict.fromkeys(indices + list(self._verbatim.embed_query(pairs).indices)))
        return indices, [1.0] * len(indices)

    @cached_property
    def _words(self) -> Any:
        import qdrant_edge

        config = qdrant_edge.Bm25Config(
            k=_LINEAR_K, b=0.0, tokenizer=qdrant_edge.TokenizerType.Word, language=self.language
        )
        return qdrant_edge.Bm25(config)

    @cached_property
    def _verbatim(self) -> Any:
        import qdrant_edge

        config = qdrant_edge.Bm25Config(
            k=_LINEAR_K,
            b=0.0,
            tokenizer=qdrant_edge.TokenizerType.Whitespace,
            stopwords=qdrant_edge.StopwordsSet(),
            stemmer=qdrant_edge.DisabledStemmer(),
        )
        return qdrant_edge.Bm25(config)


def _split(text: str, query: bool = False) -> tuple[str, str]:
    """The text without its runs of Chinese, Japanese and Korean, and those runs as tokens between spaces."""
    if text.isascii():
        return text, ""
    text = text.encode("utf-8", "replace").decode()
    runs = _RUN.findall(text)
    if not runs:
        return text, ""
    tokens: list[str] = []
    for run in runs:
        tokens += map("".join, pairwise(run))
        if not query or len(run) == 1:
            tokens += run
    return _RUN.sub(" ", text), " ".join(tokens)


def _counts(vector: Any) -> tuple[list[int], list[int]]:
    weights = vector.values
    if max(weights, default=0) > _ROUNDS_TO_ITSELF:
        gain = _LINEAR_K + 1
        weights = [weight * _LINEAR_K / (gain - weight) for weight in weights]
    return vector.indices, list(map(round, weights))


def _merged(indices: list[int], counts: list[int]) -> tuple[list[int], list[int]]:
    """Parallel lists whose indices may repeat, with the counts of equal indices added up."""
    total: dict[int, int] = {}
    for index, count in zip(indices, counts, strict=True):
        total[index] = total.get(index, 0) + count
    return list(total), list(total.values())
