"""Pure functions on text: passages, highlights."""
