"""Markdown: the text as it was written; markdown-it finds its headings, and tells them from comments in code."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise

from genstore.rag.documents import Document, Heading
from genstore.rag.extractors.plain import decoded

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.M | re.I)


def extract(data: bytes, name: str) -> Document:
    """The Markdown itself; the title is the front matter's, else the first heading."""
    text = decoded(data)
    front = FRONT_MATTER.match(text)
    headings = _headings(text, front.end() if front else 0)
    named = _TITLE.search(front[1]) if front else None
    title = named[1] if named else next((heading.text for heading in headings), "")
    return Document(text, title, "text/markdown", tuple(headings))


def _headings(text: str, skipped: int) -> list[Heading]:
    """The headings behind the first `skipped` characters; front matter would read as one."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(text[skipped:])
    # As the parser counts lines: a form feed or U+2028, which splitlines() takes for an end, is none.
    lines = [0, *accumulate(len(line) + 1 for line in text[skipped:].split("\n"))]
    return [
        Heading(skipped + lines[opening.map[0]], int(opening.tag[1:]), inline.content)
        for opening, inline in pairwise(tokens)
        if opening.type == "heading_open" and opening.map is not None and inline.content
    ]
