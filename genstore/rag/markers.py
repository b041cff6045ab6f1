"""Citation markers in a text that a model writes: those that point at no source are taken out, as it comes."""

from __future__ import annotations

import re

_MARKER = re.compile(r"\[(\d[\d\s,;]{0,40})\]")
# What may yet become a marker, with the space that would go with it.
_BEGUN = re.compile(r"[ \t]*(?:\[(?:\d[\d\s,;]{0,40})?)?\Z")
_WITH_SPACE = re.compile(r"[ \t]*\[\d[\d\s,;]{0,40}\]")


class MarkerFilter:
    """Passes a text on in pieces, without the numbers of sources that there are not; `removed` counts them.

    However the text is cut into pieces, what comes out is the same in all.
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
        given = [int(number) for number in re.findall(r"\d+", match[0])]
        real = [number for number in given if 1 <= number <= self._sources]
        self.removed += len(given) - len(real)
        if len(real) == len(given):
            return match[0]
        space = match[0][: match[0].index("[")]
        return f"{space}[{', '.join(map(str, real))}]" if real else ""


def markers(text: str) -> tuple[int, ...]:
    """The numbers that a text's markers name, each once, in order."""
    return tuple(dict.fromkeys(int(number) for found in _MARKER.findall(text) for number in re.findall(r"\d+", found)))


def without_markers(text: str) -> str:
    """The text without its markers."""
    return _WITH_SPACE.sub("", text)
