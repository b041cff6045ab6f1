"""Cutting texts into passages: slices small enough for an embedder to see whole, at paragraph and sentence ends.

semantic-text-splitter finds the boundaries but is asked for characters, not tokens: counting tokens inside its search
is several times slower than all the rest of indexing. Instead a text's own tokens per character give the size to ask
for, and a piece that turns out too long is cut again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semantic_text_splitter import TextSplitter

Span = tuple[int, int]
"""Half-open character offsets into a text."""

CUT_VERSION = 2
"""Part of a cutter's name: raise it when the same text would be cut elsewhere than before."""

OVERLAP_TOKENS = 50
"""What neighbouring passages share by default, measured in docs/retrieval.md: a sentence cut in two is whole in one."""

_WINDOW = 4096  # bytes, about; the splitter looks ahead to the end of what it is given, which is quadratic in them
_FILL = 0.95  # tokens aimed at, as a share of the capacity, so that few pieces turn out too long
_SURROGATE = re.compile("[\ud800-\udfff]")
_BREAKS = ("\n\n", "\n", ". ", " ")


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts texts into passages of at most `capacity` tokens.

    name: what decides the cuts, kept beside them in SQL; count: tokens of a text, never fewer than the embedder makes
    of it and never more than its UTF-8 bytes; overlap_tokens: about how many a passage shares with the one before it.
    """

    name: str
    capacity: int
    count: Callable[[str], int] = field(repr=False, compare=False)
    overlap_tokens: int = 0

    def cut(self, text: str) -> list[Span]:
        """Offsets of the passages, in order: they hold every character that is not white space, and begin and end with
        one. A text of white space has none."""
        if len(text) <= self.capacity and (text.isascii() or _size_bytes(text) <= self.capacity):
            return _trimmed(text)
        text = printable(text)
        spans: list[Span] = []
        for start, end in _windows(text):
            spans += ((start + a, start + b) for a, b in self._cut_window(text[start:end]))
        return spans

    def cut_many(self, texts: Sequence[str]) -> list[list[Span]]:
        """The passages of each text."""
        return [self.cut(text) for text in texts]

    def _cut_window(self, text: str) -> list[Span]:
        tokens = self.count(text)
        if tokens <= self.capacity:
            return _trimmed(text)
        if len(text) == 1:  # one character of more tokens than fit: the embedder will see only its beginning
            return [(0, 1)]
        size = max(1, min(int(len(text) * self.capacity * _FILL / tokens), len(text) - 1))
        overlap = min(int(size * self.overlap_tokens / self.capacity), size - 1)
        spans: list[Span] = []
        for start, piece in _splitter(size, overlap).chunk_indices(text):
            if (len(piece) <= self.capacity and piece.isascii()) or self.count(piece) <= self.capacity:
                spans.append((start, start + len(piece)))
            else:
                spans += ((start + a, start + b) for a, b in self._cut_window(piece))
        return spans


def estimating_cutter(name: str, capacity: int, overlap_tokens: int = 0) -> Cutter:
    """A cutter for embedders whose tokenizer is not at hand: a token is taken to be three bytes of UTF-8."""
    return Cutter(name, capacity, lambda text: ceil(_size_bytes(text) / 3), overlap_tokens)


def printable(text: str) -> str:
    """The text with lone surrogates, which no UTF-8 holds, replaced one for one by U+FFFD."""
    if text.isascii():
        return text
    return _SURROGATE.sub("\ufffd", text)


def _size_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _trimmed(text: str) -> list[Span]:
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    return [(start, end)] if start < end else []


def _windows(text: str) -> Iterator[Span]:
    """Slices of at most _WINDOW characters, half of it in scripts of several bytes, cut at the best break in their
    second half."""
    size = _WINDOW if text.isascii() else _WINDOW // 2
    start = 0
    while len(text) - start > size:
        end = _window_end(text, start + size // 2, start + size)
        yield start, end
        start = end
    yield start, len(text)


def _window_end(text: str, half: int, full: int) -> int:
    for mark in _BREAKS:
        at = text.rfind(mark, half, full)
        if at >= 0:
            return min(at + len(mark), full)
    end = full
    while end > half and _joins(text[end]):  # never between a letter and its accents
        end -= 1
    return end if end > half else full


def _joins(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf") or "\U0001f3fb" <= character <= "\U0001f3ff"


@lru_cache(maxsize=4096)
def _splitter(size: int, overlap: int) -> TextSplitter:
    from semantic_text_splitter import TextSplitter

    return TextSplitter(size, overlap)
