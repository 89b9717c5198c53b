"""One ring, typed: prepare entries, submit them together, reap what they came to.

Facts of io_uring that this relies on (man 2 io_uring_setup, io_uring_enter; man 7 io_uring):

- An entry is prepared in memory shared with the kernel and costs no system call; one ``io_uring_submit`` hands over
  all that are prepared. It may take fewer than that (the kernel was short of memory): the rest stays prepared.
- ``IOSQE_IO_LINK`` makes the next entry wait until this one has succeeded in full. An error or a short transfer
  ends the chain: what follows completes with ``-ECANCELED`` and was never started. A chain ends with the submission
  that it is part of, whatever its flags say: the half that is submitted later does not wait for the first.
- The completion ring is twice as large as the submission ring. Who never has more entries under way than the
  latter holds can lose no completion and meets no ``EBUSY``.
- A registered eventfd is signalled for every completion, so the ring needs no thread and no polling.
- The kernel reads the bytes of a write, and fills the buffer of a read, until the completion: somebody must hold
  them until then.
- What may block (a buffered write on most file systems, every sync) runs in the kernel's worker threads, which
  never touch the interpreter's lock.
- Unprivileged containers and hardened kernels forbid ``io_uring_setup``: EPERM (``kernel.io_uring_disabled``, or a
  seccomp filter), ENOSYS (seccomp too, or a kernel before 5.1), ENOMEM (RLIMIT_MEMLOCK, before 5.12).
"""

import errno
import importlib
import os
from typing import Any, Final, Protocol

from walrus.io.errors import describe

_ENTRIES: Final = 256
_REAP_MAX: Final = 64
_ASYNC_READ_BYTES_MIN: Final = 64 * 1024  # a longer copy out of the page cache is not made on the loop's time
_TRIAL_TAG: Final = (1 << 63) - 1
_BUILD_HINT: Final = "that takes gcc, python3-dev and liburing-dev when Walrus is installed, and liburing2 when it runs"
_KERNEL_HINT: Final = "it takes Linux 5.6 or newer"
_SETUP_HINTS: Final = {
    errno.EPERM: "the sysctl kernel.io_uring_disabled or the container's seccomp filter forbids it",
    errno.ENOSYS: "the kernel has no io_uring, or the container's seccomp filter hides it",
    errno.ENOMEM: "raise the limit of locked memory (ulimit -l)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


class Unavailable(Exception):
    """There is no ring to be had here; the text says why, and what would help."""


class Ring(Protocol):
    """What the driver needs of a ring. A ``tag`` is a number from 0 to 2^63 - 2 that comes back with the result."""

    entries: int  # that can be prepared or under way at once

    def write(self, fd: int, data: memoryview, offset: int, tag: int, *, linked: bool) -> object:
        """Prepare a write, ``linked`` to the entry that is prepared next or not; returns what must be held until it
        completes.
        """

    def datasync(self, fd: int, tag: int) -> None:
        """Prepare a sync of a file's data, and of as much metadata as it takes to read them back."""

    def read(self, fd: int, length: int, offset: int, tag: int) -> Any:
        """Prepare a read; returns the buffer, for :meth:`taken_from` once it has completed."""

    def taken_from(self, buffer: Any, length: int) -> bytes:
        """The first ``length`` bytes of a read's buffer."""

    def submit(self) -> int:
        """Hand what is prepared to the kernel; returns how many entries it took. Raises OSError; never blocks."""

    def reap(self) -> list[tuple[int, int]]:
        """Completions that wait: (tag, bytes transferred or minus errno), at most 64 at once."""

    def close(self) -> None:
        """Give the ring back. Nothing may be under way."""


class KernelRing:
    """A :class:`Ring` of the kernel's."""

    entries = _ENTRIES

    def __init__(self, event_fd: int) -> None:
        """Set the ring up; ``event_fd`` becomes readable whenever something completes.

        Raises:
            Unavailable: not built in, forbidden, or too old to read, write and sync.
        """
        try:
            extension = importlib.import_module("walrus.io.uring._liburing")
        except ImportError as error:
            raise Unavailable(f"io_uring is not built in ({error}); {_BUILD_HINT}") from error
        self._ffi: Any = extension.ffi
        self._lib: Any = extension.lib
        self._buffer = self._ffi.new_allocator(should_clear_after_alloc=False)
        self._ring = self._ffi.new("struct io_uring *")
        self._results = self._ffi.new("int64_t[]", 2 * _REAP_MAX)
        self._set_up()
        try:
            self._check_operations()
            self._try_out(event_fd)
        except Unavailable:
            self.close()
            raise

    def write(self, fd: int, data: memoryview, offset: int, tag: int, *, linked: bool) -> object:
        held = self._ffi.from_buffer(data)
        entry = self._entry(tag)
        self._lib.io_uring_prep_write(entry, fd, held, len(data), offset)
        entry.user_data = tag
        if linked:
            entry.flags = self._lib.IOSQE_IO_LINK
        return held

    def datasync(self, fd: int, tag: int) -> None:
        entry = self._entry(tag)
        self._lib.io_uring_prep_fsync(entry, fd, self._lib.IORING_FSYNC_DATASYNC)
        entry.user_data = tag

    def read(self, fd: int, length: int, offset: int, tag: int) -> Any:
        buffer = self._buffer("char[]", length)
        entry = self._entry(tag)
        self._lib.io_uring_prep_read(entry, fd, buffer, length, offset)
        entry.user_data = tag
        if length > _ASYNC_READ_BYTES_MIN:
            entry.flags = self._lib.IOSQE_ASYNC
        return buffer

    def taken_from(self, buffer: Any, length: int) -> bytes:
        data: bytes = self._ffi.unpack(buffer, length)
        return data

    def submit(self) -> int:
        taken: int = self._lib.io_uring_submit(self._ring)
        if taken < 0:
            raise OSError(-taken, os.strerror(-taken))
        return taken

    def reap(self) -> list[tuple[int, int]]:
        count = self._lib.walrus_reap(self._ring, self._results, _REAP_MAX)
        if not count:
            return []
        flat: list[int] = self._ffi.unpack(self._results, 2 * count)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def close(self) -> None:
        self._lib.io_uring_queue_exit(self._ring)

    def _entry(self, tag: int) -> Any:
        entry = self._lib.io_uring_get_sqe(self._ring)
        assert entry != self._ffi.NULL, f"more than {self.entries} entries prepared (tag {tag})"
        return entry

    def _set_up(self) -> None:
        """``SUBMIT_ALL`` (Linux 5.18): an entry that is refused at once does not hold up those behind it."""
        refused = -errno.EINVAL
        for flags in (self._lib.IORING_SETUP_SUBMIT_ALL, 0):
            if refused == -errno.EINVAL:
                refused = self._lib.io_uring_queue_init(self.entries, self._ring, flags)
        if refused:
            error = OSError(-refused, os.strerror(-refused))
            raise Unavailable(f"io_uring_setup says {describe(error)}; {_SETUP_HINTS.get(-refused, _KERNEL_HINT)}")

    def _check_operations(self) -> None:
        lib = self._lib
        probe = lib.io_uring_get_probe_ring(self._ring)
        if probe == self._ffi.NULL:
            raise Unavailable(f"io_uring cannot say what it supports; {_KERNEL_HINT}")
        wanted = {"read": lib.IORING_OP_READ, "write": lib.IORING_OP_WRITE, "fsync": lib.IORING_OP_FSYNC}
        missing = [name for name, number in wanted.items() if not lib.io_uring_opcode_supported(probe, number)]
        lib.io_uring_free_probe(probe)
        if missing:
            raise Unavailable(f"io_uring lacks {', '.join(missing)}; {_KERNEL_HINT}")

    def _try_out(self, event_fd: int) -> None:
        """One round of nothing at all: some sandboxes let a ring be made and then refuse to use it."""
        refused = -self._lib.io_uring_register_eventfd(self._ring, event_fd)
        step = "io_uring_register_eventfd"
        if not refused:
            entry = self._entry(_TRIAL_TAG)
            self._lib.io_uring_prep_nop(entry)
            entry.user_data = _TRIAL_TAG
            step = "io_uring_enter"
            refused = -min(0, self._lib.io_uring_submit(self._ring))
        if refused:
            raise Unavailable(f"{step} says {describe(OSError(refused, os.strerror(refused)))}; {_KERNEL_HINT}")
        if self.reap() != [(_TRIAL_TAG, 0)]:
            raise Unavailable(f"io_uring did not complete an empty request; {_KERNEL_HINT}")
