"""Segments: the data path (design section 4)."""
