"""The io_uring extension: built where it can be, and never the reason why an install fails."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("setuptools", "cffi")),
    reason="building takes setuptools and cffi in this environment (pip fetches them for an install)",
)


def build(folder: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[Path]]:
    """Build the extension from a copy of its sources; what the build said, and the libraries it made."""
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    (folder / "walrus" / "io" / "uring").mkdir(parents=True)
    for path in (
        "walrus/__init__.py",
        "walrus/io/__init__.py",
        "walrus/io/uring/__init__.py",
        "walrus/io/uring/_build.py",
    ):
        shutil.copy(ROOT / path, folder / path)
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", "made", "--build-temp", "temporary"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return done, list((folder / "made").rglob("_liburing*.so"))


def test_without_a_compiler_the_build_succeeds_without_the_extension(tmp_path: Path) -> None:
    done, libraries = build(tmp_path, CC=str(tmp_path / "no-such-compiler"))
    assert done.returncode == 0, done.stderr
    assert libraries == []
    assert "_liburing" in done.stderr


def test_without_liburings_headers_the_build_succeeds_without_the_extension(tmp_path: Path) -> None:
    """A compiler that finds no headers but its own."""
    done, libraries = build(tmp_path, CFLAGS="-nostdinc")
    assert done.returncode == 0, done.stderr
    assert libraries == []


def test_with_compiler_and_headers_it_is_built(tmp_path: Path) -> None:
    if shutil.which("cc") is None or not Path("/usr/include/liburing.h").exists():
        pytest.skip("no C compiler or no liburing headers here")
    done, libraries = build(tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(libraries) == 1
