"""Import and export: JSONL and Parquet, and the one plain shape that records have outside the store."""
