"""Group commit: appends to one file, at most one write in flight, all that waits goes with the next."""

from walrus.core.actions import Write


class Tokens:
    """Source of the numbers that tie writes and reads to their completions; unique within a process."""

    def __init__(self) -> None:
        self._last = 0

    def take(self) -> int:
        self._last += 1
        return self._last


class Appender:
    """Appends to ``path`` from byte ``end`` on.

    ``append`` returns the token of the write that will carry the bytes.
    Invariant: bytes below ``durable_end`` are on disk, or were written without a sync.
    """

    __slots__ = (
        "_flying_bytes",
        "_parts",
        "_tokens",
        "_waiting_token",
        "ahead",
        "durable_end",
        "flying_token",
        "path",
    )

    def __init__(self, path: str, tokens: Tokens, end: int, ahead: int = 0) -> None:
        """``ahead``: so many bytes are to be reserved behind each write."""
        self.path = path
        self.ahead = ahead
        self.durable_end = end
        self.flying_token = 0
        self._flying_bytes = 0
        self._parts: list[bytes] = []
        self._tokens = tokens
        self._waiting_token = 0

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is in flight: all appended bytes are durable."""
        return not self.flying_token and not self._parts

    @property
    def has_waiting(self) -> bool:
        """Something was appended that no write carries yet."""
        return bool(self._parts)

    def append(self, data: bytes) -> int:
        if not self._waiting_token:
            self._waiting_token = self._tokens.take()
        self._parts.append(data)
        return self._waiting_token

    def set_aside(self) -> tuple[list[bytes], int]:
        """What waits, which something else will make durable, and where the file ends: for :meth:`bring_back`."""
        parts, self._parts = self._parts, []
        self._waiting_token = 0
        return parts, self.durable_end

    def bring_back(self, aside: tuple[list[bytes], int]) -> None:
        """Nothing else made durable what was set aside: it goes before what waits now."""
        parts, self.durable_end = aside
        self._parts = parts + self._parts
        if self._parts and not self._waiting_token:
            self._waiting_token = self._tokens.take()

    def give_up(self) -> None:
        """The write in flight found no room: forget it, and what waits."""
        self._parts = []
        self._waiting_token = self.flying_token = self._flying_bytes = 0

    def begin_anew(self, end: int) -> None:
        """The file is another one now, of which ``end`` bytes are known durable; what waits follows them."""
        assert not self.flying_token
        self.durable_end = end

    def flush(self, *, sync: bool = True) -> Write | None:
        """The next write, if there is something to write and none is in flight."""
        if self.flying_token or not self._parts:
            return None
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        self.flying_token, self._waiting_token = self._waiting_token, 0
        self._flying_bytes = len(data)
        return Write(self.path, self.durable_end, data, self.flying_token, self.ahead, sync)

    def sync(self) -> Write | None:
        """What makes all that was written durable; None while something is in flight or waits, which can do it."""
        if not self.idle:
            return None
        self.flying_token = self._tokens.take()
        return Write(self.path, self.durable_end, b"", self.flying_token)

    def completed(self, token: int) -> None:
        assert token == self.flying_token, (token, self.flying_token)
        self.durable_end += self._flying_bytes
        self._flying_bytes = 0
        self.flying_token = 0
