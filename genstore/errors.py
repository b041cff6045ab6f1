"""Every error genstore raises on purpose, each with a stable code.

The code is what a program matches on (the server's problem details and the command line's exit codes are
looked up by it); the message is what a person reads: what happened, with which value, and what to do.
"""

from __future__ import annotations


class GenstoreError(Exception):
    """The base of all errors raised on purpose. record_id: what `ask` kept of a question that failed."""

    code = "error"
    record_id: str | None = None


class InvalidInput(GenstoreError):
    """The caller's value cannot be used; the message names it."""

    code = "invalid_input"


class InvalidFilter(InvalidInput):
    """A filter could not be parsed; `position` is the offset of the offending character."""

    code = "invalid_filter"

    def __init__(self, message: str, text: str = "", position: int = 0) -> None:
        pointer = f"\n  {text}\n  {' ' * position}^" if text else ""
        super().__init__(message + pointer)
        self.text = text
        self.position = position


class NotFound(GenstoreError):
    """No record, model or file has this name."""

    code = "not_found"


class AmbiguousId(InvalidInput):
    """An id prefix fits more than one record."""

    code = "ambiguous_id"


class StoreError(GenstoreError):
    """The database could not be used."""

    code = "store_error"


class NotAStore(StoreError):
    """The file or database holds something else, or is damaged."""

    code = "not_a_store"


class StoreTooNew(StoreError):
    """The store was written by a newer genstore."""

    code = "store_too_new"


class UpgradeNeeded(StoreError):
    """The store's schema is older than this genstore and is not upgraded on its own."""

    code = "upgrade_needed"


class StorageFull(StoreError):
    """The disk is full or the store cannot be written to."""

    code = "storage_full"


class BlobMissing(StoreError):
    """A body that lives outside SQL is gone."""

    code = "blob_missing"


class BlobCorrupt(StoreError):
    """A body does not match its SHA-256."""

    code = "blob_corrupt"


class IndexUnavailable(GenstoreError):
    """The search index cannot be reached or read; SQL is unaffected."""

    code = "index_unavailable"


class IndexBusy(IndexUnavailable):
    """Another process owns the embedded index; the message names it."""

    code = "index_busy"


class IndexCorrupt(IndexUnavailable):
    """The index's files are damaged; `genstore reindex` rebuilds them."""

    code = "index_corrupt"


class DimensionMismatch(GenstoreError):
    """A vector's length differs from the index's."""

    code = "dimension_mismatch"


class EmbedderMismatch(GenstoreError):
    """The store was embedded with another embedder."""

    code = "embedder_mismatch"


class EmbedderUnavailable(GenstoreError):
    """The embedder's weights or endpoint cannot be had."""

    code = "embedder_unavailable"


class SketchMismatch(GenstoreError):
    """The store's sketches were made with other settings; `genstore dedup redo` makes them anew."""

    code = "sketch_mismatch"


class MissingDependency(GenstoreError):
    """An optional package is not installed; the message names the extra."""

    code = "missing_dependency"


class GeneratorError(GenstoreError):
    """What should write an answer cannot be had, or failed."""

    code = "generator_error"
