"""The data directory of one node, ``<data-dir>/node_<id>/{user_data,raft_meta}``, owned by one process.

Ownership is a ``flock`` on the file ``lock`` inside it. The kernel gives the lock back when the process
ends in whatever way, so the file itself stays and only tells the holder's process id.
"""

import fcntl
import os
from pathlib import Path
from typing import Final

from walrus.io.errors import StartError, describe

_LOCK_NAME: Final = "lock"
_SUBDIRECTORIES: Final = ("user_data", "raft_meta")


class DataDirectory:
    """An open and locked data directory."""

    def __init__(self, root: Path, node_id: int) -> None:
        """Create what is missing under ``root`` and take the lock.

        Raises:
            StartError: it is no directory, not writable, or held by another process.
        """
        self.path = root / f"node_{node_id}"
        try:
            for name in _SUBDIRECTORIES:
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(self.path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StartError(
                f"cannot use data directory {self.path}: {describe(error)}"
                f" ({error.filename}); it has to be a directory that this user can write to"
            ) from error
        self._take_lock()
        # A process killed between creating a file and syncing its directory left the entry in memory only.
        for directory in (root, self.path, *(self.path / name for name in _SUBDIRECTORIES)):
            sync_directory(directory)

    def files(self) -> dict[str, int]:
        """Return every regular file but the lock: path relative to the node's directory -> size in bytes."""
        found: dict[str, int] = {}
        pending = [self.path]
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    elif entry.is_file():
                        found[os.path.relpath(entry.path, self.path)] = entry.stat().st_size
        found.pop(_LOCK_NAME, None)
        return dict(sorted(found.items()))

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._lock_fd)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._lock_fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._lock_fd)
            raise StartError(
                f"data directory {self.path} is in use by another walrus-node"
                f" (process {holder or 'unknown'}); stop it first or give another --data-dir"
            ) from error
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)


def sync_directory(path: str | Path) -> None:
    """Make the entries of a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
