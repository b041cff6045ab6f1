"""Retrieval-augmented generation: documents in, grounded answers out, every sentence checked against its sources."""
