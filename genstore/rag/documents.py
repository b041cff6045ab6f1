"""What a file becomes: its text, with the headings and pages that say where in it a passage stands."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from genstore.records import Location, Part, Record

# A part's attributes hold them, so that they are exported, imported and fingerprinted with the text they describe.
_HEADINGS, _PAGES = "headings", "pages"


class Heading(NamedTuple):
    """A heading: where it begins in the text, its level (1 is outermost), its words."""

    start: int
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text. media_type: of the text ("text/markdown"), which the file's own need not be.

    headings: in the order of the text; pages: where each page begins, empty when the format has none.
    """

    text: str
    title: str = ""
    media_type: str = "text/plain"
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()

    def part(self) -> Part:
        """The document as the one part of its record's output."""
        attributes: dict[str, Any] = {}
        if self.headings:
            attributes[_HEADINGS] = [list(heading) for heading in self.headings]
        if self.pages:
            attributes[_PAGES] = list(self.pages)
        return Part(role="assistant", text=self.text, media_type=self.media_type, attributes=attributes)


def location(record: Record, part: Part, start: int) -> Location:
    """Where in its document the character at offset `start` of a part stands."""
    pages = part.attributes.get(_PAGES) or ()
    page = bisect_right(pages, start) or None if _are_offsets(pages) else None
    return Location(title=record.name or record.model or record.kind, page=page, headings=_above(part, start))


def heading_spans(part: Part) -> list[tuple[int, int]]:
    """Where the words of the part's headings stand: no sentences to be quoted.

    An entry of a PDF's outline that its page does not show points at the page's first line, which is text.
    """
    text = part.text or ""
    lines = [(heading, (heading.start, _line_end(text, heading.start))) for heading in _headings(part.attributes)]
    return [span for heading, span in lines if _shows(text[slice(*span)], heading.text)]


def _shows(line: str, title: str) -> bool:
    """Whether a line has the title's words, or the beginning of them where it goes on in the next."""
    shown, meant = " ".join(line.split()), " ".join(title.split())
    return bool(shown) and (meant in shown or shown in meant)


def _above(part: Part, start: int) -> tuple[str, ...]:
    """The headings that the character at `start` stands under, outermost first."""
    above: list[Heading] = []
    for heading in _headings(part.attributes):
        if heading.start > start:
            break
        while above and above[-1].level >= heading.level:
            above.pop()
        above.append(heading)
    return tuple(heading.text for heading in above)


def _headings(attributes: Mapping[str, Any]) -> list[Heading]:
    """The headings that the attributes describe. Whoever logged the part may have used the name for something else."""
    given = attributes.get(_HEADINGS)
    rows = given if isinstance(given, list) else []
    return [Heading(*row) for row in rows if isinstance(row, list) and list(map(type, row)) == [int, int, str]]


def _are_offsets(pages: Any) -> bool:
    return isinstance(pages, Sequence) and all(isinstance(start, int) for start in pages)


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return end if end >= 0 else len(text)
