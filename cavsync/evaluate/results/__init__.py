"""The result of an evaluation: figures, intervals, provenance, table, page and comparison."""
