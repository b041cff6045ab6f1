"""How sure it is that the sources hold the answer, from how near the best one is, how far it stands out, and how many
of the question's words it has. Calibrated: docs/rag.md says on what, and benchmarks/answers.py does it again."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from genstore.rag.sources import Retrieved

if TYPE_CHECKING:
    from genstore.index.bm25 import Bm25

Terms = Callable[[str], frozenset[int]]
"""A text's stemmed words without stop words, as the index knows them."""

# Two logistic regressions on the first half of NQ-open's questions, with and without the passage that answers them. By
# itself the cosine is a matter of style: short questions to manuals are far from every passage, those to abstracts near
# to many. The one fails where the other does not, so the better of both counts.
_BY_COSINE = (12.5, -8.2)
_BY_LIFT = (13.4, -5.9)
_COVERAGE = 1.6

ABSTAIN_BELOW = 0.15
"""Where one in fifty answerable questions of the first half is given up."""


def words(text: str) -> frozenset[int]:
    """The default Terms."""
    return frozenset(_bm25().terms(text).indices)


@cache
def _bm25() -> Bm25:
    from genstore.index.bm25 import Bm25

    return Bm25()


def evidence(question: str, found: Retrieved, terms: Terms) -> float:
    """In [0, 1]; 0 without sources. Its scale is that of the default embedder's cosines."""
    if not found.sources:
        return 0.0
    cosine, lift, covered = features(question, found, terms)
    strength = max(_BY_COSINE[0] * cosine + _BY_COSINE[1], _BY_LIFT[0] * lift + _BY_LIFT[1]) + _COVERAGE * covered
    return 1 / (1 + math.exp(-strength))


def features(question: str, found: Retrieved, terms: Terms) -> tuple[float, float, float]:
    """(the greatest cosine of the question and a source, by how much that is above what the store has anyway, the share
    of the question's words that the best source has)."""
    asked = terms(question)
    best = found.sources[0]
    held = terms(best.text) | terms(" ".join((best.location.title, *best.location.headings, best.asked)))
    cosine = max((source.cosine for source in found.sources if source.cosine is not None), default=0.0)
    return cosine, cosine - found.background, len(asked & held) / len(asked) if asked else 0.0
