"""As many sources as fit: the prompt that a generator is given, within the tokens it reads."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from genstore.errors import InvalidInput
from genstore.rag.conversation import Turn
from genstore.rag.neutral import neutral, neutral_line
from genstore.rag.sources import Source
from genstore.rag.template import Template
from genstore.text.sentences import sentences

Messages = list[dict[str, str]]
"""Chat messages: {"role": "system" | "user" | "assistant", "content": text}."""

# A source cut shorter says hardly more than its title.
_SHORTEST_TOKENS = 48
# Of the room beside the question, what earlier turns may take: the sources are why the question is asked here.
_TURNS_SHARE = 0.25
_SPACE = re.compile(r"(?<=\S)\s+")


@dataclass(frozen=True, slots=True)
class Packed:
    """messages: what the generator is sent; sources: those of the given ones that it holds, as far as they fit."""

    messages: Messages
    sources: list[Source]


def pack(
    template: Template,
    question: str,
    sources: Sequence[Source],
    earlier: Sequence[Turn],
    count: Callable[[str], int],
    budget_tokens: int,
) -> Packed:
    """The prompt of at most budget_tokens by `count`: the best sources first, the last one perhaps cut at a sentence.

    Raises InvalidInput when not even the question and a little of the best source fit.
    """
    room = budget_tokens - sum(map(count, template.filled("", question)))
    if room < _SHORTEST_TOKENS:
        raise InvalidInput(
            f"the question takes all of the {budget_tokens:,} tokens there are; shorten it, or raise context_tokens"
        )
    history, taken = _history(earlier, count, int(room * _TURNS_SHARE))
    room -= taken
    fitting: list[Source] = []
    for source in sources:
        cut = _cut(source, count, room)
        if cut is None:
            break
        fitting.append(cut)
        room -= count(_block(cut))
    if sources and not fitting:
        raise InvalidInput(
            f"beside the question no source fits into the {budget_tokens:,} tokens there are; raise context_tokens"
        )
    system, user = template.filled("\n\n".join(map(_block, fitting)), question)
    messages: Messages = [{"role": "system", "content": system}] if system else []
    return Packed([*messages, *history, {"role": "user", "content": user}], fitting)


def _block(source: Source) -> str:
    asked = f"Asked: {neutral(source.asked)}\nAnswered: " if source.asked else ""
    title = neutral_line(str(source.location))
    return f'<source id="{source.number}" from="{title}">\n{asked}{neutral(source.text)}\n</source>'


def _cut(source: Source, count: Callable[[str], int], room: int) -> Source | None:
    """The source, or what fits of its beginning, in at most `room` tokens; None when hardly anything of it fits.

    Cut behind a sentence, or where not even the first fits, behind a word.
    """
    if count(_block(source)) <= room:
        return source
    if room < _SHORTEST_TOKENS:
        return None
    for ends in ([end for _, end in sentences(source.text)], [space.start() for space in _SPACE.finditer(source.text)]):
        fitting = bisect_right(ends, room, key=lambda end: count(_block(replace(source, end=source.start + end))))
        if fitting:
            return replace(source, end=source.start + ends[fitting - 1])
    return None


def _history(earlier: Sequence[Turn], count: Callable[[str], int], room: int) -> tuple[Messages, int]:
    """The latest turns that fit, oldest first, and the tokens they take.

    Their markers pointed at other sources; left in, they would be taken for this answer's.
    """
    kept: list[Mapping[str, str]] = []
    taken = 0
    for turn in reversed(earlier):
        pair = [
            {"role": "user", "content": neutral(turn.question)},
            {"role": "assistant", "content": neutral(turn.answer)},
        ]
        taken += sum(count(message["content"]) for message in pair)
        if taken > room:
            taken -= sum(count(message["content"]) for message in pair)
            break
        kept = [*pair, *kept]
    return [dict(message) for message in kept], taken
