"""The features that are kept in memory: within a limit, and still kept when the same body comes again and again."""

from __future__ import annotations

import numpy as np

from genstore.dedup.unit import Recent


def test_a_body_that_comes_again_takes_its_place_once() -> None:
    recent = Recent(limit_bytes=100_000)
    for _ in range(1_000):
        recent.keep(("near", "a"), np.zeros(1_000, np.uint64))
        recent.keep(("near", "b"), list(range(32)))
    assert set(recent) == {("near", "a"), ("near", "b")}


def test_the_oldest_give_way_beyond_the_limit() -> None:
    recent = Recent(limit_bytes=50_000)
    for at in range(100):
        recent.keep(("near", str(at)), np.zeros(1_000, np.uint64))
    assert list(recent) == [("near", str(at)) for at in range(94, 100)]


def test_lists_of_keys_count_by_their_length() -> None:
    recent = Recent(limit_bytes=50_000)
    for at in range(1_000):
        recent.keep(("near", str(at)), list(range(32)))
    assert 0 < len(recent) < 50


def test_what_is_dropped_makes_room() -> None:
    recent = Recent(limit_bytes=10_000)
    recent.keep(("near", "old"), np.zeros(1_000, np.uint64))
    recent.drop(("near", "old"))
    recent.drop(("near", "never kept"))
    recent.keep(("near", "a"), np.zeros(500, np.uint64))
    recent.keep(("near", "b"), np.zeros(500, np.uint64))
    assert set(recent) == {("near", "a"), ("near", "b")}
