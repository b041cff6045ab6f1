"""Filters: which records a search or a listing may return. The tree, its Python form and its text form.

    parse('model:gpt-4o score.quality>=0.8 -status:error')
    (F("model") == "gpt-4o") & (F("score.quality") >= 0.8) & ~(F("status") == "error")

are the same tree. A record is seen as leaves (`leaves`): a field has any number of texts and numbers, and a
comparison is true when any of them satisfies it. SQL rows, index payload and `matches` all follow that definition.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias, TypeVar, cast

from genstore.errors import InvalidFilter
from genstore.records import USAGE_FIELDS, Record, from_microseconds, to_microseconds

Leaf: TypeAlias = str | float
Op: TypeAlias = Literal["=", "<", "<=", ">", ">=", "exists", "prefix"]

LEAF_CHARACTERS = 512
# With a leaf of 512 four-byte characters a path of 128 still fits PostgreSQL's 2,704 bytes for an index entry.
PATH_CHARACTERS = 128
MAX_DEPTH = 32
MAX_CONDITIONS = 5_000

TEXT_FIELDS = (
    "id", "project", "kind", "name", "model", "provider", "operation", "status", "error", "finish_reason",
    "session_id", "trace_id", "span_id", "parent_id", "user_id", "fingerprint", "tag",
)  # fmt: skip
NUMBER_FIELDS = ("duration_s", "time_to_first_token_s", *(f"usage.{name}" for name in USAGE_FIELDS), "created_at")
OPEN_FIELDS = ("score.", "metadata.", "params.")
ALIASES = {"tags": "tag", **{name: f"usage.{name}" for name in USAGE_FIELDS}}

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_RANGES = ("<", "<=", ">", ">=")


def storable(text: str) -> str:
    """The text with NUL and lone surrogates, which no database takes, replaced by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def clean(text: str) -> str:
    """The leaf a text becomes: storable and at most 512 characters."""
    return storable(text[:LEAF_CHARACTERS])


def resolve(name: str) -> str:
    """The canonical name of a field. Raises InvalidFilter for an unknown one, naming the closest that exists."""
    name = ALIASES.get(name, name)
    if name in TEXT_FIELDS or name in NUMBER_FIELDS:
        return name
    if name.startswith(OPEN_FIELDS):
        return storable(name) if name.startswith("score.") else storable(name[:PATH_CHARACTERS])
    known = (*TEXT_FIELDS, *NUMBER_FIELDS, *ALIASES)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    head, dot, rest = name.partition(".")
    if not close and dot:
        roots = difflib.get_close_matches(head, [root[:-1] for root in OPEN_FIELDS], n=1, cutoff=0.6)
        close = [f"{root}.{rest}" for root in roots]
    raise InvalidFilter(f"unknown field {name!r}; did you mean {close[0] if close else f'metadata.{name}'!r}?")


def kind_of(name: str) -> Literal["text", "number", "any"]:
    """What the leaves of a canonical field can be."""
    return "text" if name in TEXT_FIELDS else "number" if name in NUMBER_FIELDS else "any"


def number_of(literal: Leaf) -> float | None:
    """The finite number a literal spells in decimal or scientific notation, or None."""
    if isinstance(literal, str) and not _NUMBER.fullmatch(literal):
        return None
    try:
        value = float(literal) + 0.0  # + 0.0 turns -0.0 into 0.0, which has one spelling
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


class _Combinable:
    """`&`, `|` and `~` over filters; chains of one operator stay flat."""

    __slots__ = ()

    def __and__(self, other: Filter) -> All:
        return All((*(self.conditions if isinstance(self, All) else (cast("Filter", self),)), other))

    def __or__(self, other: Filter) -> Any_:
        return Any_((*(self.conditions if isinstance(self, Any_) else (cast("Filter", self),)), other))

    def __invert__(self) -> Not:
        return Not(cast("Filter", self))


@dataclass(frozen=True)
class Compare(_Combinable):
    """True when any leaf of the field satisfies the operator.

    The value is kept in one canonical form: text for "=" and "prefix", a finite float for ranges, "" for "exists".
    `created_at` compares microseconds since 1970 UTC. A text that spells a number also equals that number.
    Raises InvalidFilter for an unknown field or a value the field cannot be compared with.
    """

    field: str
    op: Op
    value: Leaf = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "field", resolve(self.field))
        object.__setattr__(self, "value", _canonical(self.field, self.op, self.value))

    @property
    def text(self) -> str:
        """The value as a text leaf would have to be."""
        return str(self.value)

    @property
    def number(self) -> float | None:
        """The value as a numeric leaf would have to be, None when it spells no number."""
        return number_of(self.value)

    @property
    def depth(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return 1


@dataclass(frozen=True)
class Not(_Combinable):
    """True when the condition is not, so also for records that lack the field."""

    condition: Filter
    depth: int = field(init=False, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _measure(self, (self.condition,))


@dataclass(frozen=True)
class All(_Combinable):
    """True when every condition is; All(()) is true."""

    conditions: tuple[Filter, ...]
    depth: int = field(init=False, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        _measure(self, self.conditions)


@dataclass(frozen=True)
class Any_(_Combinable):
    """True when at least one condition is; Any_(()) is false."""

    conditions: tuple[Filter, ...]
    depth: int = field(init=False, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        _measure(self, self.conditions)


Filter: TypeAlias = All | Any_ | Not | Compare
Where: TypeAlias = str | Filter | None


def _measure(node: All | Any_ | Not, children: tuple[Filter, ...]) -> None:
    """Bound every tree where it is built, so that nothing that walks one can run out of stack or SQL parameters."""
    for child in children:
        if not isinstance(child, Filter):
            raise InvalidFilter(f"a filter is made of filters, got {child!r}")
    depth = 1 + max((child.depth for child in children), default=0)
    size = 1 + sum(child.size for child in children)
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"the filter is nested deeper than {MAX_DEPTH} levels; flatten it")
    if size > MAX_CONDITIONS:
        raise InvalidFilter(f"the filter has more than {MAX_CONDITIONS:,} conditions; ask in several steps")
    object.__setattr__(node, "depth", depth)
    object.__setattr__(node, "size", size)


EVERYTHING = All(())


def _canonical(name: str, op: Op, value: Any) -> Leaf:
    if op == "exists":
        return ""
    if op not in ("=", "prefix", *_RANGES):
        raise InvalidFilter(f"unknown operator {op!r}")
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str | int | float) or (not isinstance(value, str) and number_of(value) is None):
        raise InvalidFilter(f"{name} cannot be compared with {value!r}; use text or a finite number")
    kind = kind_of(name)
    if kind == "number" and op == "prefix":
        raise InvalidFilter(f"{name} holds numbers, which have no prefix; use a range like {name}:1..5")
    if kind == "text" and op in _RANGES:
        raise InvalidFilter(f"{name} holds text, which has no {op}; use {name}:value or {name}:start*")
    if kind == "number" or op in _RANGES:
        number = number_of(value)
        if number is None:
            raise InvalidFilter(f"{name} is compared with a number here, got {value!r}")
        if name == "created_at":
            _check_moment(number)
        return _number_text(number) if op == "=" else number
    return clean(value if isinstance(value, str) else _number_text(value) if isinstance(value, float) else str(value))


def _check_moment(microseconds: float) -> None:
    try:
        from_microseconds(int(microseconds))
    except (ValueError, OverflowError):
        microseconds = math.nan
    if not microseconds.is_integer():
        raise InvalidFilter("created_at is compared with a moment between the years 1 and 9999, in whole microseconds")


# --- what a record is to a filter


class FieldRow(NamedTuple):
    """A leaf of metadata or params as SQL keeps it; exactly one of text and number is set."""

    path: str
    position: int
    text: str | None
    number: float | None


def _flatten(root: str, value: Any) -> Iterator[tuple[str, Leaf]]:
    """Each leaf of a JSON value with its path, in order; a list's elements stand under the list's path."""
    pending: list[tuple[str, Any]] = [(root, value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, Mapping):
            pending += reversed([(f"{path}.{key}", below) for key, below in item.items()])
        elif isinstance(item, list | tuple):
            pending += reversed([(path, below) for below in item])
        elif (leaf := _leaf(item)) is not None:
            yield storable(path[:PATH_CHARACTERS]), leaf


def _leaf(value: Any) -> Leaf | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int | float):
        return number_of(value)
    return None


def _grouped(pairs: Iterable[tuple[str, Leaf | None]]) -> dict[str, list[Leaf]]:
    """Leaves by path, each once: repeating one changes no comparison."""
    found: dict[str, list[Leaf]] = {}
    for path, leaf in dict.fromkeys(pairs):
        if leaf is not None:
            found.setdefault(path, []).append(leaf)
    return found


def field_rows(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> list[FieldRow]:
    """The rows of the table `fields` for one record, positions counted from 0 within a path."""
    if not metadata and not params:
        return []
    rows: list[FieldRow] = []
    for path, values in _grouped([*_flatten("metadata", metadata), *_flatten("params", params)]).items():
        for position, leaf in enumerate(values):
            text, number = (leaf, None) if isinstance(leaf, str) else (None, leaf)
            rows.append(FieldRow(path, position, text, number))
    return rows


def leaves(record: Record) -> dict[str, list[Leaf]]:
    """Everything filters can see of a record: canonical field -> its distinct leaves, fields without any left out."""
    pairs: list[tuple[str, Leaf | None]] = [
        (name, _leaf(getattr(record, name))) for name in (*TEXT_FIELDS, *NUMBER_FIELDS[:2]) if name != "tag"
    ]
    pairs += [(f"usage.{name}", _leaf(getattr(record.usage, name))) for name in USAGE_FIELDS]
    pairs.append(("created_at", float(to_microseconds(record.created_at))))
    pairs += [("tag", clean(tag)) for tag in record.tags]
    for score in record.scores:
        pairs += [(f"score.{storable(score.name)}", _leaf(judged)) for judged in (score.value, score.label)]
    pairs += _flatten("metadata", record.metadata)
    pairs += _flatten("params", record.params)
    return _grouped(pairs)


def matches(condition: Filter, of: Mapping[str, Iterable[Leaf]]) -> bool:
    """Whether a record with these leaves satisfies the filter: the definition SQL and indexes are tested against."""
    if isinstance(condition, Compare):
        return any(_satisfies(leaf, condition) for leaf in of.get(condition.field, ()))
    if isinstance(condition, Not):
        return not matches(condition.condition, of)
    return (all if isinstance(condition, All) else any)(matches(part, of) for part in condition.conditions)


def _satisfies(leaf: Leaf, wanted: Compare) -> bool:
    if wanted.op == "exists":
        return True
    if isinstance(leaf, str):
        return leaf == wanted.text if wanted.op == "=" else wanted.op == "prefix" and leaf.startswith(wanted.text)
    number = wanted.number
    if number is None or wanted.op == "prefix":
        return False
    if wanted.op == "=":
        return leaf == number
    if wanted.op in ("<", "<="):
        return leaf < number or (wanted.op == "<=" and leaf == number)
    return leaf > number or (wanted.op == ">=" and leaf == number)


# --- the Python form


class F:
    """A field to compare: F("score.quality") >= 0.8, F("tag").in_(["a", "b"]), ~F("error").exists().

    Moments are datetimes, dates (the whole day, UTC) or what the text form takes: F("created_at") >= "7d".
    Raises InvalidFilter for an unknown field.
    """

    __slots__ = ("field",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self.field = resolve(name)

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        return _condition(self.field, "=", value)

    def __ne__(self, value: object) -> Not:  # type: ignore[override]
        return Not(_condition(self.field, "=", value))

    def __lt__(self, value: object) -> Filter:
        return _condition(self.field, "<", value)

    def __le__(self, value: object) -> Filter:
        return _condition(self.field, "<=", value)

    def __gt__(self, value: object) -> Filter:
        return _condition(self.field, ">", value)

    def __ge__(self, value: object) -> Filter:
        return _condition(self.field, ">=", value)

    def __bool__(self) -> NoReturn:
        raise InvalidFilter(f"F({self.field!r}) has no truth value; combine comparisons with & | ~, not and/or/not")

    def prefix(self, start: str) -> Compare:
        """True when a text of the field starts with this."""
        return Compare(self.field, "prefix", start)

    def exists(self) -> Compare:
        """True when the record has the field."""
        return Compare(self.field, "exists")

    def in_(self, values: Iterable[object]) -> Any_:
        """True when the field equals any of the values; no values, no match."""
        return Any_(tuple(_condition(self.field, "=", value) for value in values))


def as_filter(where: Where, now: datetime | None = None) -> Filter:
    """The tree of whatever a caller may pass as `where`: text, a tree, or None for everything."""
    if where is None:
        return EVERYTHING
    if isinstance(where, str):
        return parse(where, now)
    if isinstance(where, Filter):
        return where
    raise InvalidFilter(f"where is a text or a filter, got {where!r}")


_DAY_US = 86_400_000_000
_UNITS_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": _DAY_US, "w": 7 * _DAY_US}
_AGO = re.compile(r"-?([0-9]{1,9})([smhdw])")


def _condition(name: str, op: Op, value: Any, now: datetime | None = None) -> Filter:
    if name != "created_at" or op in ("exists", "prefix") or not isinstance(value, str | date):
        return Compare(name, op, value)
    start, end = _span(value, now)
    if end == start:  # a duration before now is a bound, not a moment one could have been created at
        if op == "=":
            raise InvalidFilter(f"created_at:{value} names one instant; write created_at>={value} for the time since")
        return Compare(name, op, start)
    if op == "=" and end - start > 1:
        return All((Compare(name, ">=", start), Compare(name, "<", end)))
    if op in (">", "<=") and end - start > 1:
        return Compare(name, ">=" if op == ">" else "<", end)
    return Compare(name, op, start)


def _span(value: str | date, now: datetime | None) -> tuple[int, int]:
    """[start, end) in microseconds: a day, one microsecond, or nothing for a time ago."""
    if isinstance(value, str):
        if ago := _AGO.fullmatch(value):
            start = to_microseconds(now or datetime.now(UTC)) - int(ago[1]) * _UNITS_US[ago[2]]
            return start, start
        value = _moment(value)
    if isinstance(value, datetime):
        return to_microseconds(value), to_microseconds(value) + 1
    start = to_microseconds(datetime(value.year, value.month, value.day, tzinfo=UTC))
    return start, start + _DAY_US


def _moment(text: str) -> date:
    for read in (date.fromisoformat, datetime.fromisoformat):
        try:
            return read(text)
        except ValueError:
            continue
    raise InvalidFilter(f"{text!r} is not a date; write 2026-01-31, 2026-01-31T12:00:00Z, or 7d for seven days ago")


# --- the text form

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
        return self.built(start, _condition, name, op, value, self.now)

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
    compares = [part for part in parts if isinstance(part, Compare) and part.op not in _RANGES]
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
            value = _number_text(condition.number)
    word = value if _PLAIN.fullmatch(value) else _quote(value)
    return f":{word}*" if condition.op == "prefix" else f"{':' if condition.op == '=' else condition.op}{word}"


def _quote(text: str) -> str:
    return f'"{text.translate(_ESCAPED)}"'
