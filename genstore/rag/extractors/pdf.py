"""PDF, by pypdf: the text of each page, with the outline's entries as headings."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from genstore.errors import InvalidInput, MissingDependency
from genstore.rag.documents import Document, Heading

if TYPE_CHECKING:
    from pypdf import PdfReader

_BETWEEN_PAGES = "\n\n"


def extract(data: bytes, name: str) -> Document:
    """The text, page by page. Raises InvalidInput for a file that is damaged, protected or made of images."""
    try:
        import pypdf
    except ModuleNotFoundError as error:
        raise MissingDependency('PDF needs pypdf; pip install "genstore[documents]"') from error
    # What it would warn of, page after page, is of no use to whoever adds a folder; what fails is raised.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InvalidInput("it is password-protected; save it without a password")
        return _document(reader)
    except InvalidInput:
        raise
    except Exception as error:  # a damaged file raises whatever pypdf stumbles on: KeyError, ValueError, its own
        raise InvalidInput(f"it is not a readable PDF file: {error or type(error).__name__}") from error


def _document(reader: PdfReader) -> Document:
    pages = [page.extract_text().strip() for page in reader.pages]
    if not any(pages):
        kind = "images only" if any(_has_images(page) for page in reader.pages) else "no text"
        raise InvalidInput(f"its {len(pages)} pages hold {kind}; run it through OCR first (ocrmypdf, for one)")
    starts = [0, *accumulate(len(page) + len(_BETWEEN_PAGES) for page in pages)][:-1]
    title = str((reader.metadata.title if reader.metadata else None) or "").strip()
    headings = _outlined(reader, pages, starts)
    return Document(_BETWEEN_PAGES.join(pages), title, headings=tuple(headings), pages=tuple(starts))


def _outlined(reader: PdfReader, pages: list[str], starts: list[int]) -> list[Heading]:
    """The headings of the outline; a damaged one costs them and not the text."""
    try:
        return sorted(_headings(reader, reader.outline, pages, starts, 1))
    except Exception:  # as above
        return []


def _has_images(page: Any) -> bool:
    resources = page.get("/Resources")
    objects = resources.get_object().get("/XObject") if resources is not None else None
    drawn = objects.get_object().values() if objects is not None else ()
    return any(one.get_object().get("/Subtype") == "/Image" for one in drawn)


def _headings(
    reader: PdfReader, outline: Iterable[Any], pages: list[str], starts: list[int], level: int
) -> Iterator[Heading]:
    """The outline's entries, each where its words stand on its page, or where the page begins."""
    for entry in outline:
        if isinstance(entry, list):
            yield from _headings(reader, entry, pages, starts, level + 1)
            continue
        page = reader.get_destination_page_number(entry)
        words = " ".join(str(entry.title or "").split())
        if words and page is not None and 0 <= page < len(pages):
            yield Heading(starts[page] + max(0, pages[page].find(words)), level, words)
