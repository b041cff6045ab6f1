"""Citation markers in a text that a model writes: those that point at no source are taken out, as it comes."""

from __future__ import annotations

import re

# "[1]", "[1, 2]", "[1-3]", and what models write though they were asked for those: "[Source 1]", "[^1]", "【1】".
_NUMBERS = r"\d[\d\s,;–-]{0,40}"
MARKER = rf"\[(?:\^|sources?\s{{0,3}})?({_NUMBERS})\]|【({_NUMBERS})(?:†[^【】\n]{{0,40}})?】"
_MARKER = re.compile(MARKER, re.I)
_WITH_SPACE = re.compile(rf"[ \t]*(?:{MARKER})", re.I)
# What may yet become a marker, with the space that would go with it.
_BEGUN = re.compile(
    rf"[ \t]*(?:\[(?:\^?|s[a-z]{{0,6}}\s{{0,3}})(?:{_NUMBERS})?|【(?:{_NUMBERS}(?:†[^【】\n]{{0,40}})?)?)?\Z", re.I
)
_RANGE = re.compile(r"(?<!\d)(\d{1,3})\s*[–-]\s*(\d{1,3})(?!\d)")
_NUMBER = re.compile(r"\d+")


class MarkerFilter:
    """Passes a text on in pieces, without the numbers of sources that there are not; `removed` counts them.

    Markers are passed on in one form, [1][2], which is how sentences know where they end. However the text is cut into
    pieces, what comes out is the same in all.
    """

    def __init__(self, sources: int) -> None:
        self._sources = sources
        self._held = ""
        self.removed = 0

    def feed(self, piece: str) -> str:
        """What is certain of the text so far."""
        text = self._held + piece
        begun = _BEGUN.search(text)
        at = begun.start() if begun else len(text)
        self._held = text[at:]
        return _WITH_SPACE.sub(self._checked, text[:at])

    def end(self) -> str:
        """The rest, once nothing more comes."""
        rest, self._held = self._held, ""
        return _WITH_SPACE.sub(self._checked, rest)

    def _checked(self, match: re.Match[str]) -> str:
        """The marker as "[1][2]", with the sources that there are."""
        given = _numbers(match[1] or match[2])
        real = [number for number in given if 1 <= number <= self._sources]
        self.removed += len(given) - len(real)
        space = match[0][: len(match[0]) - len(match[0].lstrip(" \t"))]
        return space + "".join(f"[{number}]" for number in real) if real else ""


def _numbers(text: str) -> list[int]:
    """The numbers of a marker; "1-3" names all three."""
    found: list[int] = []
    at = 0
    for between in _RANGE.finditer(text):
        found += map(int, _NUMBER.findall(text[at : between.start()]))
        found += range(int(between[1]), int(between[2]) + 1)
        at = between.end()
    return found + [int(number) for number in _NUMBER.findall(text[at:])]


def markers(text: str) -> tuple[int, ...]:
    """The numbers that a text's markers name, each once, in order."""
    return tuple(dict.fromkeys(number for found in _MARKER.finditer(text) for number in _numbers(found[1] or found[2])))


def without_markers(text: str) -> str:
    """The text without its markers."""
    return _WITH_SPACE.sub("", text)
