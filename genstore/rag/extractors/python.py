"""Python source: its classes and functions are its headings."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from itertools import accumulate

from genstore.rag.documents import Document, Heading
from genstore.rag.extractors.plain import decoded


def extract(data: bytes, name: str) -> Document:
    """The source as it is; one that Python cannot parse has no headings."""
    text = decoded(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of a string in somebody else's file
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Document(text, media_type="text/x-python")
    starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    return Document(text, "", "text/x-python", tuple(_definitions(tree, starts, 1)))


def _definitions(node: ast.AST, starts: list[int], level: int) -> Iterator[Heading]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            kind = "class" if isinstance(child, ast.ClassDef) else "def"
            yield Heading(starts[child.lineno - 1], level, f"{kind} {child.name}")
            yield from _definitions(child, starts, level + 1)
