"""Exit codes: one table from the core's stable error codes to what the shell sees."""

from __future__ import annotations

OK = 0
UNEXPECTED = 1
INVALID = 2
MISSING = 3
STORE = 4
INDEX = 5
EMBEDDER = 6
DIFFERENCES = 7
GENERATOR = 8
INTERRUPTED = 130

EXIT_CODES = {
    "invalid_input": INVALID,
    "invalid_filter": INVALID,
    "ambiguous_id": INVALID,
    "not_found": MISSING,
    "store_error": STORE,
    "not_a_store": STORE,
    "store_too_new": STORE,
    "upgrade_needed": STORE,
    "storage_full": STORE,
    "blob_missing": STORE,
    "blob_corrupt": STORE,
    "index_unavailable": INDEX,
    "index_busy": INDEX,
    "index_corrupt": INDEX,
    "dimension_mismatch": INDEX,
    "embedder_mismatch": EMBEDDER,
    "embedder_unavailable": EMBEDDER,
    "missing_dependency": EMBEDDER,
    "sketch_mismatch": INVALID,
    "generator_error": GENERATOR,
}
