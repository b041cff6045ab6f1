"""Plain text, and source code in any language: kept as it is."""

from __future__ import annotations

import codecs

from genstore.rag.documents import Document

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
# In another encoding next to none of the letters beyond ASCII happens to be right in UTF-8.
_MOSTLY = 10


def extract(data: bytes, name: str) -> Document:
    """The text as it is; its first line is no title, for it may be anything."""
    return Document(decoded(data))


def decoded(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with a byte order mark, or else in Windows-1252, which takes nearly any byte."""
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = _damaged(data) or data.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _damaged(data: bytes) -> str:
    """UTF-8 with a few bytes broken, which would make all its letters beyond ASCII wrong; "" for what is none."""
    text = data.decode("utf-8", "replace")
    beyond = sum(not character.isascii() for character in text)
    return text if text.count("\ufffd") * _MOSTLY < beyond else ""
