"""How tests ask that something is refused, and with which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genstore.errors import GenstoreError


def refused(call: Callable[..., object], error: type[GenstoreError], *says: str) -> None:
    with pytest.raises(error) as caught:
        call()
    for words in says:
        assert words in str(caught.value)
