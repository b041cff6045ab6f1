"""Why two texts that are alike in meaning may yet say different things: their numbers, negations, opposites, names.

Embeddings hardly see these: "turn it on" and "turn it off" have almost the same vector. The guard reads words, knows
English, and would rather part two texts that say the same than let pass two that do not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from genstore.text.opposites import opposites

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# A sign counts at a word's beginning: the second number of "18-49" is no negative one.
_NUMBER = re.compile(r"(?<!\S)-?\d[\d,]*(?:\.\d+)?|\d[\d,]*(?:\.\d+)?|[^\W\d_]+")
# A capital that does not begin a sentence, or a word of capitals.
_NAME = re.compile(r"(?<=[a-z0-9,;:)-] )([A-Z][^\W_]+)|\b([A-Z]{2,}[^\W_]*)")

_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_NUMERALS = {
    # Without "one", which is as often no number at all: "the one that".
    **{word: str(value) for value, word in enumerate(_SMALL) if word != "one"},
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000",
    "half": "0.5", "twice": "2", "double": "2", "triple": "3",
}  # fmt: skip

_NEGATIONS = frozenset((
    "not", "no", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "without", "cannot", "barely",
    "hardly", "scarcely", "unable", "fail", "fails", "failed", "failing", "refuse", "refuses", "refused", "refusing",
    "deny", "denies", "denied", "denying", "lack", "lacks", "lacked", "lacking",
))  # fmt: skip
_NEGATING_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "non", "de", "mis")
_SHORTEST_STEM = 4
# Of such words one text may hold another than the other text and say the same.
_FUNCTION_WORDS = frozenset((
    "a", "an", "the", "this", "that", "these", "those", "is", "was", "are", "were", "be", "been", "has", "have", "had",
    "of", "at", "by", "to", "as", "and", "which", "who", "will", "would", "shall", "should", "may", "might", "can",
    "could",
))  # fmt: skip
# At most one of each is meant.
_EXCLUSIVE = (
    frozenset(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")),
    frozenset((
        "january", "february", "april", "june", "july", "august", "september", "october", "november", "december",
    )),
    frozenset(("am", "pm")),
    frozenset(("red", "green", "blue", "yellow", "black", "white", "orange", "purple", "brown", "grey", "pink")),
)  # fmt: skip


def disagreement(one: str, other: str) -> str | None:
    """What two texts differ in that a vector does not see, as a few words; None when nothing of the kind was found."""
    if one == other:
        return None
    left, right = _read(one), _read(other)
    if left.words.keys().isdisjoint(right.words):
        return "no word in common"  # a model gives all words that it does not know, smileys too, one vector
    if left.numbers != right.numbers:
        return f"numbers: {_listed(left.numbers)} / {_listed(right.numbers)}"
    if left.negations != right.negations:
        return f"negation: {left.negations} / {right.negations}"
    # By count: "turn on the light on the porch" still has an "on" when the first is turned off.
    if pair := _opposites(frozenset(left.words - right.words), frozenset(right.words - left.words)):
        return f"opposites: {pair[0]} / {pair[1]}"
    mine = [name for name in left.names if name not in right.words]
    theirs = [name for name in right.names if name not in left.words]
    if mine and theirs:
        return f"names: {_listed(mine)} / {_listed(theirs)}"
    if swapped := _substituted(left.ordered, right.ordered):
        return f"one word: {swapped[0]} / {swapped[1]}"
    if left.words == right.words and not _one_phrase_moved(left.ordered, right.ordered):
        return "the same words in another order"
    return None


class _Read:
    """What the guard looks at in one text."""

    __slots__ = ("names", "negations", "numbers", "ordered", "words")

    def __init__(self, text: str) -> None:
        self.ordered = [word.replace("’", "'") for word in _WORD.findall(text.casefold())]
        self.words = Counter(map(_without_possessive, self.ordered))
        self.numbers = list(_numbers(text))
        self.negations = sum(word in _NEGATIONS or word.endswith("n't") for word in self.ordered)
        self.names = list(dict.fromkeys((first or second).casefold() for first, second in _NAME.findall(text)))


_read = lru_cache(maxsize=64)(_Read)  # one text is compared with several others in a row


def _numbers(text: str) -> Iterator[str]:
    """The text's numbers in their order, written in digits or in words."""
    for found in _NUMBER.findall(text):
        if found[-1].isdigit():
            yield found.replace(",", "")
        elif (value := _NUMERALS.get(found.casefold())) is not None:
            yield value


def _without_possessive(word: str) -> str:
    return word.removesuffix("'s").removesuffix("'")


def _opposites(mine: frozenset[str], theirs: frozenset[str]) -> tuple[str, str] | None:
    """A word of one text alone whose opposite stands in the other alone."""
    for group in _EXCLUSIVE:
        if (one := mine & group) and (other := theirs & group):
            return min(one), min(other)
    for word in sorted(mine):
        if against := opposites(word) & theirs:
            return word, min(against)
        for prefix in _NEGATING_PREFIXES:
            if len(word) >= _SHORTEST_STEM and prefix + word in theirs:
                return word, prefix + word
            stem = word.removeprefix(prefix)
            if stem != word and len(stem) >= _SHORTEST_STEM and stem in theirs:
                return word, stem
    return None


def _substituted(one: list[str], other: list[str]) -> tuple[str, str] | None:
    """The one word in which two texts of equal length differ, unless its two forms share a stem."""
    if len(one) != len(other):
        return None
    differing = [(mine, theirs) for mine, theirs in zip(one, other, strict=True) if mine != theirs]
    if len(differing) != 1:
        return None
    mine, theirs = differing[0]
    same_stem = mine[:_SHORTEST_STEM] == theirs[:_SHORTEST_STEM]
    return None if same_stem or {mine, theirs} <= _FUNCTION_WORDS else (mine, theirs)


def _one_phrase_moved(one: list[str], other: list[str]) -> bool:
    """Whether one phrase stands elsewhere ("on Monday it rained"), and nothing else changed its place."""
    first = next((at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]), len(one))
    last = next((at for at in range(len(one), first, -1) if one[at - 1] != other[at - 1]), first)
    mine, theirs = one[first:last], other[first:last]
    return any(theirs == mine[at:] + mine[:at] for at in range(len(mine) or 1))


def _listed(values: Iterable[str]) -> str:
    return ", ".join(values) or "none"
