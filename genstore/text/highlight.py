"""Where a query's words stand in a text, for showing; what is found is the index's business, not this file's."""

from __future__ import annotations

import re
import unicodedata

from genstore.text.passages import Span

_IDEOGRAPHIC = (
    "\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHIC}]")
# A run of characters written without spaces, or a word; combining marks belong to the letter before them.
_QUERY_WORD = re.compile(f"[{_IDEOGRAPHIC}]+|(?:(?![{_IDEOGRAPHIC}])[\\w\u0300-\u036f])+")
_ENDINGS = ("ations", "ation", "ings", "ing", "edly", "ies", "ied", "ers", "er", "ed", "es", "ly", "s", "e", "y")
_SHORTEST_STEM = 3
_LONGEST_ENDING = 4  # letters a word of the text may have beyond the stem: "flow" finds "flowing", not "flowerbed"
_MOST_WORDS = 64
_COMMON = (
    "a about after all also an and any are as at be because been before but by can could did do does for from had has "
    "have how i if in into is it its may more most no not of on or other our s should so some such t than that the "
    "their them then there these they this those to was we were what when where which who why will with would you your"
)
_STOP_WORDS = frozenset(_COMMON.split())


def highlights(text: str, query: str, limit: int = 32) -> tuple[Span, ...]:
    """Offsets of the query's words in a text, in order, without overlap, at most `limit`.

    Case and common English endings do not matter ("flows" finds "Flow"); stop words are left out unless the query has
    nothing else. In Chinese, Japanese and Korean, where words have no ends, pairs of the query's characters count.
    """
    pattern = _pattern(query)
    if pattern is None or limit <= 0:
        return ()
    spans: list[Span] = []
    for match in pattern.finditer(text):
        start, end = match.span(1)
        if spans and start <= spans[-1][1]:  # pairs overlap: 図書 and 書館 are one 図書館
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        elif len(spans) == limit:
            break
        else:
            spans.append((start, end))
    return tuple(spans)


def _pattern(query: str) -> re.Pattern[str] | None:
    """Looks ahead without moving on, so that matches may overlap; group 1 is what was found."""
    words = dict.fromkeys(word.lower() for word in _QUERY_WORD.findall(query))
    chosen = [word for word in words if word not in _STOP_WORDS] or list(words)
    pairs: dict[str, None] = {}
    stems: dict[str, None] = {}
    for word in chosen[:_MOST_WORDS]:
        if _IDEOGRAPH.match(word):
            pairs.update(dict.fromkeys(word[at : at + 2] for at in range(max(1, len(word) - 1))))
        else:
            stems[_stem(word)] = None
    branches = [re.escape(pair) for pair in sorted(pairs, key=len, reverse=True)[:_MOST_WORDS]]
    if stems:
        branches.append(f"(?<!\\w)(?:{'|'.join(map(_stem_pattern, stems))})(?!\\w)")
    return re.compile(f"(?=({'|'.join(branches)}))", re.IGNORECASE) if branches else None


def _stem(word: str) -> str:
    if not word.isascii() or not word.isalpha():  # identifiers, numbers, other languages: as they are
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word


def _stem_pattern(stem: str) -> str:
    if stem.isascii() and stem.isalpha() and len(stem) >= _SHORTEST_STEM:
        return f"{stem}[a-z]{{0,{_LONGEST_ENDING}}}"
    forms = dict.fromkeys((stem, unicodedata.normalize("NFC", stem), unicodedata.normalize("NFD", stem)))
    return "|".join(map(re.escape, forms))
