"""Ids sort by time; canonical JSON is one text per value and refuses what JSON cannot hold."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genstore.errors import InvalidInput
from genstore.identity import canonical_json, decode_text, encode_text, new_id, sha256
from tests.property.strategies import json_values


def test_an_id_is_a_version_7_uuid_of_the_moment() -> None:
    now_ns = 4_102_444_800_123_000_000  # in 2100, after every id this process has made
    made = uuid.UUID(new_id(now_ns))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == now_ns // 1_000_000


def test_ids_of_one_millisecond_are_distinct_and_keep_their_order() -> None:
    now_ns = 4_102_444_800_500_000_000
    ids = [new_id(now_ns) for _ in range(10_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 10_000


def test_ids_keep_their_order_when_the_clock_goes_back() -> None:
    later = new_id(4_102_444_801_000_000_000)
    assert new_id(4_102_444_800_900_000_000) > later


def test_ids_of_threads_and_processes_are_distinct() -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: new_id(), range(4_000)))
    code = "from genstore.identity import new_id\nprint(*[new_id() for _ in range(1000)])"
    for _ in range(2):
        ids += subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert len(set(ids)) == 6_000


def test_a_hash_is_sha256_in_hexadecimal() -> None:
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.text(st.characters(codec=None)))
def test_any_text_comes_back_from_its_bytes(text: str) -> None:
    assert decode_text(encode_text(text)) == text


@given(json_values())
def test_canonical_json_says_what_was_said(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))
    assert canonical_json(value).isascii()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": [1, {"b": {1, 2}}]}, "metadata.a[1].b is a set, which JSON cannot hold"),
        ({"a": math.nan}, "metadata.a is nan, which JSON has no number for"),
        ([-math.inf], "metadata[0] is -inf, which JSON has no number for"),
        ({"a": {(1, 2): 3}}, "metadata.a has the key (1, 2), which is tuple, not text"),
        ({"a": 1, 2: 3}, "metadata has the key 2, which is int, not text"),
        (b"", "metadata is a bytes, which JSON cannot hold"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_path(value: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        canonical_json(value, "metadata")
    assert str(caught.value) == f"{says}; pass text, numbers, lists or objects"


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidInput, match="nested deeper than 100 levels or refers to itself"):
        canonical_json(value)
