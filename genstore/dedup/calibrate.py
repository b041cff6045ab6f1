"""A threshold by stated precision: labelled pairs scored, the precision-recall curve, the point that was asked for."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genstore.dedup.method import Method
from genstore.errors import InvalidInput, NotFound
from genstore.identity import encode_text

_LABELS = ("quality", "label", "duplicate", "is_duplicate")
_TRUE, _FALSE = ("1", "true", "yes", "y"), ("0", "false", "no", "n")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts, and whether somebody takes them for duplicates."""

    one: str
    other: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Point:
    """What a threshold does to the pairs: precision of those it calls duplicates, recall of those that are."""

    threshold: float
    precision: float
    recall: float
    called: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """The curve by descending threshold, and the point of highest recall at the wanted precision, None when there is
    none."""

    pairs: int
    duplicates: int
    wanted: float
    curve: tuple[Point, ...]
    chosen: Point | None


def read_pairs(path: Path) -> list[Pair]:
    """Pairs of a tab-separated file with a heading: a column Quality or label (1 or 0), and the last two are texts.

    Raises InvalidInput naming the line that cannot be used, NotFound for a file that cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            csv.field_size_limit(2**31 - 1)  # texts, not table cells
            return list(_pairs(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), path.name))
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} is not tab-separated UTF-8: {error}") from error


def _pairs(rows: Iterator[list[str]], name: str) -> Iterator[Pair]:
    heading = [column.strip().lower() for column in next(rows, [])]
    label = next((heading.index(column) for column in _LABELS if column in heading), None)
    if label is None or len(heading) < 3:
        raise InvalidInput(f"{name} has the columns {heading}; one is 'label' (1 or 0), and the last two are the texts")
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        if len(row) != len(heading):
            raise InvalidInput(f"line {number} of {name} has {len(row)} columns, the heading {len(heading)}")
        value = row[label].strip().lower()
        if value not in _TRUE + _FALSE:
            raise InvalidInput(f"line {number} of {name} has the label {row[label]!r}; write 1 or 0")
        yield Pair(row[-2], row[-1], value in _TRUE)


def calibrate(
    pairs: Sequence[Pair], score: Callable[[Sequence[Pair]], Sequence[float]], precision: float
) -> Calibration:
    """The curve of the pairs' scores, and the threshold that keeps the precision at the most recall.

    score: of each pair, in [0, 1]. Raises InvalidInput for a precision outside (0, 1] or pairs of only one kind.
    """
    if not 0 < precision <= 1:
        raise InvalidInput(f"the precision is {precision}; it lies above 0 and up to 1")
    duplicates = sum(pair.duplicate for pair in pairs)
    if not 0 < duplicates < len(pairs):
        raise InvalidInput(f"{duplicates} of {len(pairs)} pairs are duplicates; a threshold needs pairs of both kinds")
    curve = tuple(_curve(pairs, score(pairs), duplicates))
    good = [point for point in curve if point.precision >= precision]
    return Calibration(len(pairs), duplicates, precision, curve, max(good, key=lambda p: p.recall, default=None))


def wording_scores(pairs: Sequence[Pair], method: Method) -> list[float]:
    """How alike the method finds each pair; 0 where it can make nothing of a text."""
    found: list[float] = []
    for pair in pairs:
        one, other = (method.features(encode_text(text)) for text in (pair.one, pair.other))
        match = None if one is None or other is None else method.compare(one, other)
        found.append(0.0 if match is None else match.score)
    return found


def meaning_scores(pairs: Sequence[Pair], embedder: Any) -> list[float]:
    """The cosine of each pair's vectors, 0 where the guard finds a disagreement or a text has no words."""
    from genstore.dedup.semantic import SemanticText, encoded

    vectors = encoded(embedder, list({text for pair in pairs for text in (pair.one, pair.other)}))
    method = SemanticText(lambda digest: vectors[digest].whole if digest in vectors else None)
    return wording_scores(pairs, method)


def _curve(pairs: Sequence[Pair], scores: Sequence[float], duplicates: int) -> Iterator[Point]:
    """A point for each distinct score above 0, from the highest."""
    ordered = sorted(zip(scores, pairs, strict=True), key=lambda item: -item[0])
    right = 0
    for called, (value, pair) in enumerate(ordered, 1):
        right += pair.duplicate
        is_last = called == len(ordered) or ordered[called][0] != value
        if is_last and value > 0:
            yield Point(value, right / called, right / duplicates, called)
