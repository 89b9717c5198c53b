"""Where backups are kept: a local directory, or object storage through fsspec (``s3://bucket/path``).

Names are relative, with slashes. ``write`` is whole or nothing in a directory and on S3; elsewhere the checksums tell.
A place may be used from several threads.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from walrus.cli.backup.errors import Missing, PlaceError

_NEW: Final = ".new"  # behind the names of files that are being written
_FLAT: Final = {"s3", "s3a", "gs", "gcs", "az", "abfs"}  # kinds of storage without directories
_INSTALL: Final = "pip install 'distributed-walrus[s3]'"


class Place(Protocol):
    """Raises PlaceError where it cannot do what is asked."""

    def names(self, prefix: str) -> dict[str, int]:
        """The objects whose names begin with ``prefix``, which ends in a slash, and their sizes in bytes."""

    def read(self, name: str) -> bytes:
        """All of an object. Raises Missing if there is none of that name."""

    def write(self, name: str, data: bytes) -> None:
        """Make or replace an object; on stable storage when this returns."""


def open_place(where: str) -> Place:
    """The place that a user names: a directory or a URL. Raises PlaceError."""
    scheme, mark, rest = where.partition("://")
    if mark and scheme != "file":
        return UrlPlace(where)
    return DirectoryPlace(Path(rest if mark else where))


class DirectoryPlace:
    """A directory; made when first written to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def names(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        top = self._directory / prefix
        with self._naming(prefix):
            for folder, _, files in os.walk(top, onerror=_raise) if top.exists() else ():
                for file in files:
                    path = Path(folder, file)
                    if not file.endswith(_NEW):
                        found[path.relative_to(self._directory).as_posix()] = path.stat().st_size
        return found

    def read(self, name: str) -> bytes:
        with self._naming(name):
            return (self._directory / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        path = self._directory / name
        new = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{_NEW}")
        with self._naming(name):
            made = [folder for folder in path.parents if not folder.exists()]
            path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            for folder in (path.parent, *(folder.parent for folder in made)):
                _sync(folder)

    @contextlib.contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise Missing(f"{name}: missing from {self._directory}") from None
        except OSError as error:
            raise PlaceError(f"{self._directory / name}: {error.strerror or error}") from None


def _raise(error: OSError) -> None:
    raise error


def _sync(folder: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class UrlPlace:
    """Whatever fsspec can open."""

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ImportError:
            raise PlaceError(f"{url}: backups to object storage need fsspec: {_INSTALL}") from None
        self._url = url.rstrip("/")
        self._flat = url.partition("://")[0] in _FLAT
        self._errors = _storage_errors()
        try:
            # Nothing that was listed or set up once is remembered: others write there too.
            self._fs, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        except ImportError as error:  # fsspec is there, but not what it needs for this kind of storage
            raise PlaceError(f"{url}: {error}; for s3: {_INSTALL}") from None
        except ValueError as error:
            raise PlaceError(f"{url}: {error}; give a directory, or a URL such as s3://bucket/path") from None

    def names(self, prefix: str) -> dict[str, int]:
        with self._naming(prefix):
            found: dict[str, Any] = self._fs.find(f"{self._root}/{prefix}", detail=True)
            start = len(self._root.rstrip("/")) + 1
            return {path[start:]: int(info["size"] or 0) for path, info in found.items()}

    def read(self, name: str) -> bytes:
        with self._naming(name):
            data: bytes = self._fs.cat_file(f"{self._root}/{name}")
            return data

    def write(self, name: str, data: bytes) -> None:
        path = f"{self._root}/{name}"
        with self._naming(name):
            if not self._flat:
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, data)

    @contextlib.contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise Missing(f"{name}: missing from {self._url}") from None
        except self._errors as error:
            raise PlaceError(f"{self._url}/{name}: {error or type(error).__name__}") from None


def _storage_errors() -> tuple[type[Exception], ...]:
    """What fsspec's file systems raise. Those of S3 let botocore's own errors through (no credentials, no endpoint)."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return (OSError,)
    return (OSError, BotoCoreError, ClientError)
