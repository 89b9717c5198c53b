"""``python -m fuzz.planted``."""

from fuzz.planted.cli import main

main()
