"""The prompt: a text file with a block for the system's message and one for the user's, which may be replaced."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from genstore.errors import InvalidInput
from genstore.identity import sha256

NOT_FOUND = "Not in the store."
"""What is said instead of an answer."""

_BLOCKS = re.compile(r"^=== (system|user) ===[ \t]*\n", re.M)
_PLACE = re.compile(r"\{(sources|question|not_found)\}")
_DEFAULT = Path(__file__).with_name("template.md")


@dataclass(frozen=True, slots=True)
class Template:
    """system and user: texts with {sources}, {question} and {not_found}; name: recorded with each answer."""

    system: str
    user: str
    name: str

    def filled(self, sources: str, question: str) -> tuple[str, str]:
        """(system, user) with everything in its place.

        In one pass, so that a passage that holds "{question}" keeps it.
        """
        values = {"sources": sources, "question": question, "not_found": NOT_FOUND}

        def fill(text: str) -> str:
            return _PLACE.sub(lambda match: values[match[1]], text)

        return fill(self.system), fill(self.user)


def load_template(path: str | None = None) -> Template:
    """The template in a file, as it is now, or the one that comes with genstore.

    Raises InvalidInput when it cannot be read, lacks the user's block, {sources} or {question}, or begins with
    something that is no block and would be lost.
    """
    return _read(Path(path)) if path else _default()


@cache
def _default() -> Template:
    return _read(_DEFAULT)


def _read(file: Path) -> Template:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the template {file} cannot be read: {error}") from error
    before, *pieces = _BLOCKS.split(text)
    if pieces and before.strip():
        raise InvalidInput(
            f'the template {file} does not begin with "=== system ===" or "=== user ==="; see docs/rag.md'
        )
    blocks = dict(zip(pieces[::2], (piece.strip() for piece in pieces[1::2]), strict=True))
    if "user" not in blocks:
        raise InvalidInput(f'the template {file} has no block under "=== user ==="; see docs/rag.md')
    for place in ("sources", "question"):
        if f"{{{place}}}" not in blocks["user"]:
            raise InvalidInput(f"the template {file} has no {{{place}}} in its user block; see docs/rag.md")
    return Template(blocks.get("system", ""), blocks["user"], f"{file.name}@{sha256(text.encode())[:12]}")
