"""Cutting text into sentences: offsets, so that a sentence can be quoted and found again where it stands."""

from __future__ import annotations

import re

from genstore.text.passages import Span

# A full stop, perhaps closed by quotes, brackets and citation markers ("… there.” [1][2]"), then a space; or the full
# stops of scripts without spaces; or an empty line; or the line of a list or heading.
_CLOSING = "[\"'”’»)\\]]*"
_MARKERS = r"(?:\s?\[\d{1,4}\])*"
_END = re.compile(
    rf"(?P<stop>(?<![.!?…])[.!?…]+{_CLOSING}{_MARKERS})(?=\s|\Z)"
    rf"|[。！？｡]{_CLOSING}{_MARKERS}"
    r"|[”»][ \t]?(?:\[\d{1,4}\])+(?=\s|\Z)"  # a quote that is cited is a statement of its own
    r"|\n[ \t]*(?=\n)|\n(?=[ \t]*(?:[-*+•#>|]|\d{1,3}[.)])\s)"
)
_SHORT = (
    "al approx apr aug ave bros capt cf co col corp dec dept dr ed eds eg e.g esp est etc feb fig figs gen gov hon i.e "
    "ie inc jan jr jul jun lt ltd mar maj messrs mr mrs ms mt nov oct p pp prof pt rep rev sec sen sep sept sgt "
    "sr st vol vs viz"
)
_ABBREVIATIONS = frozenset(_SHORT.split())
_WORD_BEFORE = re.compile(r"([^\W\d_](?:[\w.]*\w)?)\Z")
_LOOK_BACK = 24
_OPENS_LOWER = re.compile(r"\s*[\"'“‘(\[]*[a-zà-öø-ÿ]")


def sentences(text: str) -> list[Span]:
    """Offsets of the sentences, in order, without the white space around them; markers belong to the one before.

    A full stop after an abbreviation or an initial, or before a small letter, ends nothing.
    """
    spans: list[Span] = []
    start = 0
    for match in _END.finditer(text):
        if match["stop"] and not _is_end(text, match):
            continue
        _append(spans, text, start, match.end())
        start = match.end()
    _append(spans, text, start, len(text))
    return spans


def _is_end(text: str, match: re.Match[str]) -> bool:
    if not match["stop"].startswith(".") or match["stop"].startswith(".."):
        return True
    if _OPENS_LOWER.match(text, match.end()):
        return False
    before = _WORD_BEFORE.search(text[max(0, match.start() - _LOOK_BACK) : match.start()])
    if before is None:
        return True
    word = before[1]
    is_initial = len(word) == 1 and word.isupper() and word != "I"
    is_acronym = "." in word and all(len(letters) == 1 for letters in word.split("."))
    return not (is_initial or is_acronym or word.lower() in _ABBREVIATIONS)


def _append(spans: list[Span], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    first = start + len(piece) - len(piece.lstrip())
    last = start + len(piece.rstrip())
    if first < last:
        spans.append((first, last))
