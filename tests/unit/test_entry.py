"""The arguments of log become a record: normalised, fingerprinted; what makes it the same is one rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genstore.entry import LOG_FIELDS, build_record, build_score, checked_id, checked_tags
from genstore.errors import InvalidInput
from genstore.records import Record, Usage, from_microseconds, to_microseconds
from tests.property.strategies import mappings, moments


def record(**fields: Any) -> Record:
    return build_record(**{"prompt": "q", "output": "a", **fields})


def test_a_status_follows_from_the_error() -> None:
    assert record().status == "ok"
    assert record(error="broke").status == "error"
    assert record(error="broke", status="partial").status == "partial"
    assert record(error=ValueError("x")).error == "ValueError: x"


def test_an_error_may_hold_any_characters() -> None:
    assert record(error="a\0b \ud800").error == "a\ufffdb \ufffd"


def test_usage_comes_in_three_shapes() -> None:
    expected = Usage(input_tokens=3, output_tokens=4)
    assert record(usage=expected).usage == expected
    assert record(usage={"input_tokens": 3, "output_tokens": 4.0}).usage == expected
    openai = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": {"x": 1}}
    assert record(usage=openai).usage == expected
    assert record().usage == Usage()


def test_moments_are_kept_in_utc_to_the_microsecond() -> None:
    assert record(created_at="2026-01-31T12:00:00.000001+02:00").created_at == datetime(
        2026, 1, 31, 10, 0, 0, 1, tzinfo=UTC
    )
    assert record(created_at="2026-01-31T12:00:00Z").created_at == datetime(2026, 1, 31, 12, tzinfo=UTC)
    naive = datetime(2026, 1, 31)
    assert record(created_at=naive).created_at == datetime(2026, 1, 31, tzinfo=UTC)
    east = datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=9)))
    assert record(created_at=east).created_at == datetime(2026, 1, 30, 15, tzinfo=UTC)
    assert datetime.now(UTC) - record().created_at < timedelta(minutes=1)


@given(st.datetimes(timezones=st.just(UTC)) | moments)
def test_a_moment_comes_back_from_its_microseconds(moment: datetime) -> None:
    assert from_microseconds(to_microseconds(moment)) == moment


def test_tags_are_kept_once_in_the_order_given() -> None:
    assert checked_tags(["b", "a", "b"]) == ("b", "a")
    assert checked_tags(iter(("x",))) == ("x",)
    assert checked_tags(()) == ()


def test_an_id_takes_any_spelling_of_a_uuid() -> None:
    spelt = "0F000000000070008000000000000000"
    assert checked_id(spelt) == checked_id(f"{{{spelt}}}") == "0f000000-0000-7000-8000-000000000000"


def test_the_media_type_describes_the_bytes() -> None:
    prompt = build_record(b"\x89", "what is this?", media_type="image/png")
    assert (prompt.prompt[0].media_type, prompt.output[0].media_type) == ("image/png", "text/plain")
    output = build_record("draw", b"\x89", media_type="image/png")
    assert (output.prompt[0].media_type, output.output[0].media_type) == ("text/plain", "image/png")
    texts = build_record("q", "# a", media_type="text/markdown")
    assert (texts.prompt[0].media_type, texts.output[0].media_type) == ("text/plain", "text/markdown")


@given(mappings(), mappings())
def test_equal_content_has_equal_fingerprints(params: dict[str, Any], metadata: dict[str, Any]) -> None:
    one = record(params=params, metadata=metadata)
    other = record(params=dict(reversed(params.items())), tags=["x"], session_id="s")
    assert one.fingerprint == other.fingerprint
    assert len(one.fingerprint) == 64


def test_what_is_said_is_told_from_where_it_is_said() -> None:
    distinct: list[dict[str, Any]] = [
        {"prompt": "qa", "output": ""},
        {"prompt": "q", "output": "a"},
        {"prompt": "q\na", "output": None},
        {"prompt": ["q", "a"], "output": None},
        {"prompt": None, "output": "q"},
        {"prompt": [{"role": "system", "content": "q"}], "output": "a"},
        {"prompt": b"q", "output": "a"},
        {"model": "a"},
        {"params": {"model": "a"}},
        {"project": "p"},
        {"kind": "document"},
    ]
    assert len({record(**fields).fingerprint for fields in distinct}) == len(distinct)


def test_a_record_is_built_again_from_its_own_fields() -> None:
    one = record(model="m", params={"t": 1}, tags=["a"], usage={"input_tokens": 1}, metadata={"a": [1]})
    again = build_record(**{name: getattr(one, name) for name in LOG_FIELDS})
    assert again == one


def test_a_score_needs_a_name_and_something_to_say() -> None:
    score = build_score("quality", 1, label="good", comment="a\0", source="model")
    assert (score.value, score.label, score.comment, score.source) == (1.0, "good", "a\ufffd", "model")
    assert build_score("quality", label="good").value is None
    for arguments in (("", 1.0), ("q", None), ("q", float("nan"))):
        with pytest.raises(InvalidInput):
            build_score(*arguments)
