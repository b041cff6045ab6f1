"""Keeping a store in order: rebuilding its index, verifying it, counting what it holds."""
