"""What waits for the ring, what is prepared, and what is under way: full queues and half-taken submissions.

At most as many entries are under way as the ring has, so neither of its two queues can overflow. A chain is prepared
only when all of its entries fit, because it ends with its submission. Where the kernel takes only some of what is
prepared, the chain across the border is marked as severed, and the rest is handed over next.
"""

import errno
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from walrus.io.errors import describe
from walrus.io.uring.chain import Chain, Reading
from walrus.io.uring.ring import Ring

_Owner = TypeVar("_Owner")
_TRY_LATER: Final = (errno.EAGAIN, errno.EBUSY)


class Traffic(Generic[_Owner]):
    """Operations on their way through a ring, each for an owner. ``wake`` makes the loop call again."""

    def __init__(self, ring: Ring, wake: Callable[[], None]) -> None:
        self._ring = ring
        self._wake = wake
        self._waiting: deque[tuple[_Owner, Chain | Reading]] = deque()
        self._prepared: deque[tuple[Chain | Reading, int]] = deque()  # and how many entries the kernel has not taken
        self._prepared_entries = 0
        self._by_tag: dict[
            int, tuple[_Owner, Chain | Reading, int]
        ] = {}  # prepared or under way; place in the operation
        self._next_tag = 0

    def begin(self, owner: _Owner, operation: Chain | Reading) -> None:
        """Queue an operation; :meth:`push` sends it off."""
        self._waiting.append((owner, operation))

    def push(self) -> None:
        """Prepare what fits, in order, and hand it over.

        Raises:
            RuntimeError: the kernel refuses for another reason than want of memory.
        """
        while self._waiting and len(self._by_tag) + self._waiting[0][1].entries <= self._ring.entries:
            owner, operation = self._waiting.popleft()
            count = operation.entries
            operation.prepare(self._ring, self._next_tag)
            for position in range(count):
                self._by_tag[self._next_tag + position] = (owner, operation, position)
            self._next_tag += count
            self._prepared.append((operation, count))
            self._prepared_entries += count
        while self._prepared_entries and (taken := self._hand_over()):
            self._took(taken)

    def take(self) -> list[tuple[_Owner, Chain | Reading]]:
        """The operations whose entries are all back since the last call."""
        complete: list[tuple[_Owner, Chain | Reading]] = []
        while results := self._ring.reap():
            for tag, result in results:
                owner, operation, position = self._by_tag.pop(tag)
                if operation.came_back(position, result):
                    complete.append((owner, operation))
        return complete

    def _hand_over(self) -> int:
        """Submit; how many entries were taken, 0 to be called again later."""
        try:
            taken = self._ring.submit()
        except InterruptedError:
            return self._later()
        except OSError as error:
            if error.errno not in _TRY_LATER:
                raise RuntimeError(f"io_uring_enter failed: {describe(error)}") from error
            return self._later()
        return taken or self._later()

    def _later(self) -> int:
        """The next completion brings the loop back here. Where none is to come, it has to come by itself."""
        if len(self._by_tag) == self._prepared_entries:
            self._wake()
        return 0

    def _took(self, taken: int) -> None:
        self._prepared_entries -= taken
        while taken:
            operation, left = self._prepared.popleft()
            if left > taken:
                operation.severed = True
                self._prepared.appendleft((operation, left - taken))
                return
            taken -= left
