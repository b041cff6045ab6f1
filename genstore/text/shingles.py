"""Word shingles: a text as the set of its runs of a few words, which survives typos, cuts and a changed order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Shingles = NDArray[np.uint64]
"""Distinct hashes, ascending: (n,)."""

WORDS_A_SHINGLE = 3
FEWEST = 5
"""Texts of fewer distinct shingles are too short to be told apart by them; see `shingles`."""

_ASCII_WORD = re.compile(r"\w+", re.ASCII)
# Scripts that put no spaces between words: Chinese, Japanese, Thai, Lao, Burmese and Khmer.
_UNSPACED = (
    "\u0e00-\u0e3a\u0e40-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U000323af"
)
_MEMORY = 1 << 18
_LONGEST_KEPT = 64  # characters; longer words hardly ever come again
_NONE: Shingles = np.empty(0, np.uint64)
_MULTIPLIER, _INCREMENT, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x632BE59BD9B4E019), np.uint64(29)


@cache
def _any_word() -> re.Pattern[str]:
    """A character of a script without spaces, or a word of any other, each with its vowel signs and accents."""
    marks = "".join(_marks())
    return re.compile(f"[{_UNSPACED}][{marks}]*|(?:[^\\W{_UNSPACED}][{marks}]*)+")


def _marks() -> Iterator[str]:
    """Ranges of combining marks, which `\\w` does not match."""
    start = previous = -2
    for code in [code for code in range(0x300, 0x11A9A) if unicodedata.category(chr(code))[0] == "M"] + [0x7FFFFFFF]:
        if code != previous + 1:
            if start >= 0:
                yield f"{chr(start)}-{chr(previous)}" if previous > start else chr(start)
            start = code
        previous = code


class _WordHashes(dict[str, int]):
    """32-bit hashes by word, the same in every process; Python's own differ from one to the next."""

    def __missing__(self, word: str) -> int:
        hashed = crc32(word.encode("utf-8", "surrogatepass"))
        if len(word) <= _LONGEST_KEPT:
            if len(self) >= _MEMORY:
                self.clear()
            self[word] = hashed
        return hashed


_hashes = _WordHashes()


def shingles(text: str, words: int = WORDS_A_SHINGLE) -> Shingles:
    """The text's distinct runs of `words` words, case and punctuation aside, as 64-bit hashes.

    A text of fewer than FEWEST of them, such as a short sentence or one word over and over, is one shingle: all its
    words in their order, so that only a text of the very same words equals it. A text of at most one word has none.
    """
    if text.isascii():
        found = _ASCII_WORD.findall(text.lower())
    else:
        found = _any_word().findall(unicodedata.normalize("NFC", text).casefold())
    if len(found) < 2:
        return _NONE
    # fromiter over map: a list of the hashes would be eight times the array.
    hashed = np.fromiter(map(_hashes.__getitem__, found), np.uint64, len(found))
    distinct = np.unique(_mixed(hashed, words)) if len(hashed) >= words else _NONE
    return distinct if len(distinct) >= FEWEST else _mixed(hashed, len(hashed))


def _mixed(hashed: Shingles, words: int) -> Shingles:
    """One hash for each run of `words` word hashes: (n - words + 1,)."""
    count = len(hashed) - words + 1
    mixed = np.zeros(count, np.uint64)
    for at in range(words):
        mixed = (mixed * _MULTIPLIER) ^ (hashed[at : at + count] + _INCREMENT)
        mixed ^= mixed >> _SHIFT
    return mixed


def jaccard(one: Shingles, other: Shingles) -> float:
    """Shared shingles as a share of all, in [0, 1]; 0 when either has none."""
    if not len(one) or not len(other):
        return 0.0
    shared = common(one, other)
    return shared / (len(one) + len(other) - shared)


def common(one: Shingles, other: Shingles) -> int:
    """How many shingles both have."""
    return len(np.intersect1d(one, other, assume_unique=True))
