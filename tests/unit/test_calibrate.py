"""Thresholds from labelled pairs: the curve is right, the chosen point is the best that keeps the precision."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from genstore.dedup.calibrate import Pair, calibrate, read_pairs, wording_scores
from genstore.dedup.curve import draw_curve
from genstore.dedup.near import NearText
from genstore.errors import InvalidInput, NotFound, StorageFull

SCORED = [(0.9, True), (0.8, True), (0.7, False), (0.6, True), (0.5, True), (0.4, False), (0.0, False)]
PAIRS = [Pair(f"a{number}", f"b{number}", label) for number, (_, label) in enumerate(SCORED)]


def test_the_chosen_point_has_the_most_recall_at_the_wanted_precision() -> None:
    found = calibrate(PAIRS, lambda pairs: [score for score, _ in SCORED], precision=0.8)
    assert [(point.threshold, point.called) for point in found.curve] == [
        (0.9, 1), (0.8, 2), (0.7, 3), (0.6, 4), (0.5, 5), (0.4, 6),
    ]  # fmt: skip
    assert found.chosen is not None
    assert (found.chosen.threshold, found.chosen.precision, found.chosen.recall) == (0.5, 0.8, 1.0)
    strict = calibrate(PAIRS, lambda pairs: [score for score, _ in SCORED], precision=0.9)
    assert strict.chosen is not None
    assert (strict.chosen.threshold, strict.chosen.recall) == (0.8, 0.5)


def test_a_precision_that_no_threshold_reaches_is_said() -> None:
    worst = calibrate(PAIRS, lambda pairs: [1 - score for score, _ in SCORED], precision=0.9)
    assert worst.chosen is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40), st.floats(0.01, 1))
def test_every_point_of_the_curve_is_what_counting_gives(scored: list[tuple[float, bool]], precision: float) -> None:
    pairs = [Pair("a", "b", label) for _, label in scored]
    duplicates = sum(label for _, label in scored)
    if not 0 < duplicates < len(pairs):
        with pytest.raises(InvalidInput, match="pairs of both kinds"):
            calibrate(pairs, lambda pairs: [score for score, _ in scored], precision)
        return
    found = calibrate(pairs, lambda pairs: [score for score, _ in scored], precision)
    for point in found.curve:
        called = [label for score, label in scored if score >= point.threshold]
        assert point.called == len(called)
        assert point.precision == pytest.approx(sum(called) / len(called))
        assert point.recall == pytest.approx(sum(called) / duplicates)
    if found.chosen is not None:
        assert found.chosen.precision >= precision


def test_pairs_are_read_from_the_columns_their_heading_names(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text('\ufeffQuality\t#1 ID\t#1 String\t#2 String\n1\t7\tHe said "no.\tHe said no.\n0\t8\tA\tB\n')
    assert read_pairs(path) == [Pair('He said "no.', "He said no.", True), Pair("A", "B", False)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\ttwo\nA\tB\n", "one is 'label'"),
        ("label\ta\tb\n1\tA\n", "line 2 of pairs.tsv has 2 columns, the heading 3"),
        ("label\ta\tb\nmaybe\tA\tB\n", "line 2 of pairs.tsv has the label 'maybe'; write 1 or 0"),
        ("", "one is 'label'"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        read_pairs(path)


def test_a_missing_file_and_a_precision_that_is_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"cannot read .*none\.tsv"):
        read_pairs(tmp_path / "none.tsv")
    with pytest.raises(InvalidInput, match=r"the precision is 1\.5"):
        calibrate(PAIRS, lambda pairs: [0.5] * len(pairs), precision=1.5)


def test_texts_that_cannot_be_compared_score_nothing() -> None:
    assert wording_scores([Pair("", "", True), Pair("Yes", "Yes", True)], NearText()) == [0.0, 0.0]


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    found = calibrate(PAIRS, lambda pairs: [score for score, _ in SCORED], precision=0.8)
    draw_curve(found, tmp_path / "curve.png", "near")
    with Image.open(tmp_path / "curve.png") as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 10
    with pytest.raises(StorageFull, match="cannot write"):
        draw_curve(found, tmp_path / "missing" / "curve.png", "near")
