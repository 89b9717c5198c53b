"""Which nodes the connection broke to. Nothing that must not be lost is sent to them until they are heard again."""

from typing import Final

from walrus.core.config import MS
from walrus.core.outbox import Outbox
from walrus.core.peer import Ping

PING_NS: Final = 200 * MS


class Reachability:
    """A node counts as reachable until its connection breaks, and again from its next message on."""

    def __init__(self, out: Outbox) -> None:
        self._out = out
        self._lost: dict[int, int] = {}  # node -> when it was pinged last

    def lost(self, node: int) -> bool:
        return node in self._lost

    def disconnected(self, node: int, now_ns: int) -> None:
        self._lost[node] = now_ns

    def heard(self, node: int) -> None:
        if self._lost:
            self._lost.pop(node, None)

    def tick(self, now_ns: int) -> None:
        """Two followers have nothing to say to each other, so a lost node is asked whether it is back."""
        for node, pinged_ns in self._lost.items():
            if now_ns - pinged_ns >= PING_NS:
                self._lost[node] = now_ns
                self._out.send(node, Ping(answer=False))

    def pinged(self, sender: int, message: Ping) -> None:
        if not message.answer:
            self._out.send(sender, Ping(answer=True))
