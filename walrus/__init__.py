"""Walrus: a distributed streaming log."""

__version__ = "0.1.0"
