"""Plain text, and source code in any language: kept as it is."""

from __future__ import annotations

import codecs

from genstore.rag.documents import Document

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def extract(data: bytes, name: str) -> Document:
    """The text as it is; its first line is no title, for it may be anything."""
    return Document(decoded(data))


def decoded(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with a byte order mark, or else in Windows-1252, which takes nearly any byte."""
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")
