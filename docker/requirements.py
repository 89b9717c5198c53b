"""``requirements.py PYPROJECT`` prints what it takes to build and to run, one requirement a line."""

import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    pyproject = tomllib.load(file)
print("\n".join([*pyproject["build-system"]["requires"], *pyproject["project"]["dependencies"]]))
