"""The tree of a filter: comparisons of fields, and what combines them."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast

from genstore.errors import InvalidFilter
from genstore.records import USAGE_FIELDS, from_microseconds

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
RANGES = ("<", "<=", ">", ">=")


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


def number_text(value: float) -> str:
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
        object.__setattr__(self, "value", canonical(self.field, self.op, self.value))

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


def canonical(name: str, op: Op, value: Any) -> Leaf:
    if op == "exists":
        return ""
    if op not in ("=", "prefix", *RANGES):
        raise InvalidFilter(f"unknown operator {op!r}")
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str | int | float) or (not isinstance(value, str) and number_of(value) is None):
        raise InvalidFilter(f"{name} cannot be compared with {value!r}; use text or a finite number")
    kind = kind_of(name)
    if kind == "number" and op == "prefix":
        raise InvalidFilter(f"{name} holds numbers, which have no prefix; use a range like {name}:1..5")
    if kind == "text" and op in RANGES:
        raise InvalidFilter(f"{name} holds text, which has no {op}; use {name}:value or {name}:start*")
    if kind == "number" or op in RANGES:
        number = number_of(value)
        if number is None:
            raise InvalidFilter(f"{name} is compared with a number here, got {value!r}")
        if name == "created_at":
            check_moment(number)
        return number_text(number) if op == "=" else number
    return clean(value if isinstance(value, str) else number_text(value) if isinstance(value, float) else str(value))


def check_moment(microseconds: float) -> None:
    try:
        from_microseconds(int(microseconds))
    except (ValueError, OverflowError):
        microseconds = math.nan
    if not microseconds.is_integer():
        raise InvalidFilter("created_at is compared with a moment between the years 1 and 9999, in whole microseconds")
