"""Which extractor a file takes, by its name and its first bytes."""

from __future__ import annotations

import importlib
import mimetypes
from pathlib import PurePath

from genstore.errors import InvalidInput
from genstore.rag.documents import Document

# Format -> (module, suffixes). Everything else is taken as plain text if it is text.
_FORMATS = {
    "pdf": ("genstore.rag.extractors.pdf", (".pdf",)),
    "docx": ("genstore.rag.extractors.docx", (".docx",)),
    "html": ("genstore.rag.extractors.html", (".html", ".htm", ".xhtml")),
    "markdown": ("genstore.rag.extractors.markdown", (".md", ".markdown", ".mdx")),
    "table": ("genstore.rag.extractors.table", (".csv", ".tsv")),
    "python": ("genstore.rag.extractors.python", (".py",)),
    "plain": ("genstore.rag.extractors.plain", ()),
}
_BY_SUFFIX = {suffix: name for name, (_, suffixes) in _FORMATS.items() for suffix in suffixes}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_UTF_32 = b"\xff\xfe\0\0"
_HEAD = 8_192


def extract(data: bytes, name: str) -> Document:
    """The document in a file's bytes; name: the file's, whose suffix says the format unless the bytes do.

    Raises InvalidInput saying why there is no text to be had, MissingDependency naming the extra to install.
    """
    if not data.strip():
        raise InvalidInput("it is empty")
    module, _ = _FORMATS[_format_of(data, name)]
    document: Document = importlib.import_module(module).extract(data, name)
    if not document.text.strip():
        raise InvalidInput("there is no text in it")
    return document


def is_document(name: str, head: bytes) -> bool:
    """Whether a file that stands in a folder is worth reading: a format we know, or text. head: its first bytes."""
    return PurePath(name).suffix.lower() in _BY_SUFFIX or not _is_binary(head)


def _is_binary(data: bytes) -> bool:
    """Whether it holds NUL near its beginning, as only UTF-16 does among texts, which is known by its mark."""
    return b"\0" in data[:_HEAD] and (data.startswith(_UTF_32) or not data.startswith(_UTF_16))


def _format_of(data: bytes, name: str) -> str:
    suffix = PurePath(name).suffix.lower()
    if data.startswith(b"%PDF-"):
        return "pdf"
    if data.startswith(_OLE):
        raise InvalidInput("it is password-protected, or in Word's old format; save it as .docx without a password")
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if not suffix and data[:_HEAD].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "html"
    if _is_binary(data):
        kind = mimetypes.guess_type(name)[0] or "a binary file"
        if kind.startswith("text/"):
            raise InvalidInput("it is binary, or text in an encoding that is not read; save it as UTF-8")
        raise InvalidInput(f"it is {kind}; text, Markdown, HTML, PDF, DOCX, CSV and source code can be added")
    return "plain"
