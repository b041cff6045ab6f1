"""The search index: a projection of SQL that can be dropped and rebuilt."""
