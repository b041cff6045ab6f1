"""The system of record: tables, engine, writing and reading."""
