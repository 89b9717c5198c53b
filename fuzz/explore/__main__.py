"""``python -m fuzz.explore``."""

from fuzz.explore.cli import main

if __name__ == "__main__":
    main()
