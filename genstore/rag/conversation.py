"""A conversation: the turns of a session, and what a follow-up question means among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from genstore.records import Record

_WORD = re.compile(r"\w+")
# What stands for something said before.
_BACK = (
    "it its itself they them their theirs he him his she her hers this that these those there then one ones same such "
    "former latter above both another else more"
)
_REFERRING = frozenset(_BACK.split())
_CONTINUING = re.compile(r"\s*(?:and|but|or|so|also|then|why|how come|what about|how about|what else)\b", re.I)
_FEW_WORDS = 4
# A chain of follow-ups keeps what it is about, not all that was ever asked.
_MOST_WORDS = 48


@dataclass(frozen=True, slots=True)
class Turn:
    """One question of a session with its answer; understood: the question as it was searched for."""

    record_id: str
    question: str
    answer: str
    understood: str


def turns(records: Sequence[Record]) -> list[Turn]:
    """The turns that records of a session are, oldest first; failed ones said nothing to come back to."""
    return [
        Turn(record.id, record.prompt_text, record.output_text, _understood_as(record))
        for record in records
        if record.status == "ok" and record.prompt_text
    ]


def _understood_as(record: Record) -> str:
    answer = record.metadata.get("answer")
    known = answer.get("question") if isinstance(answer, dict) else None
    return known if isinstance(known, str) else record.prompt_text


def understood(question: str, earlier: Sequence[Turn]) -> str:
    """The question with what it refers to: one that leans on the turn before is searched for together with it."""
    if not earlier or not leans_on_earlier(question):
        return question
    words = f"{earlier[-1].understood} {question}".split()
    return " ".join(words[-_MOST_WORDS:])


def leans_on_earlier(question: str) -> bool:
    """Whether a question is hardly one on its own: it refers back, goes on, or says next to nothing."""
    words = [word.lower() for word in _WORD.findall(question)]
    return bool(_CONTINUING.match(question)) or not _REFERRING.isdisjoint(words) or len(words) < _FEW_WORDS
