"""genstore: the store that generative models write to.

>>> import genstore
>>> store = genstore.open("my.store")
>>> record = store.log(prompt="…", output="…", model="gpt-4o")
>>> hits = store.search("…")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genstore.dedup.rule import Rule as DedupRule
    from genstore.errors import GenstoreError as GenstoreError
    from genstore.filters import F as F
    from genstore.opening import open_store as open
    from genstore.records import Answer as Answer
    from genstore.records import Citation as Citation
    from genstore.records import Hit as Hit
    from genstore.records import Part as Part
    from genstore.records import Record as Record
    from genstore.records import Score as Score
    from genstore.records import Usage as Usage
    from genstore.store import Store as Store

__version__ = "0.1.0"

__all__ = [
    "Answer", "Citation", "DedupRule", "F", "GenstoreError", "Hit", "Part", "Record", "Score", "Store", "Usage", "open",
]  # fmt: skip

# Loaded when first asked for: `import genstore` itself costs nothing.
_HOMES = {
    "Answer": ("genstore.records", "Answer"),
    "Citation": ("genstore.records", "Citation"),
    "DedupRule": ("genstore.dedup.rule", "Rule"),
    "F": ("genstore.filters", "F"),
    "GenstoreError": ("genstore.errors", "GenstoreError"),
    "Hit": ("genstore.records", "Hit"),
    "Part": ("genstore.records", "Part"),
    "Record": ("genstore.records", "Record"),
    "Score": ("genstore.records", "Score"),
    "Store": ("genstore.store", "Store"),
    "Usage": ("genstore.records", "Usage"),
    "open": ("genstore.opening", "open_store"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genstore' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
