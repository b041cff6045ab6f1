"""The text form of a filter: `model:gpt-4o score.quality>=0.8 -status:error`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn, TypeVar, cast

from genstore.errors import InvalidFilter
from genstore.filters.condition import condition_on
from genstore.filters.tree import (
    EVERYTHING,
    MAX_DEPTH,
    RANGES,
    All,
    Any_,
    Compare,
    Filter,
    Not,
    Op,
    number_text,
    resolve,
)
from genstore.records import from_microseconds

_SEGMENT = re.compile(r'[^\s:=<>!(),."\\*]+')
_VALUE = re.compile(r'[^\s(),"]+')
_OPERATOR = re.compile(r"\s*(?::?(>=|<=|>|<)|(!=)|[:=])\s*")
_PLAIN = re.compile(r"(?!.*\.\.)[\w\-./:@+]+")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_ESCAPED = {ord(char): f"\\{letter}" for letter, char in _ESCAPES.items()}
_Built = TypeVar("_Built")


def parse(text: str, now: datetime | None = None) -> Filter:
    """The tree of a filter's text; docs/filters.md has the grammar. Empty text is true for every record.

    now: what relative times count back from, the present by default.
    Raises InvalidFilter whose position is the offset of what cannot be read.
    """
    return _Parser(text, now).whole()


class _Parser:
    """Recursive descent; `at` is the offset of the next character."""

    def __init__(self, text: str, now: datetime | None) -> None:
        self.text, self.now = text, now
        self.at = self.parentheses = 0

    def whole(self) -> Filter:
        tree = self.alternatives()
        if self.at < len(self.text):
            self.fail("this ) closes nothing")
        return tree

    def alternatives(self) -> Filter:
        start = self.space()
        if self.at == len(self.text) or self.text[self.at] == ")":
            return EVERYTHING
        found = [self.sequence()]
        while self.keyword("or"):
            found.append(self.sequence())
        return self.joined(start, Any_, found)

    def sequence(self) -> Filter:
        start = self.space()
        found = [self.term()]
        while self.keyword("and") or not (self.at == len(self.text) or self.text[self.at] == ")" or self.peek("or")):
            found.append(self.term())
        return self.joined(start, All, found)

    def term(self) -> Filter:
        start, negations = self.at, 0
        while self.take("-") or self.keyword("not"):
            negations += 1
            self.space()
        tree = self.group() if self.text.startswith("(", self.at) else self.comparison()
        for _ in range(negations):
            tree = self.negated(start, tree)
        self.space()
        return tree

    def group(self) -> Filter:
        start = self.at
        self.parentheses += 1
        if self.parentheses > MAX_DEPTH:
            self.fail(f"parentheses are nested deeper than {MAX_DEPTH} levels")
        self.at += 1
        tree = self.alternatives()
        if not self.take(")"):
            self.fail("this ( is never closed", start)
        self.parentheses -= 1
        return tree

    def comparison(self) -> Filter:
        start = self.at
        segments = [self.segment()]
        while self.take("."):
            segments.append(self.segment())
        operator = _OPERATOR.match(self.text, self.at)
        if operator is None:
            self.fail(f"{self.text[start : self.at]!r} needs an operator and a value, like field:value", start)
        name = self.built(start, resolve, ".".join(segments))
        self.at = operator.end()
        if operator[1]:
            tree = self.compared(self.at, name, cast("Op", operator[1]), self.word())
            self.boundary()
            return tree
        found = [self.choice(name)]
        while self.take(","):
            self.space()
            found.append(self.choice(name))
        tree = self.joined(start, Any_, found)
        self.boundary()
        return self.negated(start, tree) if operator[2] else tree

    def choice(self, name: str) -> Filter:
        """One of the values after a colon: exact, start*, * for any, low..high."""
        start = self.at
        if self.text.startswith('"', start):
            value = self.quoted()
            return self.compared(start, name, "prefix" if self.take("*") else "=", value)
        value = self.word()
        if value == "*":
            return self.compared(start, name, "exists", "")
        star, dots = value.find("*"), value.find("..")
        if 0 <= star < len(value) - 1:
            self.fail("* stands for the rest only at the end of a value; quote it to mean itself", start + star)
        if dots >= 0:
            return self.between(start, name, value[:dots], value[dots + 2 :])
        return self.compared(start, name, "prefix", value[:-1]) if star > 0 else self.compared(start, name, "=", value)

    def between(self, start: int, name: str, low: str, high: str) -> Filter:
        bounds = [self.compared(start, name, ">=", low)] if low else []
        if high:
            bounds.append(self.compared(start + len(low) + 2, name, "<=", high))
        if not bounds:
            self.fail("a range needs a bound: 1..5, 1.. or ..5", start)
        return self.joined(start, All, bounds)

    def compared(self, start: int, name: str, op: Op, value: str) -> Filter:
        return self.built(start, condition_on, name, op, value, self.now)

    def joined(self, start: int, make: Callable[[tuple[Filter, ...]], Filter], found: list[Filter]) -> Filter:
        return found[0] if len(found) == 1 else self.built(start, make, tuple(found))

    def negated(self, start: int, tree: Filter) -> Filter:
        return self.built(start, Not, tree)

    def segment(self) -> str:
        if self.text.startswith('"', self.at):
            return self.quoted()
        if (found := _SEGMENT.match(self.text, self.at)) is None:
            self.fail("expected a field name here")
        self.at = found.end()
        return found[0]

    def word(self) -> str:
        if self.text.startswith('"', self.at):
            return self.quoted()
        if (found := _VALUE.match(self.text, self.at)) is None:
            self.fail('expected a value here; "" is the empty text')
        self.at = found.end()
        return found[0]

    def quoted(self) -> str:
        start = self.at
        found: list[str] = []
        self.at += 1
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == '"':
                self.at += 1
                return "".join(found)
            if char == "\\":
                self.at += 1
                char = _ESCAPES.get(self.text[self.at : self.at + 1], "")
                if not char:
                    self.fail(r"a backslash in quotes is followed by \, \", n, t or r", self.at - 1)
            found.append(char)
            self.at += 1
        return self.fail("this quotation mark is never closed", start)

    def boundary(self) -> None:
        if self.at < len(self.text) and not self.text[self.at].isspace() and self.text[self.at] != ")":
            self.fail("expected a space here; a value with quotes, commas or parentheses is written in quotes")

    def peek(self, keyword: str) -> re.Match[str] | None:
        return re.compile(rf"{keyword}(?=[\s()]|$)", re.IGNORECASE).match(self.text, self.at)

    def keyword(self, keyword: str) -> bool:
        if (found := self.peek(keyword)) is None:
            return False
        self.at = found.end()
        self.space()
        return True

    def take(self, char: str) -> bool:
        found = self.text.startswith(char, self.at)
        self.at += found
        return found

    def space(self) -> int:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at

    def built(self, start: int, make: Callable[..., _Built], *arguments: Any) -> _Built:
        """make(*arguments), an InvalidFilter pointing at start."""
        try:
            return make(*arguments)
        except InvalidFilter as error:
            raise InvalidFilter(str(error), self.text, start) from None

    def fail(self, message: str, position: int | None = None) -> NoReturn:
        raise InvalidFilter(message, self.text, self.at if position is None else position)


def to_text(condition: Filter) -> str:
    """The filter as text that parse reads back: the same tree, save that one-part All and Any_ lose their wrapping."""
    text = _text(condition, 0)
    return "" if text == "()" else text


def _text(condition: Filter, binding: int) -> str:
    """binding: what stands around it; 0 nothing, 1 an `or`, 2 a sequence or a minus."""
    if isinstance(condition, Compare):
        return _field_text(condition.field) + _value_text(condition)
    if isinstance(condition, Not):
        return "-" + _text(condition.condition, 2)
    parts = condition.conditions
    if len(parts) == 1:
        return _text(parts[0], binding)
    if isinstance(condition, All):
        text = " ".join(_text(part, 2) for part in parts)
        return f"({text})" if binding == 2 or not parts else text
    if not parts:
        return "-()"
    if (listed := _list_text(parts)) is not None:
        return listed
    text = " or ".join(_text(part, 1) for part in parts)
    return f"({text})" if binding else text


def _list_text(parts: tuple[Filter, ...]) -> str | None:
    """field:a,b,c when every part asks that of one field."""
    compares = [part for part in parts if isinstance(part, Compare) and part.op not in RANGES]
    if len(compares) < len(parts) or len({part.field for part in compares}) > 1:
        return None
    return f"{_field_text(compares[0].field)}:" + ",".join(_value_text(part)[1:] for part in compares)


def _field_text(name: str) -> str:
    return ".".join(part if _SEGMENT.fullmatch(part) else _quote(part) for part in name.split("."))


def _value_text(condition: Compare) -> str:
    if condition.op == "exists":
        return ":*"
    value = str(condition.value)
    if condition.op != "prefix" and condition.number is not None:
        if condition.field == "created_at":
            value = from_microseconds(int(condition.number)).isoformat().replace("+00:00", "Z")
        elif condition.op != "=":
            value = number_text(condition.number)
    word = value if _PLAIN.fullmatch(value) else _quote(value)
    return f":{word}*" if condition.op == "prefix" else f"{':' if condition.op == '=' else condition.op}{word}"


def _quote(text: str) -> str:
    return f'"{text.translate(_ESCAPED)}"'
