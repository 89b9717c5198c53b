"""Fuzzing of everything that reads bytes which somebody else, or a broken disk, may have chosen."""
