"""How sure it is that the sources hold the answer, from how near the best one is and how many of the question's words
it has. Calibrated: docs/rag.md says on what, and benchmarks/answers.py does it again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from genstore.rag.sources import Source

if TYPE_CHECKING:
    from genstore.index.bm25 import Bm25

Terms = Callable[[str], frozenset[int]]
"""A text's stemmed words without stop words, as the index knows them."""

# A logistic regression on the first half of NQ-open's questions, with and without the passage that answers them.
_COSINE, _COVERAGE, _CONSTANT = 12.3, 1.7, -8.1

ABSTAIN_BELOW = 0.15
"""Where one in fifty answerable questions of the first half is given up."""


def words(text: str) -> frozenset[int]:
    """The default Terms."""
    return frozenset(_bm25().terms(text).indices)


@cache
def _bm25() -> Bm25:
    from genstore.index.bm25 import Bm25

    return Bm25()


def evidence(question: str, sources: Sequence[Source], terms: Terms) -> float:
    """In [0, 1]; 0 without sources. Its scale is that of the default embedder's cosines."""
    if not sources:
        return 0.0
    cosine, covered = features(question, sources, terms)
    return 1 / (1 + math.exp(-(_COSINE * cosine + _COVERAGE * covered + _CONSTANT)))


def features(question: str, sources: Sequence[Source], terms: Terms) -> tuple[float, float]:
    """(the greatest cosine of the question and a source, the share of its words that the best source has)."""
    asked = terms(question)
    best = sources[0]
    held = terms(best.text) | terms(" ".join((best.location.title, *best.location.headings, best.asked)))
    cosine = max((source.cosine for source in sources if source.cosine is not None), default=0.0)
    return cosine, len(asked & held) / len(asked) if asked else 0.0
