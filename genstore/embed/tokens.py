"""Counting an embedder's tokens: word by word with a memory where its tokenizer allows, else text by text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from genstore.text.passages import printable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_ASCII_PUNCTUATION = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
# BERT's tokenizer never joins what stands on two sides of these, so the counts of the parts add up to the whole's.
_WORD = re.compile(f"[^\\s{_ASCII_PUNCTUATION}{_IDEOGRAPHS}]+|[{_ASCII_PUNCTUATION}{_IDEOGRAPHS}]")
_LONGEST_WORD = 64  # characters; BERT takes a word of over 100 as one unknown token, which would hide its content
_MEMORY = 1 << 17


def token_counter(tokenizer: Tokenizer) -> Callable[[str], int]:
    """A function from a text to its number of tokens without special ones, for a tokenizer that does not truncate."""
    import json

    kind = (json.loads(tokenizer.to_str()).get("pre_tokenizer") or {}).get("type")
    if kind == "BertPreTokenizer":
        return WordCounter(lambda word: len(tokenizer.encode(word, add_special_tokens=False)))
    return lambda text: len(tokenizer.encode(printable(text), add_special_tokens=False))


class WordCounter:
    """Adds up the tokens of a text's words, each counted once by count_word; an order faster than tokenizing.

    Words longer than any real one count as their bytes, so that passages of such stay short. Thread-safe.
    """

    def __init__(self, count_word: Callable[[str], int]) -> None:
        self._count_word = count_word
        self._words = _Memory(self._tokens_of_word)
        # What stands between white space is mostly known already, and str.split finds it four times as fast as a
        # pattern finds words.
        self._chunks = _Memory(self._tokens_of_chunk)

    def __call__(self, text: str) -> int:
        return sum(map(self._chunks.__getitem__, text.split()))

    def _tokens_of_chunk(self, chunk: str) -> int:
        return sum(map(self._words.__getitem__, _WORD.findall(chunk)))

    def _tokens_of_word(self, word: str) -> int:
        if len(word) > _LONGEST_WORD:
            return len(word.encode("utf-8", "surrogatepass"))
        return self._count_word(printable(word))


class _Memory(dict[str, int]):
    """Counts by text, computed when first asked for; long texts, which hardly ever come again, are not kept."""

    def __init__(self, count: Callable[[str], int]) -> None:
        super().__init__()
        self._count = count

    def __missing__(self, text: str) -> int:
        count = self._count(text)
        if len(text) <= _LONGEST_WORD:
            if len(self) >= _MEMORY:
                self.clear()
            self[text] = count
        return count
