"""How bodies of one kind are compared, and which way is taken for which level and media type.

A method turns a body into features, features into keys, and two bodies' features into a score. Two bodies that share
no key are not looked at: keys are rows in SQL, so what may equal a new body is found by an indexed lookup. Two that
share one are candidates, and their features decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib.util import find_spec
from typing import Any, Protocol

from genstore.dedup.rule import Rule
from genstore.identity import decode_text
from genstore.text.normal import normalised


@dataclass(frozen=True, slots=True)
class Match:
    """A score in [0, 1] and what it rests on, as JSON can hold it."""

    score: float
    evidence: Mapping[str, Any]


class Method(Protocol):
    """One way to compare bodies. Features are opaque to everyone else."""

    @property
    def needs(self) -> str | None:
        """The package of an extra that it cannot do without."""

    @property
    def name(self) -> str:
        """What kind of keys they are, and behind a slash the parameters they were made with."""

    def features(self, body: bytes) -> Any:
        """What is compared of a body; None when it has nothing to compare by."""

    def keys(self, features: Sequence[Any]) -> list[list[int]]:
        """For each the keys, signed 64-bit, that its candidates share at least one of."""

    def compare(self, one: Any, other: Any) -> Match | None:
        """How alike two bodies' features are; None when they cannot be duplicates, whatever the threshold."""


def kind_of(name: str) -> str:
    """A method's kind, from its name: of two methods of one kind the keys of one mean nothing to the other."""
    return name.partition("/")[0]


class ExactText:
    """Texts in their normal form, NFC and single spaces: equal or not."""

    needs = None

    def __init__(self, ignore_case: bool = False) -> None:
        self._ignore_case = ignore_case
        self.name = "exact-folded-text/nfc+spaces+casefold" if ignore_case else "exact-text/nfc+spaces"

    def features(self, body: bytes) -> bytes | None:
        """128 bits of the normal form's hash; None for a text of white space, which has no duplicates."""
        text = normalised(decode_text(body), self._ignore_case)
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() if text else None

    def keys(self, features: Sequence[bytes | None]) -> list[list[int]]:
        """One: half of the hash."""
        return [[] if found is None else [int.from_bytes(found[:8], "little", signed=True)] for found in features]

    def compare(self, one: bytes, other: bytes) -> Match:
        """1 or 0."""
        return Match(float(one == other), {"normal_form": "NFC, single spaces" + ", casefold" * self._ignore_case})


class Methods:
    """Which method compares which bodies under a rule whose level is exact or near."""

    def __init__(self, rule: Rule, shingle_words: int) -> None:
        self.rule = rule
        self._shingle_words = shingle_words

    def of(self, media_type: str, binary: bool) -> Method | None:
        """The method for a body of this kind; None: only the very same bytes are equal."""
        if self.rule.level == "exact":
            return None if binary else self._exact
        if not binary:
            return self._near
        if media_type.startswith("image/"):
            return self._image
        return self._sound if media_type.startswith("audio/") else None

    @property
    def all(self) -> tuple[Method, ...]:
        """Every method that the rule may take."""
        return (self._exact,) if self.rule.level == "exact" else (self._near, self._image, self._sound)

    @property
    def usable(self) -> tuple[Method, ...]:
        """Those of them whose package is installed."""
        return tuple(method for method in self.all if method.needs is None or find_spec(method.needs) is not None)

    @cached_property
    def _exact(self) -> Method:
        return ExactText(self.rule.ignore_case)

    @cached_property
    def _near(self) -> Method:
        from genstore.dedup.near import NearText

        return NearText(self._shingle_words)

    @cached_property
    def _image(self) -> Method:
        from genstore.dedup.perceptual import NearImage

        return NearImage()

    @cached_property
    def _sound(self) -> Method:
        from genstore.dedup.perceptual import NearSound

        return NearSound()
