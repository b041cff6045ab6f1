"""Records and filters for property tests: small vocabularies, so that matches are frequent, and nasty ones.

Texts that spell numbers, numbers that differ in the last bit, texts around the 512 characters a leaf keeps, keys with
dots, quotes, wildcards, NUL and lone surrogates, precomposed and decomposed letters, empty texts and keys.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from genstore.filters import (
    NUMBER_FIELDS,
    TEXT_FIELDS,
    All,
    Any_,
    Compare,
    Filter,
    Leaf,
    Not,
    Op,
    leaves,
)
from genstore.records import KINDS, STATUSES, Record, Score, Usage, to_microseconds

WORDS = (
    "", "a", "A", "gpt-4o", "GPT-4o", "gpt_4o", "gpt", "1", "1.0", "01", "-0", "1e3", "1_000", " 1", "nan", "inf",
    "true", "false", "null", "%", "_", "*", "a*", "..", "a..b", "\\", '"', "'", "a b", "a,b", "(a)", "-a", "or", "not",
    ">5", "ß", "SS", "é", "e\u0301", "日本語", "日本", "🙂", "\u0130", "a\nb", "\t", "\u2028", "\ufffd",
    "x" * 511, "x" * 512, "x" * 513, "x" * 511 + "🙂y",
)  # fmt: skip
UNSTORABLE = ("nul\0", "\ud800", "a\udfffb")
KEYS = ("a", "A", "lang", "a b", "a.b", "b", "", ".", "é", "日本", 'q"', "\\", "%", "a:b", "-", "*", "k" * 200, "or")
NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.1, 0.1 + 0.2, 0.3, 0.8, 1000.0, 1e300, -1e300, 5e-324, 1e-7, 1e16, 2.0**53)
COUNTS = (0, 1, 2, 3, 1000, 2**53)
ORDERS: tuple[Op, ...] = ("=", "<", "<=", ">", ">=")
_TEXT_OPS: tuple[Op, ...] = ("=", "=", "prefix")
NAMES = ("quality", "a", "a.b", "a b", "é", '"')
MOMENTS = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2026, 1, 31, tzinfo=UTC),
    datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2026, 2, 1, 12, 0, 0, 1, tzinfo=UTC),
)

_stored_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
names = st.sampled_from(WORDS) | _stored_text
"""Texts a record's own columns take."""
texts = names | st.sampled_from(UNSTORABLE)
"""Texts that may stand anywhere in metadata or in a filter."""
numbers = st.sampled_from(NUMBERS) | st.floats(allow_nan=False, allow_infinity=False)
keys = st.sampled_from((*KEYS, *UNSTORABLE))
moments = st.sampled_from(MOMENTS)


def json_values() -> st.SearchStrategy[Any]:
    """What metadata may hold: scalars, lists, objects, lists of objects, nothing."""
    scalars = st.none() | st.booleans() | st.sampled_from((0, 1, -1, 1000, 2**60, 10**400)) | numbers | texts
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=5,
    )


def mappings() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(keys, json_values(), max_size=3)


_scores = st.builds(
    Score, name=st.sampled_from(NAMES), value=st.none() | numbers, label=st.none() | names, created_at=moments
).filter(lambda score: score.value is not None or score.label is not None)
_usages = st.builds(
    Usage,
    input_tokens=st.none() | st.sampled_from(COUNTS),
    output_tokens=st.none() | st.sampled_from(COUNTS),
    cost_usd=st.none() | numbers,
)


def records() -> st.SearchStrategy[Record]:
    """Records without parts, as filters see them; ids are distinct but for chance."""
    optional = st.none() | names
    return st.builds(
        Record,
        id=st.uuids().map(str),
        kind=st.sampled_from(KINDS),
        project=names,
        name=optional,
        model=optional,
        provider=optional,
        params=mappings(),
        usage=_usages,
        duration_s=st.none() | numbers,
        finish_reason=optional,
        status=st.sampled_from(STATUSES),
        error=optional,
        session_id=optional,
        tags=st.lists(names, max_size=3, unique=True).map(tuple),
        metadata=mappings(),
        scores=st.lists(_scores, max_size=3).map(tuple),
        created_at=moments,
        fingerprint=st.sampled_from(("", "0" * 64, "f" * 64)),
    )


def record_leaves() -> st.SearchStrategy[dict[str, list[Leaf]]]:
    """The leaves of such records: an index's payload."""
    return records().map(leaves)


@st.composite
def fields(draw: st.DrawFn) -> str:
    """A field name, known ones and those under score, metadata and params."""
    root = draw(st.sampled_from(("own", "score", "metadata", "metadata", "params")))
    if root == "own":
        return draw(st.sampled_from((*TEXT_FIELDS, *NUMBER_FIELDS)))
    if root == "score":
        return "score." + draw(st.sampled_from(NAMES))
    return ".".join([root, *draw(st.lists(keys, min_size=1, max_size=2))])


@st.composite
def compares(draw: st.DrawFn, field: str | None = None) -> Compare:
    """A comparison the field allows."""
    field = draw(fields()) if field is None else field
    if draw(st.integers(0, 9)) == 0:
        return Compare(field, "exists")
    if field == "created_at":
        shift = draw(st.sampled_from((-1, 0, 0, 1)))
        op = draw(st.sampled_from(ORDERS))
        return Compare(field, op, float(to_microseconds(draw(moments)) + shift))
    if field in NUMBER_FIELDS:
        return Compare(field, draw(st.sampled_from(ORDERS)), draw(numbers))
    if field not in TEXT_FIELDS and draw(st.booleans()):
        return Compare(field, draw(st.sampled_from(ORDERS)), draw(numbers))
    return Compare(field, draw(st.sampled_from(_TEXT_OPS)), draw(texts))


def _several(of: st.SearchStrategy[Filter]) -> st.SearchStrategy[tuple[Filter, ...]]:
    return st.lists(of, max_size=3).map(tuple)


def filters() -> st.SearchStrategy[Filter]:
    """Filter trees, with empty and one-part ones, and lists of equalities on one field."""
    one_field = fields().flatmap(lambda name: st.lists(compares(name), min_size=2, max_size=4))
    return st.recursive(
        compares() | one_field.map(lambda parts: Any_(tuple(parts))),
        lambda inner: st.builds(Not, inner) | st.builds(All, _several(inner)) | st.builds(Any_, _several(inner)),
        max_leaves=6,
    )
