"""A source: a passage of the store as an answer may rest on it, with a number of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from genstore.rag.documents import heading_spans, location
from genstore.rag.extractors.markdown import FRONT_MATTER
from genstore.records import Location, Part, Record, Side
from genstore.text.passages import Span

_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
_FEWEST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Source:
    """A span of a part, numbered from 1 as markers cite it.

    part: the `position`-th of its record's side; start and end: offsets into it; score: as the search ranked it, in
    [0, 1]; cosine: to the question, None when its vector is still to be computed.
    """

    record: Record
    part: Part
    side: Side
    position: int
    start: int
    end: int
    number: int = 0
    score: float = 0.0
    cosine: float | None = None

    @property
    def text(self) -> str:
        """What stands there."""
        return (self.part.text or "")[self.start : self.end]

    @property
    def asked(self) -> str:
        """For what a model wrote, what it was the answer to."""
        return self.record.prompt_text if self.record.kind == "generation" and self.side == "output" else ""

    @property
    def location(self) -> Location:
        """Where in its document it begins."""
        return self.located(0)

    def located(self, at: int) -> Location:
        """Where in its document the character at offset `at` of the text stands."""
        return location(self.record, self.part, self.start + at)

    def blocks(self) -> list[str]:
        """The text's paragraphs, each with the heading above it; one too short to say anything goes with the next."""
        cuts = {start for start, _ in self.titles()} | {match.end() for match in _BLANK_LINE.finditer(self.text)}
        bounds = [0, *sorted(cuts - {0}), len(self.text)]
        found: list[str] = []
        waiting = ""
        for start, end in pairwise(bounds):
            waiting += self.text[start:end]
            if len(waiting.split()) >= _FEWEST_WORDS:
                found.append(waiting.strip())
                waiting = ""
        if waiting.strip() and found:
            found[-1] += "\n\n" + waiting.strip()
        return found or [self.text]

    def titles(self) -> list[Span]:
        """Spans of the text that are headings, or the front matter of a file: no sentences."""
        spans = heading_spans(self.part)
        if self.record.kind == "document" and (front := FRONT_MATTER.match(self.part.text or "")):
            spans = [(0, len(front[0].rstrip())), *spans]
        return [(at - self.start, end - self.start) for at, end in spans if self.start <= at < self.end]


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What a question found. sources: best first; background: the mean cosine of passages that are near, though not the
    nearest: what the store has for any question of this kind."""

    sources: list[Source]
    background: float = 0.0
