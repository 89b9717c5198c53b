"""Which storage driver a process gets, and the sentence that says why. Both write the same files."""

from pathlib import Path
from typing import NamedTuple

from walrus.io.storage import StorageDriver, ThreadedStorage
from walrus.io.storage_mmap import MappedFiles
from walrus.io.storage_uring import RingStorage
from walrus.io.uring.ring import KernelRing, Unavailable
from walrus.io.wakeup import Wakeup


class Choice(NamedTuple):
    """A driver by name, ``io_uring`` or ``mmap``, and why not the other ("" where there is nothing to say)."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})" if self.reason else self.name


def choose(disable_io_uring: bool) -> Choice:
    """Try whether io_uring works here, unless it is disabled; leaves nothing behind."""
    if disable_io_uring:
        return Choice("mmap", "WALRUS_DISABLE_IO_URING is set")
    wakeup = Wakeup()
    try:
        KernelRing(wakeup.fileno()).close()
    except Unavailable as error:
        return Choice("mmap", str(error))
    finally:
        wakeup.close()
    return Choice("io_uring", "")


def open_storage(root: Path, disable_io_uring: bool) -> tuple[StorageDriver, Choice]:
    """Return the driver for the files below ``root``."""
    if disable_io_uring:
        return ThreadedStorage(MappedFiles(root)), choose(disable_io_uring)
    try:
        return RingStorage(root), Choice("io_uring", "")
    except Unavailable as error:
        return ThreadedStorage(MappedFiles(root)), Choice("mmap", str(error))
