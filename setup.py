"""The one thing pyproject.toml cannot say: a C extension that may fail to build without failing the install."""

import importlib.util

from setuptools import setup

# cffi is among the build requirements wherever io_uring exists; elsewhere there is nothing to compile.
has_cffi = importlib.util.find_spec("cffi") is not None
setup(cffi_modules=["walrus/io/uring/_build.py:ffibuilder"] if has_cffi else [])
