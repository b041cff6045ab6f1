"""Filters: what the text form means, where its errors point, what a record is to a filter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from genstore.errors import InvalidFilter
from genstore.filters import (
    EVERYTHING,
    MAX_CONDITIONS,
    MAX_DEPTH,
    All,
    Any_,
    Compare,
    F,
    Filter,
    Not,
    as_filter,
    field_rows,
    leaves,
    matches,
    parse,
    to_text,
)
from genstore.records import Record, Score, Usage, to_microseconds

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
RECORD = Record(
    id="019b0000-0000-7000-8000-000000000000",
    model="gpt-4o",
    name='two "words"',
    usage=Usage(input_tokens=120, cost_usd=0.002),
    duration_s=1.5,
    tags=("prod", "a,b"),
    metadata={"lang": "en", "a b": 3, "deep": {"x": [1, "two", {"y": True}, None]}, "version": "1.0"},
    params={"temperature": 0.2},
    scores=(Score("quality", 0.9), Score("quality", 0.3), Score("verdict", label="good")),
    created_at=datetime(2026, 1, 31, 8, 30, tzinfo=UTC),
)


def _us(*moment: int) -> float:
    return float(to_microseconds(datetime(*moment, tzinfo=UTC)))  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "model:gpt-4o",
        "model:gpt-*",
        "model:other,gpt-4o",
        "-model:other",
        "not model:other",
        "model!=other,another",
        "model:other or tag:prod",
        "model:gpt-4o and (tag:dev OR tag:prod)",
        r'name:"two \"words\""',
        'name:"two "*',
        'tag:"a,b"',
        "tags:prod",
        "error!=timeout",
        "-error:*",
        "input_tokens:100..200",
        "usage.input_tokens >= 120",
        "cost_usd<0.01",
        "duration_s:1.50",
        "duration_s:>1",
        "score.quality>=0.8 score.quality<0.5",
        "score.verdict:good",
        'metadata."a b":3',
        "metadata.deep.x:two metadata.deep.x:1 metadata.deep.x.y:true",
        "metadata.version:1.0",
        "params.temperature:0.1..",
        "created_at:2026-01-31",
        "created_at:2026-01-31T08:30:00Z",
        "created_at:2026-01-31T10:30:00+02:00",
        "created_at:2026-01-01..2026-01-31",
        "created_at<=2026-01-31",
        "created_at>=2026-01-31 created_at<2026-02-01",
        "created_at>=7d",
        "created_at>=-36h",
        "created_at<24h",
        "created_at:*",
    ],
)
def test_the_record_satisfies(text: str) -> None:
    assert matches(parse(text, NOW), leaves(RECORD))


@pytest.mark.parametrize(
    "text",
    [
        "-()",
        "model:GPT-4o",
        "model:gpt",
        "model:gpt-4o tag:dev",
        "tag:a",
        "error:*",
        'error:""',
        "duration_s>1.5",
        "duration_s:2..3",
        "score.verdict>0",
        "metadata.lang>0",
        "metadata.deep:*",
        "metadata.deep.y:*",
        "metadata.version:1",
        "output_tokens<1000000",
        "created_at>2026-01-31",
        "created_at:2026-02-01",
        "created_at>=24h",
    ],
)
def test_the_record_does_not_satisfy(text: str) -> None:
    assert not matches(parse(text, NOW), leaves(RECORD))


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("tag:a modle:x", 6, "did you mean 'model'?"),
        ("tag:a lang:en", 6, "did you mean 'metadata.lang'?"),
        ("metdata.lang:en", 0, "did you mean 'metadata.lang'?"),
        ("tag:a hello", 6, "'hello' needs an operator"),
        ("model:", 6, "expected a value"),
        ("tag:a,", 6, "expected a value"),
        ("tag:a or", 8, "expected a field name"),
        ("or tag:a", 0, "'or' needs an operator"),
        ("(tag:a", 0, "never closed"),
        ("tag:b (tag:a))", 13, "closes nothing"),
        ('tag:"abc', 4, "never closed"),
        (r'tag:"a\q"', 6, "backslash"),
        ('tag:a"b"', 5, "expected a space"),
        ("tag:a*b", 5, "only at the end"),
        ("duration_s:1..x", 14, "compared with a number"),
        ("duration_s>nan", 11, "compared with a number"),
        ("duration_s:..", 11, "needs a bound"),
        ("duration_s:1*", 11, "no prefix"),
        ("tag:a model>5", 12, "holds text"),
        ("created_at>=soon", 12, "not a date"),
        ("created_at:2026-13-01", 11, "not a date"),
        ("created_at:2026*", 11, "no prefix"),
        ("created_at:7d", 11, "created_at>=7d"),
        ("created_at>=999999999w", 12, "years 1 and 9999"),
        ("tag:a " + "-" * 50 + "tag:b", 6, "nested deeper"),
        ("(" * 2_000, MAX_DEPTH, "nested deeper"),
    ],
)
def test_an_error_points_at_the_character(text: str, position: int, says: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse(text, NOW)
    assert (caught.value.text, caught.value.position) == (text, position)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("python", "text"),
    [
        (F("model") == "gpt-4o", "model:gpt-4o"),
        (F("model") != "gpt-4o", "-model:gpt-4o"),
        (F("score.quality") >= 0.8, "score.quality>=0.8"),
        (F("input_tokens") < 10, "usage.input_tokens<10"),
        (F("metadata.ok") == True, "metadata.ok:true"),  # noqa: E712
        (F("metadata.n") == 3.0, "metadata.n:3"),
        (F("metadata.n") == 10**20, "metadata.n:100000000000000000000"),
        (F("tag").in_(["a", "b c"]), 'tag:a,"b c"'),
        (F("name").prefix("a b"), 'name:"a b"*'),
        (~F("error").exists(), "-error:*"),
        ((F("tag") == "a") & (F("tag") == "b") & (F("tag") == "c"), "tag:a tag:b tag:c"),
        ((F("tag") == "a") & ((F("tag") == "b") | (F("model") == "c")), "tag:a (tag:b or model:c)"),
        (F("created_at") >= datetime(2026, 1, 31, 8), "created_at>=2026-01-31T08:00:00Z"),
        (F("created_at") > date(2026, 1, 31), "created_at>=2026-02-01T00:00:00Z"),
        (F('metadata.a "b".c') == "", r'metadata."a \"b\"".c:""'),
    ],
)
def test_the_python_form_is_the_text_form(python: Filter, text: str) -> None:
    assert to_text(python) == text
    assert parse(text) == python


def test_a_day_is_a_span_and_a_relative_time_counts_back_from_now() -> None:
    day = All((Compare("created_at", ">=", _us(2026, 1, 31)), Compare("created_at", "<", _us(2026, 2, 1))))
    assert parse("created_at:2026-01-31") == day
    assert parse("created_at>=7d", NOW) == Compare("created_at", ">=", _us(2026, 1, 25, 12))
    assert parse("created_at>2026-01-31") == Compare("created_at", ">=", _us(2026, 2, 1))


def test_or_binds_looser_than_juxtaposition() -> None:
    a, b, c = (Compare("tag", "=", name) for name in "abc")
    assert parse("tag:a tag:b or tag:c") == Any_((All((a, b)), c))
    assert parse("tag:a (tag:b or tag:c) or -tag:c") == Any_((All((a, Any_((b, c)))), Not(c)))


def test_each_bound_of_a_range_may_be_met_by_another_of_several_values() -> None:
    assert matches(parse("score.quality:0.4..0.5"), leaves(RECORD))  # .9 lies above the one, .3 below the other
    assert not matches(parse("score.quality:0.95.."), leaves(RECORD))


def test_equal_filters_hash_alike() -> None:
    assert len({parse("duration_s:1.0 tag:a"), parse("duration_s:1 tag:a")}) == 1


def test_leaves_are_what_sql_keeps_of_metadata_and_params() -> None:
    rows = field_rows(RECORD.metadata, RECORD.params)
    assert [tuple(row) for row in rows if row.path.startswith("metadata.deep")] == [
        ("metadata.deep.x", 0, None, 1.0),
        ("metadata.deep.x", 1, "two", None),
        ("metadata.deep.x.y", 0, "true", None),
    ]
    own = leaves(RECORD)
    for row in rows:
        assert own[row.path][row.position] == (row.number if row.text is None else row.text)


def test_a_leaf_is_cut_and_storable_and_so_is_what_it_is_compared_with() -> None:
    own = leaves(Record(id="x", metadata={"long": "é" * 600, "bad\0": "nul\0 \ud800", "k" * 300: 1}))
    assert own["metadata.long"] == ["é" * 512]
    assert own["metadata.bad\ufffd"] == ["nul\ufffd \ufffd"]
    assert max(map(len, own)) == 128
    for asked in (
        F("metadata.long") == "é" * 600,
        F("metadata.bad\0") == "nul\0 \ud800",
        F("metadata." + "k" * 300) == 1,
    ):
        assert matches(asked, own)


def test_numbers_no_float_can_hold_leave_no_leaf() -> None:
    assert field_rows({"huge": 10**400, "nan": float("nan"), "none": None, "empty": {}, "list": []}, {}) == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: F("model") == None,  # noqa: E711
        lambda: F("duration_s") > float("inf"),
        lambda: F("metadata.x") > "many",
        lambda: F("created_at") >= 0.5,
        lambda: F("nothing"),
        lambda: bool(F("model")),
        lambda: Compare("model", "~", "x"),  # type: ignore[arg-type]
        lambda: All(("model:x",)),  # type: ignore[arg-type]
        lambda: as_filter(7),  # type: ignore[arg-type]
        lambda: as_filter(F("model")),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_a_filter_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(InvalidFilter):
        wrong()


def test_where_may_be_text_a_tree_or_nothing() -> None:
    assert as_filter(None) == as_filter("") == parse("()") == EVERYTHING
    assert as_filter("tag:a") == as_filter(F("tag") == "a")


def test_a_tree_is_bounded_where_it_is_built() -> None:
    deep: Filter = F("tag") == "a"
    for _ in range(MAX_DEPTH):
        deep = ~deep
    with pytest.raises(InvalidFilter, match="nested deeper"):
        Not(deep)
    with pytest.raises(InvalidFilter, match="conditions"):
        F("tag").in_(str(n) for n in range(MAX_CONDITIONS))
    flat: Filter = F("tag") == "a"
    for n in range(1_000):
        flat = flat & (F("tag") == str(n))
    assert flat.depth == 1
    assert parse(to_text(flat)) == flat
