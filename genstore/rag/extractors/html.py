"""HTML: what a reader sees of it, laid out as text by inscriptis, with its headings."""

from __future__ import annotations

import re

from genstore.errors import InvalidInput, MissingDependency
from genstore.rag.documents import Document, Heading
from genstore.rag.extractors.plain import decoded

# Of a <meta> or the XML declaration; a script's charset, or prose about one, says nothing of the page.
_DECLARES = re.compile(rb"<meta\b[^>]*\bcharset\s*=|<\?xml\b[^>]*\bencoding\s*=", re.I)
_LEVELS = {f"h{level}": level for level in range(1, 7)}


def extract(data: bytes, name: str) -> Document:
    """The visible text; scripts, styles and hidden elements are left out. Raises InvalidInput, MissingDependency."""
    try:
        import lxml.html
        from inscriptis import Inscriptis
        from inscriptis.model.config import ParserConfig
    except ModuleNotFoundError as error:
        raise MissingDependency('HTML needs inscriptis; pip install "genstore[documents]"') from error
    try:
        # As bytes where the page declares its encoding, for that then counts.
        tree = lxml.html.document_fromstring(_declared(data))
    except (lxml.etree.LxmlError, ValueError) as error:
        raise InvalidInput(f"it cannot be read as HTML: {error}") from error
    for unseen in tree.xpath("//*[@hidden] | //template | //noscript"):
        if unseen is tree:
            raise InvalidInput("all of it is hidden")
        unseen.drop_tree()
    rules = {tag: [tag] for tag in _LEVELS}
    laid_out = Inscriptis(tree, ParserConfig(annotation_rules=rules))
    text = laid_out.get_text()
    headings = tuple(
        Heading(label.start, _LEVELS[label.metadata], words)
        for label in sorted(laid_out.get_annotations(), key=lambda label: label.start)
        if (words := " ".join(text[label.start : label.end].split()))
    )
    title = " ".join((tree.findtext(".//title") or "").split())
    return Document(text, title or next((heading.text for heading in headings), ""), headings=headings)


def _declared(data: bytes) -> bytes | str:
    return data if _DECLARES.search(data[:2_048]) else decoded(data)
