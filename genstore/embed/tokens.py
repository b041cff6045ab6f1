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
_MEMORY = 1 << 18


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
        self._counts = _Counts(count_word)

    def __call__(self, text: str) -> int:
        return sum(map(self._counts.__getitem__, _WORD.findall(text)))


class _Counts(dict[str, int]):
    def __init__(self, count_word: Callable[[str], int]) -> None:
        super().__init__()
        self._count_word = count_word

    def __missing__(self, word: str) -> int:
        if len(word) > _LONGEST_WORD:
            return len(word.encode("utf-8", "surrogatepass"))
        if len(self) >= _MEMORY:
            self.clear()
        count = self[word] = self._count_word(printable(word))
        return count
