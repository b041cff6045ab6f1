"""Near-duplicate texts: MinHash finds who may share shingles, Jaccard over the shingles says how many they do share.

Source: Broder, "On the resemblance and containment of documents", 1997; Leskovec, Rajaraman, Ullman, "Mining of
Massive Datasets", 2014, chapter 3 (banding).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genstore.dedup.method import Match
from genstore.identity import decode_text
from genstore.text.shingles import WORDS_A_SHINGLE, Shingles, common, shingles

BANDS, ROWS = 32, 4
"""Texts that share half of their shingles share a band with probability .87, .6 with .99, .7 with .9998."""

_SEED = 1
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(32)


class NearText:
    """Texts by their runs of `words` words, case and punctuation aside."""

    needs = None

    def __init__(self, words: int = WORDS_A_SHINGLE) -> None:
        self._words = words
        self.name = f"near-text/{words}-words/{BANDS}x{ROWS}"

    def features(self, body: bytes) -> Shingles | None:
        """The text's shingles; None for one of at most one word."""
        found = shingles(decode_text(body), self._words)
        return found if len(found) else None

    def keys(self, features: Sequence[Shingles | None]) -> list[list[int]]:
        """BANDS of them, each a hash of ROWS minima."""
        present = [found for found in features if found is not None]
        if not present:
            return [[] for _ in features]
        bands = iter(_bands(_minima(present)).tolist())
        return [[] if found is None else next(bands) for found in features]

    def compare(self, one: Shingles, other: Shingles) -> Match:
        """The share of their shingles that both have."""
        shared = common(one, other)
        counts = {"shared": shared, "only_in_duplicate": len(one) - shared, "only_in_original": len(other) - shared}
        return Match(shared / (len(one) + len(other) - shared), {"shingle_words": self._words, **counts})


def _minima(features: Sequence[Shingles]) -> NDArray[np.uint32]:
    """MinHash digests: (texts, BANDS * ROWS)."""
    from rensa import RMinHash

    offsets = np.cumsum([0, *map(len, features)], dtype=np.uint64)
    digests = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(features), offsets, BANDS * ROWS, _SEED)
    return np.asarray(digests.to_rows(), np.uint32)


def _bands(minima: NDArray[np.uint32]) -> NDArray[np.int64]:
    """A hash of each band of ROWS minima, no two bands alike: (texts, BANDS)."""
    rows = minima.reshape(-1, BANDS, ROWS).astype(np.uint64)
    hashed = np.broadcast_to(np.arange(1, BANDS + 1, dtype=np.uint64), rows.shape[:2]).copy()
    for at in range(ROWS):
        hashed = (hashed ^ rows[:, :, at]) * _MULTIPLIER
        hashed ^= hashed >> _SHIFT
    return hashed.view(np.int64)
