"""What counts as a duplicate: the level, the sides that are compared, the threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from genstore.errors import InvalidInput
from genstore.records import Side

Level = Literal["exact", "near", "semantic"]
On = Literal["prompt", "output", "both"]

LEVELS: tuple[Level, ...] = get_args(Level)
ONS: tuple[On, ...] = get_args(On)

THRESHOLDS: dict[Level, float] = {"exact": 1.0, "near": 0.5, "semantic": 0.95}
"""Defaults, chosen by measurement in docs/dedup.md: shared shingles (near), cosine of the vectors (semantic)."""

_SIDES: dict[On, tuple[Side, ...]] = {"prompt": ("prompt",), "output": ("output",), "both": ("prompt", "output")}


@dataclass(frozen=True, slots=True)
class Rule:
    """When two records of one project and kind are duplicates.

    level: exact (the same text but for white space and Unicode form), near (shared word shingles), semantic (meaning).
    on: what is compared. threshold: the least score, in [0, 1]; the level's default if None. ignore_case: of exact.
    """

    level: Level = "near"
    on: On = "output"
    threshold: float | None = None
    ignore_case: bool = False

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise InvalidInput(f"the level is {self.level!r}; it is one of {', '.join(LEVELS)}")
        if self.on not in ONS:
            raise InvalidInput(f"on is {self.on!r}; it is one of {', '.join(ONS)}")
        if self.ignore_case and self.level != "exact":
            raise InvalidInput(f"ignore_case is of the level exact; {self.level} looks past case anyway")
        given = self.threshold
        if given is not None and self.level == "exact":
            raise InvalidInput(f"the threshold is {given!r}, but exact duplicates are the same; leave it out")
        if given is None:
            return
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1 or math.isnan(given):
            raise InvalidInput(f"the threshold is {given!r}; it lies between 0 and 1")

    @property
    def least_score(self) -> float:
        """The score from which a pair is a duplicate."""
        return THRESHOLDS[self.level] if self.threshold is None else float(self.threshold)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides whose parts are compared, in order."""
        return _SIDES[self.on]


def as_rule(given: Rule | str) -> Rule:
    """A rule from itself or from the name of its level."""
    return given if isinstance(given, Rule) else Rule(given)  # type: ignore[arg-type]
