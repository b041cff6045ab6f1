"""What of a record is compared: the parts of the rule's sides that are new in its turn, one by one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeVar

from genstore.dedup.method import Match, Method
from genstore.errors import MissingDependency

_log = logging.getLogger("genstore")

K = TypeVar("K", bound=Hashable)

_KEPT_BYTES = 64 << 20
_IDENTICAL = Match(1.0, {"identical": True})


class Piece(NamedTuple):
    """One part as it is compared."""

    side: str
    sha256: str
    media_type: str
    binary: bool


Unit = tuple[Piece, ...]


class Recent(dict[tuple[str, str], Any]):
    """Features by method and hash; beyond so many bytes the oldest give way."""

    def __init__(self, limit_bytes: int | None = _KEPT_BYTES) -> None:
        super().__init__()
        self._limit_bytes = limit_bytes
        self._bytes = 0

    def keep(self, key: tuple[str, str], features: Any) -> None:
        """Keep what a body's features are."""
        self.drop(key)
        self[key] = features
        self._bytes += size_bytes(features)
        with suppress(StopIteration):
            while self._limit_bytes is not None and self._bytes > self._limit_bytes:
                self.drop(next(iter(self)))

    def drop(self, key: tuple[str, str]) -> None:
        """Forget a body's features, if they are kept."""
        with suppress(KeyError):
            self._bytes -= size_bytes(self.pop(key))


def size_bytes(features: Any) -> int:
    """About what features take in memory."""
    return 200 + (40 * len(features) if isinstance(features, list) else getattr(features, "nbytes", 0))


class Choice(Protocol):
    """Which method compares a part; see method.Methods."""

    def of(self, media_type: str, binary: bool) -> Method | None: ...


class Comparer:
    """Compares units part by part. A score is that of the part that is least alike.

    A part that its method can make nothing of (an empty text, a single word, a damaged image) equals only the very
    same bytes, and a unit of nothing but such texts equals nothing.
    """

    def __init__(self, choice: Choice, body: Callable[[str], bytes | None], recent: Recent | None = None) -> None:
        """body: a body by its hash, None when it cannot be read. recent: features that other comparers share."""
        self._choice = choice
        self._body = body
        self._recent = Recent() if recent is None else recent

    def method(self, piece: Piece) -> Method | None:
        """How the part is compared; None: by its bytes."""
        return self._choice.of(piece.media_type, piece.binary)

    def features(self, piece: Piece) -> Any:
        """What the part's method makes of it; None when that is nothing."""
        method = self.method(piece)
        if method is None:
            return None
        key = method.name, piece.sha256
        if key in self._recent:
            return self._recent[key]
        body = self._body(piece.sha256)
        try:
            features = None if body is None else method.features(body)
        except MissingDependency as error:
            _log.warning("%s; until then they are compared by their bytes", error)
            features = None
        self._recent.keep(key, features)
        return features

    def comparable(self, unit: Unit) -> bool:
        """Whether the unit can have duplicates at all."""
        return any(piece.binary or self.features(piece) is not None for piece in unit)

    def compare(self, one: Unit, other: Unit) -> Match | None:
        """How alike two comparable units are; None when they are not made alike."""
        if len(one) != len(other) or not one:
            return None
        matches: list[Match] = []
        for left, right in zip(one, other, strict=True):
            match = self._pieces(left, right)
            if match is None:
                return None
            matches.append(match)
        if len(matches) == 1:
            return matches[0]
        least = min(match.score for match in matches)
        return Match(least, {"parts": [{"score": match.score, **match.evidence} for match in matches]})

    def _pieces(self, one: Piece, other: Piece) -> Match | None:
        if one.side != other.side:
            return None
        if one.sha256 == other.sha256:
            return _IDENTICAL
        method, theirs = self.method(one), self.method(other)
        if method is None or theirs is None or method.name != theirs.name:
            return None
        left, right = self.features(one), self.features(other)
        return None if left is None or right is None else method.compare(left, right)


def best_match(
    comparer: Comparer, unit: Unit, others: Sequence[tuple[K, Unit]], least_score: float
) -> tuple[K, Match] | None:
    """The most alike of the others that reaches the least score; the first of equals."""
    best: tuple[K, Match] | None = None
    for key, other in others:
        match = comparer.compare(unit, other)
        if match is not None and match.score >= least_score and (best is None or match.score > best[1].score):
            best = key, match
    return best
