"""Objects on their way to and from a place, several at a time and never more than a few in memory."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self, TypeVar

from walrus.cli.backup.places import Place

AT_ONCE: Final = 4  # objects; what lies behind S3 answers one request slowly and many at once well

_Key = TypeVar("_Key")


class Uploads:
    """Writes objects in the background. The error of one that failed is raised by a later call."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._under_way: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def write(self, name: str, data: bytes) -> None:
        """Begin to write; waits while too many are under way. Raises PlaceError."""
        while len(self._under_way) >= AT_ONCE:
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(self._place.write, name, data))

    def finish(self) -> None:
        """Wait until all is written. Raises PlaceError."""
        while self._under_way:
            self._under_way.popleft().result()


def read_ahead(place: Place, wanted: Iterable[tuple[str, _Key]]) -> Iterator[tuple[_Key, Future[bytes]]]:
    """The objects of these (name, key) in order; reading goes on while the caller works."""
    under_way: deque[tuple[_Key, Future[bytes]]] = deque()
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for name, key in wanted:
            under_way.append((key, pool.submit(place.read, name)))
            if len(under_way) >= AT_ONCE:
                yield under_way.popleft()
        while under_way:
            yield under_way.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
