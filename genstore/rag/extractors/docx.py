"""DOCX, by python-docx: paragraphs, tables and headings in the order of the document."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from genstore.errors import InvalidInput, MissingDependency
from genstore.rag.documents import Document, Heading

if TYPE_CHECKING:
    from docx.table import Table

_HEADING = re.compile(r"heading (\d)$", re.I)


def extract(data: bytes, name: str) -> Document:
    """The text, a paragraph a block. Raises InvalidInput for a damaged file, MissingDependency."""
    try:
        import docx
    except ModuleNotFoundError as error:
        raise MissingDependency('DOCX needs python-docx; pip install "genstore[documents]"') from error
    try:
        return _document(docx.Document(io.BytesIO(data)))
    except Exception as error:  # a damaged file raises whatever zipfile, lxml and python-docx stumble on
        raise InvalidInput(f"it is not a readable DOCX file: {error or type(error).__name__}") from error


def _document(opened: Any) -> Document:
    pieces: list[str] = []
    headings: list[Heading] = []
    at = 0
    for level, piece in _pieces(opened):
        if level:
            headings.append(Heading(at, level, piece))
        pieces.append(piece)
        at += len(piece) + 2
    title = (opened.core_properties.title or "").strip()
    return Document("\n\n".join(pieces), title or next((heading.text for heading in headings), ""), "text/plain",
                    tuple(headings))  # fmt: skip


def _pieces(document: Any) -> Iterator[tuple[int, str]]:
    """(level of the heading or 0, text) of each paragraph and table that holds any."""
    from docx.table import Table

    for block in document.iter_inner_content():
        if isinstance(block, Table):
            if text := _table(block):
                yield 0, text
        elif text := block.text.strip():
            yield _level(block.style), text


def _level(style: Any) -> int:
    name = style.name if style is not None else ""
    if name == "Title":
        return 1
    found = _HEADING.match(name or "")
    return int(found[1]) if found else 0


def _table(table: Table) -> str:
    rows = ([" ".join(cell.text.split()) for cell in row.cells] for row in table.rows)
    return "\n".join(" | ".join(cells) for cells in rows if any(cells))
