"""Filters: which records a search or a listing may return. The tree, its Python form and its text form.

    parse('model:gpt-4o score.quality>=0.8 -status:error')
    (F("model") == "gpt-4o") & (F("score.quality") >= 0.8) & ~(F("status") == "error")

are the same tree. A record is seen as leaves (`leaves`): a field has any number of texts and numbers, and a
comparison is true when any of them satisfies it. SQL rows, index payload and `matches` all follow that definition.
"""

from genstore.filters.leaves import FieldRow, field_rows, leaves, matches
from genstore.filters.python import F, as_filter
from genstore.filters.text import parse, to_text
from genstore.filters.tree import (
    ALIASES,
    EVERYTHING,
    LEAF_CHARACTERS,
    MAX_CONDITIONS,
    MAX_DEPTH,
    NUMBER_FIELDS,
    OPEN_FIELDS,
    PATH_CHARACTERS,
    TEXT_FIELDS,
    All,
    Any_,
    Compare,
    Filter,
    Leaf,
    Not,
    Op,
    Where,
    clean,
    kind_of,
    number_of,
    resolve,
    storable,
)

__all__ = [
    "ALIASES",
    "EVERYTHING",
    "LEAF_CHARACTERS",
    "MAX_CONDITIONS",
    "MAX_DEPTH",
    "NUMBER_FIELDS",
    "OPEN_FIELDS",
    "PATH_CHARACTERS",
    "TEXT_FIELDS",
    "All",
    "Any_",
    "Compare",
    "F",
    "FieldRow",
    "Filter",
    "Leaf",
    "Not",
    "Op",
    "Where",
    "as_filter",
    "clean",
    "field_rows",
    "kind_of",
    "leaves",
    "matches",
    "number_of",
    "parse",
    "resolve",
    "storable",
    "to_text",
]
